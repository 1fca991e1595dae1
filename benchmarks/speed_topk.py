"""Exact Euclidean top-k and PAR beside faiss-cpu and the bare NumPy matrix product, and growth with N.

    pip install -e '.[bench]'
    python benchmarks/speed_topk.py            # some 5 minutes
    python benchmarks/speed_topk.py --quick    # some 20 seconds, smaller; writes no file

Peers and ours run in turn in one process. The bare product is the N x Q matrix of inner products alone, in the
faster of two forms (all at once into memory that is there already, or 4,096 rows at a time). Results are compared
in the same run with faiss's: distances to 1e-3, ids wherever the distances differ by more than that.
"""

from __future__ import annotations

import argparse
from typing import Any

import faiss
import numpy as np
from common import results_file
from common.timing import in_turn, ratio
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from jaxret.rank import cosine_topk, euclidean_topk, par

Vectors = NDArray[np.float32]


def vectors(seed: int, count: int, dimensions: int) -> Vectors:
    """Standard normal vectors, (count, dimensions)."""
    return np.random.default_rng(seed).standard_normal((count, dimensions), np.float32)


def check(queries: Vectors, gallery: Vectors, index: Any, k: int) -> None:
    """Ours and faiss's agree, save for pairs that float32 products cannot order."""
    found = euclidean_topk(queries, gallery, k)
    squares, ids = index.search(queries, k)
    np.testing.assert_allclose(found.distances, np.sqrt(np.maximum(squares, 0)), rtol=1e-3)
    different = found.ids != ids
    theirs = np.linalg.norm(gallery[ids[different]] - queries[np.nonzero(different)[0]], axis=1)
    np.testing.assert_allclose(theirs, found.distances[different], rtol=1e-4)


def batch(rows: list[dict[str, Any]], size: int, dimensions: int, threads: int, samples: int) -> None:
    """128 queries, top 100."""
    gallery, queries = vectors(1, size, dimensions), vectors(2, 128, dimensions)
    index = faiss.IndexFlatL2(dimensions)
    index.add(gallery)
    faiss.omp_set_num_threads(threads)
    out = np.empty((128, size), np.float32)

    def product_by_blocks() -> None:
        for start in range(0, size, 4096):
            np.matmul(queries, gallery[start : start + 4096].T)

    with threadpool_limits(threads):
        times = in_turn(
            {
                "faiss IndexFlatL2": lambda: index.search(queries, 100),
                "NumPy product, all at once": lambda: np.matmul(queries, gallery.T, out=out),
                "NumPy product, by blocks": product_by_blocks,
                "jaxret euclidean_topk": lambda: euclidean_topk(queries, gallery, 100, threads=threads),
                "jaxret par": lambda: par(queries, gallery, 100, 0.1, threads=threads),
                "jaxret cosine_topk": lambda: cosine_topk(queries, gallery, 100, threads=threads),
            },
            samples,
        )
    check(queries, gallery, index, 100)
    data = f"{size:,} normal vectors of {dimensions}, 128 queries, top 100"
    setting = f"{threads} thread{'s' if threads > 1 else ''}"
    print(f"\n{data}, {setting}")
    for method, timing in times.items():
        speed = 2 * 128 * size * dimensions / timing.median / 1e9
        rows.append(results_file.row(data, method, "GFLOP/s", speed, setting=setting))
        rows.append(results_file.row(data, method, "ms", timing.median * 1e3, setting=setting))
        print(f"  {method:28} {timing.median * 1e3:9.1f} ms ±{timing.spread:.0%} {speed:8.1f} GFLOP/s")
    ours = times["jaxret euclidean_topk"]
    product = min((times[name] for name in times if name.startswith("NumPy")), key=lambda timing: timing.median)
    for method, metric, value in [
        ("jaxret euclidean_topk", "times faster than faiss", ratio(times["faiss IndexFlatL2"], ours)),
        ("jaxret euclidean_topk", "times the speed of the bare NumPy product", ratio(product, ours)),
        ("jaxret par", "time beside euclidean_topk", ratio(times["jaxret par"], ours)),
    ]:
        rows.append(results_file.row(data, method, metric, value, setting=setting))
        print(f"  {method}: {metric} {value:.2f}")


def one_query(rows: list[dict[str, Any]], size: int, dimensions: int, samples: int) -> None:
    """A single query is bound by memory."""
    gallery, query = vectors(1, size, dimensions), vectors(2, 1, dimensions)
    index = faiss.IndexFlatL2(dimensions)
    index.add(gallery)
    faiss.omp_set_num_threads(1)
    with threadpool_limits(1):
        times = in_turn(
            {
                "faiss IndexFlatL2, 1 thread": lambda: index.search(query, 100),
                "NumPy matrix-vector product, 1 thread": lambda: gallery @ query[0],
                "jaxret, 1 thread": lambda: euclidean_topk(query, gallery, 100, threads=1),
                "jaxret, 2 threads": lambda: euclidean_topk(query, gallery, 100, threads=2),
            },
            samples,
        )
    check(query, gallery, index, 100)
    data = f"{size:,} normal vectors of {dimensions}, 1 query, top 100"
    print(f"\n{data}")
    for method, timing in times.items():
        rate = gallery.nbytes / timing.median / 1e9
        rows.append(results_file.row(data, method, "GB/s", rate))
        print(f"  {method:38} {timing.median * 1e3:8.2f} ms ±{timing.spread:.0%} {rate:6.1f} GB/s")
    scaling = ratio(times["jaxret, 1 thread"], times["jaxret, 2 threads"])
    rows.append(results_file.row(data, "jaxret, 2 threads", "times faster than 1 thread", scaling))
    print(f"  a second thread: {scaling:.2f} times")


def far_from_origin(rows: list[dict[str, Any]]) -> None:
    """Neighbours close together at a distance of 1,000 from the origin: how many of the true ten are found."""
    gallery, queries = vectors(1, 20_000, 64) + 1000, vectors(2, 50, 64) + 1000
    exact = np.stack([((q.astype(np.float64) - gallery) ** 2).sum(1) for q in queries])
    true = np.argsort(exact, axis=1, kind="stable")[:, :10]
    index = faiss.IndexFlatL2(64)
    index.add(gallery)
    product = (queries**2).sum(1)[:, None] - 2 * queries @ gallery.T + (gallery**2).sum(1)
    data = "20,000 vectors of 64, 1,000 in every coordinate from the origin"
    print(f"\n{data}: share of the true 10 nearest that is found")
    found = {
        "|q|^2 - 2 q.x + |x|^2 in NumPy, float32": np.argsort(product, axis=1, kind="stable")[:, :10],
        "faiss IndexFlatL2": index.search(queries, 10)[1],
        "jaxret euclidean_topk": euclidean_topk(queries, gallery, 10).ids,
    }
    for method, ids in found.items():
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, true, strict=True)])
        rows.append(results_file.row(data, method, "recall at 10", float(recall)))
        print(f"  {method:40} {recall:.3f}")


def growth(rows: list[dict[str, Any]], sizes: list[int], samples: int) -> None:
    """How time grows with N, 128 queries of 64 dimensions."""
    print("\n128 queries, d = 64, top 10, 1 thread")
    for size in sizes:
        gallery, queries = vectors(1, size, 64), vectors(2, 128, 64)
        search = {"jaxret": lambda q=queries, g=gallery: euclidean_topk(q, g, 10, threads=1)}
        seconds = in_turn(search, samples)["jaxret"].median
        rows.append(
            results_file.row(f"{size:,} normal vectors of 64, 128 queries, top 10", "jaxret", "ms", seconds * 1e3)
        )
        print(f"  {size:>10,} vectors {seconds * 1e3:10.2f} ms  {seconds / size / 128 * 1e9:.3f} ns a pair")


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_topk.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer samples, no file")
    quick = parser.parse_args().quick
    samples = 3 if quick else 7
    rows: list[dict[str, Any]] = []
    for dimensions in (256, 512):
        for threads in (1, 2):
            batch(rows, 20_000 if quick else 200_000, dimensions, threads, samples)
        one_query(rows, 20_000 if quick else 400_000, dimensions, samples)
    far_from_origin(rows)
    growth(rows, [10_000, 100_000] if quick else [10_000, 100_000, 1_000_000, 10_000_000], min(samples, 5))
    if not quick:
        print("\nwrote", results_file.write("speed_topk", rows, ["faiss-cpu", "threadpoolctl"]))


if __name__ == "__main__":
    main()
