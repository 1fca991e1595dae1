"""Vision transformers on the CPU beside onnxruntime and PyTorch: S/14 and B/16 at 224 x 224, 16 frames and one image.

    pip install -e '.[bench,parity]'
    python benchmarks/speed_foundation.py                       # some 10 minutes on a machine at rest
    python benchmarks/speed_foundation.py --only S/14,1,1       # some of them: network, images, threads

All hold the same weights (random ones: speed does not depend on them) and run in turn in one process that is bound to
as many cores as it has threads; their embeddings are compared in the same run. Ours takes uint8 frames and normalises
them; the others get floats that are normalised and laid out beforehand. Ours is given arrays and nothing else, as in a
search by programs that are kept: Flax takes half a millisecond to walk through a module.

A call with --only replaces its rows in benchmarks/results/speed_foundation.json and leaves the others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from typing import Any

from common.timing import rows_of_child

NETWORKS: dict[str, dict[str, Any]] = {
    "S/14": {"patch_size": 14, "image_size": 518, "units": 384, "depth": 12, "heads": 6, "layer_scale": True},
    "B/16": {"patch_size": 16, "image_size": 224, "units": 768, "depth": 12, "heads": 12},
}
SIDE = 224
NAME = "speed_foundation"


def measure(network: str, images: int, threads: int) -> list[dict[str, Any]]:
    """Rows of one network, number of images and of threads; this process is bound to as many cores."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import onnxruntime
    import torch
    from common.results_file import row
    from common.timing import in_turn, ratio
    from flax import nnx
    from peers.vision_transformers import onnx_vision_transformer, torch_vision_transformer

    from jaxret.models import create_backbone

    torch.set_num_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    net = create_backbone("vision-transformer", **NETWORKS[network], rngs=nnx.Rngs(0))
    file = onnx_vision_transformer(net, images, SIDE)
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    in_torch = torch_vision_transformer(net, SIDE)
    frames = np.random.default_rng(0).integers(0, 256, (images, SIDE, SIDE, 3), np.uint8)
    on_device = jnp.asarray(frames)
    normalised = np.asarray(net._normalise(on_device)).transpose(0, 3, 1, 2).copy()
    arrays, structure = jax.tree.flatten(net)
    encode = jax.jit(lambda arrays, x: jax.tree.unflatten(structure, arrays)(x).embedding)
    functions = {
        "jaxret": lambda: encode(arrays, on_device).block_until_ready(),
        "onnxruntime": lambda: session.run(None, {"x": normalised})[0],
        "PyTorch": lambda: in_torch(normalised),
    }
    ours = np.asarray(functions["jaxret"]())
    differences = {name: float(np.abs(functions[name]() - ours).max() / np.abs(ours).max()) for name in functions}
    if not max(differences.values()) < 1e-4:
        raise SystemExit(f"the embeddings differ: {differences}")
    times = in_turn(functions, samples=9 if images == 1 else 3)
    data, setting = f"{network}, {images} x {SIDE} x {SIDE}", f"{threads} thread{'s' if threads > 1 else ''}"
    rows = [row(data, name, "ms", timing.median * 1e3, setting=setting) for name, timing in times.items()]
    for name in ("onnxruntime", "PyTorch"):
        rows.append(row(data, "jaxret", f"times {name}'s time", ratio(times["jaxret"], times[name]), setting=setting))
    for name, timing in times.items():
        print(f"{data}, {setting}: {name:12} {timing.median * 1e3:8.1f} ms ±{timing.spread:.0%}", flush=True)
    return rows


def main() -> None:
    """Measures, prints, and writes benchmarks/results/speed_foundation.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NETWORK,IMAGES,THREADS")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # what the child processes are told
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        network, images = arguments.case.split(",")
        print(json.dumps(measure(network, int(images), arguments.threads)), file=sys.stderr)
        return
    from common import results_file

    cores = len(os.sched_getaffinity(0))
    every = itertools.product(NETWORKS, (1, 16), {1, min(2, cores)})
    rows = []
    for network, images, threads in [one.split(",") for one in arguments.only] if arguments.only else every:
        rows += rows_of_child(__file__, int(threads), "--case", f"{network},{images}")
    write = results_file.update if arguments.only else results_file.write
    print("\nwrote", write(NAME, rows, packages=["jax", "jaxlib", "flax", "onnxruntime", "torch"]))


if __name__ == "__main__":
    main()
