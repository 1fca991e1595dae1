"""Principal components, and a whitening fitted on pooled vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.data.sampling.even_draw import EvenDraw
from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone
from jaxret.rank.validation import as_float32_matrix

__all__ = ["PrincipalComponents", "fit_pca", "fit_whitening", "singular_values"]

_NOTHING = 1e-10  # share of the largest variance below which a component is rounding error
_TALL = 4  # times as many vectors as dimensions, from which their covariance is the fast way, and good to 1e-15 of it


@dataclasses.dataclass(frozen=True)
class PrincipalComponents:
    """What `LinearProjection.assign` takes: (x - mean) @ components.

    Attributes:
      mean: float64 (D,), of the vectors.
      components: float64 (D, E), a component a column, largest variance first; of length 1, or with whitening divided
        by the standard deviation along it.
      kept: share of the variance along these components, above 0 and up to 1.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    kept: float


def fit_pca(
    vectors: ArrayLike, *, variance: float | None = None, components: int | None = None, whiten: bool = False
) -> PrincipalComponents:
    """The principal components of vectors; each has its largest number positive.

    Args:
      vectors: (N, D), any float dtype, N at least 2; a few times D vectors make the components mean something.
      variance: keep the fewest components that have at least this share of the variance, above 0 and up to 1; at 1
        all that vary.
      components: keep this many, 1 .. min(N, D). Give either this or `variance`.
      whiten: scale every component to variance 1, so that all count alike in a distance (Jegou and Chum 2012,
        "Negative evidences and co-occurences in image retrieval: the benefit of PCA and whitening").

    Raises:
      TypeError: the vectors are no floats.
      ValueError: they are not finite or no matrix.
      ConfigError: too few vectors, nothing varies, or `variance` or `components` is out of range; with whitening also
        where a component that is kept has no variance. The message tells what to change.

    Example:
      >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]])
      >>> fitted = fit_pca(line, variance=0.9)
      >>> fitted.components.round(3).tolist(), fitted.kept
      ([[0.6], [0.8]], 1.0)
    """
    matrix = as_float32_matrix(vectors, "vectors").astype(np.float64)
    size, dimension = matrix.shape
    if (variance is None) == (components is None):
        raise ConfigError(f"give either variance or components, got variance={variance}, components={components}")
    if variance is not None and not 0 < variance <= 1:
        raise ConfigError(f"variance must be a share above 0 and up to 1, such as 0.9, got {variance}")
    if size < 2:
        raise ConfigError(f"principal components need at least 2 vectors, got {size}: fit them on more media")
    if components is not None and not 1 <= components <= min(size, dimension):
        raise ConfigError(
            f"components must be 1 .. {min(size, dimension)} for {size} vectors of {dimension} dimensions, "
            f"got {components}: keep fewer, or fit on more vectors"
        )
    if not np.ptp(matrix, axis=0).any():
        raise ConfigError(f"all {size} vectors are equal, so nothing varies: fit on other media, or do without PCA")
    # Before the products, from which it would cancel where vectors lie far out.
    mean = matrix.mean(axis=0)
    axes, variances = _axes(matrix - mean)
    shares = variances / variances.sum()
    varying = int((variances > _NOTHING * variances[0]).sum())
    if variance is not None:
        components = min(int(np.searchsorted(np.cumsum(shares), variance)) + 1, varying)
    assert components is not None
    if whiten and components > varying:
        raise ConfigError(
            f"whitening divides by the standard deviation of each component, and of the {components} wanted only "
            f"{varying} have any: keep at most {varying} components, fit on more vectors, or do not whiten"
        )
    directions = axes[:components].T
    if whiten:
        directions = directions / np.sqrt(variances[:components])
    kept = float(shares[:components].sum())
    return PrincipalComponents(mean, directions, min(kept, 1.0))


def _axes(centred: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The axes along which centred vectors (N, D) vary most, (C, D), and the variances along them."""
    if len(centred) >= _TALL * centred.shape[1]:
        rising, columns = np.linalg.eigh(centred.T @ centred)
        squares, axes = np.maximum(rising[::-1], 0), columns.T[::-1]
    else:
        _, deviations, axes = singular_values(centred)
        squares = deviations**2
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * np.sign(largest), squares / (len(centred) - 1)


def singular_values(
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The thin singular value decomposition, as `numpy.linalg.svd` gives it, also where that does not converge.

    LAPACK's divide and conquer (gesdd) gives up on some matrices that its older QR iteration (gesvd) decomposes.

    Args:
      matrix: (M, N), finite.
    """
    from scipy.linalg import svd

    try:
        left, values, right = svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        left, values, right = svd(matrix, full_matrices=False, lapack_driver="gesvd")
    return left, values, right


def fit_whitening(
    backbone: PooledBackbone, batches: Iterable[NDArray[np.uint8]], *, limit: int = 50_000, seed: int = 0
) -> PrincipalComponents:
    """Fit the whitening layer of a pooled backbone on the regional vectors of frames, and put it in.

    Principal components of vectors of length 1 (all squares of all frames alike), each scaled to variance 1
    (Jegou and Chum 2012; Tolias, Sicre and Jegou 2016, arXiv:1511.05879, learn them on another data set than they
    test on).

    Args:
      backbone: with a whitening layer (`whitened_size`), whose arrays are replaced.
      batches: frames uint8 (B, H, W, C) from 0 to 255; sizes may differ from batch to batch, and every size is
        compiled once.
      limit: vectors to fit on, drawn evenly from all of them where there are more: what is held in memory.
      seed: of that draw.

    Returns:
      What was put in; `kept` is the share of the variance.

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
    draw = EvenDraw(limit, backbone.map_channels, seed)
    for batch in batches:
        draw.add(np.asarray(_regional_vectors(backbone, batch)).reshape(-1, backbone.map_channels))
    held = draw.drawn()
    if len(held) < 2:
        raise ConfigError(f"a whitening is fitted on many vectors, and the frames gave {len(held)}: give more frames")
    fitted = fit_pca(held, components=backbone.whitening.size, whiten=True)
    backbone.whitening.assign(fitted.mean, fitted.components)
    return fitted


@jax.jit
def _regional_vectors(backbone: PooledBackbone, frames: jax.Array) -> jax.Array:
    return backbone(frames).stages["regional_vectors"]
