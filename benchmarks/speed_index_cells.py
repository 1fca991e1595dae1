"""Approximate search of an index on disk beside faiss's IndexIVFFlat, mapped from its file, at the same recall.

    pip install -e '.[bench]'
    python benchmarks/speed_index_cells.py             # some 3 minutes on one core
    python benchmarks/speed_index_cells.py --quick     # 20 seconds, smaller; writes no file

A million items with a vector of 64 numbers each that cluster (chunks of videos, ten each, of 1,000 classes: classes are
standard normal, a video deviates from its class with a standard deviation of 1, a chunk from its video with 0.5 in each
dimension), 1,000 cells, and queries of further videos. faiss gets our centroids, so that both look into the same cells
and find the same; the index is compacted, so that a cell lies in one place, as in faiss's file. Each system is opened
and searched in a process of its own, one query at a time on one thread. Times are processor time, so that a
busy machine does not change them; memory is what the process gained, mapped pages included. jaxret gives items with key
and span, faiss numbers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from speed_index import megabytes, milliseconds

from jaxret.rank import euclidean_topk

D, K, QUERIES, PART = 64, 10, 40, 100_000
PROBES = (1, 2, 4, 8, 16, 32)
CELLS = 1000
OURS, PEER = "jaxret", "faiss IVF, mapped"


def drawn(size: int, seed: int) -> np.ndarray:
    """Chunks of videos of 1,000 classes, float32, ten of each video."""
    classes = np.random.default_rng(0).standard_normal((1000, D), np.float32)
    rng = np.random.default_rng([1, seed])
    videos = classes[rng.integers(0, 1000, -(-size // 10))]
    videos += rng.standard_normal(videos.shape, np.float32)
    return np.repeat(videos, 10, axis=0)[:size] + rng.standard_normal((size, D), np.float32) * np.float32(0.5)


def gallery(size: int) -> np.ndarray:
    """All vectors."""
    return np.concatenate([drawn(min(PART, size - start), start + 1) for start in range(0, size, PART)])


def queries() -> np.ndarray:
    """What is searched with."""
    return drawn(QUERIES, 0)


def make_ours(size: int, folder: Path) -> dict[str, float]:
    """An index, and its cells."""
    from jaxret.index import EncoderRecord, MediaIndex, MediaItem, Rows, Space
    from jaxret.preprocessing import Preprocessing

    index = MediaIndex.create(folder, spaces=[Space("clip", D)], encoder=EncoderRecord("benchmark", Preprocessing()))
    for start in range(0, size, PART):
        vectors = drawn(min(PART, size - start), start + 1)
        items = [MediaItem(f"{start + n}.mp4", "video") for n in range(len(vectors))]
        index.add(items, {"clip": Rows(vectors, np.arange(len(vectors)))})
    index.compact()
    seconds = milliseconds(lambda: index.make_cells("clip", min(CELLS, size))) / 1e3
    np.save(folder.with_suffix(".npy"), index._snapshot.centroids["clip"])
    cells = sum(path.stat().st_size for path in folder.rglob("*") if "cells" in str(path.relative_to(folder)))
    return {"CPU seconds to make the cells": seconds, "MB of the cells": cells / 1e6}


def make_peer(size: int, folder: Path) -> dict[str, float]:
    """faiss with the same centroids; its own training is timed beside, on as many vectors, for as many rounds."""
    import faiss

    faiss.omp_set_num_threads(1)
    centroids, vectors = np.load(folder.parent / "ours.npy"), gallery(size)
    own = faiss.IndexIVFFlat(faiss.IndexFlatL2(D), D, len(centroids))
    own.cp.niter, own.cp.max_points_per_centroid = 10, 64
    seconds = milliseconds(lambda: own.train(vectors)) / 1e3
    quantiser = faiss.IndexFlatL2(D)
    quantiser.add(centroids)
    index = faiss.IndexIVFFlat(quantiser, D, len(centroids))
    index.train(centroids)  # finds the quantiser filled, and leaves it
    seconds += milliseconds(lambda: (index.add(vectors), faiss.write_index(index, str(folder)))) / 1e3
    return {"CPU seconds to make the cells": seconds, "MB of the cells": folder.stat().st_size / 1e6}


def opened_ours(folder: Path) -> Callable[[np.ndarray, int | None], list[int]]:
    """Search by our index."""
    from jaxret.index import MediaIndex, SearchOptions

    index = MediaIndex.open(folder)

    def search(query: np.ndarray, probes: int | None) -> list[int]:
        found = index.search("clip", query, K, options=SearchOptions(probes=probes), threads=1)
        return [int(found.found[number].key.removesuffix(".mp4")) for number in found.ids[0].tolist() if number >= 0]

    return search


def opened_peer(folder: Path) -> Callable[[np.ndarray, int | None], list[int]]:
    """Search by faiss's."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.read_index(str(folder), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)

    def search(query: np.ndarray, probes: int | None) -> list[int]:
        index.nprobe = index.nlist if probes is None else probes
        return index.search(query[None], K)[1][0].tolist()

    return search


def use(open_it: Callable[[Path], Callable[[np.ndarray, int | None], list[int]]], size: int, folder: Path) -> Any:
    """Open and search."""
    __import__("jaxret.index" if open_it is opened_ours else "faiss")
    before, some, made = megabytes(), queries(), []
    figures = {"CPU ms to open": milliseconds(lambda: made.append(open_it(folder)))}
    (search,) = made
    figures["CPU ms of the first search, 8 probes"] = milliseconds(lambda: search(some[0], 8))
    by_probes = {}
    answers: dict[int, list[list[int]]] = {}
    for probes in PROBES:
        taken = []
        answers[probes] = []
        for query in some:
            begin = time.process_time()
            answers[probes].append(search(query, probes))
            taken.append(time.process_time() - begin)
        by_probes[probes] = float(np.median(taken)) * 1e3
    figures["MB after the searches"] = megabytes() - before
    taken = [milliseconds(lambda query=query: search(query, None)) for query in some[:5]]
    figures["CPU ms a search, exact"] = float(np.median(taken))
    return {"figures": figures, "ms": by_probes, "answers": answers}


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/index_cells.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, no file")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        step, name, size, folder = options.child
        calls = {"make": {OURS: make_ours, PEER: make_peer}, "use": {OURS: opened_ours, PEER: opened_peer}}
        call = calls[step][name]
        found = call(int(size), Path(folder)) if step == "make" else use(call, int(size), Path(folder))  # type: ignore[operator]
        print("FIGURES " + json.dumps(found))
        return
    size = 50_000 if options.quick else 1_000_000
    data = f"{size:,} items of {D} numbers, {CELLS} cells"
    rows: list[dict[str, Any]] = []
    exact = euclidean_topk(queries(), gallery(size), K).ids
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as parent:
        for name, file in ((OURS, "ours"), (PEER, "peer")):
            figures = {}
            for step in ("make", "use"):
                words = [sys.executable, __file__, "--child", step, name, str(size), f"{parent}/{file}"]
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(f"{name}, {step}: {done.stderr[-2000:]}")
                result = json.loads(done.stdout.split("FIGURES ")[1])
                figures |= result if step == "make" else result["figures"]
            found[name] = result
            print(name, {metric: round(value, 2) for metric, value in figures.items()})
            rows += results_file.rows_of(data, name, figures)
            for probes in map(str, PROBES):
                answers = result["answers"][probes]
                recall = np.mean([len(set(a) & set(b.tolist())) / K for a, b in zip(answers, exact, strict=True)])
                rows += results_file.rows_of(
                    data,
                    name,
                    {"recall@10": float(recall), "CPU ms a search": result["ms"][probes]},
                    setting=f"{probes} probes",
                )
                print(f"  {probes:>2} probes: recall@10 {recall:.3f}, {result['ms'][probes]:.3f} ms")
    if not options.quick:
        print("wrote", results_file.write("index_cells", rows, ["faiss-cpu", "scikit-learn"]))


if __name__ == "__main__":
    main()
