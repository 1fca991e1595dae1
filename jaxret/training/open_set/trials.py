"""Settings of an open-set encoder tried in rounds: what each would find, and which are best."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from jaxret.metrics import average_precision, relevance_by_label
from jaxret.training.open_set.choices import OpenSetFit, OpenSetSettings
from jaxret.training.open_set.deals import Deal
from jaxret.training.open_set.nuisances import Nuisances
from jaxret.training.open_set.rounds import Floats, Items, Round, calibrated

__all__ = ["Trials", "nuisances_of"]

Choice = TypeVar("Choice", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Trials:
    """The items that rounds look at, and their deals; settings are tried on them.

    Attributes:
      items: all, or some of each class.
      deals: one a round.
      seen: the same items, one a round, as what was learned in that round shows them; their means are those of `items`.
      nuisances: the most directions that are shortened.
    """

    items: Items
    deals: Sequence[Deal]
    seen: Sequence[Items]
    nuisances: int

    def scores(self, rows: Sequence[Floats]) -> Floats:
        """mAP of kept and of held-out classes by what each round makes of the items, (N, E): (rounds, 2)."""
        return np.array([_scores(one, self.items, deal) for one, deal in zip(rows, self.deals, strict=True)])

    def shortened(self, strength: float | None) -> list[Floats]:
        """The mean vectors as each round shortens them."""
        fitted = [nuisances_of(self.items.take(deal.fitted), strength, self.nuisances) for deal in self.deals]
        return [one(self.items.mean) for one in fitted]

    def best_strength(self, strengths: Sequence[float]) -> float | None:
        """By the mean vectors alone."""
        candidates = (None, *strengths)
        return _best({one: self.scores(self.shortened(one)) for one in candidates}, before=self.plain)

    @functools.cached_property
    def plain(self) -> Floats:
        """The scores of the mean vectors as they are."""
        return self.scores([self.items.mean] * len(self.deals))

    def best_posterior(self, strength: float | None, settings: OpenSetSettings) -> tuple[OpenSetFit, list[Round]]:
        """The classifier's regularisation and the posterior's weight, and the rounds with that classifier."""
        means = self.shortened(strength)
        by_regularisation = {
            c: [Round.make(*one, c) for one in zip(self.seen, self.deals, means, strict=True)]
            for c in settings.inverse_regularisation
        }
        # Without the posterior: whatever the classifier, its means lose nothing. First, for where nothing can be told.
        found = {(settings.inverse_regularisation[-1], 0.0): self.scores(means)}
        for c, rounds in by_regularisation.items():
            known = [calibrated([other for other in rounds if other is not one]) for one in rounds]
            for weight in settings.weights:
                rows = [one.embedding(of_others, weight) for one, of_others in zip(rounds, known, strict=True)]
                found[c, weight] = self.scores(rows)
        c, weight = _best(found, before=self.plain)
        kept, held_out = map(float, (found[c, weight] - self.plain).mean(axis=0))
        return OpenSetFit(strength, c, weight, kept, held_out), by_regularisation[c]


def nuisances_of(items: Items, strength: float | None, count: int) -> Nuisances:
    """So many of the items', shortened; none with the strength None."""
    if strength is None:
        return Nuisances.none(items.mean.shape[1])
    return Nuisances.fit(items.mean, items.labels, count).shortened(strength)


def _best(scores: Mapping[Choice, Floats], *, before: Floats) -> Choice:
    """The choice of the largest gain, kept and held-out classes together, among those that lose nothing on either; of
    several the first.

    Args:
      scores: (rounds, 2) of each; one at least loses nothing.
      before: the scores that they gain on.
    """
    gains = {choice: (found - before).mean(axis=0) for choice, found in scores.items()}
    return max(gains, key=lambda choice: (bool((gains[choice] >= 0).all()), float(gains[choice].sum())))


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
