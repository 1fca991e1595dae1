"""Which results count: relevant, not relevant, or junk; the one input of every ranking metric here.

The relevance of a ranking is looked up once, in O(Q * k) memory, and every metric is then a function of the
`RankedRelevance`.
Junk (the query itself, items of the query's own source, items on a junk list) is removed from the results
*and* from the counts before anything is scored, as in the Oxford protocol (Philbin et al., CVPR 2007).

Removing junk shortens a list. Search for enough results: all of them for a full mAP, or
exclude the junk while searching. A metric that needs results which were never searched for raises a ValueError;
nothing is ever scored as if a cut list were the whole ranking.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.metrics.ranked_relevance import RankedRelevance

__all__ = ["relevance_by_label", "relevance_by_lists"]


def relevance_by_label(
    result_ids: ArrayLike,
    query_labels: Sequence[Any] | NDArray[Any],
    gallery_labels: Sequence[Any] | NDArray[Any],
    *,
    query_sources: Sequence[Any] | NDArray[Any] | None = None,
    gallery_sources: Sequence[Any] | NDArray[Any] | None = None,
    query_ids: ArrayLike | None = None,
    in_gallery: ArrayLike | None = None,
    distances: ArrayLike | None = None,
) -> RankedRelevance:
    """Look up the relevance of a ranking by class: relevant is what carries the query's label.

    Args:
      result_ids: int (Q, k), rows of the gallery, best first; -1 for a missing result.
      query_labels: Q labels of any hashable type. None: nothing is relevant to this query.
      gallery_labels: N labels. None: relevant to no query.
      query_sources, gallery_sources: the recording each comes from; gallery items of the query's own source
        are junk. None as a source matches nothing. Give both or neither.
      query_ids: int (Q,), the query's own row in the gallery (junk), or -1 where it is not in it.
      in_gallery: bool (N,), the items that were searched at all, if not all of them; (Q, N) where each query has a
        gallery of its own.
      distances: float (Q, k), kept for metrics that average over ties.

    Returns:
      `RankedRelevance` with gains 0 and 1.

    Raises:
      ValueError: sizes disagree, or a result is out of range, repeated, or not `in_gallery`.

    Example:
      >>> j = relevance_by_label([[2, 0, 1]], ["run"], ["run", "jump", "run"], query_sources=["a"],
      ...                    gallery_sources=["b", "b", "a"])
      >>> j.gains.tolist(), j.n_relevant.tolist(), j.n_gallery.tolist()
      ([[1.0, 0.0, 0.0]], [1], [2])
    """
    n = len(gallery_labels)
    ids = _check_ids(result_ids, len(query_labels), n)
    searched = np.ones(n, bool) if in_gallery is None else np.asarray(in_gallery, bool)
    if searched.shape not in ((n,), (len(ids), n)):
        raise ValueError(f"in_gallery must have shape ({n},) or ({len(ids)}, {n}), got {searched.shape}")
    found = ids >= 0
    if not (searched[ids[found]] if searched.ndim == 1 else searched[np.nonzero(found)[0], ids[found]]).all():
        raise ValueError("result_ids hold an item that is not in_gallery")
    query_class, gallery_class = _codes(query_labels, gallery_labels)
    if (query_sources is None) != (gallery_sources is None):
        raise ValueError("query_sources and gallery_sources must be given together")
    if query_sources is None or gallery_sources is None:
        query_sources, gallery_sources = [None] * len(query_labels), [None] * n
    if len(query_sources) != len(query_labels) or len(gallery_sources) != n:
        raise ValueError(
            f"sources must be as many as labels: query_sources {len(query_sources)} for {len(query_labels)}, "
            f"gallery_sources {len(gallery_sources)} for {n}"
        )
    query_source, gallery_source = _codes(query_sources, gallery_sources)
    own = np.full(len(ids), -1) if query_ids is None else np.asarray(query_ids)
    if own.shape != (len(ids),) or own.dtype.kind not in "iu" or (own < -1).any() or (own >= n).any():
        raise ValueError(f"query_ids must be {len(ids)} ids from -1 to {n - 1}, got {query_ids!r}")

    classes, sources = (query_class, gallery_class), (query_source, gallery_source)
    counted = _counts_in_own_galleries if searched.ndim == 2 else _counts_in_one_gallery
    n_relevant, n_gallery = counted(searched, classes, sources, own)

    missing = ids < 0
    junk = (ids == own[:, None]) & ~missing
    gains = np.zeros(ids.shape)
    for q, row in enumerate(ids):  # row by row: no (Q, k) temporaries beside the results
        junk[q] |= _equal(query_source[q], gallery_source, row)
        gains[q] = _equal(query_class[q], gallery_class, row)
    return _pack(ids, gains, junk, n_relevant, n_gallery, None, distances)


def relevance_by_lists(
    result_ids: ArrayLike,
    relevant: Sequence[Collection[int] | Mapping[int, float]],
    n_gallery: int,
    *,
    junk: Sequence[Collection[int]] | None = None,
    distances: ArrayLike | None = None,
) -> RankedRelevance:
    """Look up the relevance of a ranking by lists, one a query, as Oxford5k's good / ok / junk.

    Args:
      result_ids: int (Q, k), rows of the gallery, best first; -1 for a missing result.
      relevant: for each query the ids of its relevant items, or a mapping of id to grade (at least 0; grade 0
        is not relevant). Oxford: the union of *good* and *ok*.
      n_gallery: items in the gallery.
      junk: for each query the ids that neither help nor harm.
      distances: float (Q, k), kept for metrics that average over ties.

    Raises:
      ValueError: sizes disagree, an id is out of range or repeated, a grade is negative, or an item is both
        relevant and junk.

    Example:
      >>> j = relevance_by_lists([[4, 1, 0, 3, 2]], [{0, 3}], 5, junk=[{4}])
      >>> j.gains.tolist()
      [[0.0, 1.0, 1.0, 0.0, 0.0]]
    """
    ids = _check_ids(result_ids, len(relevant), n_gallery)
    junk = [()] * len(ids) if junk is None else junk
    if len(junk) != len(ids):
        raise ValueError(f"junk must have one list a query: {len(junk)} lists for {len(ids)} queries")
    is_junk = np.zeros(ids.shape, bool)
    gains = np.zeros(ids.shape)
    ideal: list[list[float]] = []
    n_relevant, n_left = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    for q, row in enumerate(ids):
        listed_here = relevant[q]
        graded = dict(listed_here) if isinstance(listed_here, Mapping) else dict.fromkeys(listed_here, 1.0)
        unwanted = set(junk[q])
        for name, listed in (("relevant", set(graded)), ("junk", unwanted)):
            if odd := [i for i in listed if not 0 <= i < n_gallery]:
                raise ValueError(f"{name} of query {q} names item {odd[0]}, outside the gallery of {n_gallery}")
        if bad := [i for i, grade in graded.items() if not 0 <= grade < np.inf]:
            raise ValueError(f"relevant of query {q}: item {bad[0]} has grade {graded[bad[0]]}, below 0 or not finite")
        positive = {i: grade for i, grade in graded.items() if grade > 0}
        if both := unwanted & positive.keys():
            raise ValueError(f"item {min(both)} is both relevant and junk for query {q}")
        is_junk[q] = [i in unwanted for i in row.tolist()]
        gains[q] = [positive.get(i, 0.0) for i in row.tolist()]
        ideal.append(sorted(positive.values(), reverse=True))
        n_relevant[q], n_left[q] = len(positive), n_gallery - len(unwanted)
    ideal_gains = None
    if any(grade != 1 for grades in ideal for grade in grades):
        ideal_gains = np.zeros((len(ids), int(n_relevant.max())))
        for q, grades in enumerate(ideal):
            ideal_gains[q, : len(grades)] = grades
    return _pack(ids, gains, is_junk, n_relevant, n_left, ideal_gains, distances)


Codes = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Of the queries (Q,) and of the gallery (N,); -1 for None."""


def _counts_in_one_gallery(
    searched: NDArray[np.bool_], classes: Codes, sources: Codes, own: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Relevant items and items of each query's gallery, junk removed, without a (Q, N) table.

    Counted are class, source, and class within source.
    """
    (query_class, gallery_class), (query_source, gallery_source) = classes, sources

    def count(query_codes: NDArray[np.int64], gallery_codes: NDArray[np.int64]) -> NDArray[np.int64]:
        known = searched & (gallery_codes >= 0)
        table = np.bincount(gallery_codes[known], minlength=int(query_codes.max(initial=0)) + 1)
        return np.where(query_codes >= 0, table[query_codes], 0)

    n_classes = int(max(query_class.max(initial=-1), gallery_class.max(initial=-1))) + 1
    same_source = count(query_source, gallery_source)
    pair_query = np.where((query_class < 0) | (query_source < 0), -1, query_source * n_classes + query_class)
    pair_gallery = np.where((gallery_class < 0) | (gallery_source < 0), -1, gallery_source * n_classes + gallery_class)
    pair_query, pair_gallery = _codes(
        [None if p < 0 else p for p in pair_query.tolist()],
        [None if p < 0 else p for p in pair_gallery.tolist()],
    )
    self_apart = (own >= 0) & searched[own] if len(searched) else np.zeros(len(own), bool)
    self_apart &= ~_equal(query_source, gallery_source, own)  # not counted already as of the same source
    n_gallery = int(searched.sum()) - same_source - self_apart
    n_relevant = count(query_class, gallery_class) - count(pair_query, pair_gallery)
    n_relevant -= self_apart & _equal(query_class, gallery_class, own)
    return n_relevant, n_gallery


def _counts_in_own_galleries(
    searched: NDArray[np.bool_], classes: Codes, sources: Codes, own: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `_counts_in_one_gallery`, where `searched` is (Q, N)."""
    (query_class, gallery_class), (query_source, gallery_source) = classes, sources
    n_relevant, n_gallery = np.zeros(len(own), np.int64), np.zeros(len(own), np.int64)
    everything = np.arange(len(gallery_class))
    for q, row in enumerate(searched):
        left = row & ~_equal(query_source[q], gallery_source, everything) & (everything != own[q])
        n_gallery[q] = left.sum()
        n_relevant[q] = (left & _equal(query_class[q], gallery_class, everything)).sum()
    return n_relevant, n_gallery


def _check_ids(result_ids: ArrayLike, n_queries: int, n_gallery: int) -> NDArray[np.int64]:
    ids = np.asarray(result_ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(f"result_ids must be whole numbers of shape (Q, k), got {ids.dtype} {ids.shape}")
    if len(ids) != n_queries:
        raise ValueError(f"result_ids has {len(ids)} rows for {n_queries} queries")
    if ids.size and (ids.min() < -1 or ids.max() >= n_gallery):
        raise ValueError(f"result_ids must lie in -1 .. {n_gallery - 1}, got {ids.min()} .. {ids.max()}")
    for q, row in enumerate(ids):
        in_order = np.sort(row[row >= 0])
        if (repeated := in_order[1:][in_order[1:] == in_order[:-1]]).size:
            raise ValueError(f"result_ids of query {q} hold item {repeated[0]} twice")
    return ids.astype(np.int64, copy=False)


def _codes(
    query_values: Sequence[Any] | NDArray[Any], gallery_values: Sequence[Any] | NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct values; None becomes -1."""
    table: dict[Any, int] = {None: -1}

    def encode(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
        plain = values.tolist() if hasattr(values, "tolist") else values
        return np.fromiter((table.setdefault(v, len(table) - 1) for v in plain), np.int64, len(plain))

    return encode(query_values), encode(gallery_values)


def _equal(query_codes: Any, gallery_codes: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether gallery item `ids` has the query's code; False for id -1 and for code -1 (None)."""
    if not len(gallery_codes):
        return np.zeros(ids.shape, bool)
    return (ids >= 0) & (gallery_codes[ids] == query_codes) & (gallery_codes[ids] >= 0)


def _pack(
    ids: NDArray[np.int64],
    gains: NDArray[np.float64],
    junk: NDArray[np.bool_],
    n_relevant: NDArray[np.int64],
    n_gallery: NDArray[np.int64],
    ideal_gains: NDArray[np.float64] | None,
    distances: ArrayLike | None,
) -> RankedRelevance:
    """Drop junk and missing results and move the rest to the left, order kept."""
    keep = (ids >= 0) & ~junk
    order = np.argsort(~keep, axis=1, kind="stable")
    returned = np.take_along_axis(keep, order, axis=1)
    packed = np.where(returned, np.take_along_axis(gains, order, axis=1), 0.0)
    far = None
    if distances is not None:
        far = np.asarray(distances, np.float64)
        if far.shape != ids.shape:
            raise ValueError(f"distances must have the shape of result_ids {ids.shape}, got {far.shape}")
        far = np.where(returned, np.take_along_axis(far, order, axis=1), np.inf)
        both = returned[:, 1:]  # implies that the result before it is returned too
        # Written so that NaN fails as well.
        if np.isnan(far[returned]).any() or not (far[:, 1:] >= far[:, :-1])[both].all():
            raise ValueError("distances must not be NaN and must not decrease along a row")
    cut = (ids >= 0).all(axis=1) & (returned.sum(axis=1) < n_gallery)
    return RankedRelevance(
        packed, returned, n_relevant.astype(np.int64), n_gallery.astype(np.int64), ideal_gains, cut, far
    )
