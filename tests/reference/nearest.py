"""Slow twins of the exact top-k searches: every distance, in double, then a full sort by (distance, id)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ranking = tuple[NDArray[np.int64], NDArray[np.float32]]


def rank_by_distance(distances: NDArray[np.float32], k: int) -> Ranking:
    """The k smallest of each row of (Q, N) distances, ties by column."""
    ids = np.broadcast_to(np.arange(distances.shape[1]), distances.shape)
    order = np.lexsort((ids, distances), axis=1)[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


def euclidean_distances(queries: NDArray, gallery: NDArray) -> NDArray[np.float32]:
    q, x = (np.atleast_2d(a).astype(np.float32).astype(np.float64) for a in (queries, gallery))
    with np.errstate(over="ignore"):  # a distance beyond float32 is inf
        return np.sqrt(((q[:, None, :] - x[None, :, :]) ** 2).sum(-1)).astype(np.float32)


def cosines(queries: NDArray, gallery: NDArray) -> NDArray[np.float64]:
    q, x = (np.atleast_2d(a).astype(np.float32).astype(np.float64) for a in (queries, gallery))
    squares = (q**2).sum(-1)[:, None] * (x**2).sum(-1)[None, :]
    dots = (q[:, None, :] * x[None, :, :]).sum(-1)
    return np.clip(np.divide(dots, np.sqrt(squares), out=np.zeros_like(dots), where=squares > 0), -1, 1)


def cosine_distances(queries: NDArray, gallery: NDArray) -> NDArray[np.float32]:
    return (np.rint((1 - cosines(queries, gallery)) * 2.0**40) / 2.0**40).astype(np.float32)


def euclidean_topk(queries: NDArray, gallery: NDArray, k: int) -> Ranking:
    return rank_by_distance(euclidean_distances(queries, gallery), k)


def cosine_topk(queries: NDArray, gallery: NDArray, k: int) -> Ranking:
    return rank_by_distance(cosine_distances(queries, gallery), k)


def par(queries: NDArray, gallery: NDArray, k: int, min_cosine: float) -> list[list[tuple[int, float, float]]]:
    """For each query the kept (id, distance, cosine)."""
    ids, distances = euclidean_topk(queries, gallery, k)
    similarity = cosines(queries, gallery).astype(np.float32)
    return [
        [
            (int(i), float(d), float(similarity[q, i]))
            for i, d in zip(ids[q], distances[q], strict=True)
            if similarity[q, i] > np.float32(min_cosine)
        ]
        for q in range(len(ids))
    ]


def hamming_distances(queries: NDArray, gallery: NDArray) -> NDArray[np.float32]:
    q, x = (np.unpackbits(np.atleast_2d(a), axis=1) for a in (queries, gallery))
    return (q[:, None, :] != x[None, :, :]).sum(-1).astype(np.float32)


def hamming_topk(queries: NDArray, gallery: NDArray, k: int) -> Ranking:
    return rank_by_distance(hamming_distances(queries, gallery), k)


def hamming_within(queries: NDArray, gallery: NDArray, radius: int) -> list[Ranking]:
    distances = hamming_distances(queries, gallery)
    ids, ordered = rank_by_distance(distances, distances.shape[1])
    return [(row[near <= radius], near[near <= radius]) for row, near in zip(ids, ordered, strict=True)]
