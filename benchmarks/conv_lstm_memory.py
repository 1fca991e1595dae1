"""The memory of a training step of M1: what is predicted before it runs, beside what it took on this machine.

    python benchmarks/conv_lstm_memory.py            # some 10 minutes, most of it compiling
    python benchmarks/conv_lstm_memory.py --quick    # two lengths of clips of one size; writes no file

Predicted is `jaxret.training.memory_estimate`: state, batch, and what XLA assigns to everything between. Measured is
the peak of the process's resident memory while two steps run, less its resident memory before them (when state and
batch are there already), plus state and batch: each configuration in a process of its own, whose compiler has given
its memory back. M1 has one block here, of the paper's channels: its maps are the largest, and three take three times
as long to compile. Also predicted, but not run, are the paper's own M1 and M3: 256 x 256, 16 frames, 4,000 numbers a
frame.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FRAMES, SIDES, BATCH = (4, 8, 16), (32, 64, 96), 2
CONFIGURATIONS = [(frames, side, remat) for side in SIDES for frames in FRAMES for remat in (False, True)]


def measure(frames: int, side: int, remat: bool) -> dict[str, float]:
    """Bytes, predicted and measured, of one configuration; this process has done nothing before."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from jaxret.models.conv_lstm.autoencoder import create_autoencoder
    from jaxret.training import OptimiserConfig, ReconstructionObjective, SplitModel, make_optimiser, make_train_step
    from jaxret.training.memory_estimate import compile_step

    sizes = {"height": side, "width": side, "embedding_size": 256, "blocks": 1, "remat": remat}
    split = SplitModel(create_autoencoder("m1", **sizes, rngs=nnx.Rngs(0)))
    optimiser = make_optimiser(OptimiserConfig(algorithm="sgd"), total_steps=10, steps_per_epoch=10)
    state = split.initial_state(optimiser, seed=0)
    batch = {"inputs": jnp.zeros((BATCH, frames, side, side, 3), jnp.uint8)}
    step, estimate = compile_step(make_train_step(split, ReconstructionObjective(), optimiser), state, batch)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = _status("VmRSS")
    for _ in range(2):
        state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
    return {
        "predicted": estimate.total,
        "measured": _status("VmHWM") - before + estimate.state + estimate.batch,
        "state": estimate.state,
    }


def _status(name: str) -> int:
    """Bytes of that line of the process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def full_size(name: str, batch: int) -> Any:
    """The estimate of the paper's own configuration, which is compiled and does not run."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from jaxret.models.conv_lstm.autoencoder import create_autoencoder
    from jaxret.training import OptimiserConfig, ReconstructionObjective, SplitModel, make_optimiser, make_train_step
    from jaxret.training.memory_estimate import compile_step

    split = SplitModel(create_autoencoder(name, remat=True, rngs=nnx.Rngs(0)))
    optimiser = make_optimiser(OptimiserConfig(algorithm="sgd"), total_steps=10, steps_per_epoch=10)
    state = jax.eval_shape(lambda: split.initial_state(optimiser, seed=0))
    clips = {"inputs": jax.ShapeDtypeStruct((batch, 16, 256, 256, 3), jnp.uint8)}
    return compile_step(make_train_step(split, ReconstructionObjective(), optimiser), state, clips)[1]


def draw(points: list[dict[str, Any]]) -> None:
    """Predicted against measured."""
    import matplotlib
    from common.paths import RESULTS

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panel = plt.subplots(figsize=(6, 5), layout="constrained")
    for remat, marker in ((False, "o"), (True, "s")):
        for number, side in enumerate(SIDES):
            chosen = [point for point in points if point["side"] == side and point["remat"] == remat]
            label = f"{side} x {side}, {'remat' if remat else 'all kept'}"
            values = [[point[name] / 1e9 for point in chosen] for name in ("measured", "predicted")]
            panel.plot(*values, marker, color=f"C{number}", fillstyle="none" if remat else "full", label=label)
    most = max(point["measured"] for point in points) * 1.1 / 1e9
    panel.plot([0, most], [0, most], color="grey", linewidth=1)
    panel.set(xlabel="measured peak, GB", ylabel="predicted, GB", title=f"a training step of M1, {BATCH} clips")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    path = RESULTS / "conv_lstm_memory.png"
    figure.savefig(path, dpi=120)
    print("wrote", path)


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/conv_lstm_memory.json and .png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two configurations, no file")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what the child processes are told
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*json.loads(arguments.one))))
        return
    points = []
    for frames, side, remat in [c for c in CONFIGURATIONS if not c[2]][:2] if arguments.quick else CONFIGURATIONS:
        command = [sys.executable, __file__, "--one", json.dumps([frames, side, remat])]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            raise SystemExit(child.stderr)
        point = {"frames": frames, "side": side, "remat": remat, **json.loads(child.stdout.splitlines()[-1])}
        points.append(point)
        data = f"{BATCH} clips of {frames} x {side} x {side}{', remat' if remat else ''}"
        shown = f"predicted {point['predicted'] / 1e9:.3f} GB, measured {point['measured'] / 1e9:.3f}"
        print(f"{data:32} {shown} ({point['predicted'] / point['measured']:.2f} of it)", flush=True)
    if arguments.quick:
        return
    from common import results_file

    rows = []
    for point in points:
        data = (
            f"a training step of M1 (1 block), {BATCH} clips of {point['frames']} x {point['side']} x {point['side']}"
        )
        setting = "remat" if point["remat"] else "all kept"
        for name in ("predicted", "measured"):
            rows.append(results_file.row(data, name, "GB", point[name] / 1e9, setting=setting))
    for name in ("m1", "m3"):
        estimate = full_size(name, 1)
        print(f"{name} of the paper, 1 clip of 16 x 256 x 256, remat: {estimate}", flush=True)
        data = f"the paper's {name.upper()}, 1 clip of 16 x 256 x 256"
        rows.append(results_file.row(data, "predicted", "GB", estimate.total / 1e9, setting="remat"))
        rows.append(results_file.row(data, "predicted", "million parameters", estimate.parameters / 1e6))
    print("wrote", results_file.write("conv_lstm_memory", rows, ["jax", "jaxlib", "flax"]))
    draw(points)


if __name__ == "__main__":
    main()
