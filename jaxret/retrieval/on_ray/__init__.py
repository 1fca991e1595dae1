"""Indexing and searching on many machines, by Ray: nothing but vectors and answers travels between them."""
