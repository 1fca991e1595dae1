"""Exact search on GPUs or TPUs beside the CPU of the same machine: queries a second, bandwidth, memory.

    python benchmarks/speed_device.py                # on what JAX finds; some 3 minutes on one GPU
    python benchmarks/speed_device.py --quick        # small, writes no file; runs on a CPU, too

Each gallery is made of normal vectors, random codes or sequences, in this machine's memory, and searched by the kernels
of the CPU, with all of its cores, and on the devices; both must give the same bits. Bandwidth is the bytes of the
gallery over the time of a search; its share is of what the devices reach when they copy 1 GB within their memory.
`memory` is the most that a device held, of the gallery's bytes. The largest gallery is made on a device and not
searched by the CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import results_file
from common.timing import in_turn, ratio

from jaxret import rank
from jaxret.rank.device.code_search import by_counting, by_products, nearest_codes_on_devices

Rows = list[dict[str, Any]]


def copy_rate(size: int) -> float:
    """Bytes a second, read and written, of a copy within one device's memory, times the devices."""
    copied = jax.jit(lambda x: x + jnp.uint32(1))
    array = jnp.zeros(size // 4, jnp.uint32)
    copied(array).block_until_ready()
    start = time.perf_counter()
    for _ in range(5):
        array = copied(array)
    array.block_until_ready()
    return 5 * 2 * size / (time.perf_counter() - start) * jax.local_device_count()


def peak_share(nbytes: int) -> float | None:
    """The most that the first device has held, as a share of its part of the gallery; None where JAX does not tell."""
    held = jax.local_devices()[0].memory_stats()
    return held["peak_bytes_in_use"] * jax.local_device_count() / nbytes if held else None


def compared(
    rows: Rows, data: str, count: int, nbytes: int, searches: dict[str, Callable[[], Any]], rate: float
) -> None:
    """Times searches in turn; the first is the CPU's."""
    expected, *others = [search() for search in searches.values()]
    for found in others:
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
    times = in_turn(searches, samples=3)
    cpu = next(iter(times.values()))
    for method, timing in times.items():
        figures = {"queries/s": count / timing.median, "GB/s": nbytes / timing.median / 1e9}
        if timing is not cpu:
            figures |= {
                "times faster than the CPU": ratio(cpu, timing),
                "share of bandwidth": nbytes / timing.median / rate,
            }
        rows += results_file.rows_of(data, method, figures)
        print(f"{data}: {method:22}", *(f"{name} {value:,.4g}" for name, value in figures.items()), flush=True)


def vectors(rows: Rows, size: int, dimensions: int, rate: float) -> None:
    """Euclidean and cosine top 10 of 1, 128 and 1,024 queries."""
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((size, dimensions), np.float32)
    start = time.perf_counter()
    on_device = rank.DeviceGallery(gallery)
    seconds = time.perf_counter() - start
    sent = f"{size:,} normal vectors of {dimensions}"
    rows.append(results_file.row(sent, "DeviceGallery", "GB/s to the devices", gallery.nbytes / seconds / 1e9))
    for count in (1, 128, 1024):
        queries = rng.standard_normal((count, dimensions), np.float32)
        for search in (rank.euclidean_topk, rank.cosine_topk):
            searches = {
                f"CPU, {search.__name__}": lambda s=search, q=queries: s(q, gallery, 10),
                f"devices, {search.__name__}": lambda s=search, q=queries: s(q, on_device, 10),
            }
            compared(rows, f"{sent}, {count} queries, top 10", count, gallery.nbytes, searches, rate)
    if (share := peak_share(on_device.nbytes)) is not None:
        rows.append(results_file.row(sent, "DeviceGallery", "memory", share))


def codes(rows: Rows, size: int, bits: int, rate: float) -> None:
    """Hamming top 10 in both ways."""
    rng = np.random.default_rng(1)
    gallery = rng.integers(0, 256, (size, bits // 8), np.uint8)
    on_device = rank.DeviceGallery(gallery)
    for count in (1, 128, 1024):
        queries = rng.integers(0, 256, (count, bits // 8), np.uint8)
        searches: dict[str, Callable[[], Any]] = {"CPU": lambda q=queries: rank.hamming_topk(q, gallery, 10)}
        for name, score in (("devices, XOR", by_counting), ("devices, int8 products", by_products)):
            searches[name] = lambda q=queries, s=score: nearest_codes_on_devices(q, on_device, 10, None, s)
        data = f"{size:,} random codes of {bits} bits, {count} queries, top 10"
        compared(rows, data, count, gallery.nbytes, searches, rate)


def sequences(rows: Rows, count: int, dimensions: int, rate: float) -> None:
    """DTW and Bi-DTW top 10 of 8 queries over sequences of 30 to 60 frames that wander about places of their own."""
    rng = np.random.default_rng(3)
    places = rng.standard_normal((100, dimensions), np.float32)
    lengths = rng.integers(30, 61, count)
    values = rng.standard_normal((int(lengths.sum()), dimensions), np.float32)
    values += np.repeat(places[rng.integers(0, 100, count)], lengths, axis=0)
    table = rank.SequenceTable(values, np.concatenate([[0], np.cumsum(lengths)]))
    on_device = rank.DeviceSequences(table)
    queries = [table[number] + np.float32(0.1) for number in range(8)]
    for reverse, name in ((None, "DTW"), ("query", "Bi-DTW")):
        for prune in (True, False):
            searches: dict[str, Callable[[], Any]] = {
                method: lambda g=gallery, r=reverse, p=prune: rank.dtw_topk(queries, g, 10, reverse=r, prune=p)
                for method, gallery in (("CPU", table), ("devices", on_device))
            }
            data = f"{count:,} sequences of 30 to 60 frames of {dimensions}, 8 queries, {name} top 10"
            compared(rows, data + ("" if prune else ", not pruned"), 8, values.nbytes, searches, rate)


def large(rows: Rows, size: int, dimensions: int, rate: float) -> None:
    """A gallery that is made where it lies, on one device."""
    blocks = [jax.random.normal(jax.random.key(i), (size // 10, dimensions), jnp.float16) for i in range(10)]
    on_device = rank.DeviceGallery(jnp.concatenate(blocks), jax.local_devices()[0])
    del blocks
    for count in (1, 128, 1024):
        queries = np.random.default_rng(2).standard_normal((count, dimensions), np.float32)
        timing = in_turn({"devices": lambda q=queries: rank.euclidean_topk(q, on_device, 10)}, samples=3)["devices"]
        figures = {"queries/s": count / timing.median, "share of bandwidth": on_device.nbytes / timing.median / rate}
        data = f"{size:,} float16 vectors of {dimensions}, {count} queries, top 10"
        rows += results_file.rows_of(data, "one device, euclidean_topk", figures)
        print(data, *(f"{name} {value:,.4g}" for name, value in figures.items()), flush=True)


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_device.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, no file")
    quick = parser.parse_args().quick
    devices = jax.local_devices()
    print(f"{len(devices)} x {devices[0].device_kind}, {rank.available_threads()} threads of the CPU")
    rate = copy_rate(1 << (26 if quick else 30))
    rows: Rows = [
        results_file.row(f"{len(devices)} x {devices[0].device_kind}", "a copy within memory", "GB/s", rate / 1e9)
    ]
    vectors(rows, 5_000 if quick else 1_000_000, 256, rate)
    for bits in (64, 512):
        codes(rows, 20_000 if quick else 10_000_000, bits, rate)
    sequences(rows, 500 if quick else 50_000, 256, rate)
    large(rows, 20_000 if quick else 10_000_000, 256, rate)
    if not quick:
        print("\nwrote", results_file.write("speed_device", rows, ["jax", "jaxlib"]))


if __name__ == "__main__":
    main()
