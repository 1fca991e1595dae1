"""Whether left and right are classes, so that a clip flipped left to right would be of another one."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["direction_is_class"]

_OPPOSITES = {"left": "right", "right": "left"}


def direction_is_class(labels: Iterable[str]) -> bool:
    """Whether a class name becomes that of another class where left and right change places; case does not matter.

    Example:
      >>> direction_is_class(["Swiping Left", "swiping right", "clap"]), direction_is_class(["left hook", "bright"])
      (True, False)
    """
    names = {label.lower() for label in labels}
    return any(re.sub("left|right", lambda found: _OPPOSITES[found[0]], name) in names - {name} for name in names)
