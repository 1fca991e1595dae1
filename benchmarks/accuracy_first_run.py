"""The training that runs without arguments: what it finds, and what it costs.

`python -m jaxret.train` is run as a user runs it, once a seed, in a process of its own and without a cache of compiled
programs; figures are those of its `figures.json`. Every test clip of the moving digits is a query against all others,
those of its own source left out, and the trained encoder stands beside what must be worse: itself without the order of
frames, itself before training, and the mean of the pixels. Time is that of the processor, user and system, over all
cores, from the start of the process to its end, and that of the clock.

The settings were chosen on validation clips, by classes trained on and by a third of the training classes that were
kept out of those trainings; nothing was chosen by figures of test clips.

    python benchmarks/accuracy_first_run.py             # seeds 0 to 2, some minutes each
    python benchmarks/accuracy_first_run.py --seeds 0   # one of them, printed and not written

Finished trainings are kept under --work and not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.spread import spread

from jaxret.files import write_atomically

DATA = "moving digits, 80 classes, 20 of them not trained on"
METRICS = ("P@5", "mAP")


def train(seed: int, run: Path) -> dict[str, float]:
    """Train in `run`, and return what it cost; the figures are in the folder."""
    cost = run.with_suffix(".json")
    if not cost.exists():
        shutil.rmtree(run, ignore_errors=True)
        command = [sys.executable, "-m", "jaxret.train", "--seed", str(seed), "--out", str(run), "--quiet"]
        environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
        environment["JAXRET_COMPILATION_CACHE"] = "off"
        before, start = _processor_seconds(), time.perf_counter()
        subprocess.run(command, env=environment, check=True)
        spent = {"CPU-seconds": _processor_seconds() - before, "seconds": time.perf_counter() - start}
        with write_atomically(cost) as partial:
            partial.write_text(json.dumps(spent) + "\n", encoding="utf-8")
    return json.loads(cost.read_text(encoding="utf-8"))


def _processor_seconds() -> float:
    """User and system time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the figures, and write them where all seeds are run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/accuracy_first_run"), help="keeps the run folders")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        run = args.work / f"seed-{seed}"
        cost = train(seed, run)
        figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
        for method, groups in figures.items():
            for group in ("seen", "unseen"):
                shown = {f"{metric}, {group}": groups[group][metric] for metric in METRICS}
                rows += results_file.rows_of(DATA, method, shown, seed=seed)
        rows += results_file.rows_of("the whole run", "python -m jaxret.train", cost, seed=seed)
    table: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        table.setdefault((row["method"], row["metric"]), []).append(row["value"])
    for (method, metric), values in table.items():
        print(f"{method:<24} {metric:<14} {np.mean(values):.3f} ± {spread(values):.3f}")
    if args.seeds == parser.get_default("seeds"):
        print(results_file.write("accuracy_first_run", rows, ["jax", "flax", "scikit-learn"]))


if __name__ == "__main__":
    main()
