"""DTW beside dtaidistance, tslearn, aeon and dtw-python; growth with T and D; pruned top-k on real and random data.

    pip install -e '.[bench]' dtw-python
    python benchmarks/speed_dtw.py            # some 10 minutes
    python benchmarks/speed_dtw.py --quick    # some 1 minute, smaller; writes no file

Peers and ours run in turn in one process, after a warm-up call that also compiles what numba compiles. All compute
one sequence against many, multivariate, squared Euclidean costs, no window. A slow peer gets the first sequences of
the gallery only; figures are per pair. The galleries of ours fit no cache. Distances are compared in the same run.

The real sequences are 25-frame VGG16 features of UCF101 (`data/ucf101_15_vgg16.npz` under JAXRET_SHARED, default
`../shared`): 568 test videos against 1,442 training videos.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import results_file
from common.paths import UCF101_FEATURES
from common.results_file import row
from common.timing import Timing, in_turn, ratio
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from jaxret.rank import SequenceTable, bidtw, dtw, dtw_cdist, dtw_subsequence, dtw_topk

Sequences = NDArray[np.float32]
Call = Callable[[], NDArray[Any]]
OneToMany = Callable[[Sequences, Sequences, int], Call]

SIZES = [(16, 128), (30, 512), (64, 128), (128, 64)]
GALLERY_BYTES = 64 << 20
PEER_SECONDS = 0.15


def random_sequences(seed: int, count: int, frames: int, dimensions: int) -> Sequences:
    """Standard normal frames, (count, frames, dimensions)."""
    return np.random.default_rng(seed).standard_normal((count, frames, dimensions), np.float32)


# ---- peers: given a query (T, D) and members (n, T, D), a call without arguments that measures all pairs ----


def with_dtaidistance(query: Sequences, members: Sequences, threads: int) -> Call:
    """C; every thread OpenMP has where `threads` is above 1."""
    from dtaidistance import dtw_ndim

    series = np.concatenate([query[None], members]).astype(np.float64)
    block = ((0, 1), (1, len(series)))
    return lambda: np.square(dtw_ndim.distance_matrix_fast(series, block=block, compact=True, parallel=threads > 1))


def with_tslearn(query: Sequences, members: Sequences, threads: int) -> Call:
    """numba."""
    from tslearn.metrics import cdist_dtw

    a, b = query[None].astype(np.float64), members.astype(np.float64)
    return lambda: np.square(cdist_dtw(a, b, n_jobs=threads)[0])


def with_aeon(query: Sequences, members: Sequences, threads: int) -> Call:
    """numba; channels before time, but left in memory frame by frame, in which aeon is some ten times faster."""
    from aeon.distances import dtw_pairwise_distance

    a, b = (x.astype(np.float64).transpose(0, 2, 1) for x in (query[None], members))
    return lambda: dtw_pairwise_distance(a, b, n_jobs=threads)[0]


def with_dtw_python(query: Sequences, members: Sequences, threads: int) -> Call:
    """C behind Python, one pair a call; has no threads."""
    import dtw as dtw_python

    options = {"dist_method": "sqeuclidean", "step_pattern": dtw_python.symmetric1, "distance_only": True}
    a, b = query.astype(np.float64), members.astype(np.float64)
    return lambda: np.array([dtw_python.dtw(a, x, **options).distance for x in b])


PEERS: dict[str, OneToMany] = {
    "dtaidistance": with_dtaidistance,
    "tslearn": with_tslearn,
    "aeon": with_aeon,
    "dtw-python": with_dtw_python,
}


def available_peers() -> dict[str, OneToMany]:
    """Those that are installed; says which are not."""
    tiny, found = random_sequences(0, 3, 4, 2), {}
    for name, peer in PEERS.items():
        try:
            peer(tiny[0], tiny, 1)()
            found[name] = peer
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


def against_peers(rows: list[dict[str, Any]], frames: int, dimensions: int, threads: int, samples: int) -> None:
    """Random sequences against many of the same length: ours one and eight, the peers, bound by arithmetic, one."""
    count = GALLERY_BYTES // (4 * frames * dimensions)
    gallery, queries = random_sequences(1, count, frames, dimensions), random_sequences(2, 8, frames, dimensions)
    query = queries[0]
    table = SequenceTable.from_sequences(gallery).prepare()
    ours = dtw_cdist(query, table, threads=threads)[0]
    functions: dict[str, Callable[[], Any]] = {
        "jaxret, 1 query": lambda: dtw_cdist(query, table, threads=threads),
        "jaxret, 8 queries": lambda: dtw_cdist(queries, table, threads=threads),
        "jaxret, 8 queries, Bi-DTW": lambda: dtw_cdist(queries, table, reverse="query", threads=threads),
    }
    mine = list(functions)
    product = "bare NumPy product of all frames, 8 queries"
    frames_of = queries.reshape(-1, dimensions), gallery.reshape(-1, dimensions).T
    functions[product] = lambda: np.matmul(*frames_of)
    pairs = {name: count * (8 if "8" in name else 1) for name in functions}
    for name, peer in available_peers().items():
        if name == "dtw-python" and threads > 1:
            continue
        few = peer(query, gallery[:8], threads)
        few()
        start = time.perf_counter()
        few()
        share = int(np.clip(PEER_SECONDS / (time.perf_counter() - start) * 8, 8, count))
        functions[name] = peer(query, gallery[:share], threads)
        np.testing.assert_allclose(functions[name](), ours[:share], rtol=1e-5)
        pairs[name] = share
    with threadpool_limits(threads):  # of NumPy's product; ours and the peers have threads of their own
        times = in_turn(functions, samples)
    per_pair = {name: Timing(tuple(s / pairs[name] for s in t.samples), t.calls) for name, t in times.items()}
    fastest = min((name for name in per_pair if name in PEERS), key=lambda name: per_pair[name].median)
    data, setting = f"random, T x D = {frames} x {dimensions}", f"{threads} thread{'s' if threads > 1 else ''}"
    print(f"\n{data}, {setting}, {count} sequences")
    for name, timing in per_pair.items():
        rows.append(row(data=data, method=name, metric="us a pair", value=timing.median * 1e6, setting=setting))
        print(f"  {name:26} {timing.median * 1e6:10.2f} us a pair ±{timing.spread:.0%}")
    for name in mine:
        faster = ratio(per_pair[fastest], per_pair[name])
        metric = "times faster than the fastest peer"
        rows.append(row(data=data, method=name, metric=metric, value=faster, setting=setting))
        print(f"  {name}: {faster:.1f} times faster than {fastest}")
    beside = ratio(per_pair["jaxret, 8 queries"], per_pair[product])
    print(f"  jaxret, 8 queries: {beside:.2f} of the time of the bare NumPy product")
    rows.append(row(data, "jaxret, 8 queries", "time beside the bare NumPy product", beside, setting=setting))


def growth(rows: list[dict[str, Any]], samples: int, quick: bool) -> None:
    """How the time of a pair grows with T at D = 128, and with D at T = 32."""
    shapes = [(t, 128) for t in ((8, 32, 128) if quick else (4, 8, 16, 32, 64, 128, 256, 512))]
    shapes += [(32, d) for d in ((8, 512) if quick else (1, 8, 32, 128, 512, 2048, 4000))]
    print("\ngrowth, 1 thread")
    for frames, dimensions in shapes:
        count = max(32, min(20_000, (16 << 20) // (4 * frames * dimensions)))
        gallery, query = random_sequences(3, count, frames, dimensions), random_sequences(4, 1, frames, dimensions)[0]
        table = SequenceTable.from_sequences(gallery).prepare()
        search = {"jaxret": lambda q=query, table=table: dtw_cdist(q, table, threads=1)}
        seconds = in_turn(search, samples)["jaxret"].median / count
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
    samples: int,
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
                samples,
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


def single_calls(rows: list[dict[str, Any]], samples: int) -> None:
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
    for name, timing in in_turn(functions, samples).items():
        rows.append(row(data="single calls, D = 128", method=name, metric="us a call", value=timing.median * 1e6))
        print(f"  {name:46} {timing.median * 1e6:12.1f} us ±{timing.spread:.0%}")


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_dtw.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer samples, no file")
    quick = parser.parse_args().quick
    samples = 3 if quick else 7
    rows: list[dict[str, Any]] = []
    for frames, dimensions in SIZES:
        for threads in (1,) if quick else (1, 2):
            against_peers(rows, frames, dimensions, threads, samples)
    growth(rows, min(samples, 5), quick)
    noise = SequenceTable.from_sequences(random_sequences(7, 1442, 25, 128))
    pruning(rows, "random, 25 x 128", random_sequences(8, 20, 25, 128), noise, min(samples, 3))
    if UCF101_FEATURES.exists():
        with np.load(UCF101_FEATURES) as data:
            table = SequenceTable.from_sequences(data["features"][data["split"] == "train"])
            queries = data["features"][data["split"] == "test"].astype(np.float32)
        if quick:
            queries = queries[::10]
        name = "UCF101, 15 classes, test against train, 25 x 128"
        pruning(rows, name, queries, table, min(samples, 5))
        if not quick:
            pruning(rows, name, queries, table, min(samples, 5), 2, (10,))
    else:
        print(f"no real sequences at {UCF101_FEATURES} (set JAXRET_SHARED)")
    single_calls(rows, samples)
    if not quick:
        packages = ["dtaidistance", "tslearn", "aeon", "dtw-python", "numba"]
        print("\nwrote", results_file.write("speed_dtw", rows, packages=packages))


if __name__ == "__main__":
    main()
