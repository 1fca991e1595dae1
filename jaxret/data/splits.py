"""Who trains and who is tested: by source, by class, or by an official list. All deterministic in a seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError

__all__ = ["official_splits", "split_by_source", "split_classes"]


def split_by_source(
    items: Sequence[MediaItem], fractions: Mapping[str, float], *, seed: int = 0
) -> dict[str, npt.NDArray[np.int64]]:
    """Deal items to splits so that all clips of one source land together and labels stay in proportion.

    Sources are taken in random order, those of many clips first, and each goes to the split that is
    furthest behind its share of that source's labels. With few sources a class can miss a small split.

    Args:
      items: what to split.
      fractions: name of each split and its share; the shares sum to 1.
      seed: another seed, another split.

    Returns:
      Numbers of the items in each split, ascending int64; every item is in exactly one.

    Raises:
      ValueError: a share is negative, they do not sum to 1, or there are none.

    Example:
      >>> items = [MediaItem(f"{n}.jpg", "image", "ab"[n % 2], source=str(n // 2)) for n in range(40)]
      >>> split = split_by_source(items, {"train": 0.9, "test": 0.1})
      >>> len(split["train"]), len(split["test"])
      (36, 4)
    """
    names = tuple(fractions)
    shares = np.array([fractions[name] for name in names], float)
    if not len(names) or np.any(shares < 0) or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must be at least 0 and sum to 1, got {dict(fractions)}")
    members: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        members[item.source].append(number)
    labels = {label: row for row, label in enumerate(sorted({str(item.label) for item in items}))}
    # How many clips of each label each split should still get.
    totals = np.zeros(len(labels))
    for item in items:
        totals[labels[str(item.label)]] += 1
    owed = totals[:, None] * shares
    rng = np.random.default_rng(seed)
    sources = sorted(members)
    order = [sources[place] for place in rng.permutation(len(sources))]
    order.sort(key=lambda source: -len(members[source]))  # stable: random among equals
    dealt: dict[str, list[int]] = {name: [] for name in names}
    for source in order:
        counts = Counter(labels[str(items[number].label)] for number in members[source])
        rows, clips = np.array(list(counts)), np.array(list(counts.values()), float)
        # Whole need first, then the share of all data, so that rounding does not starve a small split.
        need = (np.minimum(owed[rows], clips[:, None]) / totals[rows, None]).sum(axis=0)
        need += 1e-6 * owed.sum(axis=0)
        need[shares == 0] = -np.inf
        best = int(np.argmax(need))
        owed[rows, best] -= clips
        dealt[names[best]].extend(members[source])
    return {name: np.array(sorted(numbers), np.int64) for name, numbers in dealt.items()}


def split_classes(
    labels: Sequence[str], unseen_fraction: float, *, seed: int = 0
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide class names into seen (trained on) and unseen (only ever searched).

    Args:
      labels: class names; repeats count once.
      unseen_fraction: share of unseen classes, rounded, at least 0 and below 1; above 0 gives at least one.
      seed: another seed, other classes.

    Returns:
      (seen, unseen), each sorted; at least one class is seen.

    Raises:
      ValueError: no labels, or the fraction is out of range.
    """
    names = sorted(set(labels))
    if not names:
        raise ValueError("labels must name at least one class, got none")
    if not 0 <= unseen_fraction < 1:
        raise ValueError(f"unseen_fraction must lie in 0..1 (1 excluded), got {unseen_fraction!r}")
    count = min(max(round(len(names) * unseen_fraction), int(unseen_fraction > 0)), len(names) - 1)
    order = np.random.default_rng(seed).permutation(len(names))
    unseen = {names[place] for place in order[:count]}
    return tuple(name for name in names if name not in unseen), tuple(sorted(unseen))


def official_splits(items: Sequence[MediaItem]) -> dict[str, npt.NDArray[np.int64]]:
    """Numbers of the items of each split that the data set itself names, unlisted items left out.

    Official lists do not always keep sources apart (HMDB51's put clips of one film on both sides), so
    retrieval figures on them need same-source exclusion.

    Raises:
      ConfigError: no item names a split.
    """
    splits: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        if item.split is not None:
            splits[item.split].append(number)
    if not splits:
        raise ConfigError("no item names its split; give a CSV with a split column, or split by source")
    return {name: np.array(numbers, np.int64) for name, numbers in sorted(splits.items())}
