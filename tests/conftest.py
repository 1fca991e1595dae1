"""Shared by all tests: the path to the slow twins and to the optional real media."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# Many tests, and the programs that they start, compile the same small functions: compile each once.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(TESTS.parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

sys.path.insert(0, str(TESTS))  # `from reference.x import ...` finds the slow twins


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real media named by JAXRET_SHARED (default `../shared`); tests skip without it."""
    folder = Path(os.environ.get("JAXRET_SHARED", TESTS.parent.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real media at {folder} (set JAXRET_SHARED)")
    return folder
