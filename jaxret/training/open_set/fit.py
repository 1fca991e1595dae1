"""Fitting an open-set encoder: a classifier of the training classes, and what tells them from other classes.

In each of several rounds some training classes are held out, and some sources of the others. What is left is fitted
on, and everything is indexed; what was held out is searched for in it. A logistic regression learns to tell items of
kept and of held-out classes apart by the classifier's confidence. All settings are those with which both are found best
in these rounds, among those that lose nothing on held-out classes against the mean vectors alone: first how much the
mean vectors are shortened along what varies within classes, then the classifier's regularisation and the weight of its
posterior, and last, for codes, that weight again, by codes. Nothing else is looked at: no validation or test item, and
no class that is not trained on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.errors import ConfigError
from jaxret.metrics import average_precision, relevance_by_label
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.training.itq import Planes, fit_itq
from jaxret.training.open_set.nuisances import Nuisances
from jaxret.training.open_set.rounds import (
    Classifier,
    Deal,
    Floats,
    Items,
    Known,
    Round,
    calibrated,
    deal_rounds,
    moments_of,
)

__all__ = ["OpenSetFit", "OpenSetSettings", "fit_open_set"]

_CHOICE_ITEMS = 2000  # items that the rounds look at, at most: they choose a few numbers and calibrate one
_CHOICE_BITS = 64  # of the codes by which a weight is chosen, at most: longer ones take minutes to fit
_CHOICE_ROWS = 1000  # that those codes are fitted on, at most

Choice = TypeVar("Choice", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class OpenSetSettings:
    """What `fit_open_set` chooses from, and how.

    Attributes:
      strengths: candidates for how much mean vectors are shortened along what varies within classes, at least 0; to
        leave them as they are is always among them.
      inverse_regularisation: candidates for the classifier's C (`sklearn.linear_model.LogisticRegression`).
      weights: candidates for the weight of the posterior; 0, the mean vectors alone, is always among them.
      rounds: in which classes are held out.
      held_out: share of the classes that each round holds out.
      seed: of the classes and sources that are drawn.

    Raises:
      ConfigError: a setting is out of range.
    """

    strengths: Sequence[float] = (0.0, 0.1, 0.3, 1.0, 3.0)
    inverse_regularisation: Sequence[float] = (0.1, 1.0, 10.0)
    weights: Sequence[float] = (4.0, 2.0, 1.0, 0.5, 0.25)
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
      strength, inverse_regularisation, weight: chosen; the strength is None where mean vectors stay as they are.
      kept_gain, held_out_gain: mean over the rounds of mAP less that of the mean vectors, for queries of kept and of
        held-out classes; of codes, less that of codes of the mean vectors (ITQ).
      planes: the hyperplanes of the codes; None where there are no codes.
    """

    strength: float | None
    inverse_regularisation: float
    weight: float
    kept_gain: float
    held_out_gain: float
    planes: Planes | None = dataclasses.field(default=None, repr=False, compare=False)


def fit_open_set(
    encoder: OpenSetEncoder,
    vectors: ArrayLike,
    labels: Sequence[int] | NDArray[np.int64],
    sources: Sequence[object],
    settings: OpenSetSettings = OpenSetSettings(),
    *,
    bits: int = 0,
) -> OpenSetFit:
    """Fit an encoder on labelled sequences; its weight is set as well.

    Args:
      encoder: changed in place.
      vectors: (N, T, D) frame vectors.
      labels: (N,) class of each, 0 .. K - 1, each class with an item.
      sources: (N,) what each was cut from: items of one source look alike, and are kept on one side.
      settings: what is chosen from.
      bits: length of the codes that are made of the embeddings, and whose weight is chosen; 0: none.

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
    tried = items.take(_some_of_each(numbers, rng))
    deals = deal_rounds(tried, settings.rounds, settings.held_out, rng)
    trials = _Trials(tried, deals, encoder.nuisances, settings.seed)
    # Encoders that were made without nuisances keep their mean vectors.
    strength = trials.best_strength(settings.strengths) if encoder.nuisances else None
    shortened = trials.shortened(strength)
    fit, rounds = trials.best_posterior(shortened, strength, settings)
    if bits:
        fit = trials.best_codes(shortened, rounds, fit, settings.weights, min(bits, _CHOICE_BITS))
        sample = _sample(shortened, rounds, calibrated(rounds), fit.weight)
        fit = dataclasses.replace(fit, planes=fit_itq(sample, bits, seed=settings.seed))
    nuisances = _nuisances(items, strength, encoder.nuisances)
    _assign(encoder, Classifier.fit(items, fit.inverse_regularisation), calibrated(rounds), nuisances)
    encoder.weight = fit.weight
    return fit


def _assign(encoder: OpenSetEncoder, classifier: Classifier, known: Known, nuisances: Nuisances) -> None:
    """Give the encoder what was fitted."""
    arrays: dict[str, Floats] = {
        "kernel": classifier.kernel,
        "bias": classifier.bias,
        "prototypes": classifier.prototypes,
        "known_kernel": known.kernel,
        "known_bias": np.array([known.bias]),
    }
    if encoder.nuisances:
        whole = nuisances.padded(encoder.nuisances)
        arrays |= {"centre": whole.centre, "directions": whole.directions, "shares": whole.shares}
    encoder.assign(arrays)


def _nuisances(items: Items, strength: float | None, count: int) -> Nuisances:
    """So many of the items', shortened; none with the strength None."""
    if strength is None:
        return Nuisances.none(items.mean.shape[1])
    return Nuisances.fit(items.mean, items.labels, count).shortened(strength)


def _some_of_each(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Item numbers, ascending: all, or `_CHOICE_ITEMS` dealt to the classes in turn, so that none is missing."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.searchsorted(labels[order], labels[order])
    place_in_class = np.arange(len(order)) - starts
    most = max(_CHOICE_ITEMS, labels.max() + 1)
    return np.sort(order[np.argsort(place_in_class, kind="stable")[:most]])


def _sample(means: Sequence[Floats], rounds: Sequence[Round], known: Known, weight: float) -> Floats:
    """What codes are fitted on: items as each round embeds them, among them some of classes that it does not know."""
    return np.concatenate(
        [np.hstack([mean, np.sqrt(weight) * one.joint(known)]) for mean, one in zip(means, rounds, strict=True)]
    )


@dataclasses.dataclass(frozen=True)
class _Trials:
    """The items that rounds look at, and their deals; settings are tried on them.

    Attributes:
      items: all, or some of each class.
      deals: one a round.
      nuisances: the most directions that are shortened.
      seed: of codes.
    """

    items: Items
    deals: list[Deal]
    nuisances: int
    seed: int

    def scores(self, rows: Sequence[Floats]) -> Floats:
        """mAP of kept and of held-out classes by what each round makes of the items, (N, E): (rounds, 2)."""
        return np.array([_scores(one, self.items, deal) for one, deal in zip(rows, self.deals, strict=True)])

    def shortened(self, strength: float | None) -> list[Floats]:
        """The mean vectors as each round shortens them."""
        fitted = [_nuisances(self.items.take(deal.fitted), strength, self.nuisances) for deal in self.deals]
        return [one(self.items.mean) for one in fitted]

    def best_strength(self, strengths: Sequence[float]) -> float | None:
        """By the mean vectors alone."""
        candidates = (None, *strengths)
        return _best({one: self.scores(self.shortened(one)) for one in candidates}, before=self.plain)

    @functools.cached_property
    def plain(self) -> Floats:
        """The scores of the mean vectors as they are."""
        return self.scores([self.items.mean] * len(self.deals))

    def best_posterior(
        self, means: Sequence[Floats], strength: float | None, settings: OpenSetSettings
    ) -> tuple[OpenSetFit, list[Round]]:
        """The classifier's regularisation and the posterior's weight, and the rounds with that classifier."""
        by_regularisation = {
            c: [Round.make(self.items, deal, c) for deal in self.deals] for c in settings.inverse_regularisation
        }
        found = {}
        for c, rounds in by_regularisation.items():
            joints = _joints(rounds)
            for weight in settings.weights:
                rows = [np.hstack([m, np.sqrt(weight) * joint]) for m, joint in zip(means, joints, strict=True)]
                found[c, weight] = self.scores(rows)
        found[c, 0.0] = self.scores(means)  # whatever the classifier
        c, weight = _best(found, before=self.plain)
        kept, held_out = map(float, (found[c, weight] - self.plain).mean(axis=0))
        return OpenSetFit(strength, c, weight, kept, held_out), by_regularisation[c]

    def best_codes(
        self, means: Sequence[Floats], rounds: Sequence[Round], fit: OpenSetFit, weights: Sequence[float], bits: int
    ) -> OpenSetFit:
        """The posterior's weight by codes, of which those of a round are fitted on what other rounds show."""

        def signs(rows: Floats, sample: Floats) -> Floats:
            planes = fit_itq(sample, bits, seed=self.seed)
            return np.where((rows - planes.mean) @ planes.normals >= 0, 1.0, -1.0)

        plain = self.scores([signs(self.items.mean, self.items.mean[deal.fitted]) for deal in self.deals])
        found = {}
        for weight in (*weights, 0.0):
            rows = []
            for place, (mean, one) in enumerate(zip(means, rounds, strict=True)):
                others = [number for number in range(len(rounds)) if number != place]
                known = calibrated([rounds[number] for number in others])
                sample = _sample([means[n] for n in others], [rounds[n] for n in others], known, weight)
                # Classes that the round does not know are no part of what its codes are fitted on.
                sample = sample[np.tile(one.deal.kept, len(others))]
                sample = sample[:: -(-len(sample) // _CHOICE_ROWS)]
                rows.append(signs(np.hstack([mean, np.sqrt(weight) * one.joint(known)]), sample))
            found[weight] = self.scores(rows)
        weight = _best(found, before=plain)
        kept, held_out = map(float, (found[weight] - plain).mean(axis=0))
        return dataclasses.replace(fit, weight=weight, kept_gain=kept, held_out_gain=held_out)


def _joints(rounds: Sequence[Round]) -> list[Floats]:
    """Each round's open-set posterior, calibrated by the others."""
    return [one.joint(calibrated([other for other in rounds if other is not one])) for one in rounds]


def _best(scores: Mapping[Choice, Floats], *, before: Floats) -> Choice:
    """The choice of the largest gain, kept and held-out classes together, among those that lose nothing on the latter;
    where all lose, the one that loses least.

    Args:
      scores: (rounds, 2) of each.
      before: the scores that they gain on.
    """
    gains = {choice: (found - before).mean(axis=0) for choice, found in scores.items()}
    return max(gains, key=lambda choice: (gains[choice][1] >= 0, float(gains[choice].sum())))


def _scores(rows: Floats, items: Items, deal: Deal) -> tuple[float, float]:
    """mAP of what a round shows, of kept and of held-out classes, among all items of other sources."""
    queries = np.flatnonzero(deal.shown)
    order = np.argsort(-(rows[queries] @ rows.T), axis=1, kind="stable")
    relevance = relevance_by_label(
        order,
        items.labels[queries],
        items.labels,
        query_sources=items.sources[queries],
        gallery_sources=items.sources,
        query_ids=queries,
    )
    scores = average_precision(relevance)
    counted, kept = relevance.counted, deal.kept[queries]
    of_kept, of_others = scores.values[counted & kept], scores.values[counted & ~kept]
    return (
        float(of_kept.mean()) if len(of_kept) else 0.0,
        float(of_others.mean()) if len(of_others) else 0.0,
    )
