"""Data sets on disk and embedded; `published` has those that others made."""
