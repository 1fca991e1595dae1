"""jaxret: find images and videos by their content.

Sub-packages are loaded on first use, so `import jaxret.rank` stays quick and free of JAX.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["data", "index", "losses", "metrics", "models", "rank", "recipes", "retrieval", "training"]
__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"jaxret.{name}")
    raise AttributeError(f"module 'jaxret' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
