"""Holds ours and the peers to an instruction set, and asks them which they took."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import suppress

from studies.rank_speed.cells import LEVELS
from threadpoolctl import threadpool_info

from jaxret.rank import simd_level

__all__ = ["LevelError", "environment", "require", "taken", "wanted"]

CORE_TYPES = {"avx2": "Haswell", "avx512": "SkylakeX", "avx512vpopcnt": "SkylakeX"}  # of OpenBLAS
LOWEST_CORE_TYPE = "Nehalem"  # without AVX
BRING_BLAS = ("faiss", "sklearn.neighbors")  # the latter by SciPy; NumPy's is loaded by now


class LevelError(RuntimeError):
    """A program runs other instructions than it was told to."""


def environment(level: str) -> dict[str, str]:
    """What holds ours and the peers to a level and, until told otherwise, to one thread."""
    told = wanted(level)
    return {
        "JAXRET_SIMD": told["jaxret"],
        "FAISS_SIMD_LEVEL": told["faiss"],
        "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in _numpy_features() if _above(level, name)),
        "OPENBLAS_CORETYPE": told["OpenBLAS"],
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def wanted(level: str) -> dict[str, str]:
    """What each program must say of itself: its level, and NumPy the instruction sets beyond the level that it uses."""
    return {
        "jaxret": level,
        "faiss": LEVELS[level],
        "NumPy": "",
        "OpenBLAS": CORE_TYPES.get(level, LOWEST_CORE_TYPE),
    }


def taken(level: str) -> Iterator[tuple[str, str]]:
    """What the installed programs say of themselves in this process, as `wanted` has it.

    faiss says what its kernels are dispatched to, not what it was asked for; OpenBLAS stands there once for each copy
    that NumPy, SciPy and faiss bring, and another BLAS, whose level nothing here can set, by its own name.
    """
    yield "jaxret", simd_level()
    for name in BRING_BLAS:
        with suppress(ImportError):
            importlib.import_module(name)
    with suppress(ImportError):
        import faiss

        yield "faiss", faiss.to_string(faiss.SIMDConfig.get_dispatched_level())
    features = _numpy_features()
    yield "NumPy", " ".join(name for name, used in features.items() if used and _above(level, name))
    for library in threadpool_info():
        if library["user_api"] == "blas":
            yield "OpenBLAS", library.get("architecture", library["internal_api"])


def require(level: str) -> None:
    """Makes sure that this process measures what it claims.

    Args:
      level: of `LEVELS`.

    Raises:
      LevelError: ours or a peer does not run at it.
    """
    expected = wanted(level)
    for program, found in taken(level):
        if found != expected[program]:
            raise LevelError(f"at {level!r} {program} must run {expected[program]!r}, but it runs {found!r}")


def _numpy_features() -> Mapping[str, bool]:
    """The instruction sets that NumPy has kernels for, and whether it uses them."""
    from numpy._core._multiarray_umath import __cpu_dispatch__ as names
    from numpy._core._multiarray_umath import __cpu_features__ as used

    return {name: used[name] for name in names}


def _above(level: str, feature: str) -> bool:
    """Whether a level does without an instruction set of NumPy's."""
    if level not in CORE_TYPES:
        return feature.startswith(("AVX", "FMA", "F16C", "X86_V3", "X86_V4"))
    return level == "avx2" and feature.startswith(("AVX512", "X86_V4"))
