"""Cells of vectors around centroids, kept on disk beside the rows: where an approximate search looks.

One set of centroids serves a whole space, so that what a search finds does not depend on how additions were cut into
segments. A segment holds, for each space that has centroids, its rows once more, cell by cell.
"""
