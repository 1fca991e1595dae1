"""`HammingIndex` beside the scan that it replaces: near and far neighbours, short and long codes, one query and many.

    python benchmarks/speed_code_index.py             # some 20 seconds of a core
    python benchmarks/speed_code_index.py --large     # 10 and 100 million codes: 2 minutes, 5 GB of memory

Processor time, so that other programs on the machine change little. Both ways run in turn, one thread, and must find
the same. The row says which of the two the index has chosen, and of large galleries also what the tables take to build,
in seconds and in bytes a code. Codes lie around centres, each bit flipped with a probability; with 0.5 there are no
clusters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import results_file
from numpy.typing import NDArray

from jaxret.rank import HammingIndex, hamming_topk, pack_bits
from jaxret.rank.substring_tables import substring_bounds, table_starts

# codes, bits, codes around a centre, probability of a flip
GALLERIES = (
    (10_000, 64, 100, 0.04), (10_000, 256, 100, 0.04), (100_000, 64, 100, 0.04), (100_000, 512, 1000, 0.06),
    (100_000, 256, 100, 0.5), (500_000, 64, 100, 0.04), (500_000, 512, 1000, 0.06), (500_000, 512, 1000, 0.12),
)  # fmt: skip
LARGE_GALLERIES = ((10_000_000, 64, 100, 1 / 16), (10_000_000, 64, 100, 0.5), (100_000_000, 64, 100, 1 / 16),
                   (100_000_000, 64, 100, 0.5))  # fmt: skip
SEARCHES = ((64, 10), (1, 10), (64, 200))  # queries, k
SAMPLES = 7
CALLS = 8


def codes_around(centres: NDArray[np.bool_], count: int, flips: float, seed: int) -> NDArray[np.uint8]:
    """Codes of random centres (C, bits), each bit flipped with that probability, (count, bits / 8)."""
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, count, 1 << 18):
        chosen = centres[rng.integers(0, len(centres), min(1 << 18, count - start))]
        parts.append(pack_bits(chosen ^ (rng.random(chosen.shape, np.float32) < flips), 1))
    return np.concatenate(parts)


def large_gallery(centres: NDArray[np.uint8], count: int, flips: float, seed: int) -> NDArray[np.uint8]:
    """As `codes_around`, of packed centres (C, bytes); quicker, but `flips` must be a power of a half."""
    rng = np.random.default_rng(seed)
    codes = np.empty((count, centres.shape[1]), np.uint8)
    for start in range(0, count, 1 << 20):
        part = codes[start : start + (1 << 20)]
        part[:] = 255
        for _ in range(round(-np.log2(flips))):  # a bit is left where so many random ones are set
            part &= rng.integers(0, 256, part.shape, np.uint8)
        part ^= centres[rng.integers(0, len(centres), len(part))]
    return codes


def processor_seconds(functions: dict[str, Callable[[], Any]], samples: int, calls: int) -> dict[str, float]:
    """The median over rounds in which the functions run in turn, `calls` times each."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for sample in range(samples + 1):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(calls):
                function()
            if sample:  # the first call builds tables
                taken[name].append((time.process_time() - start) / calls)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def figures(data: str, gallery: NDArray[np.uint8], queries: NDArray[np.uint8], large: bool) -> list[dict[str, Any]]:
    """The rows of one gallery."""
    rows: list[dict[str, Any]] = []
    index = HammingIndex(gallery.shape[1])
    index.add(gallery)
    for count, k in SEARCHES:
        some = queries[:count]
        start = time.process_time()
        found = index.topk(some, k, threads=1)
        built = time.process_time() - start
        expected = hamming_topk(some, gallery, k, threads=1)
        assert np.array_equal(found.ids, expected.ids)
        assert np.array_equal(found.distances, expected.distances)
        if large and not rows:
            rows.append(results_file.row(data, "index", "seconds of the first search, which builds tables", built))
        seconds = processor_seconds(
            {
                "scan": partial(hamming_topk, some, gallery, k, threads=1),
                "index": partial(index.topk, some, k, threads=1),
            },
            2 if large else SAMPLES,
            1 if large else CALLS,
        )
        chosen = "looks into its tables" if (found.candidates < len(gallery)).any() else "scans"
        setting = f"{count} queries, k {k}: it {chosen}"
        for name, value in seconds.items():
            rows.append(results_file.row(data, name, "us a query", value / count * 1e6, setting=setting))
        times = seconds["scan"] / seconds["index"]
        rows.append(results_file.row(data, "index", "times faster than the scan", times, setting=setting))
        print(f"{data}, {setting}: {times:.2f} times faster", flush=True)
    if large:
        bounds = substring_bounds(8 * gallery.shape[1], len(gallery))
        entries = (len(bounds) - 1) * len(gallery) + int(table_starts(bounds)[-1])
        rows.append(results_file.row(data, "index", "bytes of tables a code", 4 * entries / len(gallery)))
    return rows


def main() -> None:
    """Measures, prints, and writes benchmarks/results/speed_code_index.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="10 and 100 million codes instead")
    large = parser.parse_args().large
    rows: list[dict[str, Any]] = []
    for size, bits, around, flips in LARGE_GALLERIES if large else GALLERIES:
        centres = np.random.default_rng(0).integers(0, 2, (size // around, bits)).astype(bool)
        data = f"{size:,} codes of {bits} bits, flips {flips:g}"
        if large:
            packed = pack_bits(centres, 1)
            gallery, queries = (large_gallery(packed, count, flips, seed) for seed, count in ((1, size), (2, 64)))
        else:
            gallery, queries = (codes_around(centres, count, flips, seed) for seed, count in ((1, size), (2, 64)))
        rows += figures(data, gallery, queries, large)
    print(results_file.update("speed_code_index", rows))


if __name__ == "__main__":
    main()
