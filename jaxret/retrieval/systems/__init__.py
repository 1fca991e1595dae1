"""How each kind of index is searched."""
