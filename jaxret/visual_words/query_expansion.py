"""A query and what it found, averaged into a better query."""

from __future__ import annotations

import numpy as np
import scipy  # see `jaxret.visual_words.word_bags`
from numpy.typing import ArrayLike

from jaxret.visual_words.word_bags import WordBags, check_idf, join_bags

__all__ = ["expand_query"]


def expand_query(query: WordBags, found: WordBags, *, idf: ArrayLike | None = None) -> WordBags:
    """Average query expansion (Chum et al., ICCV 2007): the mean of the query's bag and those of its best results.

    Every bag is first scaled to length 1, as the cosine sees it, so that a large region counts no more than a small
    one. In BLCF the results' bags are those of the regions found.

    Args:
      query: one bag.
      found: the bags of the N best results, best the region of each; N may be 0.
      idf: (W,), the weights that the cosine is taken with; None: none.

    Returns:
      One bag, to search or re-rank with once more.

    Raises:
      ValueError: the query is not one bag, the codebooks differ, or `idf` does not fit.

    Example:
      >>> query = WordBags(3, np.array([0, 1]), np.array([0], np.int32), np.array([2.0]))
      >>> found = WordBags(3, np.array([0, 2]), np.array([0, 1], np.int32), np.array([3.0, 4.0]))
      >>> expand_query(query, found).dense().round(3).tolist()
      [[0.8, 0.4, 0.0]]
    """
    if len(query) != 1:
        raise ValueError(f"query must be one bag, got {len(query)}")
    weights = None if idf is None else check_idf(idf, query.n_words)
    bags = join_bags([query, found], query.n_words)
    lengths = bags.lengths(weights)
    shares = 1 / np.where(lengths > 0, lengths, 1.0)
    return WordBags.of_matrix(scipy.sparse.csr_array((shares @ bags.matrix / len(bags))[None]))
