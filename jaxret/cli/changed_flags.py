"""What may not be given anew to a run that is resumed, by the names that its settings have on the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jaxret.cli.option_names import flags_of
from jaxret.errors import ConfigError

__all__ = ["refuse_changed"]


def refuse_changed(before: Any, after: Any, *, may_change: Collection[str] = ()) -> None:
    """Refuse settings that differ.

    Args:
      before, after: instances of one dataclass; its fields, and those of the dataclasses among them, are flags.
      may_change: fields that may differ, those of nested dataclasses by their own names.

    Raises:
      ConfigError: one does; the first is named, by its flag.
    """
    flags = flags_of(type(after))
    for field in dataclasses.fields(after):
        was, now = getattr(before, field.name), getattr(after, field.name)
        if field.name in may_change or was == now:
            continue
        if dataclasses.is_dataclass(now) and type(now) is type(was):
            refuse_changed(was, now, may_change=may_change)
            continue
        raise ConfigError(
            f"{flags[field.name]} cannot change when a run is resumed: it was {_shown(was)}, got {_shown(now)}"
        )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, Path) else repr(value)
