"""`MediaIndex.search` of packed codes: a scan beside hash tables, with all items and with a third of them removed.

    python benchmarks/speed_code_search.py            # some minute and a half
    python benchmarks/speed_code_search.py --quick    # some 10 seconds, smaller; writes no file

Both ways run in turn in one process and must return the same ids, distances and spans. The tables are built in the
first search of a segment; they outlive the removal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.timing import in_turn, ratio
from numpy.typing import NDArray

from jaxret.index import EncoderRecord, MediaIndex, MediaItem, Rows, SearchOptions, Space
from jaxret.preprocessing import Preprocessing
from jaxret.rank import pack_bits

CHUNKS = 5


def clustered_codes(seed: int, count: int, centres: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Codes around given centres (C, bits), each bit flipped with probability 4 %, (count, bits / 8)."""
    rng = np.random.default_rng(seed)
    chosen = centres[rng.integers(0, len(centres), count)]
    return pack_bits(chosen ^ (rng.random(chosen.shape, np.float32) < 0.04), 1)


def make_index(folder: Path, codes: NDArray[np.uint8]) -> MediaIndex:
    """One segment of videos of CHUNKS codes each."""
    encoder = EncoderRecord("benchmark", Preprocessing())
    index = MediaIndex.create(folder, spaces=[Space.of_codes("code", 8 * codes.shape[1])], encoder=encoder)
    items = [MediaItem(str(number), "video") for number in range(len(codes) // CHUNKS)]
    index.add(items, {"code": Rows(codes, np.repeat(np.arange(len(items)), CHUNKS))})
    return index


def compare(rows: list[dict[str, Any]], data: str, index: MediaIndex, queries: NDArray[np.uint8], samples: int) -> None:
    """Top 10 items for many queries and for one, by both ways."""
    start = time.perf_counter()
    hashed = SearchOptions(multi_index=True)
    index.search("code", queries[:1], 10, options=hashed, threads=1)
    first = time.perf_counter() - start
    rows.append(results_file.row(data, "hash tables", "seconds of the first search", first))
    for count in (len(queries), 1):
        few, setting = queries[:count], f"{count} queries, 1 thread"
        found = [index.search("code", few, 10, options=way, threads=1) for way in (None, hashed)]
        assert all(
            np.array_equal(getattr(found[0], field), getattr(found[1], field))
            for field in ("ids", "distances", "starts", "ends")
        )
        times = in_turn(
            {
                "scan": lambda few=few: index.search("code", few, 10, threads=1),
                "hash tables": lambda few=few: index.search("code", few, 10, options=hashed, threads=1),
            },
            samples,
        )
        for method, timing in times.items():
            rows.append(results_file.row(data, method, "us a query", timing.median / count * 1e6, setting=setting))
        faster = ratio(times["scan"], times["hash tables"])
        rows.append(results_file.row(data, "hash tables", "times faster than scan", faster, setting=setting))
        scan, tables = (times[method].median / count * 1e6 for method in ("scan", "hash tables"))
        print(
            f"{data}, {count:3} queries: scan {scan:9.1f}, tables {tables:9.1f} us a query, {faster:6.2f} times faster"
            f" (first search {first:.2f} s)"
        )


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_code_search.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer samples, no file")
    quick = parser.parse_args().quick
    samples = 3 if quick else 5
    rows: list[dict[str, Any]] = []
    for size in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        for bits in (64, 256):
            centres = np.random.default_rng(0).integers(0, 2, (size // 100, bits)).astype(bool)
            queries = clustered_codes(2, 128, centres)
            with tempfile.TemporaryDirectory() as folder:
                index = make_index(Path(folder) / "index", clustered_codes(1, size, centres))
                data = f"{size:,} clustered codes of {bits} bits, {CHUNKS} an item"
                compare(rows, data, index, queries, samples)
                index.remove([item.key for item in index.items[::3]])
                compare(rows, f"{data}, a third removed", index, queries, samples)
    if not quick:
        print("\nwrote", results_file.write("speed_code_search", rows))


if __name__ == "__main__":
    main()
