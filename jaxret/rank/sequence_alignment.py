"""Two sequences aligned as a ranking aligns them: which row meets which, to see why they match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank.dtw import dtw_path
from jaxret.rank.sequence_ranking import SequenceMatch, SequenceRanking, rank_sequences
from jaxret.rank.sequence_table import unit_rows
from jaxret.rank.sequence_validation import as_frames


@dataclass(frozen=True)
class SequenceAlignment:
    """How two sequences were aligned.

    Attributes:
        match: what `rank_sequences` says of the pair.
        path: int64 (L, 2), rows of the query and of the other sequence that meet, in order of the query. Where one was
            read backwards, the rows of the other sequence do not rise along the path, but fall.
    """

    match: SequenceMatch
    path: NDArray[np.int64]


def align_sequences(
    query: ArrayLike, sequence: ArrayLike, ranking: SequenceRanking = SequenceRanking()
) -> SequenceAlignment:
    """The path along which a ranking aligns two sequences.

    Args:
        query: (T, D), any float dtype.
        sequence: (L, D), likewise.
        ranking: of any measure but "mean-cosine".

    Returns:
        The path of `dtw_path` between the rows that the ranking aligned.

    Raises:
        TypeError, ValueError: as `rank_sequences`; ValueError for "mean-cosine", which aligns nothing.

    >>> up = np.array([[0.0], [1.0], [2.0]])
    >>> found = align_sequences(up, up[::-1], SequenceRanking("bi-dtw"))
    >>> found.match.backwards, found.path.tolist()
    (True, [[0, 2], [1, 1], [2, 0]])
    """
    if ranking.measure == "mean-cosine":
        raise ValueError("mean-cosine compares means and aligns nothing: choose dtw or bi-dtw")
    rows, others = as_frames(query, "query"), as_frames(sequence, "sequence")
    (match,) = rank_sequences(rows, [others], 1, ranking)
    if ranking.unit_vectors:
        rows, others = unit_rows(rows), unit_rows(others)
    rows, others = rows[match.query_start : match.query_end], others[match.start : match.end]
    turned = others[::-1] if match.backwards else others
    path = dtw_path(rows, turned, window=ranking.window)[1]
    met = len(others) - 1 - path[:, 1] if match.backwards else path[:, 1]
    return SequenceAlignment(match, np.stack([path[:, 0] + match.query_start, met + match.start], axis=1))
