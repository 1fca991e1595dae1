"""Codebooks of visual words: k-means over local descriptors, and the nearest word of each descriptor."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.errors import IndexFormatError
from jaxret.rank import euclidean_topk
from jaxret.rank.index_files import IndexFormat
from jaxret.rank.validation import (
    FloatMatrix,
    as_array,
    as_float32_matrix,
    check_count,
    check_finite,
    check_float_matrix,
    check_seed,
    to_float32,
)

__all__ = ["Codebook"]

_FORMAT = IndexFormat("jaxret codebook", "a codebook", {"centres": "float32"})
_BLOCK_BYTES = 16 << 20  # of descriptors converted and assigned at once
_SAMPLE_A_WORD = 256  # descriptors a word that k-means sees: more move the centres little
_LEAST_A_WORD = 4
_SAMPLE_BYTES = 1 << 30  # and no more than this, unless that were fewer than the least
_BATCH_A_WORD = 3  # fewer a batch, and a batch misses most words
_LEAST_BATCH = 4096


class Codebook:
    """Visual words (Sivic and Zisserman, ICCV 2003): W centres among local descriptors of D numbers.

    A descriptor's word is the centre nearest to it by Euclidean distance; of centres equally near the first. The
    descriptors may be those of key points (SIFT) or the places of a convolution layer's map (BLCF, Mohedano et al.
    2016, arXiv:1604.04840).

    Args:
      centres: (W, D), any float dtype, finite, W at least 1.
      normalise: scale descriptors to length 1 before they are compared; the centres are taken as they are. A
        descriptor of zeros stays one.

    Raises:
      TypeError, ValueError: the centres are no finite matrix of floats.

    Example:
      >>> codebook = Codebook([[0.0, 0.0], [10.0, 0.0]])
      >>> codebook.assign([[1.0, 2.0], [9.0, 9.0]]).tolist()
      [0, 1]
    """

    def __init__(self, centres: ArrayLike, *, normalise: bool = False):
        self._centres = np.array(as_float32_matrix(centres, "centres"))
        self._centres.flags.writeable = False
        self._normalise = bool(normalise)

    @classmethod
    def fit(
        cls, descriptors: ArrayLike, words: int, *, normalise: bool = False, passes: int = 5, seed: int = 0
    ) -> Codebook:
        """Words by k-means in mini-batches (scikit-learn's MiniBatchKMeans; Sculley 2010); same seed, same words.

        Args:
          descriptors: (N, D), any float dtype, from many images; may be memory-mapped. At most 256 a word and 1 GiB
            in all, drawn at random, are read.
          words: W, in [1, N]; hundreds to 25,000 (BLCF) are usual.
          normalise: as in the constructor.
          passes: the most times that k-means goes over the sample, at least 1; it ends earlier where words stand still.
          seed: of the sample and of k-means.

        Raises:
          TypeError: the dtype is not a float; words, passes or seed is no integer.
          ValueError: fewer descriptors, or fewer different ones, than words; a number that is read is not finite; the
            shape is no matrix; words or passes is below 1 or the seed negative.

        Example:
          >>> codebook = Codebook.fit([[0.0, 0.0], [9.0, 2.0], [0.0, 2.0], [9.0, 0.0]], 2)
          >>> first, second, third, fourth = codebook.assign([[0.0, 0.0], [9.0, 2.0], [0.0, 2.0], [9.0, 0.0]])
          >>> bool(first == third != second == fourth)
          True
        """
        matrix = check_float_matrix(descriptors, "descriptors")
        count = check_count(words, "words")
        if count > len(matrix):
            raise ValueError(f"{count} words need at least as many descriptors, got {len(matrix)}: use more images")
        rounds = check_count(passes, "passes")
        rng = np.random.default_rng(check_seed(seed))
        fitting = max(_LEAST_A_WORD * count, _SAMPLE_BYTES // (4 * matrix.shape[1]))
        chosen = np.sort(rng.choice(len(matrix), min(len(matrix), _SAMPLE_A_WORD * count, fitting), replace=False))
        sample = as_float32_matrix(matrix[chosen], "descriptors")
        if normalise:
            sample = _unit(sample)
        # In another order, for batches are taken from the front and neighbours come from one image.
        sample = sample[rng.permutation(len(sample))]
        start = _different_rows(sample, count)
        if len(start) < count:
            raise ValueError(
                f"{count} words need as many different descriptors, and of the {len(sample)} read {len(start)} differ: "
                f"take fewer words or more images"
            )
        from sklearn.cluster import MiniBatchKMeans  # slow to import; assigning does not need it

        # Starting from descriptors drawn at random: k-means++ takes W passes over the sample.
        means = MiniBatchKMeans(
            count,
            init=start,
            n_init=1,
            batch_size=min(len(sample), max(_LEAST_BATCH, _BATCH_A_WORD * count)),
            max_iter=rounds,
            random_state=int(rng.integers(2**31)),
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Number of distinct clusters")
            return cls(means.fit(sample).cluster_centers_, normalise=normalise)

    def __len__(self) -> int:
        """W, the number of words."""
        return len(self._centres)

    @property
    def centres(self) -> FloatMatrix:
        """float32 (W, D), read-only."""
        return self._centres

    @property
    def dimension(self) -> int:
        """D, the numbers of a descriptor."""
        return self._centres.shape[1]

    @property
    def normalise(self) -> bool:
        """Whether descriptors are scaled to length 1 first."""
        return self._normalise

    def assign(self, descriptors: ArrayLike, *, threads: int | None = None) -> NDArray[np.int32]:
        """The word of each descriptor, a block of them at a time.

        Args:
          descriptors: (..., D), any float dtype: a list of descriptors (N, D), or the feature map of an image
            (H', W', D), which becomes its assignment map.
          threads: None uses what affinity and container limits leave.

        Returns:
          int32 (...), 0 .. W - 1. No descriptors have no words: (0, D) gives (0,).

        Raises:
          TypeError: the dtype is not a float.
          ValueError: D is another, or a number is not finite in float32.
        """
        array = as_array(descriptors, "descriptors")
        if array.ndim < 1 or array.shape[-1] != self.dimension:
            raise ValueError(f"descriptors must be (..., {self.dimension}), got {array.shape}")
        words = np.empty(array.shape[:-1], np.int32)
        if not words.size:
            return words
        rows, flat = check_float_matrix(array.reshape(-1, self.dimension), "descriptors"), words.reshape(-1)
        step = max(1, _BLOCK_BYTES // (4 * self.dimension))
        for start in range(0, len(rows), step):
            block = to_float32(rows[start : start + step])
            check_finite(block, "descriptors", start)
            if self._normalise:
                block = _unit(block)
            # Measured against a matrix product with argmin: half its time, and exact where centres are close.
            flat[start : start + step] = euclidean_topk(block, self._centres, 1, threads=threads).ids[:, 0]
        return words

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the codebook into `folder`, which must not exist: manifest.json and centres.npy, with a checksum.

        Raises:
          FileExistsError: `folder` exists.
        """
        _FORMAT.write(Path(folder), {"centres": self._centres}, {"normalise": self._normalise})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Codebook:
        """Reads what `save` wrote.

        Raises:
          IndexFormatError: it is no such folder, or a file is missing, truncated, edited or foreign.
        """
        arrays, manifest = _FORMAT.read(Path(folder), verify=True)
        normalise: Any = manifest.get("normalise")
        if not isinstance(normalise, bool):
            raise IndexFormatError(f"{Path(folder) / 'manifest.json'}: normalise must be true or false")
        try:
            return cls(arrays["centres"], normalise=normalise)
        except ValueError as error:
            raise IndexFormatError(f"{Path(folder) / 'centres.npy'}: {error}") from error


def _unit(rows: FloatMatrix) -> FloatMatrix:
    """Rows of length 1; zeros stay. In double inside, so that no finite row overflows."""
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    return (rows / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(np.float32)


def _different_rows(rows: FloatMatrix, count: int) -> FloatMatrix:
    """The first `count` rows that differ from each other, or all there are."""
    some = len(rows)
    for some in (2 * count, len(rows)):  # most often few rows are equal, and sorting all of them is slow
        _, first = np.unique(rows[:some], axis=0, return_index=True)
        if len(first) >= count:
            break
    return rows[np.sort(first)[:count]]
