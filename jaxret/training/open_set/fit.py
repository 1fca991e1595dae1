"""Fitting an open-set encoder: a classifier of the training classes, and what tells them from other classes.

In each of several rounds some training classes are held out, and some sources of the others. What is left is fitted
on, and everything is indexed; what was held out is searched for in it. A logistic regression learns to tell items of
kept and of held-out classes apart by the classifier's confidence. All settings are those with which both are found best
in these rounds, among those that lose nothing on either against the mean vectors alone: first how much the mean vectors
are shortened along what varies within classes, then the classifier's regularisation and the weight of its posterior.
Last, for codes, that weight is chosen again with the doubt and the marks, by codes and by a rule of their own
(`jaxret.training.open_set.codes`). Nothing else is looked at: no validation or test item, and no class that is not
trained on. Of few classes less is chosen (`OpenSetSettings.for_classes`).

Where a part of the vectors was itself learned from the classes, a round sees what was learned without what it holds
out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.errors import ConfigError
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash
from jaxret.training.itq import fit_itq
from jaxret.training.open_set.choices import OpenSetFit, OpenSetSettings
from jaxret.training.open_set.codes import choose_codes, fit_codes
from jaxret.training.open_set.deals import Deal, HeldOut, hold_out
from jaxret.training.open_set.nuisances import Nuisances
from jaxret.training.open_set.rounds import Classifier, Floats, Items, Known, Round, calibrated
from jaxret.training.open_set.trials import Trials, nuisances_of

__all__ = ["LearnedWithout", "Posteriors", "choose_posteriors", "fit_open_set", "open_trials"]

_CHOICE_ITEMS = 2000  # items that the rounds look at, at most: they choose a few numbers and calibrate one


@dataclasses.dataclass(frozen=True)
class LearnedWithout:
    """Sequences whose learned numbers are those of a network that was trained without what a round holds out.

    Attributes:
      held_out: of the round.
      vectors: (N, T, D), of all items; but for the learned numbers they are those of the final network.
    """

    held_out: HeldOut
    vectors: ArrayLike


def fit_open_set(
    encoder: OpenSetEncoder | OpenSetHash,
    vectors: ArrayLike,
    labels: Sequence[int] | NDArray[np.int64],
    sources: Sequence[object],
    settings: OpenSetSettings = OpenSetSettings(),
    rounds: Sequence[LearnedWithout] = (),
) -> OpenSetFit:
    """Fit an encoder on labelled sequences; its weight and its doubt are set as well.

    Of two classes none can be held out, so that nothing tells what a posterior does to others: the encoder is then the
    mean vector alone, and its codes are those of the mean vectors.

    Args:
      encoder: changed in place. Of one with a hash layer the codes are fitted, too, and its weight is chosen by codes.
      vectors: (N, T, D) frame vectors.
      labels: (N,) class of each, 0 .. K - 1, each class with an item.
      sources: (N,) what each was cut from: items of one source look alike, and are kept on one side.
      settings: what is chosen from.
      rounds: two at least where the encoder has learned numbers, else none: what `hold_out` deals is held out then.

    Raises:
      ConfigError: a class has no item, or the encoder has learned numbers and fewer than three classes.
      ValueError: rounds are missing, or there are some for an encoder without learned numbers.
    """
    hashed = encoder if isinstance(encoder, OpenSetHash) else None
    sequence = encoder if hashed is None else hashed.encoder
    assert isinstance(sequence, OpenSetEncoder)
    if not settings.holds_out(sequence.classes) and not sequence.learned:
        return _fit_means(sequence, hashed, vectors, labels, settings)
    items, trials = open_trials(sequence, vectors, labels, sources, settings, rounds)
    shown = choose_posteriors(sequence, items, trials, settings)
    fit = shown.fit
    if hashed is not None:
        fit = choose_codes(shown.trials, shown.rounds, fit, settings.for_classes(sequence.classes), hashed.code_bits)
    _assign(sequence, shown.whole.classifier, calibrated(shown.rounds), shown.nuisances)
    sequence.weight = fit.weight
    if hashed is not None:
        codes = fit_codes(shown.items, shown.rounds, shown.whole, fit, bits=hashed.code_bits, seed=settings.seed)
        hashed.assign(codes.planes.mean, codes.planes.normals, codes.planes.offsets)
        hashed.assign_codewords(codes.codewords, fit.doubt or 1.0)
    return fit


@dataclasses.dataclass(frozen=True)
class Posteriors:
    """What an encoder of vectors consists of, and what codes are fitted on.

    Attributes:
      items: all.
      trials: of those that the rounds look at.
      fit: what was chosen by vectors.
      rounds: with the classifier that was chosen.
      nuisances: shortened as was chosen.
      whole: all items as the encoder sees them that is fitted on all.
    """

    items: Items
    trials: Trials
    fit: OpenSetFit
    rounds: Sequence[Round]
    nuisances: Nuisances
    whole: Round


def open_trials(
    encoder: OpenSetEncoder,
    vectors: ArrayLike,
    labels: Sequence[int] | NDArray[np.int64],
    sources: Sequence[object],
    settings: OpenSetSettings,
    rounds: Sequence[LearnedWithout] = (),
) -> tuple[Items, Trials]:
    """All items, and what the rounds look at, of an encoder that stays as it is; arguments as of `fit_open_set`.

    Raises:
      ConfigError: there are fewer than three classes, so that none can be held out, or a class has no item.
      ValueError: as of `fit_open_set`.
    """
    numbers = _checked_labels(encoder, labels)
    if not settings.holds_out(encoder.classes):
        raise ConfigError(f"holding classes out needs at least 3 training classes, got {encoder.classes}")
    if bool(encoder.learned) != bool(rounds) or len(rounds) == 1:
        raise ValueError(f"an encoder with {encoder.learned} learned numbers, and {len(rounds)} rounds")
    names = np.array([str(source) for source in sources])
    source_numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    items = Items.of(vectors, numbers, source_numbers, encoder.learned)
    rng = np.random.default_rng(settings.seed)
    some = _some_of_each(numbers, rng)
    tried = items.take(some)
    held_out = [one.held_out for one in rounds] or hold_out(numbers[some], names[some].tolist(), settings, rng)
    deals = [Deal.of(one, numbers[some], names[some].tolist()) for one in held_out]
    seen = [Items.of(one.vectors, numbers, source_numbers, encoder.learned).take(some) for one in rounds]
    return items, Trials(tried, deals, seen or [tried] * len(deals), encoder.nuisances)


def choose_posteriors(encoder: OpenSetEncoder, items: Items, trials: Trials, settings: OpenSetSettings) -> Posteriors:
    """All that comes before codes, of an encoder that stays as it is: what is chosen in the rounds by vectors, and all
    items as it would then see them; both are of `open_trials`."""
    # Encoders that were made without nuisances keep their mean vectors.
    strength = trials.best_strength(settings.strengths) if encoder.nuisances else None
    fit, fitted = trials.best_posterior(strength, settings.for_classes(encoder.classes))
    nuisances = nuisances_of(items, strength, encoder.nuisances)
    whole = Round.make(items, Deal.of_nothing(len(items.labels)), nuisances(items.mean), fit.inverse_regularisation)
    return Posteriors(items, trials, fit, fitted, nuisances, whole)


def _fit_means(
    encoder: OpenSetEncoder,
    hashed: OpenSetHash | None,
    vectors: ArrayLike,
    labels: Sequence[int] | NDArray[np.int64],
    settings: OpenSetSettings,
) -> OpenSetFit:
    """Leave the mean vectors as they are; see `fit_open_set`."""
    numbers = _checked_labels(encoder, labels)
    encoder.weight = 0.0
    if hashed is not None:
        means = Items.of(vectors, numbers, numbers, encoder.learned).mean
        embedded = np.pad(means, ((0, 0), (0, encoder.classes + 1)))
        planes = fit_itq(embedded, hashed.code_bits, seed=settings.seed)
        hashed.assign(planes.mean, planes.normals, planes.offsets)
        hashed.assign_codewords(np.zeros(hashed.codewords.shape), 1.0)
    return OpenSetFit(None, settings.inverse_regularisation[-1], 0.0, kept_gain=0.0, held_out_gain=0.0)


def _checked_labels(encoder: OpenSetEncoder, labels: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """ConfigError where a class has no item."""
    numbers = np.asarray(labels, np.int64)
    found = np.unique(numbers)
    if len(found) != encoder.classes or found[0] != 0 or found[-1] != encoder.classes - 1:
        raise ConfigError(f"each of the {encoder.classes} classes needs an item, got items of {len(found)}")
    return numbers


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
        padded = nuisances.padded(encoder.nuisances)
        arrays |= {"centre": padded.centre, "directions": padded.directions, "shares": padded.shares}
    encoder.assign(arrays)


def _some_of_each(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Item numbers, ascending: all, or `_CHOICE_ITEMS` dealt to the classes in turn, so that none is missing."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.searchsorted(labels[order], labels[order])
    place_in_class = np.arange(len(order)) - starts
    most = max(_CHOICE_ITEMS, labels.max() + 1)
    return np.sort(order[np.argsort(place_in_class, kind="stable")[:most]])
