"""`HammingIndex` beside the scan that it replaces: near and far neighbours, short and long codes, one query and many.

    python benchmarks/speed_code_index.py             # some 20 seconds of a core

Processor time, so that other programs on the machine change little. Both ways run in turn, one thread, and must find
the same. The row says which of the two the index has chosen. Codes lie around centres, each bit flipped with a
probability; with 0.5 there are no clusters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import results_file
from numpy.typing import NDArray

from jaxret.rank import HammingIndex, hamming_topk, pack_bits

# codes, bits, codes around a centre, probability of a flip
GALLERIES = (
    (10_000, 64, 100, 0.04), (10_000, 256, 100, 0.04), (100_000, 64, 100, 0.04), (100_000, 512, 1000, 0.06),
    (100_000, 256, 100, 0.5), (500_000, 64, 100, 0.04), (500_000, 512, 1000, 0.06), (500_000, 512, 1000, 0.12),
)  # fmt: skip
SEARCHES = ((64, 10), (1, 10), (64, 200))  # queries, k
SAMPLES = 7


def codes_around(centres: NDArray[np.bool_], count: int, flips: float, seed: int) -> NDArray[np.uint8]:
    """Codes of random centres (C, bits), each bit flipped with that probability, (count, bits / 8)."""
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, count, 1 << 18):
        chosen = centres[rng.integers(0, len(centres), min(1 << 18, count - start))]
        parts.append(pack_bits(chosen ^ (rng.random(chosen.shape, np.float32) < flips), 1))
    return np.concatenate(parts)


def processor_seconds(functions: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median over rounds in which the functions run in turn."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for sample in range(SAMPLES + 1):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(8):
                function()
            if sample:  # the first call builds tables
                taken[name].append((time.process_time() - start) / 8)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def main() -> None:
    """Measures, prints, and writes benchmarks/results/speed_code_index.json."""
    rows: list[dict[str, Any]] = []
    for size, bits, around, flips in GALLERIES:
        centres = np.random.default_rng(0).integers(0, 2, (size // around, bits)).astype(bool)
        gallery, queries = (codes_around(centres, count, flips, seed) for seed, count in ((1, size), (2, 64)))
        index = HammingIndex(bits // 8)
        index.add(gallery)
        data = f"{size:,} codes of {bits} bits, flips {flips:g}"
        for count, k in SEARCHES:
            some = queries[:count]
            found, expected = index.topk(some, k, threads=1), hamming_topk(some, gallery, k, threads=1)
            assert np.array_equal(found.ids, expected.ids)
            assert np.array_equal(found.distances, expected.distances)
            seconds = processor_seconds(
                {
                    "scan": partial(hamming_topk, some, gallery, k, threads=1),
                    "index": partial(index.topk, some, k, threads=1),
                }
            )
            chosen = "looks into its tables" if (found.candidates < size).any() else "scans"
            setting = f"{count} queries, k {k}: it {chosen}"
            for name, value in seconds.items():
                rows.append(results_file.row(data, name, "us a query", value / count * 1e6, setting=setting))
            times = seconds["scan"] / seconds["index"]
            rows.append(results_file.row(data, "index", "times faster than the scan", times, setting=setting))
            print(f"{data}, {setting}: {times:.2f} times faster", flush=True)
    print(results_file.write("speed_code_index", rows))


if __name__ == "__main__":
    main()
