"""How many threads a search may use."""

from __future__ import annotations

import functools
import math
import operator
import os
from pathlib import Path


def available_threads() -> int:
    """The threads this process may keep busy: its CPU affinity, cut by the container's CPU limit (cgroup).

    >>> available_threads() >= 1
    True
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _cgroup_cpu_limit()
    return affinity if limit is None else max(1, min(affinity, math.ceil(limit)))


def check_threads(threads: int | None) -> int:
    """The number of threads that an argument `threads` means; None is `available_threads()`.

    Raises:
        TypeError: it is no integer.
        ValueError: it is below 1.
    """
    if threads is None:
        return available_threads()
    if isinstance(threads, bool):
        raise TypeError(f"threads must be an integer or None, got {threads!r}")
    try:
        count = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads must be an integer or None, got {threads!r}") from None
    if count < 1:
        raise ValueError(f"threads must be at least 1, got {count}")
    return min(count, 1024)


def worthwhile_threads(threads: int, seconds: float) -> int:
    """At most `threads`, and few enough that each has work well above the cost of starting it."""
    return max(1, min(threads, int(seconds / 1e-4)))


@functools.cache
def _cgroup_cpu_limit() -> float | None:
    """CPUs that the control group grants (version 2, then version 1), or None where it sets no limit."""
    return cgroup_cpu_limit(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))


def cgroup_cpu_limit(membership: Path, root: Path) -> float | None:
    """The smallest CPU quota from this process's control group up to the root, in CPUs; None without one.

    joblib's `cpu_count` reads the quota at the root alone, so it misses that of a service or of a user's slice.

    `membership` is /proc/self/cgroup, `root` the mounted hierarchy; a file that is missing or unreadable sets
    no limit.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        base = root / controllers if controllers else root
        # Inside a container the hierarchy is often mounted at the group itself: the path may not exist.
        folders = [base, *(base / part for part in _prefixes(path))]
        for folder in folders:
            limit = _quota_v1(folder) if controllers else _quota_v2(folder)
            if limit is not None:
                limits.append(limit)
    return min(limits) if limits else None


def _prefixes(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part and part != ".."]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 and period > 0 else None
    except (OSError, ValueError):
        return None
