"""Threads: counts, containers, fork, Ctrl-C, merging of shards, and an import without JAX."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from jaxret.rank import SearchResult, available_threads, euclidean_topk, hamming_topk, merge_results
from jaxret.rank.hamming import threads_for
from jaxret.rank.threads import cgroup_cpu_limit, check_threads, worthwhile_threads
from jaxret.rank.topk import shared_seconds


def run_script(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, timeout=60, check=False
    )


def test_default_respects_affinity():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_threads() == 1
        assert check_threads(None) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert check_threads(7) == 7


@pytest.mark.parametrize("cores", [1, 2])
def test_more_threads_than_cores(cores):
    """Threads start on another core than their caller's, where there is one."""
    allowed = os.sched_getaffinity(0)
    rng = np.random.default_rng(0)
    gallery = rng.integers(0, 256, (400_000, 8), np.uint8)
    expected = hamming_topk(gallery[:3], gallery, 4, threads=1)
    try:
        os.sched_setaffinity(0, sorted(allowed)[:cores])
        found = hamming_topk(gallery[:3], gallery, 4, threads=3)
    finally:
        os.sched_setaffinity(0, allowed)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/", {}, None),
        ("0::/", {"cpu.max": "max 100000\n"}, None),
        ("0::/", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b", {"cpu.max": "400000 100000", "a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1.0),
        ("0::/../x", {"x/cpu.max": "200000 100000"}, 2.0),
        ("0::/", {"cpu.max": "garbage"}, None),
        ("0::/", {"cpu.max": "1 0"}, None),
        (
            "3:cpu,cpuacct:/a",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "50000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("3:memory:/\nnonsense", {"memory/cpu.cfs_quota_us": "1"}, None),
    ],
)
def test_container_limits(tmp_path, membership, files, limit):
    (tmp_path / "self").write_text(membership)
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    assert cgroup_cpu_limit(tmp_path / "self", tmp_path / "cgroup") == limit


def test_no_control_groups(tmp_path):
    assert cgroup_cpu_limit(tmp_path / "none", tmp_path) is None


def test_small_work_stays_on_one_thread():
    assert worthwhile_threads(8, 1e-6) == 1
    assert worthwhile_threads(8, 3.5e-4) == 3
    assert worthwhile_threads(8, 10.0) == 8


@pytest.mark.parametrize(
    ("count", "code_bytes", "queries", "level", "expected"),
    [
        (10_000, 8, 1, "portable", 1),  # some microseconds
        (1_000_000, 4, 1, "avx512vpopcnt", 1),  # 0.05 ms, less than a thread takes to start and to end
        (1_000_000, 16, 1, "avx512vpopcnt", 2),  # 0.2 ms
        (10_000, 256, 4, "avx512vpopcnt", 1),  # 0.1 ms
        (10_000, 256, 4, "avx2", 2),  # 0.2 ms
        (1_000_000, 8, 128, "avx512vpopcnt", 2),
    ],
)
def test_codes_have_a_second_thread_where_it_ends_sooner(count, code_bytes, queries, level, expected):
    assert (
        threads_for(np.empty((queries, code_bytes), np.uint8), np.empty((count, code_bytes), np.uint8), 2, level)
        == expected
    )


@pytest.mark.parametrize(
    ("queries", "rows", "dimensions", "k", "expected"),
    [
        (1, 10_000, 256, 1000, 1),  # one thread measures the nearest of one query: a second would end nothing sooner
        (1, 2_500, 1024, 1000, 1),
        (2, 10_000, 256, 1000, 2),
        (1, 10_000, 1024, 10, 2),
    ],
)
def test_vectors_have_a_second_thread_where_it_ends_sooner(queries, rows, dimensions, k, expected):
    assert worthwhile_threads(2, shared_seconds(queries, rows, dimensions, k)) == expected


def test_works_in_a_forked_child():
    """The parent has searched with threads before and after; the child must not hang."""
    done = run_script(
        """
        import os
        import numpy as np
        from jaxret.rank import euclidean_topk, hamming_topk
        rows = np.random.default_rng(0).normal(size=(20000, 32)).astype("f4")
        codes = rows.view("u1")[:, :16]
        def work():
            return (euclidean_topk(rows[:40], rows, 3, threads=3).ids.sum()
                    + hamming_topk(codes[:200], codes, 3, threads=3).ids.sum())
        before = work()
        for _ in range(3):
            child = os.fork()
            if child == 0:
                os._exit(0 if work() == before else 1)
            assert work() == before
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("same")
        """
    )
    assert done.stdout == "same\n", done.stderr


@pytest.mark.parametrize(
    "search", ["euclidean_topk(rows, rows, 5, threads=1)", "hamming_topk(codes, codes, 5, threads=1)"]
)
def test_interrupted_by_ctrl_c(search):
    """A search that would take long ends soon after SIGINT, with KeyboardInterrupt."""
    script = f"""
import signal
import numpy as np
from jaxret.rank import euclidean_topk, hamming_topk
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
rows = np.random.default_rng(0).standard_normal((100_000, 128), np.float32)
codes = rows.view(np.uint8)
print("go", flush=True)
try:
    {search}
except KeyboardInterrupt:
    print("stopped")
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    rest, _ = process.communicate(timeout=60)
    assert rest == "stopped\n"
    assert time.monotonic() - start < 8  # alone it is about 1; the whole search takes 25


def test_searches_run_beside_each_other():
    """The GIL is released: several Python threads search at once and get their own results."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5000, 32)).astype("f4")
    expected = euclidean_topk(rows, rows, 1, threads=1)
    results = [None] * 4

    def work(i):
        results[i] = euclidean_topk(rows, rows, 1, threads=2)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        np.testing.assert_array_equal(result.ids, expected.ids)


def test_import_is_free_of_jax():
    done = run_script("import sys, jaxret.rank; print([m for m in sys.modules if m.split('.')[0] in ('jax', 'flax')])")
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_merged_shards_are_the_whole(shards):
    rng = np.random.default_rng(shards)
    codes = rng.integers(0, 4, (200, 2), np.uint8)
    whole = hamming_topk(codes[:9], codes, 30)
    parts = []
    for rows in np.array_split(np.arange(200), shards):
        part = hamming_topk(codes[:9], codes[rows], min(30, len(rows)))
        parts.append(SearchResult(part.ids + rows[0], part.distances))
    merged = merge_results(parts[::-1], 30)
    np.testing.assert_array_equal(merged.ids, whole.ids)
    np.testing.assert_array_equal(merged.distances, whole.distances)


def test_merge_fills_and_prefers_real_results():
    few = SearchResult(np.array([[5, -1]]), np.array([[np.inf, np.inf]], np.float32))
    merged = merge_results([few, few], 5)
    assert merged.ids.tolist() == [[5, 5, -1, -1, -1]]
    assert merged.counts.tolist() == [2]
    assert merged.ids.dtype == np.int64
    assert merged.distances.dtype == np.float32
