"""C3D on the CPU beside onnxruntime and XLA's own 3D convolution: every layer, and the network.

    pip install -e '.[bench]'
    python benchmarks/speed_conv3d.py            # some 3 minutes
    python benchmarks/speed_conv3d.py --quick    # fewer samples; writes no file

All sides hold the same weights (random ones: speed does not depend on them) and run in turn in one process; their
outputs are compared in the same run. A layer is a 3x3x3 convolution with bias and rectifier, and the pooling that
follows it, on the map that it gets in a clip of 16x112x112. conv1a is also timed without its pooling: there the time
is that of fresh memory from the system for a result of 51 MB, which XLA asks for in every call and onnxruntime keeps.
The network goes from a clip's pixels to its 256-d feature: ours takes uint8 frames and
normalises them; onnxruntime gets float frames that are normalised and laid out for it beforehand. "lax" is the same
module with XLA's own convolution and pooling. Each number of threads runs in a process of its own that is bound to as
many cores. A training step stands in energy_train_step.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from common.timing import rows_of_child

FRAMES = 16
SIZE = 112
PEER = "onnxruntime"
MARK = 2.0  # times onnxruntime's time, at most


@contextlib.contextmanager
def plain_lax() -> Iterator[None]:
    """What is traced inside uses XLA's own convolution and pooling, as on a GPU."""
    from jaxret.models.layers import dispatch, max_pooling

    choosers = dispatch.runs_on_cpu, max_pooling.runs_on_cpu
    dispatch.runs_on_cpu = max_pooling.runs_on_cpu = lambda: False
    try:
        yield
    finally:
        dispatch.runs_on_cpu, max_pooling.runs_on_cpu = choosers


class Table:
    """Times functions in turn, prints and keeps the rows."""

    def __init__(self, setting: str, samples: int) -> None:
        self.setting, self.samples = setting, samples
        self.rows: list[dict[str, Any]] = []

    def compare(self, data: str, functions: dict[str, Callable[[], Any]]) -> None:
        """Refuses results that differ from onnxruntime's; adds each method's time and its ratio to onnxruntime's."""
        import numpy as np
        from common.results_file import row
        from common.timing import in_turn, ratio

        print(f"\n{data}, {self.setting}")
        expected = np.asarray(functions[PEER]())
        for method, function in functions.items():
            difference = np.abs(np.asarray(function()) - expected).max() / np.abs(expected).max()
            if not difference < 1e-4:
                raise SystemExit(f"{data}: {method} differs from {PEER} by {difference}")
        times = in_turn(functions, self.samples)
        for method, timing in times.items():
            self.rows.append(row(data, method, "ms", timing.median * 1e3, setting=self.setting))
            line = f"  {method:12} {timing.median * 1e3:8.1f} ms ±{timing.spread:.0%}"
            if method != PEER:
                times_of_peer = ratio(timing, times[PEER])
                self.rows.append(row(data, method, f"times {PEER}'s time", times_of_peer, setting=self.setting))
                line += f"  {times_of_peer:.2f} of {PEER}'s time"
                if method == "jaxret":
                    line += f" (mark: {MARK}{'' if times_of_peer <= MARK else ', MISSED'})"
            print(line, flush=True)


def measure(threads: int, quick: bool) -> list[dict[str, Any]]:
    """Rows of one number of threads; this process is bound to as many cores."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import onnxruntime
    from flax import nnx
    from peers import onnx_networks

    from jaxret.models.backbones.c3d import C3D
    from jaxret.models.layers.max_pooling import max_pool

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    table = Table(f"{threads} thread{'s' if threads > 1 else ''}", samples=3 if quick else 5)
    net = C3D(rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)

    def session_of(graph: bytes, x: Any) -> Callable[[], Any]:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x})[0]

    def both(function: Callable[[Any, Any], Any], module: Any, x: Any) -> dict[str, Callable[[], Any]]:
        """A function of a module and its input, compiled with our forms and with XLA's own."""
        compiled = {"jaxret": jax.jit(function).lower(module, x).compile()}
        with plain_lax():
            # Another function object: JAX keeps what it traced before.
            compiled["lax"] = jax.jit(lambda module, x: function(module, x)).lower(module, x).compile()
        return {name: lambda run=run: jax.block_until_ready(run(module, x)) for name, run in compiled.items()}

    stages = jax.eval_shape(net, jax.ShapeDtypeStruct((1, FRAMES, SIZE, SIZE, 3), np.uint8)).stages
    names = ("", *net.trunk_names)
    for before, name, after in zip(names[:-1], names[1:], (*names[2:], ""), strict=True):
        if name not in net.convolutions or name == "conv5b":  # conv5b is conv5a again
            continue
        shape = stages[before].shape if before else (1, FRAMES, SIZE, SIZE, 3)
        x = rng.standard_normal(shape, np.float32)
        layer = net.convolutions[name]
        for pooling in ("pool1", "") if name == "conv1a" else (after if after.startswith("pool") else "",):
            peer = session_of(onnx_networks.c3d_layer(layer, pooling), np.ascontiguousarray(x.transpose(0, 4, 1, 2, 3)))

            def run(layer: Any, x: Any, pooling: str = pooling) -> Any:
                return max_pool(layer(x), onnx_networks.c3d_window(pooling)) if pooling else layer(x)

            ours = both(run, layer, jnp.asarray(x))
            data = f"{name}{' and ' + pooling if pooling else ''}, {' x '.join(map(str, shape[1:]))}"
            table.compare(data, {"onnxruntime": lambda peer=peer: peer().transpose(0, 2, 3, 4, 1), **ours})

    clip = jnp.asarray(rng.integers(0, 256, (1, FRAMES, SIZE, SIZE, 3), np.uint8))
    normalised = (np.asarray(clip, np.float32) - net.normalisation["mean"]) * net.normalisation["scale"]
    normalised = np.ascontiguousarray(normalised.transpose(0, 4, 1, 2, 3))
    functions = {
        "onnxruntime": session_of(onnx_networks.c3d(net, SIZE), normalised),
        **both(lambda net, x: net(x).embedding, net, clip),
    }
    table.compare(f"c3d, {FRAMES} x {SIZE} x {SIZE}", functions)
    return table.rows


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_conv3d.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples, no file")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # what the child processes are told
    arguments = parser.parse_args()
    if arguments.threads:
        rows = measure(arguments.threads, arguments.quick)
        print(json.dumps(rows), file=sys.stderr)
        return
    cores = len(os.sched_getaffinity(0))
    rows = []
    for threads in sorted({1, min(2, cores)}):
        rows += rows_of_child(__file__, threads, *(["--quick"] if arguments.quick else []))
    if not arguments.quick:
        from common import results_file

        print("\nwrote", results_file.write("speed_conv3d", rows, packages=["jax", "jaxlib", "flax", "onnxruntime"]))


if __name__ == "__main__":
    main()
