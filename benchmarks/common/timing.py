"""Fair timing: the functions to compare run in turn in one process, so that a busy moment hits all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLE_SECONDS = 0.05
SETTLE_SECONDS = 0.1  # thread pools (OpenBLAS, onnxruntime, OpenMP) spin for a while after their last call
DISTURBED = 1.25  # times the time on one thread: the threads waited for something else


@dataclass(frozen=True)
class Timing:
    """Seconds a call, over several samples.

    Attributes:
        samples: seconds of each sample, in the order they were taken.
        calls: calls that one sample averaged over.
        processor: processor seconds of each sample, all threads of this process together.
    """

    samples: tuple[float, ...]
    calls: int
    processor: tuple[float, ...] = ()

    @property
    def of_processor(self) -> Timing:
        """The same of processor seconds."""
        return Timing(self.processor, self.calls)

    @property
    def median(self) -> float:
        """The middle sample."""
        return float(np.median(self.samples))

    @property
    def best(self) -> float:
        """The fastest sample."""
        return min(self.samples)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        low, high = np.percentile(self.samples, [25, 75])
        return float((high - low) / 2 / self.median)


def in_turn(functions: Mapping[str, Callable[[], Any]], samples: int = 7) -> dict[str, Timing]:
    """Times each function `samples` times, one after another in each round, after one warm-up call each.

    A sample repeats its function until it has lasted at least 50 ms. Before each there is a pause, or the threads of
    the function before would still spin and take a core from this one, and one call that does not count: measured is
    steady work, not the return to caches and memory that another function has used.
    """
    calls, taken, worked = {}, {name: [] for name in functions}, {name: [] for name in functions}
    for name, function in functions.items():
        function()
        start = time.perf_counter()
        function()
        calls[name] = max(1, int(np.ceil(SAMPLE_SECONDS / max(time.perf_counter() - start, 1e-9))))
    for _ in range(samples):
        for name, function in functions.items():
            time.sleep(SETTLE_SECONDS)
            function()
            start, processor = time.perf_counter(), time.process_time()
            for _ in range(calls[name]):
                function()
            taken[name].append((time.perf_counter() - start) / calls[name])
            worked[name].append((time.process_time() - processor) / calls[name])
    return {name: Timing(tuple(taken[name]), calls[name], tuple(worked[name])) for name in functions}


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times faster `fast` is: the median over the rounds of the ratio within a round."""
    return float(np.median(np.array(slow.samples) / np.array(fast.samples)))


def disturbed(seconds: float, alone: float) -> bool:
    """Whether a time on several threads is of a machine that was busy, and no time to compare with.

    Args:
      seconds: of the fastest peer, on several threads.
      alone: of the fastest peer for the same, on one.
    """
    return seconds > DISTURBED * alone


def with_share_of_others(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and which share of all processor time other programs had meanwhile; 0 but on Linux."""
    start, others = time.perf_counter(), _seconds_of_others()
    returned = function()
    others = _seconds_of_others() - others
    return returned, others / (time.perf_counter() - start) / (os.cpu_count() or 1)


def _seconds_of_others() -> float:
    """Processor seconds of other programs since the machine began, and those that its host took from it."""
    if not sys.platform.startswith("linux"):
        return 0.0
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, interrupts, soft, stolen = map(int, file.readline().split()[1:9])
    ticks = user + nice + system + interrupts + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()


def _kept_programs(threads: int) -> dict[str, str]:
    """The variable that names the folder of compiled programs, where it is set."""
    name = "JAX_COMPILATION_CACHE_DIR"
    folder = os.environ.get(name)
    return {name: os.path.join(folder, f"threads-{threads}")} if folder else {}


def rows_of_child(script: str, threads: int, *options: str) -> list[dict[str, Any]]:
    """The rows of `script --threads N OPTIONS`, run in a process of its own that is bound to as many cores.

    The script prints them as JSON, the last line on its standard error. Programs that JAX keeps are those of as many
    threads: it would give a process on two cores what was compiled for one, which runs on one.

    Raises:
      SystemExit: it failed; the message is what it wrote there.
    """
    cores = os.sched_getaffinity(0)
    # A process starts with the cores of the thread that starts it, and JAX with as many threads as it has cores.
    os.sched_setaffinity(0, sorted(cores)[-threads:])
    try:
        command = [sys.executable, script, "--threads", str(threads), *options]
        child = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=os.environ | _kept_programs(threads))
    finally:
        os.sched_setaffinity(0, cores)
    if child.returncode:
        raise SystemExit(child.stderr)
    return json.loads(child.stderr.splitlines()[-1])
