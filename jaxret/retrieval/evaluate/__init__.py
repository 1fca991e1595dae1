"""How well an index finds what it should: by labels, by screen photos of films, by regions with ground truth."""
