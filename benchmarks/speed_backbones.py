"""MobileNet V1 and EfficientNet-Lite0 on the CPU beside onnxruntime: 16 frames of 224 x 224, and single frames.

    pip install -e '.[bench]'
    python benchmarks/speed_backbones.py            # some 3 minutes
    python benchmarks/speed_backbones.py --single   # single frames alone, in half a minute
    python benchmarks/speed_backbones.py --single --torch   # and torch.compile's (torch, a C++ compiler), in two
    python benchmarks/speed_backbones.py --quick    # fewer samples; writes no file

Both sides hold the same weights (random ones: speed does not depend on them) and run in turn in one process; their
embeddings are compared in the same run. Ours takes uint8 frames and normalises them; onnxruntime gets float frames
that are normalised and laid out for it beforehand. The ONNX model has its batch norms folded into the convolutions,
as an exporter leaves it. Both are given arrays and nothing else, as in a search by programs that are kept: Flax takes
half a millisecond to walk through a module. "as usually written" is the same module with XLA's own convolutions over
the whole batch. "to compile" is what must be waited for before the first frame: until a program is traced and compiled,
without what JAX keeps on disk; until onnxruntime has made a session of a file in memory and optimised it, for frames of
any number; for torch.compile, of frames as onnxruntime takes them, the first call, without what PyTorch keeps. With one
thread all times are those of the processor, which other programs stretch less; with several, those of the clock.
Each number of threads, up to the cores of this process, runs in a process of its own that is bound to as many.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from common.timing import rows_of_child

SHAPE = (16, 224, 224, 3)
SINGLE = (1, 224, 224, 3)
TORCH = "PyTorch, compiled"


def measure(threads: int, samples: int, shapes: Sequence[tuple[int, ...]], torch: bool) -> list[dict[str, Any]]:
    """Rows of one number of threads and of frames of some shapes; this process is bound to as many cores."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import onnxruntime
    from common.results_file import row
    from common.timing import in_turn, ratio
    from flax import nnx
    from peers import onnx_networks

    from jaxret.models import create_backbone
    from jaxret.models.layers import dispatch

    jax.config.update("jax_enable_compilation_cache", False)

    def compiled(net: Any, frames: jax.Array) -> tuple[Callable[[], jax.Array], float]:
        """The network on these frames, and the seconds that its compilation took."""
        arrays, structure = jax.tree.flatten(net)
        start = clock()
        program = jax.jit(lambda arrays, x: jax.tree.unflatten(structure, arrays)(x).embedding)
        program = program.lower(arrays, frames).compile()
        seconds = clock() - start
        return lambda: program(arrays, frames).block_until_ready(), seconds

    clock = processor_seconds if threads == 1 else time.perf_counter
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    setting = f"{threads} thread{'s' if threads > 1 else ''}"
    rows: list[dict[str, Any]] = []
    networks = {"mobilenet-v1": onnx_networks.mobilenet, "efficientnet-lite0": onnx_networks.lite0}
    for name, in_onnx in networks.items():
        net = create_backbone(name, rngs=nnx.Rngs(0))
        file, start = in_onnx(net, SHAPE[1]), clock()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        seconds_of_session = clock() - start
        for shape in shapes:
            frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            on_device = jnp.asarray(frames)
            normalised = np.asarray(net._normalise(on_device)).transpose(0, 3, 1, 2).copy()

            def peer(session: Any = session, normalised: Any = normalised) -> Any:
                return session.run(None, {"x": normalised})[0]

            ours, seconds = compiled(net, on_device)
            functions: dict[str, Callable[[], Any]] = {"onnxruntime": peer, "jaxret": ours}
            to_compile = {"onnxruntime": seconds_of_session, "jaxret": seconds}
            if torch:
                functions[TORCH], to_compile[TORCH] = compiled_by_torch(name, net, normalised, threads, clock)
            expected = peer()
            difference = max(
                float(np.abs(run() - expected).max() / np.abs(expected).max()) for run in functions.values()
            )
            if shape == SHAPE:
                chooser, dispatch.runs_on_cpu = dispatch.runs_on_cpu, lambda: False
                functions["JAX as usually written"], _ = compiled(net, on_device)
                dispatch.runs_on_cpu = chooser
            data = f"{name}, {shape[0]} x {shape[1]} x {shape[2]}"
            print(f"\n{data}, {setting}; largest relative difference from onnxruntime {difference:.1e}")
            if not difference < 1e-4:
                raise SystemExit(f"the embeddings differ by {difference}")
            for method, seconds in to_compile.items():
                rows.append(row(data, method, "seconds to compile", seconds, setting=setting))
                print(f"  {method:24} compiled in {seconds:.2f} s")
            times = in_turn(functions, samples)
            if threads == 1:
                times = {method: timing.of_processor for method, timing in times.items()}
            for method, timing in times.items():
                rows.append(row(data, method, "ms", timing.median * 1e3, setting=setting))
                line = f"  {method:24} {timing.median * 1e3:8.1f} ms ±{timing.spread:.0%}"
                if method != "onnxruntime":
                    times_of_peer = ratio(timing, times["onnxruntime"])
                    rows.append(row(data, method, "times onnxruntime's time", times_of_peer, setting=setting))
                    line += f"  {times_of_peer:.2f} of onnxruntime's time"
                print(line, flush=True)
    return rows


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def compiled_by_torch(
    name: str, net: Any, frames: Any, threads: int, clock: Callable[[], float]
) -> tuple[Callable[[], Any], float]:
    """torch.compile's network on these frames, and the seconds that its first call took; g++ compiles, too."""
    import torch
    from peers import torch_networks

    torch.set_num_threads(threads)
    torch.compiler.reset()
    in_torch = {"mobilenet-v1": torch_networks.mobilenet_of, "efficientnet-lite0": torch_networks.lite0_of}[name]
    program, inputs = torch.compile(in_torch(net, SHAPE[1]).eval(), dynamic=False), torch.from_numpy(frames)

    @torch.inference_mode()
    def run() -> Any:
        return program(inputs).numpy()

    # Compilers that are children of other processes would not be counted in time of the processor.
    with torch._inductor.config.patch(force_disable_caches=True, compile_threads=1):
        start = clock()
        run()
        return run, clock() - start


def main() -> None:
    """Measures, prints, and without --quick renews its rows of benchmarks/results/speed_backbones.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples, no file")
    parser.add_argument("--single", action="store_true", help="single frames alone")
    parser.add_argument("--torch", action="store_true", help="torch.compile beside")
    parser.add_argument("--cores", type=int, choices=(1, 2), help="one number of threads (default: up to all cores)")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # what the child processes are told
    arguments = parser.parse_args()
    samples = 5 if arguments.quick else 15
    if arguments.threads:
        shapes = (SINGLE,) if arguments.single else (SHAPE, SINGLE)
        rows = measure(arguments.threads, samples, shapes, arguments.torch)
        print(json.dumps(rows), file=sys.stderr)
        return
    cores = len(os.sched_getaffinity(0))
    rows = []
    for threads in sorted({1, min(2, cores), cores}) if arguments.cores is None else [arguments.cores]:
        flags = [f"--{name}" for name in ("quick", "single", "torch") if getattr(arguments, name)]
        rows += rows_of_child(__file__, threads, *flags)
    if not arguments.quick:
        from common import results_file

        packages = ["jax", "jaxlib", "flax", "onnxruntime", *(["torch"] if arguments.torch else [])]
        print("\nwrote", results_file.update("speed_backbones", rows, packages))


if __name__ == "__main__":
    main()
