"""`jaxret serve` on an index of 100,000 images: from the end of an upload to the first results, by parts.

    pip install -e '.[serve]'
    python benchmarks/speed_serve.py                  # some two minutes; needs 700 MB in the temporary folder

The server runs in a process of its own and is warm. A client on the same machine uploads a photograph of 1920 x 1080
pixels, each time another one, and searches with it for 50 results as the page does. Vectors of the index are random and
of length 1, weights too: speed does not depend on either. Results are benchmarks/results/serve_latency.json.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
from common.results_file import row, rows_of, write
from common.serving import served
from PIL import Image

NETWORKS: dict[str, dict[str, Any]] = {
    "mobilenet-v1": {},
    "vision-transformer": {"patch_size": 14, "image_size": 224, "units": 384, "depth": 12, "heads": 6},
}
NAMES = {"mobilenet-v1": "MobileNet V1", "vision-transformer": "ViT-S/14"}
ITEMS, RESULTS_WANTED = 100_000, 50
PARTS = ("upload looked at", "decode", "encode", "rank", "answer")


def make_index(folder: Path, network: str, items: int) -> None:
    """An index of images that were never there, with an encoder of random weights."""
    from flax import nnx

    from jaxret.data.items import MediaItem
    from jaxret.data.rows import Rows
    from jaxret.models import Mean, create_backbone
    from jaxret.models.encoder import VideoEncoder
    from jaxret.preprocessing import Preprocessing
    from jaxret.retrieval import Retriever

    rngs = nnx.Rngs(0)
    backbone = create_backbone(network, **NETWORKS[network], rngs=rngs)
    size = backbone.embedding_size
    encoder = VideoEncoder(backbone, Mean(size, rngs=rngs), Preprocessing(height=224, width=224, frames=8))
    retriever = Retriever.create(folder, encoder)
    rng = np.random.default_rng(0)
    for start in range(0, items, 20_000):
        count = min(20_000, items - start)
        vectors = rng.normal(size=(count, size)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        named = [MediaItem(f"{n // 1000:03d}/{n:06d}.jpg", "image", duration=0.0) for n in range(start, start + count)]
        retriever.index.add(named, {"frame": Rows(vectors, np.arange(count))})


def photographs(count: int) -> Iterator[bytes]:
    """JPEGs of 1920 x 1080 pixels, smooth patches of colour with some noise."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        patches = Image.fromarray(rng.integers(0, 256, (27, 48, 3), np.uint8))
        pixels = np.asarray(patches.resize((1920, 1080), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(pixels + rng.integers(-8, 9, pixels.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=85)
        yield buffer.getvalue()


def measure(index: Path, rounds: int) -> list[dict[str, float]]:
    """Milliseconds by part of each search, in a server that is warm."""
    with served(index) as (address, number):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        process = psutil.Process(number)
        found = [_search(connection, index.name, photo, process) for photo in photographs(rounds + 3)]
        return found[3:]


def _search(
    connection: http.client.HTTPConnection, index: str, photo: bytes, process: psutil.Process
) -> dict[str, float]:
    before = process.cpu_times()
    connection.request("POST", "/api/uploads?name=photo.jpg", photo)
    ended = time.perf_counter()
    upload = json.loads(connection.getresponse().read())
    looked_at = time.perf_counter()
    request = {"index": index, "query": {"upload": upload["upload"]}, "k": RESULTS_WANTED}
    body = json.dumps(request).encode()
    connection.request("POST", "/api/searches?wait=1", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    done = time.perf_counter()
    if answer["state"] != "done" or len(answer["hits"]) != RESULTS_WANTED:
        raise SystemExit(f"the search failed: {answer}")
    parts = {name: answer["timings"][name] * 1e3 for name in ("decode", "encode", "rank")}
    parts["upload looked at"] = (looked_at - ended) * 1e3
    parts["answer"] = (done - looked_at) * 1e3 - sum(parts[name] for name in ("decode", "encode", "rank"))
    spent = process.cpu_times()
    processor = spent.user + spent.system - before.user - before.system
    return {**parts, "whole": (done - ended) * 1e3, "processor": processor * 1e3}


def main() -> None:
    """Measures, prints, and writes benchmarks/results/serve_latency.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--items", type=int, default=ITEMS)
    args = parser.parse_args()
    rows = []
    for network, name in NAMES.items():
        with tempfile.TemporaryDirectory() as folder:
            make_index(Path(folder) / "index-served", network, args.items)
            found = measure(Path(folder) / "index-served", args.rounds)
        for part in ("whole", *PARTS):
            values = np.array([one[part] for one in found])
            figures = {"median ms": float(np.median(values)), "best ms": float(values.min())}
            rows += rows_of(f"{args.items:,} images", name, figures, setting=part)
            print(f"{name}: {part:18} {figures['median ms']:7.1f} ms (best {figures['best ms']:.1f})", flush=True)
        whole = float(np.mean([one["processor"] for one in found]))
        rows.append(row(f"{args.items:,} images", name, "CPU ms of the server", whole, setting="whole"))
        print(f"{name}: processor time     {whole:7.1f} ms", flush=True)
    write("serve_latency", rows, ["jax", "starlette", "uvicorn"])


if __name__ == "__main__":
    main()
