"""Writes `benchmarks/results/<name>.json`: what was run, on what, and flat rows of figures.

`render_tables.py` turns these files into the README's tables; nothing else writes numbers there.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "describe_machine", "row", "write_results"]

RESULTS = Path(__file__).parent / "results"
_ROOT = Path(__file__).parent.parent


def row(
    *,
    data: str,
    method: str,
    metric: str,
    value: float,
    setting: str | None = None,
    seed: int | None = None,
    paper_value: float | None = None,
    paper_data: str | None = None,
) -> dict[str, Any]:
    """One figure; what does not apply is left out."""
    fields = {
        "data": data,
        "method": method,
        "metric": metric,
        "value": value,
        "setting": setting,
        "seed": seed,
        "paper_value": paper_value,
        "paper_data": paper_data,
    }
    return {name: field for name, field in fields.items() if field is not None}


def describe_machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory and system."""
    model, memory = platform.processor(), None
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = round(pages / 2**30, 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": model, "cores": cores, "memory_gib": memory, "system": platform.platform(terse=True)}


def write_results(name: str, rows: Iterable[Mapping[str, Any]], *, packages: Sequence[str] = ()) -> Path:
    """Write the file of benchmark `name`, replacing an older one at once.

    Args:
      name: such as `speed_hamming`.
      rows: from `row`, or flat dicts of the same shape.
      packages: distributions whose versions matter, beside numpy and jaxret.
    """
    versions = {"python": platform.python_version()}
    for package in ("jaxret", "numpy", *packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    content = {
        "command": "python " + shlex.join([os.path.relpath(sys.argv[0], _ROOT), *sys.argv[1:]]),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": versions,
        "rows": list(rows),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def _commit() -> str:
    """The commit of the code that ran, with `+` where the working tree differs from it."""
    git = ["git", "-C", str(_ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
