"""Iterative quantisation: a rotation of vectors after which their signs say most about them.

Y. Gong and S. Lazebnik, "Iterative quantization: a Procrustean approach to learning binary codes", CVPR 2011: the
vectors are projected to as many principal components as the code has bits, and rotated so that they lie nearest to the
corners of a cube.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.training.pca import fit_pca, singular_values

__all__ = ["Planes", "fit_itq"]

_ITERATIONS = 50  # the authors'


@dataclasses.dataclass(frozen=True)
class Planes:
    """Hyperplanes, one a bit: bit j of a vector x is 1 where (x - mean) @ normals[:, j] + offsets[j] is at least 0.

    Attributes:
      mean: float64 (D,), of the vectors they were fitted on.
      normals: float64 (D, bits); over the vectors the products have the root mean square 1.
      offsets: float64 (bits,).
    """

    mean: NDArray[np.float64]
    normals: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def __call__(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the bits of vectors (N, D) are the signs of, (N, bits)."""
        products: NDArray[np.float64] = (vectors - self.mean) @ self.normals + self.offsets
        return products

    def constant(self, chosen: slice) -> Planes:
        """The same, but for some bits that are 1 whatever the vector."""
        normals, offsets = self.normals.copy(), self.offsets.copy()
        normals[:, chosen], offsets[chosen] = 0, 1
        return Planes(self.mean, normals, offsets)


def fit_itq(vectors: ArrayLike, bits: int, *, seed: int) -> Planes:
    """Hyperplanes whose bits quantise vectors with least error.

    Where the vectors vary in fewer directions than there are bits, further bits come from further rotations, each from
    a random start of its own.

    Args:
      vectors: (N, D), any float dtype; a few times as many as bits make the rotation mean something.
      bits: at least 1.
      seed: of the rotations that the iterations start from.

    Raises:
      ConfigError: there are fewer than 2 vectors, or all are equal.
    """
    fitted = fit_pca(vectors, variance=1.0)
    components = fitted.components[:, :bits]  # (D, C)
    projected = (np.asarray(vectors, np.float64) - fitted.mean) @ components  # (N, C)
    rng = np.random.default_rng(seed)
    size = components.shape[1]
    rotations = [_rotation(projected, rng) for _ in range(-(-bits // size))]
    rotation = np.hstack(rotations)[:, :bits]  # (C, bits)
    scale = np.sqrt(np.mean((projected @ rotation) ** 2))
    return Planes(fitted.mean, components @ rotation / scale, np.zeros(bits))


def _rotation(projected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(C, C) orthogonal, from a random one: signs and rotation are fitted to each other in turn."""
    size = projected.shape[1]
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    for _ in range(_ITERATIONS):
        signs = np.where(projected @ rotation >= 0, 1.0, -1.0)
        left, _, right = singular_values(projected.T @ signs)
        rotation = left @ right
    return rotation
