"""Frames of many items in batches of few shapes, so that few programs are compiled and each is full."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Canvas", "encode_in_batches"]

Canvas = Callable[[int, int], tuple[int, int]]
"""From the height and width of an image to those of the batch that it joins, no smaller."""

_BATCH_BYTES = 12 << 20  # pixels handed to the encoder at once; keeps the first feature maps near the cache
_PADDED_BYTES = _BATCH_BYTES // 2  # the last batch of every size is filled up with nothing: the smaller, the less
_MOST_FRAMES = 512
_WAITING_BYTES = 4 * _BATCH_BYTES  # pixels that wait for others of their shape
_GROUPS_HELD = 128  # groups that wait for an earlier one


@dataclasses.dataclass(eq=False)
class _Group:
    """Frames that are handed on together.

    Attributes:
      name: of the group.
      missing: frames that are not encoded yet.
      shape: of the batches that they go in.
      encoded: the rows so far.
    """

    name: int
    missing: int
    shape: tuple[int, ...]
    encoded: list[npt.NDArray[Any]] = dataclasses.field(default_factory=list)


class _Shape:
    """Batches of one shape, and the frames that wait for one."""

    def __init__(self, shape: tuple[int, ...], most_bytes: int):
        self.shape = shape
        self.frame_bytes = int(np.prod(shape))
        fitting = min(_MOST_FRAMES, most_bytes // max(1, self.frame_bytes))
        self.full = _power_of_two_from(fitting // 2 + 1) if fitting > 1 else 1
        self.waiting: deque[tuple[_Group, npt.NDArray[np.uint8]]] = deque()
        self.count = 0
        self._used: set[int] = set()

    def add(self, group: _Group, frames: npt.NDArray[np.uint8]) -> None:
        self.waiting.append((group, frames))
        self.count += len(frames)

    def batch(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], list[tuple[_Group, int]]]:
        """Up to a full batch of what waits: frames, the size of each, and how many are whose.

        The batch is filled up to a length that was used before, or to a power of two, so that a single image is not
        padded to a whole batch and few shapes are compiled.
        """
        wanted = min(self.count, self.full)
        length = min((used for used in self._used if used >= wanted), default=_power_of_two_from(wanted))
        self._used.add(length)
        frames = np.zeros((length, *self.shape), np.uint8)
        sizes = np.full((length, 2), self.shape[-3:-1], np.int32)
        owners = []
        start = 0
        while start < wanted:
            group, waiting = self.waiting.popleft()
            some, rest = waiting[: wanted - start], waiting[wanted - start :]
            if len(rest):
                self.waiting.appendleft((group, rest))
            height, width = some.shape[-3:-1]
            frames[start : start + len(some), ..., :height, :width, :] = some
            sizes[start : start + len(some)] = height, width
            owners.append((group, len(some)))
            start += len(some)
        self.count -= wanted
        return frames, sizes, owners


def encode_in_batches(
    named: Iterable[tuple[int, npt.NDArray[np.uint8]]], encode: Callable[..., Any], *, canvas: Canvas | None = None
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Run `encode` over groups of frames, packed into batches of few shapes, and hand the groups on in order.

    Frames of one shape share batches, also where others lie between them; a group waits for those of its shape until
    48 MB of pixels or 128 groups wait.

    Args:
      named: (name, (T, H, W, C) uint8) pairs, or (name, (T', T, H, W, C)) of chunks; T, H, W and C may differ from
        pair to pair.
      encode: (B, H, W, C) to (B, D); with a canvas it is given the sizes int32 (B, 2) of the images, too.
      canvas: frames are padded with zeros, below and to the right, to what it makes of their height and width; None:
        they are left as they are.

    Yields:
      (name, (T, D)), in the order given.
    """
    shapes: dict[tuple[int, ...], _Shape] = {}
    order: deque[_Group] = deque()

    def run(shape: _Shape) -> None:
        frames, sizes, owners = shape.batch()
        rows = np.asarray(encode(frames) if canvas is None else encode(frames, sizes))
        start = 0
        for group, count in owners:
            group.encoded.append(rows[start : start + count].copy())  # a view would keep the whole batch
            group.missing -= count
            start += count

    def complete() -> Iterator[tuple[int, npt.NDArray[Any]]]:
        while order and not order[0].missing:
            group = order.popleft()
            yield group.name, group.encoded[0] if len(group.encoded) == 1 else np.concatenate(group.encoded)

    def first_out() -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Encode what the first group waits for."""
        while order[0].missing:
            run(shapes[order[0].shape])
        yield from complete()

    for name, frames in named:
        *before, height, width, channels = frames.shape[1:]
        size = (height, width) if canvas is None else canvas(height, width)
        key = (*before, *size, channels)
        shape = shapes.setdefault(key, _Shape(key, _BATCH_BYTES if canvas is None else _PADDED_BYTES))
        group = _Group(name, len(frames), key)
        order.append(group)
        shape.add(group, frames)
        while shape.count >= shape.full:
            run(shape)
        yield from complete()
        while len(order) > _GROUPS_HELD or sum(s.count * s.frame_bytes for s in shapes.values()) > _WAITING_BYTES:
            yield from first_out()
    while order:
        yield from first_out()


def _power_of_two_from(count: int) -> int:
    """The smallest power of two that is not below `count`."""
    return 1 << (count - 1).bit_length()
