"""Slow, obvious search for the nearest distinct items: every row measured, each item at its best."""

from __future__ import annotations

import numpy as np


def distance(query, vector, metric):
    a, b = np.asarray(query, np.float64), np.asarray(vector, np.float64)
    if metric == "euclidean":
        return np.float32(np.sqrt(((a - b) ** 2).sum()))
    return np.float32(np.round((1 - cosine(a, b)) * 2.0**40) / 2.0**40)


def cosine(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return (a @ b) / norms if norms else 0.0


def nearest_items(query, items, k, metric, allowed, min_cosine=None):
    """[(id, distance, row of that item)] of the k nearest allowed items; `items` holds lists of vectors."""
    best = []
    for i, rows in enumerate(items):
        if allowed(i) and len(rows):
            distances = [distance(query, row, metric) for row in rows]
            best.append((min(distances), i, int(np.argmin(distances))))
    best = [(i, d, row) for d, i, row in sorted(best)[:k]]
    if min_cosine is None:
        return best
    return [(i, d, row) for i, d, row in best if np.float32(cosine(query, items[i][row])) > min_cosine]
