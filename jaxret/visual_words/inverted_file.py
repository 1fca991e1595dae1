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
        rows, lengths = bags.rows(), bags.lengths(self._idf)
        values = bags.counts * self._idf[bags.words] / np.where(lengths > 0, lengths, 1.0)[rows]
        order = np.argsort(bags.words, kind="stable")  # within a word the images ascend
        self._images, self._values = rows[order].astype(np.int32), values[order]
        self._starts = np.concatenate([[0], np.bincount(bags.words, minlength=bags.n_words).cumsum()])

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
        lengths = queries.lengths(self._idf)
        table = np.zeros((len(queries), self._size))
        for q, row in enumerate(table):
            some = slice(queries.offsets[q], queries.offsets[q + 1])
            words = queries.words[some]
            if not lengths[q]:
                continue
            weights = queries.counts[some] * self._idf[words] / lengths[q]
            starts, ends = self._starts[words], self._starts[words + 1]
            chosen = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
            row += np.bincount(
                self._images[chosen], self._values[chosen] * np.repeat(weights, ends - starts), minlength=self._size
            )
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
