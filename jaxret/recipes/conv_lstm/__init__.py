"""System 2: videos as sequences of clips."""
