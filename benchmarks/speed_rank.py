"""The map of speeds: every search beside its peers, from one query to a thousand, at every instruction set.

    pip install -e '.[bench]'
    python benchmarks/speed_rank.py --matrix                        # an hour and a half; goes on where it stopped
    python benchmarks/speed_rank.py --kernels hamming --levels avx2
    python benchmarks/speed_rank.py --levels avx2 --runs 2          # each cell twice; the shorter times count
    python benchmarks/speed_rank.py --kernels hamming --peers faiss # in cells where another peer would take hours
    python benchmarks/speed_rank.py --quick                         # minutes, the cheap cells only; writes no file

A cell is a kernel (Hamming, Euclidean, cosine, PAR, DTW), a gallery, a number of queries and an instruction set;
"index-uniform" and "index-clustered" are hash tables of such codes, whose peer is our own scan of all codes. Ours is
held to the set by JAXRET_SIMD, faiss by FAISS_SIMD_LEVEL, NumPy by NPY_DISABLE_CPU_FEATURES, and OpenBLAS, which they
and scikit-learn use, by OPENBLAS_CORETYPE; each is asked what it took, and nothing is measured where that is another.
usearch and numba take what the processor has. faiss's lowest level counts bits by an instruction that our "portable"
does without: its like is "sse4". Ours and the peers run in turn, short calls several times in each. On one thread the
median of a turn's calls and the shortest of the turns counts, in processor time, which a busy machine stretches less;
of several threads the shortest call, of every second number of queries, after those of the method before have come to
rest, and without the cells in which a peer took longer than on one, or other programs had more than 3 % of the
processors: these are left to the next call. All are exact, and compared in the same run. A peer that took longer for
fewer queries of the same items than another takes for all of them is not tried.

Cells are kept in runs/speed_rank. From them come benchmarks/results/speed_rank_cells.json, every time in
nanoseconds a query; speed_rank.json, the worst cell and the median of each level; and the maps, red below 1. A call
replaces in the files what it has measured, on a processor of this kind, and leaves the rest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.paths import RESULTS
from common.timing import disturbed, with_share_of_others
from studies.rank_speed.cells import KERNELS, LEVELS, Cell, Limits, cells
from studies.rank_speed.levels import LevelError, environment, require
from studies.rank_speed.maps import draw
from studies.rank_speed.measuring import fastest_peer, measure
from studies.rank_speed.searches import PACKAGES, PEERS, Items

from jaxret.rank import available_simd_levels

WORK = Path("runs/speed_rank")
OTHERS = 0.03  # share of the processors that other programs may have while several threads are timed


def main() -> None:
    """Measures what is not measured yet, a process a level; draws maps and writes results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrix", action="store_true", help="all kernels, levels and one and two threads")
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=list(KERNELS))
    parser.add_argument("--levels", nargs="+", choices=available_simd_levels(), default=list(available_simd_levels()))
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    names = sorted({name for peers in PEERS.values() for name in peers})
    parser.add_argument(
        "--peers", nargs="+", choices=names, default=names, help="that are timed; the others are left out"
    )
    parser.add_argument("--seconds", type=float, default=0.2, help="for each cell")
    parser.add_argument("--gallery-bytes", type=float, default=330e6, help="larger cells are left out")
    parser.add_argument("--work", type=float, default=1.1e9, help="pairs of words in a cell; larger ones are left out")
    parser.add_argument("--runs", type=int, default=1, help="of each cell, those that are kept included")
    parser.add_argument("--quick", action="store_true", help="cheap cells, no file")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write what is kept")
    options = parser.parse_args()
    if options.matrix:
        options.kernels, options.levels, options.threads = list(KERNELS), list(available_simd_levels()), [1, 2]
    if options.quick:
        options.gallery_bytes, options.work, options.seconds = 3e6, 2e7, 0.02
    if level := os.environ.get("JAXRET_SIMD"):
        try:
            require(level)
        except LevelError as error:
            raise SystemExit(str(error)) from None
        measure_level(level, options)
        return
    if unmatched := [kernel for kernel in options.kernels if not PEERS[kernel].keys() & set(options.peers)]:
        parser.error(f"none of the peers knows {', '.join(unmatched)}")
    missing = set(PACKAGES) - results_file.versions_of(PACKAGES).keys()
    if missing and not (options.quick or options.report_only):
        parser.error(f"peers are not installed: {', '.join(sorted(missing))}")
    for level in [] if options.report_only else options.levels:
        command = [sys.executable, *sys.argv]
        subprocess.run(command, env=os.environ | environment(level), check=True)
    if not options.quick:
        write({cell: seconds for level in LEVELS for cell, seconds in shortest(runs_of(level)).items()})


def measure_level(level: str, options: argparse.Namespace) -> None:
    """Measures the cells of this process's level that were not measured often enough yet."""
    kept = [] if options.quick else runs_of(level)
    runs = Counter(cell for cell, _ in kept)
    limits = Limits(options.gallery_bytes, options.work)
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / f"{level}.jsonl").open("a", encoding="utf-8") as file:
        for run, kernel, threads in itertools.product(range(options.runs), options.kernels, options.threads):
            left = [cell for cell in cells(kernel, level, threads, limits) if runs[cell] <= run]
            for (count, width), group in itertools.groupby(left, lambda cell: (cell.items, cell.width)):
                items = Items(kernel, count, width)
                for cell in group:
                    call = partial(measure, cell, items, options.seconds, with_fewer_queries(cell, kept), options.peers)
                    times, others = with_share_of_others(call)
                    print(f"{level:13} {kernel:9} {threads} x {count:>10,} x {width:4}, {cell.queries:4} queries, "
                          f"top {cell.k:4}: {ratio_of(times):6.2f}", flush=True)  # fmt: skip
                    if threads > 1 and others > OTHERS:
                        print(f"  not kept: other programs had {others:.0%} of the processors", flush=True)
                        continue
                    kept.append((cell, times))
                    if not options.quick:
                        file.write(json.dumps({"cell": asdict(cell), "seconds": times}) + "\n")
                        file.flush()


def runs_of(level: str) -> list[tuple[Cell, dict[str, float]]]:
    """The kept runs of a level's cells: the seconds of each method."""
    path = WORK / f"{level}.jsonl"
    lines = map(json.loads, path.read_text("utf-8").splitlines() if path.exists() else ())
    return [(Cell(**line["cell"]), line["seconds"]) for line in lines]


def shortest(runs: Sequence[tuple[Cell, dict[str, float]]]) -> dict[Cell, dict[str, float]]:
    """Of each cell's runs the shortest seconds of each method."""
    found: dict[Cell, dict[str, float]] = {}
    for cell, seconds in runs:
        best = found.setdefault(cell, {})
        best |= {name: min(time, best.get(name, np.inf)) for name, time in seconds.items()}
    return found


def with_fewer_queries(cell: Cell, runs: Sequence[tuple[Cell, dict[str, float]]]) -> dict[str, float]:
    """The seconds of each method for as many of the same items with fewer queries, the most that it was tried with."""
    fewer = shortest([run for run in runs if replace(run[0], queries=cell.queries) == cell])
    found: dict[str, float] = {}
    for other in sorted(fewer, key=lambda other: other.queries):
        if other.queries < cell.queries:
            found |= fewer[other]
    return found


def undisturbed(measured: Mapping[Cell, dict[str, float]]) -> dict[Cell, dict[str, float]]:
    """All but the cells of several threads in which the fastest peer took longer than one does on one."""
    alone = {cell: fastest_peer(seconds) for cell, seconds in measured.items() if cell.threads == 1}
    return {
        cell: seconds
        for cell, seconds in measured.items()
        if not disturbed(fastest_peer(seconds), alone.get(replace(cell, threads=1), np.inf))
    }


def ratio_of(seconds: Mapping[str, float]) -> float:
    """How many times faster than the fastest peer."""
    return fastest_peer(seconds) / seconds["jaxret"]


def write(measured: Mapping[Cell, dict[str, float]]) -> None:
    """All times, the maps, and the summary of the kernels and levels that were measured."""
    processor = results_file.processor_name()
    path = RESULTS / "speed_rank_cells.json"
    published = json.loads(path.read_text("utf-8")) if path.exists() else []
    here = dict(map(cell_of, (line for line in published if line["processor"] == processor)))
    here = undisturbed({**here, **measured})
    ratios = {cell: ratio_of(seconds) for cell, seconds in here.items()}
    for threads in sorted({cell.threads for cell in ratios}):
        draw(processor, ratios, threads)
    rows = list(summary(processor, ratios, {(cell.kernel, cell.threads, cell.level) for cell in measured}))
    for entry in rows:
        print(f"{entry['data']}, {entry['setting']}: {entry['metric']} {entry['value']}")
    lines = [line for line in published if line["processor"] != processor]
    lines += [line_of(processor, cell, seconds) for cell, seconds in here.items()]
    path.write_text("[\n" + ",\n".join(map(json.dumps, lines)) + "\n]\n", encoding="utf-8")
    print("wrote", results_file.update("speed_rank", rows, PACKAGES))


def line_of(processor: str, cell: Cell, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What is published of a cell: nanoseconds a query."""
    times = {name: round(time / cell.queries * 1e9) for name, time in seconds.items()}
    return {"processor": processor, **asdict(cell), **times}


def cell_of(line: Mapping[str, Any]) -> tuple[Cell, dict[str, float]]:
    """The published cell and its seconds."""
    names = {field.name for field in fields(Cell)}
    cell = Cell(**{name: line[name] for name in names})
    others = line.keys() - names - {"processor"}
    return cell, {name: line[name] * cell.queries / 1e9 for name in line if name in others}


def summary(
    processor: str, ratios: Mapping[Cell, float], measured: Collection[tuple[str, int, str]]
) -> Iterator[dict[str, Any]]:
    """The worst cell, the median and the share below 1, of each measured kernel, number of threads and level."""
    for kernel, threads, level in itertools.product(KERNELS, (1, 2), LEVELS):
        own = [r for c, r in ratios.items() if (c.kernel, c.threads, c.level) == (kernel, threads, level)]
        if own and (kernel, threads, level) in measured:
            slower = 100 * float(np.mean(np.array(own) < 1))
            figures = {"worst cell": min(own), "median cell": float(np.median(own)), "cells below 1, %": slower}
            data = f"{kernel}, {threads} thread{'s' if threads > 1 else ''}"
            yield from results_file.rows_of(data, processor, figures | {"cells": len(own)}, setting=level)


if __name__ == "__main__":
    main()
