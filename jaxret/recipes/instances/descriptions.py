"""Descriptions of the images that an encoder is fitted on: made once, and what the fitted encoder makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.dataset import MediaDataset
from jaxret.errors import ConfigError, MediaError
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.systems.base import system_of
from jaxret.retrieval.systems.described import Described
from jaxret.retrieval.systems.describing import DescribingSystem

__all__ = ["Descriptions", "rows_of"]

_KEPT_BYTES = 1 << 30


class Descriptions:
    """What the images of a data set are described by, before anything that is fitted.

    They are kept as long as they fit into 1 GiB; what is not kept is described anew where it is needed again.

    Args:
      encoder: not fitted yet.
      dataset: with the images.
      indices: of the training items.
      threads: files decoded at once.
      on_item: called with each item's index when it is described.
    """

    def __init__(
        self,
        encoder: Any,
        dataset: MediaDataset,
        indices: Sequence[int],
        *,
        threads: int = 2,
        on_item: Callable[[int], None] | None = None,
    ):
        self._system = _system(encoder)
        self._dataset, self._indices = dataset, indices
        self._reading: dict[str, Any] = {"threads": threads, "on_item": on_item}
        self._kept: dict[int, FrameVectors] = {}
        self._lost: set[int] = set()

    @property
    def size(self) -> int:
        """Numbers of a local description."""
        return self._system.described_size

    @property
    def read(self) -> int:
        """How many of the images and videos could be read, once all were described."""
        return len(self._indices) - len(self._lost)

    def __iter__(self) -> Iterator[Described]:
        """Describe the images once, and give each (of a video each sampled frame); those that cannot be read are passed
        over.

        Raises:
          ConfigError: none can be read.
        """
        room, first_error = _KEPT_BYTES, None
        for number, found in self._system.descriptions(self._dataset, self._indices, **self._reading):
            if isinstance(found, MediaError):
                self._lost.add(number)
                first_error = first_error or found
                continue
            room -= found.vectors.nbytes
            if room >= 0:
                self._kept[number] = found
            for row in found.vectors.reshape(-1, found.vectors.shape[-1]):
                yield Described.unpack(row, self.size)
        if first_error is not None and len(self._lost) == len(self._indices):
            raise ConfigError(f"none of the {len(self._indices)} training images can be read; the first: {first_error}")

    def finished(self, encoder: Any) -> dict[int, FrameVectors]:
        """What an index keeps of the images by the fitted encoder, by item; those that cannot be read are left out."""
        system = _system(encoder)
        done = {number: system.finished(self._kept.pop(number)) for number in list(self._kept)}
        rest = [number for number in self._indices if number not in done and number not in self._lost]
        for number, found in system.vectors(self._dataset, rest, **self._reading):
            if not isinstance(found, MediaError):
                done[number] = found
        return {number: done[number] for number in self._indices if number in done}


def rows_of(media: dict[int, FrameVectors]) -> NDArray[Any]:
    """What an index keeps of the images, (N, L)."""
    return np.concatenate([found.vectors.reshape(-1, found.vectors.shape[-1]) for found in media.values()])


def _system(encoder: Any) -> DescribingSystem:
    system = system_of(encoder)
    assert isinstance(system, DescribingSystem)
    return system
