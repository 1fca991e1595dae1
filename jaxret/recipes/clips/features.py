"""Frame vectors of a frozen backbone, computed once: training draws random clips from them, evaluation even ones.

Each chunk of a video is sampled three times as densely as the encoder samples. Of three equal thirds of a segment
the middle one's centre is the segment's centre, so the frames that evaluation wants are among them, and random
temporal sampling has several to choose from.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxret.data.batches.cache import FeatureCache
from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Chunk, MediaInfo
from jaxret.data.sampling.frames import chunk_spans, even_samples, frames_on_display
from jaxret.data.sampling.reading import open_item, read_sampled_chunks, varied
from jaxret.data.sampling.transforms import Augmentation, centre_geometry
from jaxret.errors import MediaError
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import fingerprint
from jaxret.recipes.clip_settings import FrameBackboneConfig
from jaxret.recipes.opening import augmentation_of
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.encode.cached import fill_cache
from jaxret.training import RunContext

__all__ = ["FrozenFeatures"]

_DENSITY = 3


class FrozenFeatures:
    """The cached frame vectors of the videos of a data set.

    Args:
      dataset: the media; images are left out.
      encoder: its backbone makes the vectors.
      folder: the cache; several runs may share it.
      views: versions of each video; the first is the centre crop, the others are cropped and flipped at random
        (once and for all: a cache cannot hold a new choice every epoch).
      augment: what the other versions vary.
      seed: of those choices.
    """

    def __init__(
        self,
        dataset: MediaDataset,
        encoder: VideoEncoder,
        folder: Path,
        *,
        views: int,
        augment: Augmentation,
        seed: int,
    ):
        self._dataset = dataset
        self._preprocessing = encoder.preprocessing
        self._encoder = encoder
        self._views, self._augment, self._seed = views, augment, seed
        sampling: dict[str, Any] = {
            "preprocessing": encoder.preprocessing.to_json(),
            "density": _DENSITY,
            "views": views,
        }
        if views > 1:
            sampling |= {"augment": dataclasses.asdict(augment), "seed": seed}
        # The recurrent half has no say in frame vectors: only the backbone is in the key.
        self._cache = FeatureCache(folder, encoder=fingerprint(encoder.backbone), sampling=sampling, dtype="float32")

    @classmethod
    def of_run(
        cls, dataset: MediaDataset, encoder: VideoEncoder, config: FrameBackboneConfig, context: RunContext
    ) -> FrozenFeatures:
        """Those of a training's settings, in its cache, ready to be loaded."""
        features = cls(
            dataset,
            encoder,
            config.cache or context.run.cache,
            views=config.cached_views,
            augment=augmentation_of(config, dataset),
            seed=config.seed,
        )
        features.prepare(threads=config.threads, show=context.show_progress)
        return features

    def prepare(self, *, threads: int, show: bool) -> list[MediaError]:
        """Compute what is not cached yet, for every video; returns the reasons for those that do not read."""
        videos = [n for n, item in enumerate(self._dataset.items) if item.kind == "video"]
        self._row = {index: row for row, index in enumerate(videos)}
        self._table = fill_cache(
            self._cache, self._dataset, videos, self._encoder, read=self._read, threads=threads, show=show
        )
        return list(self._table.broken.values())

    def __contains__(self, index: object) -> bool:
        row = self._row.get(index) if isinstance(index, int) else None
        return row is not None and row not in self._table.broken

    def frame_vectors(self, indices: Iterable[int]) -> dict[int, FrameVectors]:
        """Evenly sampled frame vectors, as `jaxret.retrieval.encode.frame_vectors` gives them, of the videos among
        the items `indices` that could be read."""
        return {int(n): self._even(int(n)) for n in indices if int(n) in self}

    def reader(
        self, indices: Sequence[int], classes: Sequence[int]
    ) -> Callable[[int, np.random.Generator], dict[str, Any]]:
        """`read(row, rng)` for `TrainingInput`: a random clip of item `indices[row]`: a random version and chunk,
        and a random moment of each of T equal segments."""
        # Each holds a file open while it is there.
        loaded = functools.lru_cache(_most_open_files() // 2)(lambda row: self._load(indices[row]))
        count = self._preprocessing.frames

        def read(row: int, rng: np.random.Generator) -> dict[str, Any]:
            vectors, times, spans = loaded(row)
            view, chunk = rng.integers(len(vectors)), rng.integers(len(spans))
            start, end = spans[chunk]
            moments = start + (np.arange(count) + rng.random(count)) * ((end - start) / count)
            # A moment before the first cached frame of its chunk shows that frame.
            chosen = frames_on_display(times[chunk], moments)
            return {"inputs": vectors[view, chunk][chosen], "labels": np.int32(classes[row])}

        return read

    def _even(self, index: int) -> FrameVectors:
        vectors, times, spans = self._load(index)
        count = self._preprocessing.frames
        chosen = np.stack([even_samples(times[c], start, end, count) for c, (start, end) in enumerate(spans)])
        rows = np.arange(len(spans))[:, None]
        return FrameVectors(np.asarray(vectors[0])[rows, chosen], times[rows, chosen], spans)

    def _load(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vectors (V, chunks, U, D), times (chunks, U) and spans (chunks, 2) of a video."""
        cached = self._table.load(self._row[index])
        spans = self._spans(self._dataset.info(index))
        vectors = cached.features.reshape(self._views, len(spans), *cached.features.shape[1:])
        return vectors, cached.times[: len(spans)], spans

    def _read(self, index: int) -> Iterator[Chunk]:
        """All chunks of a video, densely sampled, each frame once; then again for each further version."""
        with open_item(self._dataset, index, self._preprocessing) as reader:
            info = reader.info
            spans = self._spans(info)
            count = _DENSITY * self._preprocessing.frames
            unique = [np.unique(even_samples(reader.times, start, end, count)) for start, end in spans]
            most = max(map(len, unique))
            # Chunks of one video without gaps are equally long, so this pads by a frame or two at most.
            samples = [np.pad(frames, (0, most - len(frames)), mode="edge") for frames in unique]
            for view in range(self._views):
                shown, geometry = reader, centre_geometry(info.height, info.width, self._preprocessing)
                if view:
                    rng = np.random.default_rng([self._seed, 4, index, view])
                    shown, geometry = varied(reader, self._preprocessing, rng, self._augment)
                yield from read_sampled_chunks(shown, spans, samples, geometry, self._preprocessing)

    def _spans(self, info: MediaInfo) -> np.ndarray:
        length, overlap = self._preprocessing.chunk_seconds, self._preprocessing.chunk_overlap
        return chunk_spans(info.duration, length, overlap, info.parts)


def _most_open_files() -> int:
    """How many files this process may hold open."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 512
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 16 if limit == resource.RLIM_INFINITY else limit
