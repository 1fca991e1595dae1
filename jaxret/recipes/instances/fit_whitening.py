"""The whitening of regions, from training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.even_draw import EvenDraw
from jaxret.errors import ConfigError
from jaxret.models.projection import LinearProjection
from jaxret.recipes.instances.descriptions import Descriptions
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.systems.described import Described
from jaxret.training.pca import fit_pca

__all__ = ["fit_region_whitening"]

_DRAWN = 50_000


def fit_region_whitening(
    encoder: Any,
    whitening: LinearProjection,
    dataset: MediaDataset,
    indices: Sequence[int],
    *,
    regions_of: Callable[[Described], NDArray[np.float32]],
    threads: int = 2,
    seed: int = 0,
    on_item: Callable[[int], None] | None = None,
) -> dict[int, FrameVectors]:
    """Fit the principal components of regions, each scaled to variance 1 (Jegou and Chum 2012).

    Args:
      encoder: of regions; an image that cannot be read is passed over.
      whitening: of the encoder, whose arrays are replaced.
      regions_of: the regions (P, C) that are whitened of a described image.
      dataset: with the images.
      indices: of the training items.
      threads: files decoded at once.
      seed: of the draw of 50,000 regions.
      on_item: called with each item's index when it is described.

    Returns:
      what an index keeps of the training items, see `jaxret.retrieval.Retriever.add`.

    Raises:
      ConfigError: the images cannot be read, or their regions are too few or too alike.
    """
    described = Descriptions(encoder, dataset, indices, threads=threads, on_item=on_item)
    draw = EvenDraw(_DRAWN, described.size, seed)
    for image in described:
        draw.add(regions_of(image))
    held = draw.drawn()
    try:
        fitted = fit_pca(held, components=whitening.size, whiten=True)
    except ConfigError as error:
        raise ConfigError(
            f"whitened_size={whitening.size} does not fit {len(held)} regions of {described.read} images (0 does not "
            f"whiten): {error}"
        ) from error
    whitening.assign(fitted.mean, fitted.components)
    return described.finished(encoder)
