"""A training step of a ConvLSTM model on the CPU beside Keras 3 on JAX and PyTorch.

    pip install -e '.[bench]' torch
    python benchmarks/speed_train_step.py              # some 20 minutes
    python benchmarks/speed_train_step.py 2-threads    # one part; in the result file the other rows stay
    python benchmarks/speed_train_step.py --quick      # the smallest size, fewer samples; writes no file

Two ConvLSTMs of 64 channels, windows of 3 x 3, and a 1 x 1 convolution; forward, backward and the update of SGD with
momentum (`peers/conv_lstm_peers.py`). All sides begin with the same weights and do the same steps on the same batch;
that their losses of three steps agree is checked in the same run. They are timed in turn in one process, which is bound
to as many cores as threads. Ours is the step that training runs, `jaxret.training.make_train_step`, on as many CPU
devices (`JAX_NUM_CPU_DEVICES`), which share the clips of a batch.

Keras is timed with its layers' `unroll=True`. Without, which is its default, XLA computes the gradients of the kernels
inside of a loop, tens of times slower; that is timed once, at the smallest size. PyTorch's cell is the usual one
(`torch.nn.Conv2d` in a loop), run eagerly; its faster layout counts. `torch.compile` took a minute and a half to
compile the smallest size and gained 3 %: it is left out.

`jaxret train` has glibc keep the memory that a step frees (`jaxret.training.keep_freed_memory`); without, every step
asks the system for it anew, page by page. Here all sides run in such a process. The rows "memory given back" are
without, for all sides as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from common.timing import in_turn, ratio, rows_of_child

CHANNELS = 64
SIZES = ((4, 8, 32), (8, 8, 32))  # clips of a batch, frames, side
LARGEST = (4, 16, 64)
PEERS = ("Keras 3 on JAX, unrolled", "PyTorch")
MARK = 2.0  # times as fast as either, at least
PARTS: dict[str, tuple[Any, ...]] = {  # threads, and options of the child
    "1-thread": (1,),
    "2-threads": (2,),
    "slow": (1, "--slow"),
    "memory-given-back": (1, "--give-back"),
}


def measure(threads: int, *, quick: bool, slow: bool, keep: bool) -> list[dict[str, Any]]:
    """Rows of one number of threads; this process is bound to as many cores.

    Args:
      threads: of all sides.
      quick: the smallest size alone, fewer samples.
      slow: what takes minutes alone: the largest size, and Keras' loop at the smallest.
      keep: the process keeps freed memory.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["JAX_NUM_CPU_DEVICES"] = str(threads)
    from jaxret.training import keep_freed_memory

    if keep:
        keep_freed_memory()  # before anything begins threads
    import numpy as np
    import torch
    from peers import conv_lstm_peers as peers

    torch.set_num_threads(threads)
    setting = f"{threads} thread{'s' if threads > 1 else ''}{'' if keep else ', memory given back'}"
    rng = np.random.default_rng(0)

    def model_and_batch(batch: int, frames: int, side: int) -> tuple[peers.Model, np.ndarray, np.ndarray]:
        shape = (batch, frames, side, side, 3)
        return peers.Model(CHANNELS), rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)

    rows: list[dict[str, Any]] = []
    for batch, frames, side in (LARGEST,) if slow else SIZES[:1] if quick else SIZES:
        arrays = model_and_batch(batch, frames, side)
        steps: dict[str, Callable[[], float]] = {
            "jaxret": peers.jaxret_step(*arrays),
            "Keras 3 on JAX, unrolled": peers.keras_step(*arrays, unroll=True),
            "PyTorch": peers.torch_step(*arrays),
            "PyTorch, channels last": peers.torch_step(*arrays, channels_last=True),
        }
        data = _words(batch, frames, side)
        print(f"\n{data}, {setting}")
        _check_losses(data, steps)
        rows += _compare(data, setting, steps, samples=3 if quick or side > 32 else 9)
    if slow:
        arrays = model_and_batch(*SIZES[0])
        steps = {"jaxret": peers.jaxret_step(*arrays), "Keras 3 on JAX": peers.keras_step(*arrays, unroll=False)}
        rows += _compare(_words(*SIZES[0]), setting, steps, samples=1)[2:]
    return rows


def _words(batch: int, frames: int, side: int) -> str:
    return f"{batch} clips of {frames} x {side} x {side}, 2 x {CHANNELS} channels"


def _check_losses(data: str, steps: dict[str, Callable[[], float]]) -> None:
    """Refuses sides whose losses of the first three steps differ."""
    losses = {method: [step() for _ in range(3)] for method, step in steps.items()}
    expected = losses["jaxret"]
    for method, found in losses.items():
        difference = max(abs(a - b) / b for a, b in zip(found, expected, strict=True))
        if not difference < 1e-5:
            raise SystemExit(f"{data}: the losses of {method}, {found}, differ from ours, {expected}")
    print(f"  losses of three steps: {', '.join(f'{loss:.6f}' for loss in expected)}, alike for all")


def _compare(data: str, setting: str, steps: dict[str, Callable[[], float]], samples: int) -> list[dict[str, Any]]:
    from common.results_file import row

    times = in_turn(steps, samples)
    rows = []
    for method, timing in times.items():
        rows.append(row(data, method, "ms a step", timing.median * 1e3, setting=setting))
        line = f"  {method:26} {timing.median * 1e3:9.1f} ms ±{timing.spread:.0%}"
        if method != "jaxret":
            faster = ratio(timing, times["jaxret"])
            rows.append(row(data, method, "times jaxret's time", faster, setting=setting))
            line += f"  {faster:.2f} of our time"
        print(line, flush=True)
    for peer in PEERS:
        of_peer = [method for method in times if method.startswith(peer)]
        if of_peer:
            faster = min(ratio(times[method], times["jaxret"]) for method in of_peer)
            print(f"  mark: {MARK:g} times as fast as {peer}, got {faster:.2f}{'' if faster >= MARK else ', MISSED'}")
    return rows


def main() -> None:
    """Measures, prints, and without --quick puts the rows into benchmarks/results/speed_train_step.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="what to measure (default: all)")
    parser.add_argument("--quick", action="store_true", help="the smallest size, fewer samples, no file")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # what the child processes are told
    parser.add_argument("--slow", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--give-back", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"no part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    if arguments.threads:
        rows = measure(arguments.threads, quick=arguments.quick, slow=arguments.slow, keep=not arguments.give_back)
        print(json.dumps(rows), file=sys.stderr)
        return
    rows, quick = [], ["--quick"] if arguments.quick else []
    for part in arguments.parts or PARTS:
        threads, *options = PARTS[part]
        if threads <= len(os.sched_getaffinity(0)):
            rows += rows_of_child(__file__, threads, *options, *quick)
    if not arguments.quick:
        from common import results_file

        packages = ["jax", "jaxlib", "flax", "keras", "torch"]
        print("\nwrote", results_file.update("speed_train_step", rows, packages))


if __name__ == "__main__":
    main()
