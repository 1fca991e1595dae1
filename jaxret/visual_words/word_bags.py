"""Histograms of visual words, of which only what is not zero is kept."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
import scipy  # its sparse matrices, which load slowly, come with the first one that is made
from numpy.typing import ArrayLike, NDArray

from jaxret.visual_words.placed_words import PlacedWords

__all__ = ["WordBags", "bags_of_words", "inverse_document_frequency", "join_bags", "query_bag"]


@dataclasses.dataclass(frozen=True, eq=False)
class WordBags:
    """Bags of N images: how much of each word an image, or a part of it, holds.

    Attributes:
      n_words: W, of the codebook.
      offsets: int64 (N + 1,): bag n is entries offsets[n] to offsets[n + 1].
      words: int32 (M,), ascending within a bag, 0 .. W - 1.
      counts: float64 (M,), above 0: how often the word occurs, or the sum of its weights.

    Raises:
      ValueError: the arrays do not fit each other.

    Example:
      >>> bags = WordBags(4, np.array([0, 2, 2]), np.array([1, 3], np.int32), np.array([2.0, 1.0]))
      >>> bags.dense().tolist()
      [[0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """

    n_words: int
    offsets: NDArray[np.int64]
    words: NDArray[np.int32]
    counts: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.n_words < 1:
            raise ValueError(f"n_words must be at least 1, got {self.n_words!r}")
        shapes = self.offsets.ndim, self.words.shape, self.counts.shape
        if shapes != (1, (len(self.words),), (len(self.words),)) or not len(self.offsets):
            raise ValueError("offsets must be (N + 1,), words and counts (M,)")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.words) or (np.diff(self.offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to the {len(self.words)} entries")
        if not len(self.words):
            return
        if self.words.min() < 0 or self.words.max() >= self.n_words:
            raise ValueError(f"words must lie in 0 .. {self.n_words - 1}, got {self.words.min()} .. {self.words.max()}")
        if not (self.counts.min() > 0 and self.counts.max() < np.inf):
            raise ValueError("counts must be finite and above 0")
        if not self.matrix.has_canonical_format:
            raise ValueError("words must rise within a bag")

    def __len__(self) -> int:
        """N, the number of bags."""
        return len(self.offsets) - 1

    @classmethod
    def of_matrix(cls, matrix: scipy.sparse.csr_array) -> WordBags:
        """The bags that a sparse matrix (N, W) holds; the inverse of `matrix`."""
        return cls(matrix.shape[1], matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)

    @functools.cached_property
    def matrix(self) -> scipy.sparse.csr_array:
        """The histograms as a sparse matrix (N, W) of the same entries."""
        narrow = np.int32 if len(self.words) < 2**31 else np.int64  # SciPy widens the words to the offsets
        return scipy.sparse.csr_array(
            (self.counts, self.words, self.offsets.astype(narrow)), shape=(len(self), self.n_words)
        )

    def weighted(self, idf: ArrayLike | None = None) -> scipy.sparse.csr_array:
        """The histograms (N, W), each entry times the `idf` (W,) of its word where given.

        Raises:
          ValueError: `idf` does not fit.
        """
        if idf is None:
            return self.matrix
        matrix = self.matrix
        weighted = matrix.data * check_idf(idf, self.n_words)[matrix.indices]
        return scipy.sparse.csr_array((weighted, matrix.indices, matrix.indptr), shape=matrix.shape)

    def unit(self, idf: ArrayLike | None = None) -> scipy.sparse.csr_array:
        """`weighted`, each histogram scaled to length 1; empty ones stay empty."""
        matrix = self.weighted(idf)
        lengths = np.repeat(self.lengths(idf), np.diff(matrix.indptr))
        shares = np.divide(matrix.data, lengths, where=lengths > 0, out=np.zeros_like(matrix.data))
        return scipy.sparse.csr_array((shares, matrix.indices, matrix.indptr), shape=matrix.shape)

    def bag(self, n: int) -> WordBags:
        """Bag n alone.

        Raises:
          IndexError: there is none.
        """
        if not 0 <= n < len(self):
            raise IndexError(f"bag {n} of {len(self)}")
        return WordBags.of_matrix(self.matrix[[n]])

    def dense(self) -> NDArray[np.float64]:
        """The histograms (N, W), zeros included."""
        return np.asarray(self.matrix.toarray())

    def lengths(self, idf: ArrayLike | None = None) -> NDArray[np.float64]:
        """float64 (N,): the Euclidean length of each histogram, of its entries times `idf` (W,) where given."""
        return np.sqrt(np.asarray(self.weighted(idf).power(2).sum(axis=1)))


def bags_of_words(images: Iterable[PlacedWords], n_words: int) -> WordBags:
    """A bag of all words of each image.

    Args:
      images: N of them; one without words has an empty bag.
      n_words: W, `len(codebook)`.

    Raises:
      ValueError: a word is W or above.

    Example:
      >>> from jaxret.visual_words import words_of_map
      >>> bags_of_words([words_of_map([[2, 0], [2, 2]], (8, 8))], 3).dense().tolist()
      [[1.0, 0.0, 3.0]]
    """
    return join_bags([_histogram(image.words, image.weights, n_words) for image in images], n_words)


def query_bag(image: PlacedWords, n_words: int, box: ArrayLike | None = None, *, min_words: int = 1) -> WordBags:
    """The bag of a query: the words inside a box, or all of an image (BLCF's local and global search).

    Args:
      image: the query image.
      n_words: W, `len(codebook)`.
      box: (left, top, right, bottom) in pixels; None for the whole image.
      min_words: places or key points that the box must hold, at least 1.

    Returns:
      One bag.

    Raises:
      ValueError: the box is malformed, outside the image, or holds fewer than `min_words`; a word is W or above.

    Example:
      >>> from jaxret.visual_words import words_of_map
      >>> query_bag(words_of_map([[0, 1], [2, 2]], (8, 8)), 3, (0, 4, 8, 8)).dense().tolist()
      [[0.0, 0.0, 2.0]]
    """
    if min_words < 1:
        raise ValueError(f"min_words must be at least 1, got {min_words!r}")
    chosen = np.ones(len(image), bool) if box is None else image.inside(box)
    chosen &= image.weights > 0
    if (held := int(chosen.sum())) < min_words:
        where = "the image" if box is None else f"box {tuple(np.asarray(box, float).tolist())}"
        raise ValueError(
            f"{where} holds {held} words, and a query needs at least {min_words}: mark a larger part, or describe the "
            f"image with more words (a larger image, or a finer map than {image.grid[0]} x {image.grid[1]})"
        )
    return _histogram(image.words[chosen], image.weights[chosen], n_words)


def join_bags(bags: Sequence[WordBags], n_words: int) -> WordBags:
    """Bags one after another, as those of the parts of a gallery.

    Raises:
      ValueError: one of them counts other words.

    Example:
      >>> one = WordBags(4, np.array([0, 1]), np.array([3], np.int32), np.array([2.0]))
      >>> join_bags([one, one], 4).offsets.tolist()
      [0, 1, 2]
    """
    if odd := [bag.n_words for bag in bags if bag.n_words != n_words]:
        raise ValueError(f"bags must be of {n_words} words, got one of {odd[0]}")
    nothing = scipy.sparse.csr_array((0, n_words))
    return WordBags.of_matrix(scipy.sparse.vstack([nothing, *(bag.matrix for bag in bags)], format="csr"))


def inverse_document_frequency(bags: WordBags) -> NDArray[np.float64]:
    """How telling each word is: log(N / number of bags that hold it) (Sivic and Zisserman, ICCV 2003).

    A word in every bag has 0, and so has, by decision, one in no bag: it finds nothing.

    Args:
      bags: of the gallery, at least one.

    Returns:
      float64 (W,), at least 0.

    Raises:
      ValueError: there is no bag.

    Example:
      >>> bags = WordBags(3, np.array([0, 2, 3]), np.array([0, 1, 0], np.int32), np.ones(3))
      >>> inverse_document_frequency(bags).round(3).tolist()
      [0.0, 0.693, 0.0]
    """
    if not len(bags):
        raise ValueError("the inverse document frequency needs at least one bag")
    holders = np.bincount(bags.words, minlength=bags.n_words)
    return np.where(holders > 0, np.log(len(bags) / np.maximum(holders, 1)), 0.0)


def check_idf(idf: ArrayLike, n_words: int) -> NDArray[np.float64]:
    """Weights of words as float64 (W,).

    Raises:
      ValueError: they are of another shape, negative or not finite.
    """
    weights = np.asarray(idf, np.float64)
    if weights.shape != (n_words,):
        raise ValueError(f"idf must have shape ({n_words},), one number a word, got {weights.shape}")
    if not (weights.min() >= 0 and weights.max() < np.inf):
        raise ValueError("idf must be finite and at least 0")
    return weights


def _histogram(words: NDArray[np.int32], weights: NDArray[np.float64], n_words: int) -> WordBags:
    if len(words) and words.max() >= n_words:
        raise ValueError(f"word {words.max()} is not of a codebook of {n_words} words")
    held, place = np.unique(words, return_inverse=True)
    counts = np.bincount(place, weights, minlength=len(held)).astype(np.float64)
    some = counts > 0
    return WordBags(n_words, np.array([0, some.sum()]), held[some], counts[some])
