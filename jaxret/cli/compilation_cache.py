"""Programs are kept in the user's cache folder, so that a command does not make what one before it did.

JAX keeps what was compiled; here it is told where, by variables of the environment that it reads when it is imported.
Beside that lie programs that were lowered and not yet compiled, see `jaxret.models.kept_programs`.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import stat
import sys
import time
from pathlib import Path

from jaxret.files import user_cache

__all__ = ["SWITCH", "forget_damaged", "keep_compiled_programs", "programs_folder"]

SWITCH = "JAXRET_COMPILATION_CACHE"
"""The variable of the environment that says where: a folder, or `off`; by default the user's cache folder."""

_MOST_BYTES = 1 << 30
_ENTRY, _TIME = "-cache", "-atime"
"""How JAX's files end: what was compiled, and when it was used, which is written after it."""
_WRITTEN_WITHIN = 60.0
"""Seconds that a command takes at most between the two."""
_DAMAGED = re.compile(r"Error reading persistent compilation cache entry for '([^']+)'")
"""How JAX warns of an entry that it cannot read, with the name of the program."""
_SETTINGS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(_MOST_BYTES),  # those that were used least make room
}


def keep_compiled_programs() -> Path | None:
    """Tell JAX to keep compiled programs, unless it is imported already, or the user told it something else.

    What a command that was killed, or a full disk, left half-written there is removed first. The folder is one for each
    kind of processor and number of its cores that may be used. It must belong to the user and be closed to others: what
    lies in it is run. Where that cannot be had, or nothing can be written, nothing is kept.

    Returns:
      The folder; None where nothing is kept by this call.
    """
    if "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in os.environ or (folder := _own_folder()) is None:
        return None
    _remove_half_written(folder)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    return folder


def forget_damaged(warning: str) -> Path | None:
    """Remove the entry of `keep_compiled_programs` that JAX has just warned of, so that it is written anew.

    JAX compiles such a program and leaves the entry, so that it would warn in every process. Its warning tells the name
    of the program, which several entries have; the one that was read last is meant.

    Args:
      warning: its text.

    Returns:
      The file that was removed; None where the warning is of something else, or the folder is not ours.
    """
    found, folder = _DAMAGED.search(warning), _own_folder()
    if found is None or folder is None or os.environ.get("JAX_COMPILATION_CACHE_DIR") != str(folder):
        return None
    with contextlib.suppress(OSError):
        times = list(folder.glob(f"{glob.escape(found[1])}-*{_TIME}"))
        last = max(times, key=lambda path: int.from_bytes(path.read_bytes(), "little"), default=None)
        if last is not None:
            entry = last.with_name(last.name.removesuffix(_TIME) + _ENTRY)
            entry.unlink()
            last.unlink()
            return entry
    return None


def programs_folder() -> Path | None:
    """Where programs of encoders are kept, see `jaxret.retrieval.Retriever.open`; None where they are not.

    It lies in the folder of `keep_compiled_programs`, also where JAX was told another one.
    """
    if (folder := _own_folder()) is None:
        return None
    folder = folder / "programs"
    return folder if _is_ours(folder) else None


def _own_folder() -> Path | None:
    wish = os.environ.get(SWITCH, "")
    if wish.lower() == "off":
        return None
    whole = Path(wish) if wish else user_cache() / "jaxret" / "compiled"
    folder = whole / _processor()
    return folder if _is_ours(folder) and not _may_be_replaced_in(whole) else None


def _may_be_replaced_in(folder: Path) -> bool:
    """Whether anybody can put another folder in the place of one in it: all may write it, and it has no sticky bit."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def _remove_half_written(folder: Path) -> None:
    """Remove entries without their time: while there is one, JAX keeps nothing more, and warns of each program."""
    with contextlib.suppress(OSError):
        names = set(os.listdir(folder))
        for name in names:
            if not name.endswith(_ENTRY) or name.removesuffix(_ENTRY) + _TIME in names:
                continue
            if time.time() - (folder / name).stat().st_mtime > _WRITTEN_WITHIN:  # no command is about to write it
                (folder / name).unlink(missing_ok=True)


def _processor() -> str:
    """A name for this kind of processor and the cores that may be used.

    Programs are compiled for the instructions that it has, and their operations shared among as many threads as there
    are cores. JAX looks at neither: a program that was compiled for one core would run on one ever after.
    """
    machine = os.uname().machine
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = [machine, str(cores)]
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        kinds = ("model name", "flags", "Features", "CPU part")
        told += sorted({line for line in lines if line.startswith(kinds)})
    return f"{machine}-{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"


def _is_ours(folder: Path) -> bool:
    """Whether the folder, made if need be, can be written by this user, and by no other."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return False
    ours = found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return ours and os.access(folder, os.W_OK | os.X_OK)
