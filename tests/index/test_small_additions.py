"""Many small additions: each costs what it adds, and the index stays one of few segments."""

from __future__ import annotations

import numpy as np
import pytest

import jaxret.index.changes.items as item_changes
import jaxret.index.changes.merging as merging
from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import WriteError
from jaxret.index import EncoderRecord, IndexBusyError, MediaIndex, Space
from jaxret.preprocessing import Preprocessing


@pytest.fixture
def index(tmp_path) -> MediaIndex:
    return MediaIndex.create(tmp_path, spaces=[Space("frame", 8)], encoder=EncoderRecord("x", Preprocessing()))


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)


def add_one_by_one(index: MediaIndex, start: int, stop: int) -> None:
    for number in range(start, stop):
        index.add([MediaItem(f"{number}.png", "image")], {"frame": Rows(vectors(stop)[number : number + 1], [0])})


def segments(index: MediaIndex) -> list[int]:
    return [segment.n_items for segment in index._snapshot.manifest.segments]


def test_each_item_is_written_twice_at_most_and_results_are_those_of_one_addition(index, tmp_path, monkeypatch):
    written = []
    write_segment = merging.write_segment

    def counted(*args):
        entry = write_segment(*args)
        written.append(entry.n_items)
        return entry

    for module in (item_changes, merging):
        monkeypatch.setattr(module, "write_segment", counted)
    add_one_by_one(index, 0, 100)
    assert sum(written) <= 200
    assert segments(index) == [16] * 6 + [1] * 4
    assert [item.key for item in index.items] == [f"{number}.png" for number in range(100)]
    index.verify()
    whole = MediaIndex.create(tmp_path / "whole", spaces=index.spaces.values(), encoder=index.encoder)
    whole.add(index.items, {"frame": Rows(vectors(100), np.arange(100))})
    one, other = (some.search("frame", vectors(100)[:5], 20) for some in (index, whole))
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.distances, other.distances)
    assert len(list((tmp_path / "segments").iterdir())) == 10


def test_tiers_carry_over(index, monkeypatch):
    monkeypatch.setattr(merging, "_SEGMENTS_A_TIER", 3)
    add_one_by_one(index, 0, 26)
    assert segments(index) == [9, 9, 3, 3, 1, 1]
    index.remove([item.key for item in index.items[18:25]])  # what is removed is not carried along
    add_one_by_one(index, 26, 29)
    assert [item.key for item in index.items] == [f"{number}.png" for number in (*range(18), 25, 26, 27, 28)]
    reopened = MediaIndex.open(index.folder)
    assert reopened.items == index.items
    np.testing.assert_array_equal(reopened.rows("frame").items, index.rows("frame").items)
    reopened.verify()


def test_another_writer_before_the_merge_keeps_the_addition(index, monkeypatch):
    add_one_by_one(index, 0, 15)
    commit = index._commit
    calls = []

    def busy(change):
        calls.append(change)
        if len(calls) == 2:  # the merge after the addition
            raise IndexBusyError("another writer holds this index")
        commit(change)

    monkeypatch.setattr(index, "_commit", busy)
    add_one_by_one(index, 15, 16)
    assert len(calls) == 2
    assert segments(index) == [1] * 16
    monkeypatch.undo()
    add_one_by_one(index, 16, 17)
    assert segments(index) == [17]
    assert [item.key for item in index.items] == [f"{number}.png" for number in range(17)]


def test_large_segments_stay(index, monkeypatch):
    add_one_by_one(index, 0, 3)
    size = sum(file.size for file in index._snapshot.manifest.segments[0].files)
    monkeypatch.setattr(merging, "_SEGMENTS_A_TIER", 3)
    monkeypatch.setattr(merging, "_MERGED_BYTES", 2 * size)
    add_one_by_one(index, 3, 9)
    assert segments(index) == [1] * 9


def test_a_reader_keeps_what_it_opened_and_a_full_disk_keeps_the_addition(index, monkeypatch):
    add_one_by_one(index, 0, 15)
    reader = MediaIndex.open(index.folder)
    before = reader.rows("frame").vectors.copy()

    def full(*args):
        raise WriteError(28, "full")

    with monkeypatch.context() as patched:
        patched.setattr(merging, "_written", full)
        add_one_by_one(index, 15, 17)
    assert segments(index) == [1] * 17
    add_one_by_one(index, 17, 18)
    assert segments(index) == [18]
    np.testing.assert_array_equal(reader.rows("frame").vectors, before)
    assert reader.refresh()
    assert reader.items == index.items
