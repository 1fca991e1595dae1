"""What the fit of an open-set encoder chooses from, and what it chose."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from jaxret.errors import ConfigError

__all__ = ["OpenSetFit", "OpenSetSettings"]

_MANY_HELD_OUT = 3


@dataclasses.dataclass(frozen=True)
class OpenSetSettings:
    """What `fit_open_set` chooses from, and how.

    Attributes:
      strengths: candidates for how much mean vectors are shortened along what varies within classes, at least 0; to
        leave them as they are is always among them.
      inverse_regularisation: candidates for the classifier's C (`sklearn.linear_model.LogisticRegression`), above 0.
      weights: candidates for the weight of the posterior, above 0; of vectors 0, the mean vectors alone, is always
        among them.
      code_weights: the same of codes, whose bits the posterior takes from the means.
      doubts: candidates for the doubt of codes, at least 1 (see `jaxret.models.temporal.open_set_hash`).
      marks: candidates for the share of a code's bits that are marks, at least 0 and below 1 (see
        `jaxret.training.open_set.codes`).
      held_out_power: of the held-out mAP in what codes are chosen by, at least 0: how many times it counts. Rounding
        harms held-out classes most, and rounds, which choose by them, promise too much of them.
      rounds: in which classes are held out.
      held_out: share of the classes that each round holds out.
      weight_of_few: the most that the posterior weighs where a round holds out fewer than three classes, above 0;
        larger candidates are cut to it.
      seed: of the classes and sources that are drawn.

    Raises:
      ConfigError: a setting is out of range.
    """

    strengths: Sequence[float] = (0.0, 0.1, 0.3, 1.0, 3.0)
    inverse_regularisation: Sequence[float] = (0.1, 1.0, 10.0)
    weights: Sequence[float] = (4.0, 2.0, 1.0, 0.5, 0.25)
    code_weights: Sequence[float] = (1.0, 0.5, 0.25)
    doubts: Sequence[float] = (30.0, 100.0, 300.0)
    marks: Sequence[float] = (0.0, 1 / 32, 1 / 16)
    held_out_power: float = 2.0
    rounds: int = 5
    held_out: float = 0.3
    weight_of_few: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 2:
            raise ConfigError(f"rounds must be at least 2, for each is measured with the others, got {self.rounds}")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out must be a share of the classes above 0 and below 1, got {self.held_out}")
        _check("strengths", self.strengths, 0, included=True)
        _check("inverse_regularisation", self.inverse_regularisation, 0, included=False)
        _check("weights", self.weights, 0, included=False)
        _check("code_weights", self.code_weights, 0, included=False)
        _check("weight_of_few", (self.weight_of_few,), 0, included=False)
        _check("doubts", self.doubts, 1, included=True)
        _check("marks", self.marks, 0, included=True)
        _check("held_out_power", (self.held_out_power,), 0, included=True)
        if max(self.marks) >= 1:
            raise ConfigError(f"marks must be shares of a code's bits below 1, got {max(self.marks)!r}")

    def held_out_classes(self, classes: int) -> int:
        """How many of so many classes a round holds out: one at least, and two at least are kept."""
        return min(max(1, round(self.held_out * classes)), classes - 2)

    def holds_out(self, classes: int) -> bool:
        """Whether of so many classes some can be held out: of three at least."""
        return self.held_out_classes(classes) > 0

    def for_classes(self, classes: int) -> OpenSetSettings:
        """What rounds of so many training classes can choose from.

        A round that holds out one class or two shows little of how classes that are not known are taken for each other:
        what all of them share, the last coordinate and a code's marks, sets a single one apart from everything. So the
        posterior's weight is small there, and the doubt of codes the largest.
        """
        if self.held_out_classes(classes) >= _MANY_HELD_OUT:
            return self
        weights, of_codes = (
            tuple(dict.fromkeys(min(one, self.weight_of_few) for one in candidates))
            for candidates in (self.weights, self.code_weights)
        )
        return dataclasses.replace(self, weights=weights, code_weights=of_codes, doubts=(max(self.doubts),))


def _check(name: str, values: Sequence[float], least: float, *, included: bool) -> None:
    """Refuse no candidates, or one that is not finite or below the least that it may be."""
    if not values:
        raise ConfigError(f"{name} must hold at least one number to choose from, got none")
    for value in values:
        if not math.isfinite(value) or value < least or (value == least and not included):
            raise ConfigError(
                f"{name} must be finite numbers {'of at least' if included else 'above'} {least}, got {value!r}"
            )


@dataclasses.dataclass(frozen=True)
class OpenSetFit:
    """What was chosen, and what it gave in the rounds.

    Attributes:
      strength, inverse_regularisation, weight: chosen; the strength is None where mean vectors stay as they are.
      kept_gain, held_out_gain: mean over the rounds of mAP less that of the mean vectors, for queries of kept and of
        held-out classes; of codes, less that of codes of the mean vectors (ITQ).
      doubt: chosen for codes; None where there are none, or those of the mean vectors were not surpassed.
      marks: share of the bits, chosen for codes.
    """

    strength: float | None
    inverse_regularisation: float
    weight: float
    kept_gain: float
    held_out_gain: float
    doubt: float | None = None
    marks: float = 0.0
