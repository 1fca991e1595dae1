"""Bytes that the rows of an index take on disk."""

from __future__ import annotations

import numpy as np

from jaxret.index import MediaIndex

__all__ = ["bytes_a_video", "bytes_an_hour", "bytes_of", "bytes_per_image"]


def bytes_of(index: MediaIndex, space: str) -> int:
    """Bytes that the rows of a space take."""
    kind = index.spaces[space]
    return index.count_rows(space) * kind.row_length * np.dtype(kind.dtype).itemsize


def bytes_a_video(index: MediaIndex, space: str) -> float:
    """Bytes that the rows of a space take, divided by the items that have any there; 0 where none has."""
    return bytes_of(index, space) / max(int(index.searchable(space).sum()), 1)


def bytes_an_hour(index: MediaIndex, space: str) -> float:
    """Bytes that the rows of a space take, divided by the hours of video in the index; 0 where it has none."""
    hours = sum(duration or 0.0 for duration in index.values("duration")) / 3600
    return bytes_of(index, space) / hours if hours else 0.0


def bytes_per_image(index: MediaIndex) -> float:
    """Bytes of one row of every space: what an image, or a frame of a video, takes in an index of regions."""
    return float(sum(space.row_length * np.dtype(space.dtype).itemsize for space in index.spaces.values()))
