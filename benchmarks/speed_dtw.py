"""DTW as sequences grow in length and width, pruned top-k on real and random data, and single calls.

    pip install -e '.[bench]'
    python benchmarks/speed_dtw.py            # some minute and a half
    python benchmarks/speed_dtw.py --quick    # some 20 seconds, smaller; writes no file

Sequences are multivariate, costs squared Euclidean, without a window. What stands side by side runs in turn in one
process. Searches beside aeon, dtaidistance and tslearn are in the map of speed_rank.py.

The real sequences are 25-frame VGG16 features of UCF101 (`data/ucf101_15_vgg16.npz` under JAXRET_SHARED, default
`../shared`): every fourth of 568 test videos against 1,442 training videos.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from common import results_file
from common.paths import UCF101_FEATURES
from common.results_file import row
from common.timing import in_turn, ratio
from numpy.typing import NDArray

from jaxret.rank import SequenceTable, bidtw, dtw, dtw_cdist, dtw_subsequence, dtw_topk

Sequences = NDArray[np.float32]
SAMPLES = 3


def random_sequences(seed: int, count: int, frames: int, dimensions: int) -> Sequences:
    """Standard normal frames, (count, frames, dimensions)."""
    return np.random.default_rng(seed).standard_normal((count, frames, dimensions), np.float32)


def growth(rows: list[dict[str, Any]], quick: bool) -> None:
    """How the time of a pair grows with T at D = 128, and with D at T = 32."""
    shapes = [(t, 128) for t in ((8, 32, 128) if quick else (4, 8, 16, 32, 64, 128, 256, 512))]
    shapes += [(32, d) for d in ((8, 512) if quick else (1, 8, 32, 128, 512, 2048, 4000))]
    print("\ngrowth, 1 thread")
    for frames, dimensions in shapes:
        count = max(32, min(20_000, (16 << 20) // (4 * frames * dimensions)))
        gallery, query = random_sequences(3, count, frames, dimensions), random_sequences(4, 1, frames, dimensions)[0]
        table = SequenceTable.from_sequences(gallery).prepare()
        search = {"jaxret": lambda q=query, table=table: dtw_cdist(q, table, threads=1)}
        seconds = in_turn(search, SAMPLES)["jaxret"].median / count
        speed = 2 * frames * frames * dimensions / seconds / 1e9
        data = f"random, T x D = {frames} x {dimensions}, growth"
        rows.append(row(data=data, method="jaxret dtw_cdist", metric="us a pair", value=seconds * 1e6))
        rows.append(row(data=data, method="jaxret dtw_cdist", metric="GFLOP/s of the costs", value=speed))
        print(f"  {frames:4} x {dimensions:4} {seconds * 1e6:10.2f} us a pair {speed:7.1f} GFLOP/s")


def pruning(
    rows: list[dict[str, Any]],
    data: str,
    queries: Any,
    table: SequenceTable,
    threads: int = 1,
    neighbours: tuple[int, ...] = (1, 10, 100),
) -> None:
    """Pruned top-k beside measuring everything, query by query and all distances at once; results are the same."""
    print(f"\ntop-k, {data}, {len(queries)} queries, {len(table)} sequences, {threads} thread(s)")
    table.prepare()
    for reverse in (None, "query"):
        name = "Bi-DTW" if reverse else "DTW"
        for k in neighbours:
            options = {"reverse": reverse, "threads": threads}
            found = dtw_topk(queries, table, k, **options)
            everything = dtw_topk(queries, table, k, prune=False, **options)
            np.testing.assert_array_equal(found.ids, everything.ids)
            np.testing.assert_array_equal(found.distances, everything.distances)
            times = in_turn(
                {
                    "measured": lambda k=k, o=options: dtw_topk(queries, table, k, prune=False, **o),
                    "all distances": lambda o=options: dtw_cdist(queries, table, **o),
                    "pruned": lambda k=k, o=options: dtw_topk(queries, table, k, **o),
                },
                SAMPLES,
            )
            faster = ratio(times["measured"], times["pruned"])
            pairs = len(queries) * len(table)
            shares = found.pruning.shares()
            setting, method = f"k = {k}, {threads} thread{'s' if threads > 1 else ''}", f"jaxret dtw_topk, {name}"
            figures = {
                "us a pair": times["pruned"].median / pairs * 1e6,
                "us a pair, unpruned": times["measured"].median / pairs * 1e6,
                "times faster than unpruned": faster,
                "times faster than dtw_cdist": ratio(times["all distances"], times["pruned"]),
                **{f"share {share.replace('_', ' ')}": value for share, value in shares.items()},
            }
            rows += [row(data=data, method=method, metric=m, value=v, setting=setting) for m, v in figures.items()]
            text = ", ".join(f"{share} {value:.1%}" for share, value in shares.items())
            print(
                f"  {name:6} k = {k:3}: {faster:5.2f} times faster, "
                f"{figures['times faster than dtw_cdist']:.2f} than dtw_cdist, "
                f"{figures['us a pair']:.3f} us a pair; {text}"
            )


def single_calls(rows: list[dict[str, Any]]) -> None:
    """One pair a call, and a query in a long sequence."""
    a, b = random_sequences(5, 2, 30, 128)
    long = random_sequences(6, 1, 20_000, 128)[0]
    functions: dict[str, Callable[[], Any]] = {
        "jaxret dtw": lambda: dtw(a, b),
        "jaxret bidtw": lambda: bidtw(a, b),
        "jaxret dtw_subsequence, 30 frames in 20,000": lambda: dtw_subsequence(long[500:530], long),
    }
    try:
        from dtaidistance import dtw_ndim
        from tslearn.metrics import dtw_subsequence_path

        functions["dtaidistance distance_fast"] = lambda: dtw_ndim.distance_fast(a.astype(float), b.astype(float))
        functions["tslearn dtw_subsequence_path, 30 in 20,000"] = lambda: dtw_subsequence_path(long[500:530], long)
    except ImportError as error:
        print(f"left out: {error}")
    print("\nsingle calls")
    for name, timing in in_turn(functions, SAMPLES).items():
        rows.append(row(data="single calls, D = 128", method=name, metric="us a call", value=timing.median * 1e6))
        print(f"  {name:46} {timing.median * 1e6:12.1f} us ±{timing.spread:.0%}")


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_dtw.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, no file")
    quick = parser.parse_args().quick
    rows: list[dict[str, Any]] = []
    growth(rows, quick)
    noise = SequenceTable.from_sequences(random_sequences(7, 1442, 25, 128))
    pruning(rows, "random, 25 x 128", random_sequences(8, 20, 25, 128), noise)
    if UCF101_FEATURES.exists():
        with np.load(UCF101_FEATURES) as data:
            table = SequenceTable.from_sequences(data["features"][data["split"] == "train"])
            queries = data["features"][data["split"] == "test"].astype(np.float32)
        queries = queries[:: 40 if quick else 4]
        name = "UCF101, 15 classes, every fourth test video against train, 25 x 128"
        pruning(rows, name, queries, table)
        if not quick:
            pruning(rows, name, queries, table, 2, (10,))
    else:
        print(f"no real sequences at {UCF101_FEATURES} (set JAXRET_SHARED)")
    single_calls(rows)
    if not quick:
        print("\nwrote", results_file.write("speed_dtw", rows, packages=["dtaidistance", "tslearn"]))


if __name__ == "__main__":
    main()
