"""Fitting the codes of an open-set encoder: hyperplanes, a codeword a class, and how they are weighed.

The hyperplanes are a rotation of embeddings, fitted on the training items as each round embeds them, some as items of
classes that are not known, so that both kinds differ in their bits. The codeword of a class is the signs of the mean
over its items of what the hyperplanes say. Some bits are *marks*: they say no more than whether an item is surely of a
known class, so that known items stand apart from all others. The posterior's weight, the doubt (see
`jaxret.models.temporal.open_set_hash`) and the share of marks are chosen in the rounds by the codes that come of them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxret.models.temporal.open_set_hash import sure_and_linear
from jaxret.training.itq import Planes, fit_itq
from jaxret.training.open_set.choices import OpenSetFit, OpenSetSettings
from jaxret.training.open_set.rounds import Floats, Items, Known, Round, calibrated
from jaxret.training.open_set.trials import Trials

__all__ = ["Codes", "choose_codes", "chosen", "fit_codes", "tried_codes"]

Choice = TypeVar("Choice", bound=Hashable)

_CHOICE_BITS = 64  # of the codes by which all is chosen, at most: longer ones take minutes to fit
_CHOICE_ROWS = 1000  # that those codes are fitted on, at most


@dataclasses.dataclass(frozen=True)
class Codes:
    """Hyperplanes of embeddings (N, E), and a codeword for each class: what `OpenSetHash` takes.

    Attributes:
      planes: of as many bits as the code has.
      codewords: (K, bits) of -1 and 1, or of 0 where there are none.
    """

    planes: Planes
    codewords: Floats

    @classmethod
    def fit(cls, planes: Planes, seen: Round, known: Known, weight: float, labels: NDArray[np.int64]) -> Codes:
        """With the codewords of the classes of labelled items (N,), those that the encoder was fitted on."""
        fitted = seen.deal.fitted
        sums = np.zeros((seen.posterior.shape[1], planes.normals.shape[1]))
        np.add.at(sums, labels[fitted], planes(seen.embedding(known, weight))[fitted])
        return cls(planes, _signs(sums))

    def marked(self, share: float) -> Codes:
        """The same but for that share of the bits, the last ones: 1, and -1 in the codeword of every class."""
        bits = self.codewords.shape[1]
        marks, codewords = slice(bits - int(share * bits), bits), self.codewords.copy()
        codewords[:, marks] = -1
        return Codes(self.planes.constant(marks), codewords)

    def signs(self, seen: Round, known: Known, weight: float, doubt: float) -> Floats:
        """The codes (N, bits) of all items, of -1 and 1."""
        linear = self.planes(seen.embedding(known, weight))
        return _signs(sure_and_linear(linear, seen.sure(known, doubt), self.codewords))


def choose_codes(
    trials: Trials, rounds: Sequence[Round], fit: OpenSetFit, settings: OpenSetSettings, bits: int
) -> OpenSetFit:
    """The posterior's weight, the doubt and the share of marks by codes, of which those of a round are fitted on what
    other rounds show. Without weight and doubt where codes of the mean vectors are worth as much as the best of them.

    Args:
      trials: of the rounds.
      rounds: with the classifier that was chosen.
      fit: what was chosen by vectors.
      settings: the candidates.
      bits: of the codes.
    """
    return chosen(fit, *tried_codes(trials, rounds, settings, bits), settings)


def tried_codes(
    trials: Trials, rounds: Sequence[Round], settings: OpenSetSettings, bits: int
) -> tuple[Floats, dict[tuple[float, float, float], Floats]]:
    """What codes of the mean vectors find in the rounds, (rounds, 2), and what each weight, doubt and share of marks
    gives; arguments as of `choose_codes`."""
    items, bits = trials.items, min(bits, _CHOICE_BITS)
    plain = [fit_itq(items.mean[deal.fitted], bits, seed=settings.seed) for deal in trials.deals]
    before = trials.scores([_signs(planes(items.mean)) for planes in plain])
    found: dict[tuple[float, float, float], Floats] = {}
    for weight in settings.code_weights:
        choices = itertools.product(settings.doubts, settings.marks)
        signs: dict[tuple[float, float], list[Floats]] = {choice: [] for choice in choices}
        for one in rounds:
            others = [other for other in rounds if other is not one]
            known = calibrated(others)
            # Classes that the round does not know are no part of what its codes are fitted on.
            sample = np.concatenate([other.embedding(known, weight)[one.deal.kept] for other in others])
            planes = fit_itq(sample[:: -(-len(sample) // _CHOICE_ROWS)], bits, seed=settings.seed)
            codes = Codes.fit(planes, one, known, weight, items.labels)
            for (doubt, share), made in signs.items():
                made.append(codes.marked(share).signs(one, known, weight, doubt))
        found |= {(weight, *choice): trials.scores(made) for choice, made in signs.items()}
    return before, found


def chosen(
    fit: OpenSetFit, before: Floats, found: Mapping[tuple[float, float, float], Floats], settings: OpenSetSettings
) -> OpenSetFit:
    """The same with the weight, the doubt and the share of marks of the best of what was tried (`tried_codes`)."""
    power = settings.held_out_power
    best = _best(found, before=before, power=power)
    if _worth(before, power) >= _worth(found[best], power):
        return dataclasses.replace(fit, weight=0.0, kept_gain=0.0, held_out_gain=0.0)
    weight, doubt, share = best
    kept, held_out = map(float, (found[best] - before).mean(axis=0))
    return dataclasses.replace(fit, weight=weight, doubt=doubt, marks=share, kept_gain=kept, held_out_gain=held_out)


def fit_codes(items: Items, rounds: Sequence[Round], whole: Round, fit: OpenSetFit, *, bits: int, seed: int) -> Codes:
    """The codes of an encoder that was fitted on all items.

    Args:
      items: what it was fitted on.
      rounds: some of the items as encoders see them that do not know some classes.
      whole: the items as the encoder sees them.
      fit: what was chosen.
      bits: of the codes.
      seed: of the rotation.
    """
    known = calibrated(rounds)
    if fit.doubt is None:  # codes of the mean vectors
        planes = fit_itq(whole.embedding(known, fit.weight), bits, seed=seed)
        return Codes(planes, np.zeros((whole.posterior.shape[1], bits)))
    sample = np.concatenate([one.embedding(known, fit.weight) for one in rounds])
    return Codes.fit(fit_itq(sample, bits, seed=seed), whole, known, fit.weight, items.labels).marked(fit.marks)


def _signs(linear: Floats) -> Floats:
    return np.where(linear >= 0, 1.0, -1.0)


def _best(scores: Mapping[Choice, Floats], *, before: Floats, power: float) -> Choice:
    """The choice that is worth most among those that lose nothing on held-out classes; where all lose, among all.

    Args:
      scores: (rounds, 2) of each, of kept and of held-out classes.
      before: the scores of codes of the mean vectors.
      power: of the held-out mAP.
    """
    least = before.mean(axis=0)[1]
    return max(scores, key=lambda choice: (scores[choice].mean(axis=0)[1] >= least, _worth(scores[choice], power)))


def _worth(scores: Floats, power: float) -> float:
    """The kept mAP times the held-out one to that power, of scores (rounds, 2). A tenth more counts alike wherever a
    score stands."""
    kept, held_out = scores.mean(axis=0)
    return float(kept * held_out**power)
