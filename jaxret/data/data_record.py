"""What a run is trained on, kept beside its settings: splits are dealt from all items, so a training that goes on with
others would test on what it has learned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxret.data.dataset import MediaDataset
from jaxret.errors import ConfigError
from jaxret.files import write_atomically

__all__ = ["check_data", "write_data"]

_SHOWN = 3


def write_data(path: Path, dataset: MediaDataset) -> None:
    """Write down the items of a data set: label, source, split and size of each."""
    with write_atomically(path) as partial:
        partial.write_text(json.dumps(_described(dataset)) + "\n", encoding="utf-8")


def check_data(path: Path, dataset: MediaDataset) -> None:
    """Compare a data set with the one that was written down; nothing, where none was.

    A file counts as the same if its size is: times change where a run and its media are copied to another machine.

    Raises:
      ConfigError: items are missing or new, or are others; the message tells how many, and names some.
    """
    if not path.exists():
        return
    try:
        before, now = json.loads(path.read_text(encoding="utf-8")), _described(dataset)
        missing = [key for key in before if key not in now]
        changed = [key for key in before if key in now and before[key] != now[key]]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from error
    new = [key for key in now if key not in before]
    told = [
        f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"
        for what, keys in (("are missing or cannot be read", missing), ("are new", new), ("are others now", changed))
        if keys
    ]
    if told:
        raise ConfigError(
            f"the data changed since the run in {path.parent} began: of {len(before)} items {'; '.join(told)}. Put them"
            " back as they were, or start a new run"
        )


def _described(dataset: MediaDataset) -> dict[str, list[Any]]:
    described: dict[str, list[Any]] = {}
    for number, item in enumerate(dataset.items):
        stamp = dataset.stamp(number)
        described[item.key] = [item.label, item.source, item.split, None if stamp is None else stamp[0]]
    return described
