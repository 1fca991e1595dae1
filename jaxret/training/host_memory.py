"""Memory of the host between training steps, where the C library is glibc.

XLA takes the memory of a step's activations anew for each step on a CPU. Blocks that large glibc takes from the system
and gives back to it, so that every step pays for its pages again: 7 and 27 % of the time of a step of ConvLSTMs at two
sizes (`benchmarks/speed_train_step.py`). A process that trains until its end can keep them.
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["give_back_memory", "keep_freed_memory"]

# Parameters of mallopt(3), and glibc's own values of the two that can be taken back.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_USUAL_TRIM, _USUAL_MAPPINGS = 128 * 1024, 65536


def keep_freed_memory(keep: bool = True) -> bool:
    """From now on this process keeps memory that it frees, and uses it again. Meant for commands, not for libraries.

    To be called before other threads have taken memory: the C library then decides how many heaps there will be, and
    what large blocks lie in other than the first it gives back as before.

    Large blocks come from the heap instead of mappings of their own, threads begun later use the same heap, and the
    heap does not shrink until `give_back_memory`. A block that was freed may not fit where it was, so that the process
    can come to hold twice what it uses at a time: where that is too much, do not keep.

    Args:
      keep: False: what is freed from now on goes back to the system again.

    Returns:
      Whether that was possible: False where the C library is another one.
    """
    if not _is_glibc():
        return False
    library = ctypes.CDLL(None)
    if keep:
        settings = {_MMAP_MAX: 0, _ARENA_MAX: 1, _TRIM_THRESHOLD: -1}
    else:
        settings = {_MMAP_MAX: _USUAL_MAPPINGS, _TRIM_THRESHOLD: _USUAL_TRIM}
    return all(library.mallopt(name, value) for name, value in settings.items())


def give_back_memory() -> None:
    """Return the free pages of the heap to the system; nothing where the C library is not glibc."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
