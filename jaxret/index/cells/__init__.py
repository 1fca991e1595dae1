"""Cells of vectors around centroids, and lists of terms, kept on disk beside the rows: where a search looks.

One set of centroids serves a whole space, so that what a search finds does not depend on how additions were cut into
segments. A segment holds, for each space that has centroids, its rows once more, cell by cell.

Of a space of records whose numbers are terms, such as visual words, a segment holds of each term the rows with it.
"""
