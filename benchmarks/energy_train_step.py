"""The training step of every recipe that trains by gradients, beside PyTorch: processor time, and that of the clock.

    pip install -e '.[bench]' torch
    python benchmarks/energy_train_step.py                     # all, some ten minutes
    python benchmarks/energy_train_step.py c3d "conv-lstm, triplet"   # some; in the result file the other rows stay
    python benchmarks/energy_train_step.py --cores 2 c3d       # on two threads alone, to go on with what was stopped
    python benchmarks/energy_train_step.py --quick deep-hash   # fewer samples; writes no file

Processor time, the seconds of all threads together, stands for energy: a second thread that only waits, spinning,
costs what it costs. Models, objectives, optimisers and batches are the recipes' own, without dropout
(`studies/training_steps.py`); the peers are the usual modules of PyTorch, run eagerly, with the same weights
(`peers/torch_training.py`), the convolutional ones in both layouts, of which the faster counts. Their losses of three
steps are compared in the same run. All sides run in turn in one process that is bound to as many cores as threads, and
glibc keeps the memory that a step frees, as in `jaxret train`. With two threads our side runs both ways that a user
has: one CPU device, whose operations take two threads where XLA makes them, and two devices that share a batch
(`JAX_NUM_CPU_DEVICES=2`). One thread is measured in processor time alone, which other programs stretch less. Where
PyTorch takes a quarter longer on two threads than on one, the machine was busy, and the rows of two threads are left
out. Rows are written after each number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.timing import disturbed, rows_of_child

MARK = 1.0  # times our time, at least, of the faster of PyTorch's layouts
PEER = "PyTorch"
ONE_THREAD = "1 thread"
CONVOLUTIONS = ("cnn-lstm on", "cnn-lstm, end", "moving-digits", "c3d", "conv-lstm")  # of which PyTorch has two layouts
SLOW = ("c3d", "conv-lstm, pretrain", "conv-lstm, triplet")  # seconds a step: as few samples as may be
LEAST_SAMPLES = 3


def measure(threads: int, devices: int, names: list[str], samples: int) -> list[dict[str, Any]]:
    """Rows of one number of threads; this process is bound to as many cores."""
    os.environ["JAX_NUM_CPU_DEVICES"] = str(devices)
    from jaxret.training import keep_freed_memory

    keep_freed_memory()  # before anything begins threads
    import torch
    from studies.training_steps import STEPS

    torch.set_num_threads(threads)
    cores = ONE_THREAD if threads == 1 else f"{threads} threads, {devices} device{'s' if devices > 1 else ''}"
    rows: list[dict[str, Any]] = []
    for name in names:
        step = STEPS[name]()
        sides = {"jaxret": step.ours(), PEER: step.in_torch()}
        if name.startswith(CONVOLUTIONS):
            sides[f"{PEER}, channels last"] = step.in_torch(channels_last=True)
        print(f"\n{name}: {step.what}, {cores}")
        check_losses(name, sides)
        rows += _compare(f"{name}: {step.what}", cores, sides, LEAST_SAMPLES if name in SLOW else samples)
    return rows


def check_losses(name: str, sides: dict[str, Any]) -> None:
    """Refuses sides whose losses of the first three steps differ."""
    losses = {method: [side() for _ in range(3)] for method, side in sides.items()}
    expected = losses["jaxret"]
    for method, found in losses.items():
        if not all(abs(a - b) <= 1e-3 * max(abs(b), 1e-3) for a, b in zip(found, expected, strict=True)):
            raise SystemExit(f"{name}: the losses of {method}, {found}, differ from ours, {expected}")
    print(f"  losses of three steps: {', '.join(f'{loss:.5f}' for loss in expected)}, alike for all")


def _compare(name: str, cores: str, sides: dict[str, Any], samples: int) -> list[dict[str, Any]]:
    from common.results_file import rows_of
    from common.timing import in_turn, ratio

    times = in_turn(sides, samples)
    compared = times if cores != ONE_THREAD else {method: timing.of_processor for method, timing in times.items()}
    fastest = min((method for method in sides if method != "jaxret"), key=lambda method: compared[method].median)
    ours, theirs = times["jaxret"], times[fastest]
    found = {
        "jaxret, processor ms": ours.of_processor.median * 1e3,
        "PyTorch, processor ms": theirs.of_processor.median * 1e3,
        "times jaxret's processor time": ratio(theirs.of_processor, ours.of_processor),
    }
    if cores != ONE_THREAD:
        found |= {
            "jaxret, ms": ours.median * 1e3,
            "PyTorch, ms": theirs.median * 1e3,
            "times jaxret's time": ratio(theirs, ours),
        }
    for metric, value in found.items():
        missed = f", mark {MARK:g} MISSED" if metric.startswith("times") and value < MARK else ""
        print(f"  {metric}: {value:.3g}{missed}", flush=True)
    return rows_of("a training step", cores, found, setting=name)


def step_of(row: dict[str, Any]) -> str:
    """The step's name, without its sizes."""
    return row["setting"].partition(": ")[0]


def undisturbed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows but those of a step on several threads for which PyTorch took longer than a core's time on one."""
    alone = {row["setting"]: row["value"] for row in rows
             if (row["method"], row["metric"]) == (ONE_THREAD, f"{PEER}, processor ms")}  # fmt: skip
    peers = [row for row in rows if row["metric"] == f"{PEER}, ms" and row["method"] != ONE_THREAD]
    busy = {(row["setting"], row["method"]) for row in peers if disturbed(row["value"], alone[row["setting"]])}
    for setting, cores in sorted(busy):
        print(f"\nleft out, for the machine was busy: {setting}, {cores}")
    return [row for row in rows if (row["setting"], row["method"]) not in busy]


def stored_of_one_thread(path: Path, processor: str) -> list[dict[str, Any]]:
    """The rows of one thread that a result file holds of a processor; none where there is no file."""
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    own = {call["id"] for call in content["calls"] if call["machine"]["processor"] == processor}
    return [row for row in content["rows"] if row["method"] == ONE_THREAD and row["call"] in own]


def main() -> None:
    """Measures, prints, and without --quick puts the rows into benchmarks/results/energy_train_step.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of recipes' steps (default: all)")
    parser.add_argument("--samples", type=int, default=7, help=f"at least {LEAST_SAMPLES}; of slow steps no more")
    parser.add_argument("--quick", action="store_true", help=f"{LEAST_SAMPLES} samples, no file")
    parser.add_argument("--cores", type=int, choices=(1, 2), help="one number of threads (default: both)")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # what the child processes are told
    parser.add_argument("--devices", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    samples = LEAST_SAMPLES if arguments.quick else arguments.samples
    if samples < LEAST_SAMPLES:
        parser.error(f"--samples must be at least {LEAST_SAMPLES}, got {samples}")
    from studies.training_steps import STEPS

    if unknown := sorted(set(arguments.names) - set(STEPS)):
        parser.error(f"no step {unknown[0]!r}: choose from {', '.join(STEPS)}")
    names = arguments.names or list(STEPS)
    if arguments.threads:
        rows = measure(arguments.threads, arguments.devices, names, samples)
        print(json.dumps(rows), file=sys.stderr)
        return
    from common import results_file

    path = results_file.RESULTS / "energy_train_step.json"
    rows = stored_of_one_thread(path, results_file.processor_name()) if arguments.cores == 2 else []
    if arguments.cores == 2 and (missing := sorted(set(names) - set(map(step_of, rows)))):
        parser.error(f"--cores 2 goes on from one thread on this processor, not measured yet: {', '.join(missing)}")
    for threads, devices in ((1, 1), (2, 1), (2, 2)):
        if arguments.cores in (None, threads) and threads <= len(os.sched_getaffinity(0)):
            measured = rows_of_child(__file__, threads, "--devices", str(devices), "--samples", str(samples), *names)
            rows = undisturbed([*rows, *measured])
            if not arguments.quick:
                fresh = [row for row in rows if "call" not in row]
                packages = ["jax", "jaxlib", "flax", "torch"]
                print("\nwrote", results_file.update("energy_train_step", fresh, packages))


if __name__ == "__main__":
    main()
