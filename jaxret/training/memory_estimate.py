"""What a training step will need of the device's memory, known before it runs, and a refusal where that is too much.

The figures are those of XLA's own buffer assignment for the compiled step (`memory_analysis`), which is where the
memory will be taken; compiling is needed for training anyway. A sum over the shapes of activations was no substitute:
XLA fuses away most of them, and keeps others for the gradient. `benchmarks/conv_lstm_memory.py` compares with what is
measured.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import psutil

from jaxret.errors import ConfigError
from jaxret.plain_text import counted
from jaxret.preprocessing import Preprocessing
from jaxret.training.host_memory import give_back_memory

__all__ = ["MemoryEstimate", "available_memory", "check_memory", "check_pixels", "compile_step"]


@dataclasses.dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on each device during a training step.

    Attributes:
      parameters: numbers that training changes.
      state: bytes of parameters, statistics and the optimiser's state; the step changes them in place.
      batch: bytes of one batch.
      work: bytes of activations, gradients and everything else between.

    Example:
      >>> print(MemoryEstimate(parameters=1_000_000, state=8_000_000, batch=500_000, work=91_500_000))
      1.00 million parameters; a training step takes 0.10 GB: state 0.01, batch 0.00, activations and gradients 0.09
    """

    parameters: int
    state: int
    batch: int
    work: int

    @property
    def total(self) -> int:
        """Bytes of all together."""
        return self.state + self.batch + self.work

    @property
    def peak(self) -> int:
        """Bytes to reckon with: the total and what XLA does not count, such as its threads' scratch memory.

        Measured on CPUs, where freed memory is not kept, peaks are 20 to 120 MB, and from half a gigabyte on 4 to 10 %,
        above the total.
        """
        return int(1.1 * self.total) + 50_000_000

    @property
    def further(self) -> int:
        """Bytes of the peak beyond state and batch, which are on the device before a step runs."""
        return self.peak - self.state - self.batch

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.parameters / 1e6:.2f} million parameters; a training step takes {self.total / 1e9:.2f} GB: state "
            f"{self.state / 1e9:.2f}, batch {self.batch / 1e9:.2f}, activations and gradients {self.work / 1e9:.2f}"
        )


def compile_step(step: Any, state: Any, batch: Any) -> tuple[Any, MemoryEstimate]:
    """`step(state, batch)` compiled, which can be called in its place, and what it will take; it does not run.

    Args:
      step: from `jaxret.training.make_train_step`.
      state: a `TrainState`, or its shapes (`jax.eval_shape`).
      batch: arrays or their shapes.
    """
    compiled = step.lower(state, batch).compile()
    give_back_memory()  # what the compiler took is no part of the step
    analysis = compiled.memory_analysis()
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    estimate = MemoryEstimate(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.parameters)),
        state=_bytes_of(state),
        batch=_bytes_of(batch) // jax.device_count(),  # cut evenly
        work=analysis.temp_size_in_bytes + max(0, results),
    )
    return compiled, estimate


def check_memory(estimate: MemoryEstimate, available: int | None = None) -> None:
    """Refuse a training that does not fit, once its state and a batch are on the device.

    Args:
      estimate: of a step.
      available: bytes; None: `available_memory()`. Where that does not know, nothing is refused.

    Raises:
      ConfigError: the step takes more; the message tells how much is left, and what to make smaller.

    Example:
      >>> check_memory(MemoryEstimate(10**6, 10**7, 10**6, 10**9), available=2 * 10**9)
    """
    available = available_memory() if available is None else available
    if available is None or estimate.further <= available:
        return
    if estimate.state > estimate.work:
        largest = "the model (embedding_size, channels)"
    else:
        largest = "the batch, the frames of a clip or their size, or, where the recipe has remat, turn it on"
    raise ConfigError(
        f"a training step takes up to {estimate.peak / 1e9:.2f} GB (state {estimate.state / 1e9:.2f}, batch "
        f"{estimate.batch / 1e9:.2f}, activations and gradients {estimate.work / 1e9:.2f}, and a tenth beside), "
        f"{estimate.further / 1e9:.2f} of them beyond state and batch, and {available / 1e9:.2f} GB are left: make "
        f"smaller {largest}"
    )


def check_pixels(
    preprocessing: Preprocessing, clips: int = 1, *, images: bool = False, available: int | None = None
) -> None:
    """Refuse frames that no memory holds, before anything is read or written.

    Args:
      preprocessing: of the encoder. With `limit` frames are at most as large as their source, and not checked.
      clips: that are in memory at once, at least.
      images: they are of one frame each.
      available: bytes; None: `available_memory()`. Where that does not know, nothing is refused.

    Raises:
      ConfigError: their pixels, a byte for each channel, take more; the message tells what to make smaller.

    Example:
      >>> check_pixels(Preprocessing(height=224, width=224), clips=64)
    """
    available = available_memory() if available is None else available
    frames, height, width = 1 if images else preprocessing.frames, preprocessing.height, preprocessing.width
    taken = clips * frames * height * width * preprocessing.pixel_channels
    if preprocessing.resize == "limit" or available is None or taken <= available:
        return
    names = ["image_size", *(name for name, count in (("frames", frames), ("batch_size", clips)) if count > 1)]
    smaller = " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    what = counted(clips, "image") if images else f"{counted(clips, 'clip')} of {counted(frames, 'frame')}"
    raise ConfigError(
        f"{what} of {height} x {width} pixels would take {taken / 1e9:,.0f} GB, and {available / 1e9:.1f} GB are left: "
        f"make {smaller} smaller"
    )


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a computation on JAX's first device may take; None where that is unknown.

    On a GPU or TPU its limit less what is in use; on a CPU the least of what the system has available and what is left
    of the limits of the process's control groups (containers).

    Args:
      root: where the `proc` and `sys` of Linux are, which tell of control groups; elsewhere there are none.
    """
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        known = device.memory_stats() or {}
        return known["bytes_limit"] - known.get("bytes_in_use", 0) if "bytes_limit" in known else None
    return min([int(psutil.virtual_memory().available), *_left_of_control_groups(root)])


def _bytes_of(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _left_of_control_groups(root: Path) -> list[int]:
    """Limit less use of every control group above the process that has one, of either version; psutil knows none.

    Pages of files that were read count as used there, and are given up when memory is needed.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left = []
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        own = Path(path.lstrip("/"))
        for above in (own, *own.parents):
            try:
                limit, used = ((top / above / name).read_text(encoding="ascii").strip() for name in names)
            except OSError:
                continue
            if limit != "max":
                left.append(max(0, int(limit) - int(used) + _pages_of_files(top / above)))
    return left


def _pages_of_files(group: Path) -> int:
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    sizes = {name: int(size) for name, size in (line.split() for line in lines)}
    total = "total_" if "total_active_file" in sizes else ""  # version 1: with the groups below
    return sum(sizes.get(f"{total}{kind}_file", 0) for kind in ("active", "inactive"))
