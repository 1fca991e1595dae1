"""Slow, obvious twins of the DTW functions: float64, loops, no shortcut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def local_costs(a, b) -> Array:
    """(T_a, T_b) squared Euclidean distances, from the differences."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.array([[((x - y) ** 2).sum() for y in b] for x in a])


def allowed(a_frames: int, b_frames: int, window: int | None) -> NDArray[np.bool_]:
    """Cells within `window` of the diagonal through the first corner, that through the last, or between them."""
    inside = np.ones((a_frames, b_frames), bool)
    if window is not None:
        for i in range(a_frames):
            for j in range(b_frames):
                from_first, from_last = i - j, (i - (a_frames - 1)) - (j - (b_frames - 1))
                same_side = (from_first > 0) == (from_last > 0)
                nearest = min(abs(from_first), abs(from_last)) if same_side else 0
                inside[i, j] = nearest <= window
    return inside


def accumulated(costs: Array) -> Array:
    total = np.full(costs.shape, np.inf)
    for i in range(costs.shape[0]):
        for j in range(costs.shape[1]):
            before = [0.0] if i == j == 0 else []
            if i > 0:
                before.append(total[i - 1, j])
            if j > 0:
                before.append(total[i, j - 1])
            if i > 0 and j > 0:
                before.append(total[i - 1, j - 1])
            total[i, j] = costs[i, j] + min(before)
    return total


def dtw(a, b, window: int | None = None) -> float:
    costs = local_costs(a, b)
    return float(accumulated(np.where(allowed(*costs.shape, window), costs, np.inf))[-1, -1])


def bidtw(a, b, window: int | None = None) -> float:
    return min(dtw(a, b, window), dtw(np.asarray(a)[::-1], b, window))


def bidtw_as_printed(a, b, window: int | None = None) -> float:
    return min(dtw(a, b, window), dtw(np.asarray(a)[::-1], np.asarray(b)[::-1], window))


def topk(distances, k: int) -> tuple[NDArray[np.int64], Array]:
    """The k smallest by (distance, id)."""
    order = sorted(range(len(distances)), key=lambda i: (distances[i], i))[:k]
    return np.array(order), np.array([distances[i] for i in order])


def all_paths_minimum(a, b) -> float:
    """The cheapest of all paths, each walked on its own; for tiny inputs."""
    costs = local_costs(a, b)

    def walk(i: int, j: int) -> float:
        if i == costs.shape[0] - 1 and j == costs.shape[1] - 1:
            return float(costs[i, j])
        steps = [(i + 1, j), (i, j + 1), (i + 1, j + 1)]
        return float(costs[i, j]) + min(
            walk(*step) for step in steps if step[0] < costs.shape[0] and step[1] < costs.shape[1]
        )

    return walk(0, 0)


def subsequences(query, long_sequence, n: int) -> list[tuple[int, int, float]]:
    """Greedy: the best of all spans that touch none taken before, by (distance, end, length)."""
    long_sequence = np.asarray(long_sequence)
    length = len(long_sequence)
    spans = [
        (dtw(query, long_sequence[start:end]), end, end - start)
        for start in range(length)
        for end in range(start + 1, length + 1)
    ]
    taken = np.zeros(length, bool)
    found = []
    for distance, end, frames in sorted(spans):
        if not taken[end - frames : end].any():
            taken[end - frames : end] = True
            found.append((end - frames, end, distance))
            if len(found) == n:
                break
    return found
