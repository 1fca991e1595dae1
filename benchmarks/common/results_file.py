"""The file that a benchmark leaves: benchmarks/results/<name>.json, from which the README's tables are rendered."""

from __future__ import annotations

import datetime
import functools
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from common.paths import RESULTS

import jaxret
from jaxret.files import write_atomically

FOLDERS = ("--work", "--cache")
"""Options of benchmarks that say where work is kept."""


def processor_name() -> str:
    """What the processor calls itself, its family and its model: "AMD EPYC, family 25 model 1" is Zen 3."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    name = facts.get("model name") or platform.processor()
    return f"{name}, family {facts['cpu family']} model {facts['model']}" if "cpu family" in facts else name


@functools.cache  # a call that writes several times is one call, however busy the machine gets
def describe_machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory, system, and how busy the machine was."""
    facts: dict[str, Any] = {"system": platform.platform(), "python": platform.python_version()}
    facts["processor"] = processor_name()
    facts["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = Path("/proc/meminfo")
    if memory.exists():
        facts["memory_gb"] = round(int(memory.read_text().split()[1]) / 2**20, 1)
    facts["load_average"] = round(os.getloadavg()[0], 2)
    return facts


def command() -> str:
    """The command line, without where it keeps its work, which is no part of what was measured."""
    words, arguments = [os.path.relpath(sys.argv[0], RESULTS.parent.parent)], iter(sys.argv[1:])
    for word in arguments:
        if word in FOLDERS:
            next(arguments, None)
        elif not word.startswith(tuple(f"{option}=" for option in FOLDERS)):
            words.append(word)
    return "python " + shlex.join(words)


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """The installed versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@functools.cache  # a result that this program has written since is no change of what it measures with
def commit() -> str:
    """The short hash of the checked-out commit, with "+" where files differ from it; "unknown" outside git."""
    git = ["git", "-C", str(RESULTS.parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def row(
    data: str,
    method: str,
    metric: str,
    value: float,
    *,
    setting: str | None = None,
    seed: int | None = None,
    paper_value: float | None = None,
    paper_data: str | None = None,
) -> dict[str, Any]:
    """One figure, to five digits; what does not apply is left out.

    One of the figures that a training gives epoch by epoch says its `epoch` as well, a field that its program adds.
    """
    fields = {
        "data": data,
        "method": method,
        "metric": metric,
        "value": float(f"{value:.5g}"),
        "setting": setting,
        "seed": seed,
        "paper_value": paper_value,
        "paper_data": paper_data,
    }
    return {name: field for name, field in fields.items() if field is not None}


def rows_of(
    data: str,
    method: str,
    figures: Mapping[str, float],
    *,
    setting: str | None = None,
    seed: int | None = None,
    paper: Mapping[str, float] | None = None,
    paper_data: str | None = None,
) -> list[dict[str, Any]]:
    """A row for each of several figures.

    Args:
        data, method, setting, seed: as for `row`.
        figures: by metric.
        paper: the paper's own, of some of the metrics.
        paper_data: what those are of.
    """
    beside = paper or {}
    return [
        row(
            data,
            method,
            metric,
            value,
            setting=setting,
            seed=seed,
            paper_value=beside.get(metric),
            paper_data=paper_data if metric in beside else None,
        )
        for metric, value in figures.items()
    ]


def write(name: str, rows: Sequence[dict[str, Any]], packages: Sequence[str] = ()) -> Path:
    """Writes benchmarks/results/<name>.json, replacing an older one at once, and returns its path.

    The file holds `calls`, each with its command, commit, date, machine and versions, and `rows`, each with the `id` of
    the call that measured it.

    Args:
        name: such as "speed_rank".
        rows: from `row`.
        packages: distributions whose versions matter, beside jaxret and numpy.
    """
    return _write(name, rows, packages, {"calls": [], "rows": []})


def update(name: str, rows: Sequence[dict[str, Any]], packages: Sequence[str] = ()) -> Path:
    """As `write`, but rows of the old file for which there is no new one stay, and the calls that they are of.

    Rows are of the same figure where all but their values and calls is the same. A call may update several times, and
    give a figure twice where two of its parts measure it: the last stands.
    """
    path = RESULTS / f"{name}.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"calls": [], "rows": []}
    return _write(name, list({_figure_of(one): one for one in rows}.values()), packages, old)


def stored_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a result file, of which a call may have written a part."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def _this_call(packages: Sequence[str]) -> dict[str, Any]:
    """What the figures of this call of a program were measured with."""
    return {
        "command": command(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": {"jaxret": jaxret.__version__, **versions_of(["numpy", *packages])},
    }


def _figure_of(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in ("data", "method", "metric", "setting", "seed", "epoch"))


def _write(name: str, rows: Sequence[dict[str, Any]], packages: Sequence[str], old: dict[str, Any]) -> Path:
    fresh = {_figure_of(one) for one in rows}
    kept = [one for one in old["rows"] if _figure_of(one) not in fresh]
    calls = [call for call in old["calls"] if call["id"] in {one["call"] for one in kept}]
    this = _this_call(packages)
    number = next((call["id"] for call in calls if call == {"id": call["id"], **this}), None)
    if number is None:
        number = max((call["id"] for call in calls), default=0) + 1
        calls.append({"id": number, **this})
    content = {"calls": calls, "rows": [*kept, *({**one, "call": number} for one in rows)]}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    with write_atomically(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path
