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


def anchors(grid, stride, sizes, aspects):
    """Around the centre of every cell, one by one."""
    boxes = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            for size in sizes:
                for aspect in aspects:
                    width, height = size * aspect**0.5, size / aspect**0.5
                    boxes.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return boxes


def suppressed(boxes, scores, count, threshold, least_score, classes=None):
    """Greedy non-maximum suppression over a sorted list; boxes of whole numbers."""
    order = sorted((n for n in range(len(boxes)) if scores[n] >= least_score), key=lambda n: (-scores[n], n))
    taken = []
    for n in order:
        rivals = [m for m in taken if classes is None or classes[m] == classes[n]]
        if all(iou(boxes[n], boxes[m]) <= threshold or not squares(boxes[n]) for m in rivals):
            taken.append(n)
    return (taken[:count] + [-1] * count)[:count]


def read_bilinear(plane, y, x):
    """A plane (H, W) of numbers at a place, in cells whose centres are at .5; 0 more than a cell outside."""
    height, width = len(plane), len(plane[0])
    y, x = y - 0.5, x - 0.5
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    total = 0.0
    for row in range(height):
        for column in range(width):
            total += max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column)) * float(plane[row][column])
    return total


def aligned(plane, box, stride, size, samples):
    """RoIAlign of one plane and one box, place by place."""
    left, top, right, bottom = (side / stride for side in box)
    result = []
    for i in range(size[0]):
        line = []
        for j in range(size[1]):
            total = 0.0
            for a in range(samples):
                for b in range(samples):
                    y = top + (bottom - top) * (i + (a + 0.5) / samples) / size[0]
                    x = left + (right - left) * (j + (b + 0.5) / samples) / size[1]
                    total += read_bilinear(plane, y, x)
            line.append(total / samples**2)
        result.append(line)
    return result
