"""Frame vectors of films and images at a steady rate, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxret.data.batches.cache import FeatureCache
from jaxret.data.dataset import MediaDataset
from jaxret.errors import MediaError
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import fingerprint
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.encode.cached import fill_cache

__all__ = ["FilmFeatures"]


class FilmFeatures:
    """The cached frame vectors of all items of a data set, for an encoder of shots.

    Args:
      dataset: the media.
      encoder: its backbone makes the vectors, its preprocessing tells how often.
      folder: the cache; several runs may share it.
    """

    def __init__(self, dataset: MediaDataset, encoder: VideoEncoder, folder: Path):
        shots = encoder.preprocessing.shots
        assert shots is not None
        self._dataset, self._encoder = dataset, encoder
        # Cuts are found in the vectors, so the threshold is no part of the key.
        sampling = {
            "preprocessing": {name: getattr(encoder.preprocessing, name) for name in ("height", "width", "channels")},
            "modalities": list(encoder.preprocessing.modalities),
            "rate": shots.rate,
            "picture_side": shots.image_side,
        }
        self._cache = FeatureCache(folder, encoder=fingerprint(encoder.backbone), sampling=sampling, dtype="float32")

    def prepare(self, *, threads: int, show: bool) -> list[MediaError]:
        """Compute what is not cached yet; returns the reasons for the items that do not read."""
        indices = range(len(self._dataset))
        self._table = fill_cache(self._cache, self._dataset, indices, self._encoder, threads=threads, show=show)
        return list(self._table.broken.values())

    def frame_vectors(self, indices: Iterable[int]) -> dict[int, FrameVectors]:
        """The vectors of the items that could be read, as `jaxret.retrieval.encode.frame_vectors` gives them."""
        return {int(n): self._load(int(n)) for n in indices if int(n) not in self._table.broken}

    def _load(self, index: int) -> FrameVectors:
        cached = self._table.load(index)
        end = self._dataset.info(index).duration if self._dataset.items[index].kind == "video" else 0.0
        return FrameVectors(np.asarray(cached.features), cached.times, np.array([(0.0, end)]))
