"""Packages whose names are loaded on first use, so that importing one is quick and brings only what is needed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, modules: Mapping[str, Collection[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """What a package's `__init__` assigns to `__getattr__` and `__dir__`.

    Args:
      package: its `__name__`.
      modules: by the full name of a module the names that the package has from it. None of them may be that of a
        submodule of the package, which would hide it.

    Example:
      >>> get, _ = lazy_names("numbers_by_name", {"math": ("pi",)})
      >>> get("pi")
      3.141592653589793
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name in module_of:
            return getattr(importlib.import_module(module_of[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return get, names
