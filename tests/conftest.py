"""Shared by all tests: the path to the slow twins and to the optional real media."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hypothesis
import pytest

TESTS = Path(__file__).parent

# Many tests, and the programs that they start, compile the same small functions: compile each once.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(TESTS.parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# The commands keep theirs in the user's cache folder, which is none of a test's.
os.environ["XDG_CACHE_HOME"] = str(TESTS.parent / ".jax_cache" / "user")
# Most of the suite's time is the compilation of programs that run for milliseconds. XLA's older code generator, without
# optimisation of machine code, takes half of the time for the same graphs; `XLA_FLAGS= pytest` tests with its defaults.
# A flag that XLA does not know ends the process, hence the bound.
with contextlib.suppress(PackageNotFoundError):
    if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")

# What is left is mostly tracing, which makes many small objects that live long, and notes lines that no test reads.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
gc.set_threshold(100_000, 50, 50)

# Arrays of two dtypes or numbers of axes meet by mistake more often than on purpose: promotion is written out.
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

# An example may take as long as a busy machine makes it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

sys.path.insert(0, str(TESTS))  # `from reference.x import ...` finds the slow twins


@pytest.fixture
def others_folder() -> Iterator[Path]:
    """A folder that other users may read, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="jaxret-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real media named by JAXRET_SHARED (default `../shared`); tests skip without it."""
    folder = Path(os.environ.get("JAXRET_SHARED", TESTS.parent.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real media at {folder} (set JAXRET_SHARED)")
    return folder
