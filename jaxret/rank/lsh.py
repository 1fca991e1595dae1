"""Binary codes of vectors without any training: locality-sensitive hashing by random hyperplanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank.hamming import pack_bits
from jaxret.rank.validation import CodeMatrix, as_float32_matrix, check_count, check_seed

_BLOCK_PROJECTIONS = 1 << 22  # projections held at once: 32 MiB


class RandomHyperplanes:
    """Random-hyperplane hashing (M. S. Charikar, "Similarity estimation techniques from rounding algorithms", 2002).

    Bit i of a code says on which side of a random hyperplane through `center` the vector lies. The normals are
    isotropic (Gaussian), so each bit of two vectors differs with probability angle / pi: their Hamming distance has
    the mean bits * angle / pi and the variance bits * p * (1 - p). Lengths are not seen, only directions from
    `center`; a vector at the center has all bits 1.

    The same arguments give the same normals on every machine with the same NumPy. Projections are computed in float64,
    so that a code does not depend on the other vectors of a call (short of a vector within 1e-13 or so of a plane).

    Attributes:
        dimension: D of the vectors.
        bits: of a code.
        normals: float64 (bits, D), read-only.
        center: float64 (D,), read-only; zeros if none was given.

    >>> planes = RandomHyperplanes(3, 8, seed=0)
    >>> planes.codes(np.eye(3)).shape
    (3, 1)
    """

    def __init__(self, dimension: int, bits: int, seed: int, center: ArrayLike | None = None):
        """Draw the hyperplanes.

        Args:
            dimension: D, at least 1.
            bits: a positive multiple of 8, so that codes fill whole bytes.
            seed: at least 0.
            center: (D,), any float dtype, finite: the point through which all planes go, such as the mean of the
                gallery where vectors (after a ReLU, say) share one orthant; None for the origin.

        Raises:
            TypeError: dimension, bits or seed is no integer, center no floats.
            ValueError: dimension or bits is out of range, the seed is negative, or center has another shape or is not
                finite.
        """
        self.dimension = check_count(dimension, "dimension")
        self.bits = check_code_bits(bits)
        self.normals = np.random.default_rng(check_seed(seed)).standard_normal((self.bits, self.dimension))
        self.center = np.zeros(self.dimension)
        if center is not None:
            point = as_float32_matrix(center, "center", single=True)
            if point.shape != (1, self.dimension):
                raise ValueError(f"center must have the shape ({self.dimension},), got {np.shape(center)}")
            self.center = point[0].astype(np.float64)
        self.normals.flags.writeable = self.center.flags.writeable = False

    def codes(self, vectors: ArrayLike) -> CodeMatrix:
        """Packed codes of vectors.

        Args:
            vectors: (N, D) or (D,), any float dtype, finite.

        Returns:
            uint8 (N, bits / 8), bits ordered as by `pack_bits`.

        Raises:
            TypeError: the vectors are no floats.
            ValueError: their shape does not fit, or a number is not finite in float32.
        """
        matrix = as_float32_matrix(vectors, "vectors", single=True)
        if matrix.shape[1] != self.dimension:
            raise ValueError(f"vectors must have dimension {self.dimension}, got {matrix.shape[1]}")
        packed = np.empty((len(matrix), self.bits // 8), np.uint8)
        step = max(1, _BLOCK_PROJECTIONS // max(self.bits, self.dimension))
        for start in range(0, len(matrix), step):
            packed[start : start + step] = pack_bits(self._projections(matrix[start : start + step]), 0.0)
        return packed

    def _projections(self, block: NDArray[Any]) -> NDArray[np.float64]:
        return (block.astype(np.float64) - self.center) @ self.normals.T  # (N, bits)


def check_code_bits(bits: Any) -> int:
    """Bits of a packed code as a Python integer: a positive multiple of 8.

    Raises:
        TypeError: it is no integer.
        ValueError: it is another number; the message names the nearest that would do.
    """
    count = check_count(bits, "bits")
    if count % 8:
        below, above = count // 8 * 8, count // 8 * 8 + 8
        nearest = f"{below} or {above}" if below else f"{above}"
        raise ValueError(f"bits must be a multiple of 8, so that codes fill whole bytes, got {count}: take {nearest}")
    return count
