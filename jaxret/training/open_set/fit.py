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
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.errors import ConfigError
from jaxret.metrics import average_precision, relevance_by_label
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.training.open_set.rounds import (
    Classifier,
    Floats,
    Items,
    Known,
    calibrated,
    deal_folds,
    make_round,
    moments_of,
)

__all__ = ["OpenSetFit", "OpenSetSettings", "fit_open_set"]

_CHOICE_ITEMS = 2000  # items that the rounds look at, at most: they only choose two numbers and calibrate a third


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
      embeddings: (R N, D + K + 1), the N items that the R rounds looked at as each of them embeds them: some as items
        of known classes, fitted without their sources, the others as items of classes that are not known. What is
        fitted on embeddings, such as codes, is fitted on these.
    """

    weight: float
    inverse_regularisation: float
    kept_gain: float
    held_out_gain: float
    embeddings: Floats = dataclasses.field(repr=False, compare=False)


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
    items = Items(*moments_of(np.asarray(vectors, np.float32)), numbers, source_numbers.astype(np.int64))
    rng = np.random.default_rng(settings.seed)
    fit, known = _choose(items.take(_some_of_each(numbers, rng)), settings, rng)
    classifier = Classifier.fit(items, fit.inverse_regularisation)
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


def _some_of_each(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Item numbers, ascending: all, or `_CHOICE_ITEMS` dealt to the classes in turn, so that none is missing."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.searchsorted(labels[order], labels[order])
    place_in_class = np.arange(len(order)) - starts
    most = max(_CHOICE_ITEMS, labels.max() + 1)
    return np.sort(order[np.argsort(place_in_class, kind="stable")[:most]])


def _choose(items: Items, settings: OpenSetSettings, rng: np.random.Generator) -> tuple[OpenSetFit, Known]:
    """The candidates that find kept and held-out classes best, and what tells these apart for them."""
    held_out = _held_out_classes(np.unique(items.labels), settings, rng)
    folds = deal_folds(items, rng)
    plain = [_gains(items.mean, items, ~np.isin(items.labels, out)) for out in held_out]
    best: tuple[float, OpenSetFit, Known] | None = None
    for strength in settings.inverse_regularisation:
        rounds = [make_round(items, out, folds, strength) for out in held_out]
        # A round is measured with what the others have calibrated.
        known = [calibrated([other for other in rounds if other is not one]) for one in rounds]
        for weight in (*settings.weights, 0.0):
            embeddings = [one.embeddings(items, k, weight) for one, k in zip(rounds, known, strict=True)]
            gains = np.array(
                [
                    np.subtract(_gains(embedded, items, one.kept), before)
                    for embedded, one, before in zip(embeddings, rounds, plain, strict=True)
                ]
            ).mean(axis=0)
            score = float(gains.sum()) if gains[1] >= 0 else -np.inf
            if best is None or score > best[0]:
                fit = OpenSetFit(weight, strength, float(gains[0]), float(gains[1]), np.concatenate(embeddings))
                best = score, fit, calibrated(rounds)
    assert best is not None
    return best[1], best[2]


def _held_out_classes(
    classes: NDArray[np.int64], settings: OpenSetSettings, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """The classes that each round holds out, all classes about equally often; two at least are kept."""
    count = min(max(1, round(settings.held_out * len(classes))), len(classes) - 2)
    order = np.concatenate([rng.permutation(classes) for _ in range(settings.rounds)])
    return [np.unique(order[number * count : (number + 1) * count]) for number in range(settings.rounds)]


def _gains(embeddings: Floats, items: Items, kept: NDArray[np.bool_]) -> tuple[float, float]:
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
