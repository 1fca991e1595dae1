"""Slow twin of the triplet losses: explicit loops over anchors, positives and negatives."""

from __future__ import annotations

import numpy as np


def triplet_loss(embeddings: np.ndarray, labels: np.ndarray, margin: float, mining: str) -> float:
    def distance(i: int, j: int) -> float:
        return float(((embeddings[i] - embeddings[j]) ** 2).sum())

    items = range(len(labels))
    losses = []
    for a in items:
        positives = [p for p in items if p != a and labels[p] == labels[a]]
        negatives = [n for n in items if labels[n] != labels[a]]
        if not positives or not negatives:
            continue
        if mining == "batch-hard":
            hardest = max(distance(a, p) for p in positives) - min(distance(a, n) for n in negatives)
            losses.append(max(0.0, hardest + margin))
        elif mining == "semi-hard":
            for p in positives:
                beyond = [distance(a, n) for n in negatives if distance(a, n) > distance(a, p)]
                chosen = min(beyond) if beyond else max(distance(a, n) for n in negatives)
                losses.append(max(0.0, distance(a, p) - chosen + margin))
        else:
            all_losses = [distance(a, p) - distance(a, n) + margin for p in positives for n in negatives]
            losses.extend(loss for loss in all_losses if loss > 0)
    return float(np.mean(losses)) if losses else 0.0
