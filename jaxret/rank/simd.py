"""The choice of instruction set: the best this CPU has, or the one that JAXRET_SIMD names."""

from __future__ import annotations

import functools

from jaxret.rank._cpu_features import simd_asked_for, simd_supported

# as in csrc/cpu_features.h
SIMD_LEVELS = {"portable": 0, "sse4": 5, "avx2": 1, "avx512": 2, "avx512vpopcnt": 3, "neon": 4}


@functools.cache
def available_simd_levels() -> tuple[str, ...]:
    """The names of the instruction sets that this machine can run, slowest first.

    >>> available_simd_levels()[0]
    'portable'
    """
    return tuple(name for name, level in SIMD_LEVELS.items() if simd_supported(level))


def simd_level() -> str:
    """The instruction set that the kernels use: the environment variable JAXRET_SIMD, or the best there is.

    It is read at every call, so a test can force each level in turn. Results never depend on it.

    Raises:
        ValueError: JAXRET_SIMD names no level, or one that this machine cannot run.
    """
    available = available_simd_levels()
    name = simd_asked_for()
    if not name:
        return available[-1]
    if name not in available:
        raise ValueError(f"JAXRET_SIMD must be one of {', '.join(available)} on this machine, got {name!r}")
    return name


def simd_code() -> int:
    """`simd_level()` as the number that the C kernels take."""
    return SIMD_LEVELS[simd_level()]
