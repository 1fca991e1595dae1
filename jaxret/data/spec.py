"""Names of data sets that lie in a folder: `NAME:FOLDER`, or with options `NAME,frames=60:FOLDER`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jaxret.errors import ConfigError

__all__ = ["parse_spec", "yes_or_no"]


def parse_spec(spec: str, name: str, options: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]] | None:
    """The folder and options of a spec, if it is one of the data set `name`.

    Args:
      spec: what may be `NAME:FOLDER` or `NAME,option=value,...:FOLDER`.
      name: of the data set.
      options: what reads the value of each option; a ValueError of it is an error that names the option.

    Returns:
      The folder and the options given; None where the spec is of another data set.

    Raises:
      ConfigError: there is no folder, or an option is unknown, given twice or malformed.

    Example:
      >>> parse_spec("rgbd,frames=60:walks/a:b", "rgbd", {"frames": int})
      ('walks/a:b', {'frames': 60})
    """
    if spec != name and not spec.startswith((f"{name}:", f"{name},")):
        return None
    head, _, root = spec.partition(":")
    if not root:
        raise ConfigError(f"{spec!r} names no folder: write {name}:FOLDER")
    given: dict[str, Any] = {}
    for option in head.split(",")[1:]:
        key, _, value = option.partition("=")
        if key not in options or key in given:
            known = ", ".join(f"{known}=..." for known in options) or "none"
            raise ConfigError(f"options of {name} are {known}, each once, got {option!r}")
        try:
            given[key] = options[key](value)
        except ValueError:
            raise ConfigError(f"{key} of {name} cannot be {value!r}") from None
    return root, given


def yes_or_no(text: str) -> bool:
    """Reads an option that is `yes` or `no`; ValueError for anything else."""
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"
