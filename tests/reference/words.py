"""Slow, obvious bags of words: a Counter a region, cosines in plain loops."""

from __future__ import annotations

import math
from collections import Counter


def histogram(entries, idf=None):
    """`entries`: (word, weight) pairs. Word to weight, times idf."""
    counts = Counter()
    for word, weight in entries:
        counts[word] += weight * (1.0 if idf is None else idf[word])
    return {word: amount for word, amount in counts.items() if amount}


def cosine(a, b):
    product = sum(amount * b.get(word, 0.0) for word, amount in a.items())
    lengths = math.sqrt(sum(x * x for x in a.values())) * math.sqrt(sum(x * x for x in b.values()))
    return product / lengths if lengths else 0.0


def in_window(image, window):
    """The (word, weight) pairs of an image whose cells lie in a window."""
    top, left, bottom, right = window
    return [
        (int(word), float(weight))
        for word, weight, (row, column) in zip(image.words, image.weights, image.cells, strict=True)
        if top <= row < bottom and left <= column < right
    ]


def best_window(query, image, windows, idf=None):
    """The largest cosine, rounded as the library does, and the first window that has it."""
    best, where = 0.0, None
    for window in windows:
        value = round(cosine(query, histogram(in_window(image, window), idf)) * 2**40) / 2**40
        if value > best:
            best, where = value, tuple(int(side) for side in window)
    return best, where
