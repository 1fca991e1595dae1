"""A round: what is fitted without the held-out classes and sources sees all items."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from jaxret.models.temporal.open_set import confidence_statistics, moments
from jaxret.models.temporal.open_set_hash import sureness
from jaxret.training.open_set.deals import Deal

__all__ = ["Classifier", "Floats", "Items", "Known", "Round", "calibrated"]

_BLOCK_ROWS = 512

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Items:
    """Training items: moments, class numbers and sources."""

    mean: Floats  # (N, D'), of length 1
    seen: Floats  # (N, 3 D)
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]

    @classmethod
    def of(cls, vectors: ArrayLike, labels: NDArray[np.int64], sources: NDArray[np.int64], learned: int) -> Items:
        """Those of sequences (N, T, D), whose vectors begin with so many learned numbers."""
        given, parts = np.asarray(vectors, np.float32), []
        for start in range(0, len(given), _BLOCK_ROWS):
            block = given[start : start + _BLOCK_ROWS]
            filled = np.pad(block, ((0, _BLOCK_ROWS - len(block)), (0, 0), (0, 0)))
            found = _moments(filled, np.ones(filled.shape[:2], bool), learned)
            parts.append([np.asarray(part)[: len(block)] for part in found])
        mean, seen = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
        return cls(mean, seen, labels, sources)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Items:
        """Some of them."""
        return Items(self.mean[chosen], self.seen[chosen], self.labels[chosen], self.sources[chosen])


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A linear classifier of `moments`, their centre and scale folded into it."""

    classes: NDArray[np.int64]
    kernel: Floats  # (3 D, K)
    bias: Floats  # (K,)
    prototypes: Floats  # (K, D)

    @classmethod
    def fit(cls, items: Items, inverse_regularisation: float) -> Classifier:
        """A logistic regression of the items' classes, two at least."""
        # Half way between scales of their own and one for all: with their own, principal components of little variance
        # say too much, with one the dimensions of a network that rarely speak too little.
        centre, deviation = items.seen.mean(axis=0), items.seen.std(axis=0) + 1e-6
        scale = np.sqrt(deviation * np.sqrt((deviation**2).mean()))
        shown = (items.seen - centre) / scale
        model = LogisticRegression(C=inverse_regularisation, max_iter=200)
        if len(shown) < shown.shape[1]:  # the best kernel is a sum of items: of few, it is found among their sums
            basis, coordinates = np.linalg.qr(shown.T)  # (3 D, N), (N, N)
            kernel = basis @ model.fit(coordinates.T, items.labels).coef_.T
        else:
            kernel = model.fit(shown, items.labels).coef_.T
        bias = model.intercept_
        if len(model.classes_) == 2:  # one logit z, whose sigmoid is the softmax of -z/2 and z/2
            kernel, bias = np.hstack([-kernel, kernel]) / 2, np.array([-bias[0], bias[0]]) / 2
        kernel = kernel / scale[:, None]
        sums = np.stack([items.mean[items.labels == label].sum(axis=0) for label in model.classes_])
        prototypes = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return cls(model.classes_, kernel, bias - centre @ kernel, prototypes)

    def read(self, items: Items) -> tuple[Floats, Floats]:
        """Posterior (N, K) and confidence statistics (N, 8)."""
        logits = items.seen @ self.kernel + self.bias
        statistics = _statistics(_padded(logits), _padded(items.mean), jnp.asarray(self.prototypes, jnp.float32))
        return softmax(logits, axis=1), np.asarray(statistics, np.float64)[: len(logits)]


@dataclasses.dataclass(frozen=True)
class Known:
    """A logistic regression of confidence statistics, the standardisation folded into it."""

    kernel: Floats  # (8,)
    bias: float

    @classmethod
    def fit(cls, statistics: Floats, known: NDArray[np.bool_]) -> Known:
        """What tells items of known classes from others."""
        centre, scale = statistics.mean(axis=0), statistics.std(axis=0) + 1e-9
        model = LogisticRegression(class_weight="balanced").fit((statistics - centre) / scale, known)
        kernel = model.coef_[0] / scale
        return cls(kernel, float(model.intercept_[0] - centre @ kernel))

    def __call__(self, statistics: Floats) -> Floats:
        """The probability of a known class (N,)."""
        return expit(statistics @ self.kernel + self.bias)


@dataclasses.dataclass(frozen=True)
class Round:
    """All items as an encoder sees them that was fitted without some.

    Attributes:
      deal: which were held out.
      classifier: of the others.
      mean: (N, D), the mean vectors, shortened or as they are.
      posterior: (N, K) over all training classes, 0 for those that were held out.
      statistics: (N, 8).
    """

    deal: Deal
    classifier: Classifier
    mean: Floats
    posterior: Floats
    statistics: Floats

    @classmethod
    def make(cls, items: Items, deal: Deal, mean: Floats, inverse_regularisation: float) -> Round:
        """Fit a classifier on what is not held out, and show it all items, of classes 0 .. K - 1."""
        classifier = Classifier.fit(items.take(deal.fitted), inverse_regularisation)
        posterior = np.zeros((len(items.labels), items.labels.max() + 1))
        posterior[:, classifier.classes], statistics = classifier.read(items)
        return cls(deal, classifier, mean, posterior, statistics)

    def embedding(self, known: Known, weight: float) -> Floats:
        """(N, D + K + 1): the mean vectors beside the square roots of the (K + 1)-way posterior, with its weight."""
        probability = known(self.statistics)
        joint = np.column_stack([probability[:, None] * self.posterior, 1 - probability])
        return np.hstack([self.mean, np.sqrt(weight * joint)])

    def sure(self, known: Known, doubt: float) -> Floats:
        """How sure each item is of each class: (N, K)."""
        return sureness(self.posterior, known(self.statistics), doubt)


def calibrated(rounds: Sequence[Round]) -> Known:
    """What tells kept from held-out classes in these rounds, by items that were not fitted on."""
    return Known.fit(
        np.concatenate([one.statistics[one.deal.shown] for one in rounds]),
        np.concatenate([one.deal.kept[one.deal.shown] for one in rounds]),
    )


def _padded(rows: Floats) -> jax.Array:
    """Rows (N, C) in float32, filled up with zeros to a multiple of some number: one compiled program serves many N."""
    filled = np.zeros((-(-len(rows) // _BLOCK_ROWS) * _BLOCK_ROWS, rows.shape[1]), np.float32)
    filled[: len(rows)] = rows
    return jnp.asarray(filled)


_statistics: Callable[..., jax.Array] = jax.jit(confidence_statistics)
_moments: Callable[..., tuple[jax.Array, jax.Array]] = jax.jit(moments, static_argnums=2)
