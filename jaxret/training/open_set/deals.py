"""What rounds hold out: some training classes, and some sources of the others.

What is held out stands for what an encoder will meet: media of known classes that it was not fitted on, and media of
classes that it does not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.training.open_set.choices import OpenSetSettings

__all__ = ["Deal", "HeldOut", "hold_out"]

_FOLDS = 3


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What a round does not fit on.

    Attributes:
      classes: whole ones, by number.
      sources: of the other classes, by name.
    """

    classes: tuple[int, ...]
    sources: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Deal:
    """Which items a round holds out.

    Attributes:
      kept: (N,) whether an item's class is among those that are trained on.
      fitted: (N,) items that the round is fitted on: those of kept classes, without some of their sources.
      shown: (N,) the others.
    """

    kept: NDArray[np.bool_]
    fitted: NDArray[np.bool_]
    shown: NDArray[np.bool_]

    @classmethod
    def of(cls, held_out: HeldOut, labels: ArrayLike, sources: Sequence[object]) -> Deal:
        """The items of some classes, by number, and sources (N,)."""
        numbers = np.asarray(labels, np.int64)
        kept = ~np.isin(numbers, held_out.classes)
        left_out = np.isin([str(source) for source in sources], held_out.sources)
        fitted = kept & ~left_out
        if len(np.unique(numbers[fitted])) < 2:  # too few sources to leave any out
            fitted = kept
        return cls(kept, fitted, ~kept | left_out)

    @classmethod
    def of_nothing(cls, count: int) -> Deal:
        """Nothing of so many items is held out."""
        everything = np.ones(count, bool)
        return cls(everything, everything, ~everything)


def hold_out(
    labels: ArrayLike,
    sources: Sequence[object],
    settings: OpenSetSettings,
    rng: np.random.Generator | None = None,
) -> list[HeldOut]:
    """What each round holds out: classes about equally often, two at least are kept; of these a third of the sources.

    Args:
      labels: (N,) class numbers, of three classes at least.
      sources: (N,) what each item was cut from.
      settings: how many rounds, and the share of the classes.
      rng: deals; None: one of the settings' seed.

    Example:
      >>> hold_out([0, 0, 1, 2], ["a", "b", "c", "d"], OpenSetSettings(rounds=2, held_out=0.3))
      [HeldOut(classes=(2,), sources=('c',)), HeldOut(classes=(0,), sources=('c',))]
    """
    rng = np.random.default_rng(settings.seed) if rng is None else rng
    numbers, names = np.asarray(labels, np.int64), np.array([str(source) for source in sources])
    classes = np.unique(numbers)
    count = settings.held_out_classes(len(classes))
    order = np.concatenate([rng.permutation(classes) for _ in range(settings.rounds)])
    rounds = []
    for number in range(settings.rounds):
        without = order[number * count : (number + 1) * count]
        of_kept = np.unique(names[~np.isin(numbers, without)])
        dealt = of_kept[rng.permutation(len(of_kept))]
        rounds.append(
            HeldOut(tuple(np.unique(without).tolist()), tuple(np.sort(dealt[: max(1, len(dealt) // _FOLDS)]).tolist()))
        )
    return rounds
