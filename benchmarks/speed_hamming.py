"""Hamming search beside faiss-cpu and usearch, its growth with N, and HammingIndex beside the linear scan.

    pip install -e '.[bench]'
    python benchmarks/speed_hamming.py            # some 5 minutes
    python benchmarks/speed_hamming.py --quick    # some 20 seconds, smaller; writes no file

Peers and ours run in turn in one process; results are compared in the same run: distances must be equal, and
ids wherever the peer's own ties leave no choice.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
from common import results_file
from common.timing import in_turn, ratio
from numpy.typing import NDArray

from jaxret.rank import HammingIndex, hamming_topk, hamming_within

Codes = NDArray[np.uint8]
NS = 1e9


def random_codes(seed: int, count: int, bits: int) -> Codes:
    """Uniform codes, (count, bits / 8)."""
    return np.random.default_rng(seed).integers(0, 256, (count, bits // 8), np.uint8)


def clustered_codes(seed: int, count: int, centres: NDArray[np.uint64], flips: float) -> Codes:
    """64-bit codes around given centres, each bit flipped with probability `flips`, (count, 8)."""
    rng = np.random.default_rng(seed)
    words = centres[rng.integers(0, len(centres), count)].copy()
    for bit in range(64):
        words ^= (rng.random(count, np.float32) < flips).astype(np.uint64) << np.uint64(bit)
    return words.view(np.uint8).reshape(count, 8)


def many_queries(rows: list[dict[str, Any]], size: int, samples: int) -> None:
    """128 queries, top 10, one and two threads."""
    print(f"\ntop 10 of {size:,} codes for 128 queries, ns a pair (median, spread)")
    for bits in (64, 128, 256, 512):
        many_queries_of(rows, size, bits, samples)


def many_queries_of(rows: list[dict[str, Any]], size: int, bits: int, samples: int) -> None:
    """`many_queries` at one code length."""
    gallery, queries = random_codes(1, size, bits), random_codes(2, 128, bits)
    index = faiss.IndexBinaryFlat(bits)
    index.add(gallery)
    faiss.omp_set_num_threads(1)
    times = in_turn(
        {
            "faiss IndexBinaryFlat, 1 thread": lambda: index.search(queries, 10),
            "jaxret, 1 thread": lambda: hamming_topk(queries, gallery, 10, threads=1),
            "jaxret, 2 threads": lambda: hamming_topk(queries, gallery, 10, threads=2),
        },
        samples,
    )
    faiss_two = time_faiss_two_threads(index, queries, samples)
    assert (hamming_topk(queries, gallery, 10).distances == index.search(queries, 10)[0]).all()
    data = f"{size:,} uniform codes of {bits} bits, 128 queries"
    for method, timing in [*times.items(), ("faiss IndexBinaryFlat, 2 threads", faiss_two)]:
        pair = timing.median / size / 128 * NS
        rows.append(results_file.row(data, method, "ns a pair", pair, setting=f"spread {timing.spread:.2f}"))
        print(f"  {bits:4} bits  {method:34} {pair:8.4f}  ±{timing.spread:.0%}")
    faster = ratio(times["faiss IndexBinaryFlat, 1 thread"], times["jaxret, 1 thread"])
    rows.append(results_file.row(data, "jaxret, 1 thread", "times faster than faiss, 1 thread", faster))
    scaling = ratio(times["jaxret, 1 thread"], times["jaxret, 2 threads"])
    rows.append(results_file.row(data, "jaxret, 2 threads", "times faster than 1 thread", scaling))
    print(f"  {bits:4} bits  {faster:.1f} times faster than faiss; a second thread: {scaling:.2f} times")


def time_faiss_two_threads(index: Any, queries: Codes, samples: int) -> Any:
    """faiss keeps its number of threads in a global, so this is measured apart."""
    faiss.omp_set_num_threads(2)
    timing = in_turn({"faiss": lambda: index.search(queries, 10)}, min(samples, 3))["faiss"]
    faiss.omp_set_num_threads(1)
    return timing


def one_query(rows: list[dict[str, Any]], sizes: list[int], samples: int) -> None:
    """A single query is bound by memory: its rate stands beside that of NumPy reading the same bytes.

    What a second thread adds is what the memory has left over, which NumPy reading with two threads shows as well.
    """
    two_threads = ThreadPoolExecutor(2)
    print("\ntop 10 for one query, ms and GB/s")
    for size in sizes:
        for bits in (64, 128, 256, 512):
            if size * bits // 8 > 700_000_000:
                continue
            gallery, query = random_codes(1, size, bits), random_codes(2, 1, bits)
            words = gallery.view(np.uint64)
            halves = np.array_split(words, 2)
            index = faiss.IndexBinaryFlat(bits)
            index.add(gallery)
            times = in_turn(
                {
                    "faiss IndexBinaryFlat": lambda index=index, query=query: index.search(query, 10),
                    "NumPy sum of the words": lambda words=words: words.sum(),
                    "NumPy sums of two halves in two threads": lambda h=halves: sum(two_threads.map(np.sum, h)),
                    "jaxret, 1 thread": lambda q=query, g=gallery: hamming_topk(q, g, 10, threads=1),
                    "jaxret, 2 threads": lambda q=query, g=gallery: hamming_topk(q, g, 10, threads=2),
                },
                samples,
            )
            assert (hamming_topk(query, gallery, 10).distances == index.search(query, 10)[0]).all()
            data = f"{size:,} uniform codes of {bits} bits, 1 query"
            for method, timing in times.items():
                rate = gallery.nbytes / timing.median / 1e9
                rows.append(results_file.row(data, method, "ms", timing.median * 1e3))
                rows.append(results_file.row(data, method, "GB/s", rate))
                print(f"  {size:>10,} x {bits:3} bits  {method:24} {timing.median * 1e3:9.3f} ms {rate:7.1f} GB/s")
            for slow, metric in [
                ("faiss IndexBinaryFlat", "times faster than faiss"),
                ("NumPy sum of the words", "times the speed of a NumPy sum of the same bytes"),
            ]:
                rows.append(
                    results_file.row(data, "jaxret, 1 thread", metric, ratio(times[slow], times["jaxret, 1 thread"]))
                )
            for what, one, two in [
                ("jaxret, 2 threads", "jaxret, 1 thread", "jaxret, 2 threads"),
                ("NumPy sums", "NumPy sum of the words", "NumPy sums of two halves in two threads"),
            ]:
                scaling = ratio(times[one], times[two])
                rows.append(results_file.row(data, what, "times faster than 1 thread", scaling))
                print(f"    a second thread, {what}: {scaling:.2f} times")


def usearch_exact(rows: list[dict[str, Any]], size: int, samples: int) -> None:
    """usearch's exact search, the other package that offers one."""
    try:
        from usearch.index import MetricKind
        from usearch.index import search as usearch_search
    except ImportError:
        print("\nusearch is not installed: left out")
        return
    gallery, queries = random_codes(1, size, 64), random_codes(2, 32, 64)
    peer = lambda: usearch_search(gallery, queries, 10, MetricKind.Hamming, exact=True, threads=1)  # noqa: E731
    times = in_turn(
        {"usearch exact, 1 thread": peer, "jaxret, 1 thread": lambda: hamming_topk(queries, gallery, 10, threads=1)},
        min(samples, 3),
    )
    ours = hamming_topk(queries, gallery, 10).distances
    assert (np.sort(np.asarray(peer().distances), axis=1) == ours).all()
    data = f"{size:,} uniform codes of 64 bits, 32 queries"
    faster = ratio(times["usearch exact, 1 thread"], times["jaxret, 1 thread"])
    for method, timing in times.items():
        rows.append(results_file.row(data, method, "ns a pair", timing.median / size / 32 * NS))
    rows.append(results_file.row(data, "jaxret, 1 thread", "times faster than usearch", faster))
    print(f"\n{data}: {faster:.1f} times faster than usearch")


def growth(rows: list[dict[str, Any]], sizes: list[int], samples: int) -> None:
    """How time grows with N: linear scan and index on clustered codes, 128 queries and one."""
    print("\nclustered 64-bit codes (100 a cluster, 4 % of bits flipped), top 10, microseconds a query")
    for size in sizes:
        centres = np.random.default_rng(0).integers(0, 2**63, max(size // 100, 1), np.uint64)
        gallery, queries = clustered_codes(1, size, centres, 0.04), clustered_codes(2, 128, centres, 0.04)
        index = HammingIndex(8)
        index.add(gallery)
        data = f"{size:,} clustered codes of 64 bits"
        for count in (128, 1):
            few = queries[:count]
            times = in_turn(
                {
                    "linear scan": lambda q=few, g=gallery: hamming_topk(q, g, 10, threads=1),
                    "HammingIndex": lambda q=few, index=index: index.topk(q, 10, threads=1),
                },
                samples,
            )
            found, scan = index.topk(few, 10), hamming_topk(few, gallery, 10)
            assert (found.ids == scan.ids).all()
            assert (found.distances == scan.distances).all()
            assert (index.within(few, 4).ids == hamming_within(few, gallery, 4).ids).all()
            setting = f"{count} queries, 1 thread"
            for method, timing in times.items():
                micro = timing.median / count * 1e6
                rows.append(results_file.row(data, method, "us a query", micro, setting=setting))
            faster = ratio(times["linear scan"], times["HammingIndex"])
            touched = float(found.candidates.mean())
            rows.append(
                results_file.row(data, "HammingIndex", "times faster than linear scan", faster, setting=setting)
            )
            rows.append(results_file.row(data, "HammingIndex", "candidates a query", touched, setting=setting))
            linear, indexed = (times[m].median / count * 1e6 for m in ("linear scan", "HammingIndex"))
            print(
                f"  {size:>10,} codes, {count:3} queries: scan {linear:10.1f}  index {indexed:8.1f}"
                f"  {faster:6.1f} times faster, {touched:.0f} candidates"
            )


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_hamming.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer samples, no file")
    quick = parser.parse_args().quick
    samples = 3 if quick else 7
    rows: list[dict[str, Any]] = []
    many_queries(rows, 100_000 if quick else 1_000_000, samples)
    one_query(rows, [1_000_000] if quick else [1_000_000, 10_000_000], samples)
    usearch_exact(rows, 100_000 if quick else 1_000_000, samples)
    growth(rows, [10_000, 100_000] if quick else [10_000, 100_000, 1_000_000, 10_000_000], samples)
    if not quick:
        print("\nwrote", results_file.write("speed_hamming", rows, ["faiss-cpu", "usearch"]))


if __name__ == "__main__":
    main()
