"""Data sets on disk, embedded, and as published."""
