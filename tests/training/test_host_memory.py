"""Memory that a process frees is kept after it asked for that, and given back when it asks for that."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from jaxret.training import give_back_memory, host_memory, keep_freed_memory

COUNT = """
import resource
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def block():
    before = faults()
    x = b'x' * 100_000_000
    del x
    return faults() - before
"""


def faults_of_blocks(setup: str, between: str = "pass") -> list[int]:
    """Pages that a new process is given for a block, and for the same block once more after it was freed."""
    code = f"{setup}\n{COUNT}\nfirst = block()\n{between}\nprint(first, block())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(word) for word in result.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_freed_block_is_used_again():
    # The file alone: the room around it imports JAX.
    keep = f"import runpy; globals().update(runpy.run_path({host_memory.__file__!r})); assert keep_freed_memory()"
    first, second = faults_of_blocks("")
    assert second > 0.9 * first  # what glibc does of its own accord
    first, second = faults_of_blocks(keep)
    assert second < 0.1 * first
    for back in ("give_back_memory()", "keep_freed_memory(False); give_back_memory(); block()"):
        first, second = faults_of_blocks(keep, between=back)
        assert second > 0.9 * first


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
    give_back_memory()
