"""Batches: what they hold, that they resume, and that threads and broken items do not change them."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

from jaxret.data.batches.loader import TrainingInput, read_in_parallel
from jaxret.data.batches.plans import ClassBatches, ShuffledBatches
from jaxret.errors import ConfigError, MediaError

LABELS = [label for label in "aaaaabbbbbbbcccdddddde" for _ in range(2)] + [None, None]


def read(item: int, rng: np.random.Generator) -> dict:
    return {"item": item, "noise": rng.random(3).astype(np.float32)}


def take(stream: TrainingInput, count: int) -> list[dict]:
    return [next(stream) for _ in range(count)]


def assert_same(first: list[dict], second: list[dict]) -> None:
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


PLANS = {"shuffled": lambda: ShuffledBatches(23, 5), "classes": lambda: ClassBatches(LABELS, 3, 4)}


@pytest.mark.parametrize("plan", PLANS)
def test_resumes_to_the_very_batch(plan):
    with TrainingInput(read, PLANS[plan](), seed=4, threads=3) as stream:
        take(stream, 7)
        state = json.loads(json.dumps(stream.get_state()))
        expected = take(stream, 9)
        assert stream.step == 16
        stream.set_state(state)  # and back in the same stream
        assert_same(take(stream, 9), expected)
    with TrainingInput(read, PLANS[plan](), seed=4, threads=2) as resumed:
        resumed.set_state(state)
        assert resumed.step == 7
        assert_same(take(resumed, 9), expected)


@pytest.mark.parametrize("plan", PLANS)
def test_threads_do_not_change_batches(plan):
    def slow_read(item, rng):
        time.sleep(0.001 * (item % 3))
        return read(item, rng)

    with TrainingInput(read, PLANS[plan](), seed=1, threads=0) as stream:
        expected = take(stream, 8)
    with TrainingInput(slow_read, PLANS[plan](), seed=1, threads=4, prefetch=7) as stream:
        assert_same(take(stream, 8), expected)
    with TrainingInput(read, PLANS[plan](), seed=2, threads=0) as stream:
        assert not np.array_equal(next(stream)["item"], expected[0]["item"])
    assert not np.array_equal(expected[0]["noise"], expected[1]["noise"])


def test_each_epoch_holds_every_item_once():
    plan = ShuffledBatches(23, 5)
    assert plan.steps_per_epoch == 5
    stream = np.concatenate([plan.batch(step, seed=0) for step in range(23)])
    epochs = stream.reshape(5, 23)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(23))
    assert not np.array_equal(epochs[0], epochs[1])


def test_class_batches_hold_p_classes_of_k_items():
    plan = ClassBatches(LABELS, 3, 4)
    seen = []
    for step in range(60):
        batch = plan.batch(step, seed=0)
        groups = [[LABELS[item] for item in batch[start : start + 4]] for start in (0, 4, 8)]
        assert all(len(set(group)) == 1 for group in groups)
        assert len({group[0] for group in groups}) == 3
        for start, group in zip((0, 4, 8), groups, strict=True):
            repeats = len(batch[start : start + 4]) - len(set(batch[start : start + 4].tolist()))
            assert repeats == (2 if group[0] == "e" else 0)  # class e has only two items
        seen.extend(batch.tolist())
    assert set(seen) == {n for n, label in enumerate(LABELS) if label is not None}


def test_processes_share_each_batch():
    with TrainingInput(read, ClassBatches(LABELS, 2, 4), seed=3, threads=0) as stream:
        whole = take(stream, 5)
    parts = []
    for process in range(2):
        with TrainingInput(
            read, ClassBatches(LABELS, 2, 4), seed=3, threads=2, process_index=process, process_count=2
        ) as stream:
            assert stream.batch_size == 4
            parts.append(take(stream, 5))
    joined = [{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in zip(*parts, strict=True)]
    assert_same(joined, whole)


def test_broken_items_are_replaced_the_same_way_each_time():
    broken = {3, 10, 15}

    def fragile(item, rng):
        if item in broken:
            raise MediaError(f"{item}.mp4", "is broken")
        return read(item, rng)

    results = []
    for threads in (0, 3):
        with TrainingInput(fragile, ClassBatches(LABELS, 4, 6), seed=0, threads=threads) as stream:
            results.append(take(stream, 30))
            assert set(stream.broken) == broken
            assert stream.broken[3] == "3.mp4: is broken"
    assert_same(*results)
    for batch in results[0]:
        for start in range(0, 24, 6):
            assert len({LABELS[item] for item in batch["item"][start : start + 6]}) == 1
        assert not broken & set(batch["item"].tolist())


def test_all_broken_is_an_error():
    def hopeless(item, rng):
        raise MediaError(str(item), "is broken")

    with (
        TrainingInput(hopeless, ShuffledBatches(4, 2), threads=2) as stream,
        pytest.raises(MediaError, match=r"16 others in its place cannot be read, the last: [0-3]: is broken"),
    ):
        next(stream)


def test_other_errors_are_not_hidden():
    def faulty(item, rng):
        raise ZeroDivisionError("a bug")

    with TrainingInput(faulty, ShuffledBatches(4, 2), threads=2) as stream, pytest.raises(ZeroDivisionError):
        next(stream)


def test_state_of_another_stream_is_refused():
    with TrainingInput(read, ShuffledBatches(23, 5), seed=1, threads=0) as stream:
        state = stream.get_state()
    for plan, seed, name in (
        (ShuffledBatches(23, 5), 2, "seed 1, this one 2"),
        (ShuffledBatches(23, 4), 1, "batch_size 5, this one 4"),
        (ShuffledBatches(40, 5), 1, "steps_per_epoch 5, this one 8"),
    ):
        with TrainingInput(read, plan, seed=seed, threads=0) as other, pytest.raises(ConfigError, match=name):
            other.set_state(state)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainingInput(read, ShuffledBatches(4, 3), process_count=2), "3 does not divide among 2"),
        (
            lambda: TrainingInput(read, ShuffledBatches(4, 4), process_index=2, process_count=2),
            r"0\.\.1, got 2",
        ),
        (lambda: TrainingInput(read, ShuffledBatches(4, 4), seed=-1), "seed must be at least 0"),
        (lambda: TrainingInput(read, ShuffledBatches(4, 4), threads=-1), "threads must be at least 0"),
        (lambda: ShuffledBatches(0, 4), "count must be at least 1"),
        (lambda: ShuffledBatches(4, 0), "batch_size must be at least 1"),
        (lambda: ClassBatches(LABELS, 6, 2), r"classes_per_batch must lie in 1\.\.5, got 6"),
        (lambda: ClassBatches(LABELS, 2, 0), "samples_per_class must be at least 1"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


class TestReadInParallel:
    def test_order_and_bounded_lead(self):
        started = []
        results = read_in_parallel(lambda n: started.append(n) or n * n, iter(range(10**9)), threads=3, ahead=5)
        assert [next(results) for _ in range(10)] == [n * n for n in range(10)]
        time.sleep(0.05)
        assert len(started) <= 15
        results.close()

    def test_runs_at_the_same_time(self):
        together = threading.Barrier(3, timeout=20)
        assert list(read_in_parallel(lambda n: together.wait() >= 0, range(6), threads=3)) == [True] * 6

    def test_error_comes_in_its_place(self):
        results = read_in_parallel(lambda n: 1 / (n - 2), range(5), threads=2)
        assert [next(results), next(results)] == [-0.5, -1.0]
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="at least 1, got 0"):
            list(read_in_parallel(abs, [1], threads=0))
