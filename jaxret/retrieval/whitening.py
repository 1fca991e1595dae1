"""Frozen frame vectors whitened by what they are of themselves: no labels are needed."""

from __future__ import annotations

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.even_draw import EvenDraw
from jaxret.errors import ConfigError, MediaError
from jaxret.models.encoder import VideoEncoder
from jaxret.models.frozen import with_projection
from jaxret.retrieval.encode import frame_rows, frame_vectors
from jaxret.training.pca import fit_pca

__all__ = ["whiten_frames"]

_ITEMS, _VECTORS = 2000, 20_000


def whiten_frames(encoder: VideoEncoder, dataset: MediaDataset, size: int, *, threads: int = 2) -> VideoEncoder:
    """The encoder with its frame vectors whitened: their first principal components, all scaled to variance 1, and the
    result to length 1 (Jegou and Chum 2012).

    Args:
      encoder: with frame vectors of length 1; it is left as it is.
      dataset: whose items the components are fitted on; of many, 2,000 that lie evenly among them.
      size: components, at least 1, at most the numbers of a frame vector and below the frames that are fitted on.
      threads: files decoded at once.

    Raises:
      ConfigError: the size is out of range, the frames are too few or do not vary, or the encoder takes chunks.
    """
    whitened, projected = with_projection(encoder, size)
    count = min(len(dataset), _ITEMS)
    chosen = [int(index) for index in np.linspace(0, len(dataset) - 1, count).round()] if count else []
    draw = EvenDraw(_VECTORS, encoder.frame_embedding_size, 0)
    for index, vectors in frame_vectors(dataset, encoder, indices=chosen, threads=threads):
        if not isinstance(vectors, MediaError):
            draw.add(frame_rows({index: vectors}).vectors)
    frames = draw.drawn()
    if len(frames) <= size:
        raise ConfigError(
            f"whiten={size} needs more than {size} frames to be fitted on, and {len(frames)} were read: keep fewer "
            "components, or add more media first"
        )
    fitted = fit_pca(frames, components=size, whiten=True)
    projected.projection.assign(fitted.mean, fitted.components)
    return whitened
