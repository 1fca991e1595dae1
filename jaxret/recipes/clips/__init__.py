"""Systems 1 and 3: one vector, or one code, a clip."""
