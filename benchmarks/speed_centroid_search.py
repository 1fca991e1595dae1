"""CentroidIndex beside the exact scan and faiss's IndexIVFFlat: recall and time against the cells that are probed.

    pip install -e '.[bench]'
    python benchmarks/speed_centroid_search.py            # some 5 minutes, 6 GB of memory
    python benchmarks/speed_centroid_search.py --quick    # some 20 seconds, smaller; writes no file

All run in turn in one process, on one thread where nothing else is said. faiss gets our centroids, so that both look
into the same cells, and results are compared in the same run: distances must agree to 1e-3, ids wherever the distances
differ by more than that. How long its own k-means takes, on as many vectors, for as many rounds and with all cores, is
measured beside ours.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import faiss
import numpy as np
from common import results_file
from common.timing import Timing, in_turn, ratio
from numpy.typing import NDArray

from jaxret.rank import CentroidIndex, euclidean_topk
from jaxret.rank.centroid_index import default_cells

Vectors = NDArray[np.float32]
DIMENSIONS, K = 256, 10
EXACT, OURS, PEER = "exact scan", "CentroidIndex", "faiss IndexIVFFlat"


def clustered(size: int) -> tuple[Vectors, Vectors]:
    """A gallery (size, D), some 1,000 chunks a class and 10 a video, and one chunk each of 128 further videos.

    Classes are standard normal; a video deviates from its class with a standard deviation of 1, a chunk from its video
    with 0.5 in each dimension.
    """
    rng = np.random.default_rng(0)

    def around(means: Vectors, count: int, spread: float) -> Vectors:
        made = rng.standard_normal((count, DIMENSIONS), np.float32) * np.float32(spread)
        made += means[rng.integers(0, len(means), count)]
        return made

    classes = rng.standard_normal((size // 1000, DIMENSIONS), np.float32)
    gallery = around(around(classes, size // 10, 1.0), size, 0.5)
    return gallery, around(around(classes, 128, 1.0), 128, 0.5)


def unclustered(size: int) -> tuple[Vectors, Vectors]:
    """Standard normal vectors, the worst case: everything is about equally far from everything."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((size, DIMENSIONS), np.float32), rng.standard_normal((128, DIMENSIONS), np.float32)


def seconds(work: Any) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def build(rows: list[dict[str, Any]], data: str, gallery: Vectors) -> tuple[CentroidIndex, Any]:
    """Both indexes over the same cells; fitting and filling are timed once each, with all cores."""
    cells = default_cells(len(gallery))
    peer_own = faiss.IndexIVFFlat(faiss.IndexFlatL2(DIMENSIONS), DIMENSIONS, cells)
    peer_own.cp.niter, peer_own.cp.max_points_per_centroid = 10, 64
    made: list[CentroidIndex] = []
    times = {
        OURS: seconds(lambda: made.append(CentroidIndex.fit(gallery))),
        PEER: seconds(lambda: peer_own.train(gallery)),
    }
    index = made[0]
    quantiser = faiss.IndexFlatL2(DIMENSIONS)
    quantiser.add(np.array(index.centroids))
    peer = faiss.IndexIVFFlat(quantiser, DIMENSIONS, cells)
    peer.train(np.array(index.centroids))  # finds the quantiser filled, and leaves it
    filling = {OURS: seconds(lambda: index.add(gallery)), PEER: seconds(lambda: peer.add(gallery))}
    for method in (OURS, PEER):
        rows.append(results_file.row(data, method, "seconds to fit", times[method], setting=f"{cells} cells"))
        rows.append(results_file.row(data, method, "seconds to fill", filling[method], setting=f"{cells} cells"))
    print(f"\n{data}, {cells} cells: fit and fill in s: ours {times[OURS]:.1f} {filling[OURS]:.1f}", end="")
    print(f", faiss {times[PEER]:.1f} {filling[PEER]:.1f}; largest cell {index.cell_sizes().max()}")
    return index, peer


def check(found: Any, squares: NDArray[Any], ids: NDArray[Any], gallery: Vectors, queries: Vectors) -> None:
    """Ours and faiss's agree, save for pairs that float32 products cannot order."""
    near = np.sqrt(np.maximum(squares, 0))
    near[ids < 0] = np.inf
    np.testing.assert_allclose(found.distances, near, rtol=1e-3)
    different = (found.ids != ids) & (ids >= 0)
    theirs = np.linalg.norm(gallery[ids[different]] - queries[np.nonzero(different)[0]], axis=1)
    np.testing.assert_allclose(theirs, found.distances[different], rtol=1e-4)


def compare(rows: list[dict[str, Any]], data: str, gallery: Vectors, queries: Vectors, samples: int) -> None:
    """Recall and time for several numbers of probes, for all queries at once and for one at a time."""
    index, peer = build(rows, data, gallery)
    exact = euclidean_topk(queries, gallery, K)
    faiss.omp_set_num_threads(1)
    for probes in (1, 2, 4, 8, 16, 32):
        peer.nprobe = probes
        found = index.topk(queries, K, probes=probes)
        squares, ids = peer.search(queries, K)
        check(found, squares, ids, gallery, queries)
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found.ids, exact.ids, strict=True)])
        touched = found.candidates.mean() / len(gallery)
        setting = f"{probes} probes"
        rows.append(results_file.row(data, OURS, "recall@10", float(recall), setting=setting))
        rows.append(results_file.row(data, OURS, "share of vectors compared", float(touched), setting=setting))
        print(f"  {probes:3} probes: recall@10 {recall:.3f}, {touched:.2%} compared", end="")
        for name, batches in (("128 queries", [queries]), ("single queries", list(queries[:16, None]))):
            times = in_turn(
                {
                    EXACT: lambda some=batches: [euclidean_topk(q, gallery, K, threads=1) for q in some],
                    OURS: lambda some=batches, probes=probes: [
                        index.topk(q, K, probes=probes, threads=1) for q in some
                    ],
                    f"{OURS}, 2 threads": lambda some=batches, probes=probes: [
                        index.topk(q, K, probes=probes, threads=2) for q in some
                    ],
                    PEER: lambda some=batches: [peer.search(q, K) for q in some],
                },
                samples,
            )
            count = sum(map(len, batches))
            report(rows, data, f"{setting}, {name}", times, count)
            shown = ", ".join(f"{method} {timing.median / count * 1e3:.3f}" for method, timing in times.items())
            print(f"\n      {name:14} ms a query: {shown}", end="")
        print()


def report(rows: list[dict[str, Any]], data: str, setting: str, times: dict[str, Timing], count: int) -> None:
    """The rows of one comparison."""
    for method, timing in times.items():
        rows.append(results_file.row(data, method, "ms a query", timing.median / count * 1e3, setting=setting))
    for slow, metric in ((EXACT, "times faster than exact scan"), (PEER, "times faster than faiss")):
        rows.append(results_file.row(data, OURS, metric, ratio(times[slow], times[OURS]), setting=setting))


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_centroid_search.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer samples, no file")
    quick = parser.parse_args().quick
    rows: list[dict[str, Any]] = []
    for size in (20_000,) if quick else (100_000, 1_000_000):
        gallery, queries = clustered(size)
        compare(rows, f"{size:,} clustered vectors of {DIMENSIONS}", gallery, queries, 3 if quick else 5)
    size = 20_000 if quick else 100_000
    compare(rows, f"{size:,} normal vectors of {DIMENSIONS}", *unclustered(size), 3)
    if not quick:
        print("\nwrote", results_file.write("speed_centroid_search", rows, ["faiss-cpu", "scikit-learn"]))


if __name__ == "__main__":
    main()
