"""Items as columns: one Arrow file a segment, memory-mapped, and what is read of it when it is needed."""
