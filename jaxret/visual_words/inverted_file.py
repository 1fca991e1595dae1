"""Bags of words ranked by cosine, through lists of the images that hold each word."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank import SearchResult
from jaxret.rank.validation import check_k
from jaxret.visual_words.word_bags import WordBags, check_idf

__all__ = ["InvertedFile", "rounded_distances"]


class InvertedFile:
    """A gallery of bags for exact cosine search (Sivic and Zisserman, ICCV 2003): only words of the query are read.

    The cosine is that of histograms whose entries are count times `idf`; with counts that are sums of spatial weights
    it is the spatially weighted cosine. An empty bag has cosine 0 to everything.

    Args:
      bags: N of them, at least one.
      idf: (W,), at least 0, see `inverse_document_frequency`; None: every word counts alike.

    Raises:
      ValueError: there is no bag, or `idf` does not fit.

    Example:
      >>> def bag(*words):
      ...     return WordBags(5, np.array([0, len(words)]), np.array(words, np.int32), np.ones(len(words)))
      >>> from jaxret.visual_words import join_bags
      >>> gallery = InvertedFile(join_bags([bag(0, 1), bag(2), bag(1, 2, 3, 4)], 5))
      >>> gallery.topk(bag(1), 2).ids
      array([[0, 2]])
    """

    def __init__(self, bags: WordBags, idf: ArrayLike | None = None):
        if not len(bags):
            raise ValueError("an inverted file needs at least one bag")
        self._n_words, self._size = bags.n_words, len(bags)
        self._idf = np.ones(bags.n_words) if idf is None else check_idf(idf, bags.n_words)
        # A column lists the images that hold its word: the inverted file itself.
        self._columns = bags.unit(self._idf).tocsc()

    def __len__(self) -> int:
        """N, the number of bags."""
        return self._size

    @property
    def idf(self) -> NDArray[np.float64]:
        """float64 (W,), ones where none was given."""
        return self._idf

    def cosines(self, queries: WordBags) -> NDArray[np.float64]:
        """The cosine of each query bag with each of the gallery, float64 (Q, N).

        Raises:
          ValueError: the queries are of another codebook.
        """
        if queries.n_words != self._n_words:
            raise ValueError(f"queries are bags of {queries.n_words} words, and the gallery of {self._n_words}")
        unit = queries.unit(self._idf)
        table = np.zeros((len(queries), self._size))
        for q, row in enumerate(table):
            some = slice(unit.indptr[q], unit.indptr[q + 1])
            row[:] = self._columns[:, unit.indices[some]] @ unit.data[some]
        return table

    def topk(self, queries: WordBags, k: int) -> SearchResult:
        """The k bags with the smallest 1 - cosine to each query.

        Args:
          queries: Q of them.
          k: in [1, N].

        Returns:
          ids int64 (Q, k) and distances float32 (Q, k) in [0, 1], ordered by (distance, id).

        Raises:
          TypeError, ValueError: k is no integer or out of range, or the queries are of another codebook.
        """
        count = check_k(k, self._size)
        ids = np.empty((len(queries), count), np.int64)
        distances = np.empty((len(queries), count), np.float32)
        for q in range(len(queries)):
            far = rounded_distances(self.cosines(queries.bag(q))[0])
            last = np.partition(far, count - 1)[count - 1]
            near = np.flatnonzero(far <= last)
            ids[q] = near[np.argsort(far[near], kind="stable")[:count]]
            distances[q] = far[ids[q]]
        return SearchResult(ids, distances)


def rounded_distances(cosines: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 - cosine as `jaxret.rank.cosine_topk` rounds it: multiples of 2^-40, so that what should tie does."""
    return (np.round((1.0 - np.clip(cosines, -1.0, 1.0)) * 2.0**40) * 2.0**-40).astype(np.float32)
