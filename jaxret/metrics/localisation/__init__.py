"""How well places are found: boxes in images, spans in films, cuts, detected objects."""
