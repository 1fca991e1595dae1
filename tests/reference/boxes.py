"""Slow, obvious boxes: areas counted square by square, and everything else in loops over plain numbers."""

from __future__ import annotations


def squares(box):
    """The unit squares that a box of whole numbers covers."""
    left, top, right, bottom = (int(side) for side in box)
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


def iou(a, b):
    """Intersection over union of two boxes of whole numbers."""
    first, second = squares(a), squares(b)
    if not first | second:
        return float(list(a) == list(b))
    return len(first & second) / len(first | second)
