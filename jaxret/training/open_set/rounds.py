"""A round: some training classes are held out, and a classifier of the others shows how sure it is of all items.

Items of the other classes are shown to a classifier that was fitted without their source, so that a round sees every
item as it will see media that it was not fitted on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from jaxret.models.temporal.open_set import STATISTICS, confidence_statistics, moments

__all__ = ["Classifier", "Floats", "Items", "Known", "Round", "calibrated", "deal_folds", "make_round", "moments_of"]

_FOLDS = 3
_BLOCK_ROWS = 512

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Items:
    """Training items: moments, class numbers and sources."""

    mean: Floats  # (N, D), of length 1
    seen: Floats  # (N, 3 D)
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Items:
        """Some of them."""
        return Items(self.mean[chosen], self.seen[chosen], self.labels[chosen], self.sources[chosen])


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A linear classifier of `moments`, the standardisation folded into it."""

    classes: NDArray[np.int64]
    kernel: Floats  # (3 D, K)
    bias: Floats  # (K,)
    prototypes: Floats  # (K, D)

    @classmethod
    def fit(cls, items: Items, inverse_regularisation: float) -> Classifier:
        """A logistic regression of the items' classes, two at least."""
        centre, scale = items.seen.mean(axis=0), items.seen.std(axis=0) + 1e-6
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
    """A classifier's view of all items when some classes were held out of it.

    Attributes:
      kept: (N,) whether an item's class was fitted on; where it was, posterior and statistics are those of a classifier
        that was fitted without the item's source.
      posterior: (N, K) over all training classes, 0 for those that were held out.
      statistics: (N, 8).
    """

    kept: NDArray[np.bool_]
    posterior: Floats
    statistics: Floats

    def embeddings(self, items: Items, known: Known, weight: float) -> Floats:
        """What an open-set encoder of that classifier makes of the items: (N, D + K + 1)."""
        probability = known(self.statistics)
        joint = np.column_stack([probability[:, None] * self.posterior, 1 - probability])
        return np.hstack([items.mean, np.sqrt(weight * joint)])


def make_round(
    items: Items, held_out: NDArray[np.int64], folds: NDArray[np.int64], inverse_regularisation: float
) -> Round:
    """Fit and show.

    Args:
      items: of classes 0 .. K - 1.
      held_out: classes.
      folds: (N,) 0, 1 or 2, the same for all items of a source; see `deal_folds`.
      inverse_regularisation: of the classifier.
    """
    kept = ~np.isin(items.labels, held_out)
    posterior, statistics = np.zeros((len(kept), items.labels.max() + 1)), np.zeros((len(kept), STATISTICS))
    groups = [(kept & (folds != fold), kept & (folds == fold)) for fold in range(_FOLDS)]
    for fitted, shown in [*groups, (kept, ~kept)]:
        if not shown.any():
            continue
        if len(np.unique(items.labels[fitted])) < 2:  # too few sources to leave any out
            fitted = kept
        classifier = Classifier.fit(items.take(fitted), inverse_regularisation)
        posterior[np.ix_(shown, classifier.classes)], statistics[shown] = classifier.read(items.take(shown))
    return Round(kept, posterior, statistics)


def deal_folds(items: Items, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fold for each item, the same for all of a source."""
    dealt: NDArray[np.int64] = rng.permutation(items.sources.max() + 1)[items.sources] % _FOLDS
    return dealt


def calibrated(rounds: Sequence[Round]) -> Known:
    """What tells kept from held-out classes in these rounds."""
    return Known.fit(np.concatenate([one.statistics for one in rounds]), np.concatenate([one.kept for one in rounds]))


def moments_of(vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """`moments` of sequences (N, T, D), in blocks."""
    parts = []
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        filled = np.pad(block, ((0, _BLOCK_ROWS - len(block)), (0, 0), (0, 0)))
        parts.append([np.asarray(part)[: len(block)] for part in _moments(filled, np.ones(filled.shape[:2], bool))])
    mean, seen = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    return mean, seen


def _padded(rows: Floats) -> jax.Array:
    """Rows (N, C) in float32, filled up with zeros to a multiple of some number: one compiled program serves many N."""
    filled = np.zeros((-(-len(rows) // _BLOCK_ROWS) * _BLOCK_ROWS, rows.shape[1]), np.float32)
    filled[: len(rows)] = rows
    return jnp.asarray(filled)


_statistics: Callable[..., jax.Array] = jax.jit(confidence_statistics)
_moments: Callable[..., tuple[jax.Array, jax.Array]] = jax.jit(moments)
