"""What a search of sequences gets wrong, and a page to look at it."""
