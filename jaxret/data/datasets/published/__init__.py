"""Data sets as they were published: actions, near-duplicates, rooms, streets, YouTube-8M."""
