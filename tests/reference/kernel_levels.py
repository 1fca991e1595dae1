"""Every kernel test runs at every instruction set that this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jaxret.rank import available_simd_levels

at_every_level = pytest.mark.parametrize("level", available_simd_levels())


@contextmanager
def forced(level: str) -> Iterator[None]:
    """Makes the kernels use one instruction set."""
    before = os.environ.get("JAXRET_SIMD")
    os.environ["JAXRET_SIMD"] = level
    try:
        yield
    finally:
        if before is None:
            del os.environ["JAXRET_SIMD"]
        else:
            os.environ["JAXRET_SIMD"] = before
