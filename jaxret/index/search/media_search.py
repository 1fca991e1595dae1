"""A search of one space: arguments checked, items ranked, PAR's filter applied, spans looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import jaxret.rank as rank
from jaxret.index.search.item_search import Gallery, Way, gallery_of
from jaxret.index.search.media_search_result import MediaSearchResult
from jaxret.index.search.request import SearchRequest
from jaxret.index.snapshot import Snapshot
from jaxret.index.space import Space
from jaxret.rank.threads import check_threads
from jaxret.rank.validation import as_codes, as_float32_matrix, check_count

__all__ = ["rank_media"]


_MOST_FILLED = 1 << 22
"""Results without an item that are made up where k is above the number of items."""


def rank_media(snapshot: Snapshot, space: Space, request: SearchRequest) -> MediaSearchResult:
    """`MediaIndex.search` on a snapshot, in the request's space; errors are described there."""
    options, threads = request.options, request.threads
    if space.representation == "record":
        raise ValueError(f"space {space.name!r} holds records, which are not compared: read them with rows()")
    queries = _checked_queries(space, request.vectors)
    metric = options.metric_in(space)
    k = check_count(request.k, "k")
    if len(queries) * (k - len(snapshot.items)) > _MOST_FILLED:
        raise ValueError(f"k must be near the {len(snapshot.items)} items of the index or below, got {k}")
    check_threads(threads)
    excluded = _source_numbers(snapshot, request.exclude_sources, len(queries))
    way: Way = "hash tables" if options.multi_index else "scan" if options.probes is None else "cells"
    gallery = gallery_of(snapshot, space.name, request.kinds, request.where, way, options.device)
    best = gallery.nearest_items(queries, k, metric, excluded, threads, options.probes)
    cosines = None
    if options.min_cosine is not None:
        best, cosines = _keep_aligned(gallery, queries, best, options.min_cosine)
    return _describe(snapshot, gallery, best, cosines)


def _checked_queries(space: Space, vectors: ArrayLike) -> NDArray[Any]:
    """Queries as float32 (Q, D), or as codes uint8 (Q, bytes)."""
    if space.representation == "code":
        codes = as_codes(vectors, "vectors", single=True)
        if codes.shape[1] != space.row_length:
            raise ValueError(
                f"vectors must have {space.row_length} bytes ({space.dimension} bits) for space {space.name!r}, "
                f"got {codes.shape[1]}"
            )
        return codes
    queries = as_float32_matrix(vectors, "vectors", single=True)
    if queries.shape[1] != space.dimension:
        raise ValueError(
            f"vectors must have dimension {space.dimension} for space {space.name!r}, got {queries.shape[1]}"
        )
    return queries


def _source_numbers(
    snapshot: Snapshot, exclude_sources: Sequence[str | None] | None, n_queries: int
) -> NDArray[np.int64] | None:
    if exclude_sources is None:
        return None
    if isinstance(exclude_sources, str) or len(exclude_sources) != n_queries:
        raise ValueError(
            f"exclude_sources must hold one source (or None) for each of {n_queries} queries, "
            f"got {exclude_sources!r:.80}"
        )
    numbers = (-1 if source is None else snapshot.source_codes.get(source, -1) for source in exclude_sources)
    return np.fromiter(numbers, np.int64, n_queries)


def _keep_aligned(
    gallery: Gallery, queries: NDArray[np.float32], best: rank.SearchResult, min_cosine: float
) -> tuple[rank.SearchResult, NDArray[np.float32]]:
    """PAR's second step: of the nearest, keep those above the cosine threshold, in their order."""
    ids, distances = np.full_like(best.ids, -1), np.full_like(best.distances, np.inf)
    cosines = np.full(best.ids.shape, -np.inf, np.float32)
    for q, row in enumerate(best.ids):
        candidates = row[row >= 0]
        if not len(candidates):
            continue
        vectors = np.zeros((len(candidates), queries.shape[1]), np.float32)
        for inside, local, _, rows in gallery.split(candidates):
            vectors[inside] = rows.vectors[local]
        # The cosine and the comparison with the threshold are those of jaxret.rank, down to the last bit.
        kept = rank.par(queries[q], vectors, len(candidates), min_cosine, threads=1)
        passed = kept.ids[0] >= 0
        order = np.argsort(kept.ids[0][passed])  # places among the candidates, nearest first
        places = kept.ids[0][passed][order]
        ids[q, : len(places)] = candidates[places]
        distances[q, : len(places)] = best.distances[q][places]
        cosines[q, : len(places)] = kept.cosines[0][passed][order]
    return rank.SearchResult(ids, distances), cosines


def _describe(
    snapshot: Snapshot, gallery: Gallery, best: rank.SearchResult, cosines: NDArray[np.float32] | None
) -> MediaSearchResult:
    """Turn row numbers into item ids and spans."""
    ids = np.full(best.ids.shape, -1, np.int64)
    spans = np.full((*best.ids.shape, 2), np.nan)
    for inside, local, item_ids, rows in gallery.split(best.ids):
        ids[inside] = item_ids
        spans[inside, 0], spans[inside, 1] = rows.starts[local], rows.ends[local]
    numbers = [number for number in sorted(set(ids.ravel().tolist())) if number >= 0]
    found = dict(zip(numbers, snapshot.items.take(numbers), strict=True))
    return MediaSearchResult(ids, best.distances, spans[..., 0], spans[..., 1], cosines, found)
