"""PCA-whitening of pooled features, fitted on training frames, as R-MAC wants it."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import numpy as np
from numpy.typing import NDArray

from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone
from jaxret.workflow.principal_components import PrincipalComponents, fit_pca

__all__ = ["fit_whitening"]


def fit_whitening(
    backbone: PooledBackbone, batches: Iterable[NDArray[np.uint8]], *, limit: int = 50_000, seed: int = 0
) -> PrincipalComponents:
    """Fit the whitening layer of a pooled backbone on the regional vectors of frames, and put it in.

    Principal components of vectors of length 1 (all squares of all frames alike), each scaled to variance 1
    (Jegou and Chum 2012; Tolias, Sicre and Jegou 2016, arXiv:1511.05879, learn them on another data set than they
    test on).

    Args:
      backbone: with a whitening layer (`whitened_size`), whose numbers are replaced.
      batches: frames uint8 (B, H, W, C) from 0 to 255; sizes may differ from batch to batch, and every size is
        compiled once.
      limit: vectors to fit on, drawn evenly from all of them where there are more: what is held in memory.
      seed: of that draw.

    Returns:
      What was put in; `kept` says the share of the variance.

    Raises:
      ConfigError: the backbone has no whitening layer, limit is below 1, or the frames are too few or too alike for
        the components that it keeps (see `fit_pca`).

    Example:
      >>> from flax import nnx
      >>> from jaxret.models import create_backbone
      >>> net = create_backbone("small-convnet", widths=[8], rngs=nnx.Rngs(0))
      >>> pooled = PooledBackbone(net, "conv_1", whitened_size=4)
      >>> frames = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), np.uint8)
      >>> fit_whitening(pooled, [frames]).components.shape
      (8, 4)
    """
    if backbone.whitening is None:
        raise ConfigError("this pooled backbone has no whitening to fit: make it with whitened_size")
    if limit < 1:
        raise ConfigError(f"limit must be at least 1 vector, got {limit!r}")
    rng = np.random.default_rng(seed)
    # The vectors with the smallest random keys are an even draw, however many there turn out to be.
    held = np.zeros((0, backbone.map_channels), np.float32)
    keys = np.zeros(0)
    for batch in batches:
        vectors = np.asarray(_regional_vectors(backbone, batch)).reshape(-1, backbone.map_channels)
        held, keys = np.concatenate([held, vectors]), np.concatenate([keys, rng.random(len(vectors))])
        if len(held) > limit:
            kept = np.sort(np.argpartition(keys, limit)[:limit])
            held, keys = held[kept], keys[kept]
    if len(held) < 2:
        raise ConfigError(f"a whitening is fitted on many vectors, and the frames gave {len(held)}: give more frames")
    fitted = fit_pca(held, components=backbone.whitening.size, whiten=True)
    backbone.whitening.assign(fitted.mean, fitted.components)
    return fitted


@jax.jit
def _regional_vectors(backbone: PooledBackbone, frames: jax.Array) -> jax.Array:
    return backbone(frames).stages["regional_vectors"]
