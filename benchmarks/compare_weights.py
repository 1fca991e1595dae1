"""Published encoders beside each other on media of your own: a table by model.

    python benchmarks/compare_weights.py FOLDER imagenet weights/dinov2-small weights/siglip2-base
    python benchmarks/compare_weights.py MEDIA.csv weights/dinov2-small --whiten 128

FOLDER holds a folder a class (or it is any data set that `jaxret train --data` takes). Each encoder indexes all of it
without training; then every item is a query for the others of its class, videos by their chunks, images by themselves.
Printed: mAP, that of a random ranking, and P@1 (other items of a query's source left out), milliseconds an item
(decoding included, compilation not), bytes a frame's vector, and the most memory that the process held. Each encoder
runs in a process of its own. Where the media are of one class, a warning says that nothing can be told apart.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jaxret import Retriever, open_dataset
from jaxret.models import FrozenSettings, VideoEncoder, frozen_encoder
from jaxret.retrieval.whitening import whiten_frames


def quality(data: str, encoder: VideoEncoder) -> tuple[dict[str, Any], Retriever]:
    """mAP, that of a random ranking, P@1, and what to know of them; and the index, which is gone."""
    with tempfile.TemporaryDirectory() as folder:
        retriever = Retriever.create(Path(folder) / "index", encoder)
        retriever.add(open_dataset(data))
        report = retriever.evaluate()
    group, chance = report.figures["all"], report.baselines["chance"]["all"]
    figures = {"mAP": group["mAP"], "chance": chance["mAP"], "P@1": group["P@1"]}
    return {**figures, "warnings": report.warnings}, retriever


def measure(data: str, settings: FrozenSettings, whiten: int) -> dict[str, Any]:
    """The figures of one encoder."""
    dataset = open_dataset(data)
    encoder = frozen_encoder(settings)
    if whiten:
        encoder = whiten_frames(encoder, dataset, whiten)
    found, retriever = quality(data, encoder)
    start = time.perf_counter()
    count = sum(1 for _ in retriever.system.vectors(dataset))  # a second time: the first one compiled
    spent = (time.perf_counter() - start) / max(1, count) * 1e3
    vector = 4 * encoder.frame_embedding_size
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {**found, "ms an item": spent, "bytes": vector, "memory MB": memory}


def main() -> None:
    """Measures each in a process of its own, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--whiten", type=int, default=0, help="components that frame vectors are whitened to")
    parser.add_argument("--image-size", type=int, help="side of the images in pixels; left out: each encoder's own")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # what the child processes are told
    arguments = parser.parse_args()
    if arguments.one:
        settings = FrozenSettings(arguments.weights[0], image_size=arguments.image_size)
        print(json.dumps(measure(arguments.data, settings, arguments.whiten)))
        return
    print(
        "| weights | mAP | by chance | P@1 | ms an item | bytes a vector | memory (MB) |\n|---|---|---|---|---|---|---|"
    )
    warnings: dict[str, None] = {}
    for weights in arguments.weights:
        command = [sys.executable, __file__, arguments.data, weights, "--whiten", str(arguments.whiten), "--one"]
        command += [] if arguments.image_size is None else ["--image-size", str(arguments.image_size)]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            print(f"| {Path(weights).name} | {child.stderr.strip().splitlines()[-1]} | | | | |", flush=True)
            continue
        found = json.loads(child.stdout.splitlines()[-1])
        cells = [f"{found[name]:.3f}" for name in ("mAP", "chance", "P@1")] + [f"{found['ms an item']:.1f}"]
        cells += [f"{found['bytes']:.0f}", f"{found['memory MB']:.0f}"]
        print(f"| {Path(weights).name} | {' | '.join(cells)} |", flush=True)
        warnings |= dict.fromkeys(found["warnings"])
    for warning in warnings:
        print(f"\nWarning: {warning}.")


if __name__ == "__main__":
    main()
