"""Frames of training videos to fit a whitening on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced, frames_on_display
from jaxret.data.sampling.reading import open_item, read_images
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing

__all__ = ["training_frames"]


def training_frames(
    dataset: MediaDataset, indices: np.ndarray, preprocessing: Preprocessing, limit: int
) -> Iterator[np.ndarray]:
    """About `limit` frames, evenly from evenly chosen videos, in batches of those of one video.

    A video with a frame that does not decode is passed over: it is left out, and listed, when all are encoded.
    """
    chosen = indices[evenly_spaced(len(indices), limit)]
    each = max(1, limit // len(chosen))
    for index in chosen.tolist():
        try:
            with open_item(dataset, index, preprocessing) as reader:
                info = reader.info
                moments = (np.arange(each) + 0.5) * info.duration / each
                positions = np.unique(frames_on_display(reader.times, moments))
                geometry = centre_geometry(info.height, info.width, preprocessing)
                frames = np.stack(list(read_images(reader, positions, geometry, preprocessing)))
        except MediaError:
            continue
        yield frames
