"""Principal components of embeddings, fitted once, for a projection that the encoder then carries."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.errors import ConfigError
from jaxret.rank.validation import as_float32_matrix

__all__ = ["PrincipalComponents", "fit_pca"]

_NOTHING = 1e-10  # share of the largest variance below which a component is rounding error


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
    """The principal components of vectors, by scikit-learn.

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
        where a component that is kept has no variance. The message says what to change.

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
            f"components must be 1 .. {min(size, dimension)} for {size} vectors of {dimension} numbers, "
            f"got {components}: keep fewer, or fit on more vectors"
        )
    if not np.ptp(matrix, axis=0).any():
        raise ConfigError(f"all {size} vectors are equal, so nothing varies: fit on other media, or do without PCA")
    from sklearn.decomposition import PCA  # slow to import, and few runs need it

    # scikit-learn's fast solver subtracts the mean from the products, which cancels where vectors lie far out.
    mean = matrix.mean(axis=0)
    fitted = PCA().fit(matrix - mean)
    variances = fitted.explained_variance_
    varying = int((variances > _NOTHING * variances[0]).sum())
    if variance is not None:
        shares = np.cumsum(fitted.explained_variance_ratio_)
        components = min(int(np.searchsorted(shares, variance)) + 1, varying)
    assert components is not None
    if whiten and components > varying:
        raise ConfigError(
            f"whitening divides by the standard deviation of each component, and of the {components} asked for only "
            f"{varying} have any: keep at most {varying} components, fit on more vectors, or do not whiten"
        )
    directions = fitted.components_[:components].T
    if whiten:
        directions = directions / np.sqrt(variances[:components])
    kept = float(fitted.explained_variance_ratio_[:components].sum())
    return PrincipalComponents(mean, directions, min(kept, 1.0))
