"""Fitting an open-set encoder: a classifier of the training classes, and what tells them from other classes.

In each of several rounds some training classes are held out. A classifier of the others is shown items of theirs from
sources that it was not fitted on, and all items of the held-out classes; a logistic regression learns to tell the two
apart by the classifier's confidence. The classifier's regularisation and the weight of the posterior are those with
which kept and held-out classes are found best in these rounds, among those that lose nothing on held-out classes
against the mean vectors alone. Nothing else is looked at: no validation or test item, and no class that is not trained
on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from jaxret.errors import ConfigError
from jaxret.metrics import average_precision, relevance_by_label
from jaxret.models.temporal.open_set import STATISTICS, OpenSetEncoder, confidence_statistics, moments

__all__ = ["OpenSetFit", "OpenSetSettings", "fit_open_set"]

_FOLDS = 3
_BLOCK_ROWS = 512
_CHOICE_ITEMS = 2000  # items that the rounds look at, at most: they only choose two numbers and calibrate a third

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class OpenSetSettings:
    """What `fit_open_set` chooses from, and how.

    Attributes:
      inverse_regularisation: candidates for the classifier's C (`sklearn.linear_model.LogisticRegression`).
      weights: candidates for the weight of the posterior; 0, the mean vectors alone, is always among them.
      rounds: in which classes are held out.
      held_out: share of the classes that each round holds out.
      seed: of the classes and sources that are drawn.

    Raises:
      ConfigError: a setting is out of range.
    """

    inverse_regularisation: Sequence[float] = (0.1, 0.3, 1.0, 3.0)
    weights: Sequence[float] = (1.0, 0.5, 0.25)
    rounds: int = 5
    held_out: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 2:
            raise ConfigError(f"rounds must be at least 2, for each is measured with the others, got {self.rounds}")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out must be a share of the classes above 0 and below 1, got {self.held_out}")


@dataclasses.dataclass(frozen=True)
class OpenSetFit:
    """What was chosen, and what it gave in the rounds.

    Attributes:
      weight, inverse_regularisation: chosen.
      kept_gain, held_out_gain: mean over the rounds of mAP less that of the mean vectors, for queries of kept and of
        held-out classes.
    """

    weight: float
    inverse_regularisation: float
    kept_gain: float
    held_out_gain: float


@dataclasses.dataclass(frozen=True)
class _Items:
    """Training items: moments, class numbers and sources."""

    mean: Floats  # (N, D), of length 1
    seen: Floats  # (N, 3 D)
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> _Items:
        return _Items(self.mean[chosen], self.seen[chosen], self.labels[chosen], self.sources[chosen])


@dataclasses.dataclass(frozen=True)
class _Classifier:
    """A linear classifier of `moments`, the standardisation folded into it."""

    classes: NDArray[np.int64]
    kernel: Floats  # (3 D, K)
    bias: Floats  # (K,)
    prototypes: Floats  # (K, D)

    @classmethod
    def fit(cls, items: _Items, inverse_regularisation: float) -> _Classifier:
        centre, scale = items.seen.mean(axis=0), items.seen.std(axis=0) + 1e-6
        model = LogisticRegression(C=inverse_regularisation, max_iter=200)
        model.fit((items.seen - centre) / scale, items.labels)
        kernel, bias = model.coef_.T, model.intercept_
        if len(model.classes_) == 2:  # one logit z, whose sigmoid is the softmax of -z/2 and z/2
            kernel, bias = np.hstack([-kernel, kernel]) / 2, np.array([-bias[0], bias[0]]) / 2
        kernel = kernel / scale[:, None]
        sums = np.stack([items.mean[items.labels == label].sum(axis=0) for label in model.classes_])
        prototypes = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return cls(model.classes_, kernel, bias - centre @ kernel, prototypes)

    def read(self, items: _Items) -> tuple[Floats, Floats]:
        """Posterior (N, K) and confidence statistics (N, 8)."""
        logits = items.seen @ self.kernel + self.bias
        statistics = _statistics(_padded(logits), _padded(items.mean), jnp.asarray(self.prototypes, jnp.float32))
        return softmax(logits, axis=1), np.asarray(statistics, np.float64)[: len(logits)]


@dataclasses.dataclass(frozen=True)
class _Known:
    """A logistic regression of confidence statistics, the standardisation folded into it."""

    kernel: Floats  # (8,)
    bias: float

    @classmethod
    def fit(cls, statistics: Floats, known: NDArray[np.bool_]) -> _Known:
        centre, scale = statistics.mean(axis=0), statistics.std(axis=0) + 1e-9
        model = LogisticRegression(class_weight="balanced").fit((statistics - centre) / scale, known)
        kernel = model.coef_[0] / scale
        return cls(kernel, float(model.intercept_[0] - centre @ kernel))

    def __call__(self, statistics: Floats) -> Floats:
        return expit(statistics @ self.kernel + self.bias)


@dataclasses.dataclass(frozen=True)
class _Round:
    """A classifier's view of all items when some classes were held out of it.

    Attributes:
      kept: (N,) whether an item's class was fitted on; where it was, posterior and statistics are those of a classifier
        that was fitted without the item's source.
      posterior, statistics: (N, K) and (N, 8).
    """

    kept: NDArray[np.bool_]
    posterior: Floats
    statistics: Floats


def _padded(rows: Floats) -> jax.Array:
    """Rows (N, C) in float32, filled up with zeros to a multiple of some number: one compiled program serves many N."""
    filled = np.zeros((-(-len(rows) // _BLOCK_ROWS) * _BLOCK_ROWS, rows.shape[1]), np.float32)
    filled[: len(rows)] = rows
    return jnp.asarray(filled)


_statistics: Callable[..., jax.Array] = jax.jit(confidence_statistics)
_moments: Callable[..., tuple[jax.Array, jax.Array]] = jax.jit(moments)


def fit_open_set(
    encoder: OpenSetEncoder,
    vectors: ArrayLike,
    labels: Sequence[int] | NDArray[np.int64],
    sources: Sequence[object],
    settings: OpenSetSettings = OpenSetSettings(),
) -> OpenSetFit:
    """Fit an encoder on labelled sequences; its weight is set as well.

    Args:
      encoder: changed in place.
      vectors: (N, T, D) frame vectors.
      labels: (N,) class of each, 0 .. K - 1, each class with an item.
      sources: (N,) what each was cut from: items of one source look alike, and are kept on one side.
      settings: what is chosen from.

    Raises:
      ConfigError: there are fewer than three classes, so that none can be held out, or a class has no item.
    """
    numbers = np.asarray(labels, np.int64)
    found = np.unique(numbers)
    if len(found) != encoder.classes or found[0] != 0 or found[-1] != encoder.classes - 1:
        raise ConfigError(f"each of the {encoder.classes} classes needs an item, got items of {len(found)}")
    if len(found) < 3:
        raise ConfigError(f"holding classes out needs at least 3 training classes, got {len(found)}")
    _, source_numbers = np.unique([str(source) for source in sources], return_inverse=True)
    items = _Items(*_moments_of(np.asarray(vectors, np.float32)), numbers, source_numbers.astype(np.int64))
    rng = np.random.default_rng(settings.seed)
    chosen = rng.permutation(len(numbers))[:_CHOICE_ITEMS]
    fit, known = _choose(items.take(np.sort(chosen)), settings, rng)
    classifier = _Classifier.fit(items, fit.inverse_regularisation)
    encoder.weight = fit.weight
    encoder.assign(
        {
            "kernel": classifier.kernel,
            "bias": classifier.bias,
            "prototypes": classifier.prototypes,
            "known_kernel": known.kernel,
            "known_bias": np.array([known.bias]),
        }
    )
    return fit


def _moments_of(vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """`moments` of sequences (N, T, D), in blocks."""
    parts = []
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        filled = np.pad(block, ((0, _BLOCK_ROWS - len(block)), (0, 0), (0, 0)))
        parts.append([np.asarray(part)[: len(block)] for part in _moments(filled, np.ones(filled.shape[:2], bool))])
    mean, seen = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    return mean, seen


def _choose(items: _Items, settings: OpenSetSettings, rng: np.random.Generator) -> tuple[OpenSetFit, _Known]:
    """The candidates that find kept and held-out classes best, and what tells these apart for them."""
    held_out = _held_out_classes(np.unique(items.labels), settings, rng)
    folds = rng.permutation(items.sources.max() + 1)[items.sources] % _FOLDS
    plain = [_gains(items.mean, items, ~np.isin(items.labels, out)) for out in held_out]
    best: tuple[float, OpenSetFit, _Known] | None = None
    for strength in settings.inverse_regularisation:
        rounds = [_round(items, out, folds, strength) for out in held_out]
        all_of_them = _calibrated(rounds)
        # A round is measured with what the others have calibrated.
        known = [_calibrated([other for other in rounds if other is not one])(one.statistics) for one in rounds]
        for weight in (*settings.weights, 0.0):
            gains = np.array(
                [
                    np.subtract(_gains(_embeddings(items, one, k, weight), items, one.kept), before)
                    for one, k, before in zip(rounds, known, plain, strict=True)
                ]
            ).mean(axis=0)
            score = float(gains.sum()) if gains[1] >= 0 else -np.inf
            if best is None or score > best[0]:
                best = score, OpenSetFit(weight, strength, float(gains[0]), float(gains[1])), all_of_them
    assert best is not None
    return best[1], best[2]


def _held_out_classes(
    classes: NDArray[np.int64], settings: OpenSetSettings, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """The classes that each round holds out, all classes about equally often; two at least are kept."""
    count = min(max(1, round(settings.held_out * len(classes))), len(classes) - 2)
    order = np.concatenate([rng.permutation(classes) for _ in range(settings.rounds)])
    return [np.unique(order[number * count : (number + 1) * count]) for number in range(settings.rounds)]


def _round(items: _Items, held_out: NDArray[np.int64], folds: NDArray[np.int64], strength: float) -> _Round:
    kept = ~np.isin(items.labels, held_out)
    classes = np.unique(items.labels[kept])
    posterior, statistics = np.zeros((len(kept), len(classes))), np.zeros((len(kept), STATISTICS))
    groups = [(kept & (folds != fold), kept & (folds == fold)) for fold in range(_FOLDS)]
    for fitted, shown in [*groups, (kept, ~kept)]:
        if not shown.any():
            continue
        if len(np.unique(items.labels[fitted])) < 2:  # too few sources to leave any out
            fitted = kept
        classifier = _Classifier.fit(items.take(fitted), strength)
        places = np.searchsorted(classes, classifier.classes)
        posterior[np.ix_(shown, places)], statistics[shown] = classifier.read(items.take(shown))
    return _Round(kept, posterior, statistics)


def _calibrated(rounds: Sequence[_Round]) -> _Known:
    return _Known.fit(np.concatenate([one.statistics for one in rounds]), np.concatenate([one.kept for one in rounds]))


def _embeddings(items: _Items, one: _Round, known: Floats, weight: float) -> Floats:
    joint = np.column_stack([known[:, None] * one.posterior, 1 - known])
    return np.hstack([items.mean, np.sqrt(weight * joint)])


def _gains(embeddings: Floats, items: _Items, kept: NDArray[np.bool_]) -> tuple[float, float]:
    """mAP of queries of kept and of held-out classes among all items of other sources."""
    order = np.argsort(-(embeddings @ embeddings.T), axis=1, kind="stable")
    relevance = relevance_by_label(
        order,
        items.labels,
        items.labels,
        query_sources=items.sources,
        gallery_sources=items.sources,
        query_ids=np.arange(len(order)),
    )
    scores = average_precision(relevance)
    counted = relevance.counted
    kept_scores, other_scores = scores.values[counted & kept], scores.values[counted & ~kept]
    return (
        float(kept_scores.mean()) if len(kept_scores) else 0.0,
        float(other_scores.mean()) if len(other_scores) else 0.0,
    )
