"""Items as columns: what goes in comes out, whatever the segments, and older indexes read the same."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.data.items import FileState
from jaxret.errors import ConfigError
from jaxret.index import MediaIndex, MediaItem
from jaxret.index.items import columns as columns_module
from jaxret.index.items import item_file
from jaxret.index.items.keys import key_hashes, key_table, places_of_hashes

TEXT = st.text(st.characters(codec=None), max_size=8)  # lone surrogates and NUL among them
VALUES = {"year": st.integers(-(2**63), 2**63 - 1), "score": st.floats(allow_nan=False, allow_infinity=False)}
VALUES |= {"note": TEXT, "seen": st.booleans()}
ITEMS = st.lists(
    st.builds(
        MediaItem,
        key=TEXT.filter(bool),
        kind=st.sampled_from(["image", "video"]),
        label=st.none() | TEXT,
        source=TEXT,
        split=st.none() | TEXT,
        path=st.none() | TEXT,
        duration=st.none() | st.floats(0, 1e9),
        origin=st.none() | TEXT,
        file=st.none() | st.builds(FileState, st.integers(0, 2**40), st.integers(0, 2**62), TEXT),
        columns=st.fixed_dictionaries({}, optional=VALUES),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda item: item.key,
)


@settings(max_examples=30, deadline=None)
@given(items=ITEMS, cuts=st.lists(st.integers(0, 12), max_size=2), removed=st.integers(0, 11))
def test_items_of_any_fields_and_segments_come_back_as_they_were(make_many, items, cuts, removed):
    index = make_many.empty()
    edges = sorted({0, len(items), *(cut for cut in cuts if cut < len(items))})
    for first, last in itertools.pairwise(edges):
        part = items[first:last]
        index.add(part, {"frame": make_many.rows(*[[[0, 0, 0]]] * len(part))})
    again = MediaIndex.open(index.folder)
    assert again.items == items
    gone = items.pop(removed % len(items))
    again.remove([gone.key])
    if items:
        for step in (again.refresh, again.compact):
            step()
            assert again.items == items
            assert list(again.items) == items
            assert [again.id_of(item.key) for item in items] == list(range(len(items)))
            assert again.values("key") == [item.key for item in items]
            assert again.values("modified") == [item.file and item.file.modified for item in items]
            for name in again.columns:
                assert again.values(name) == [item.columns.get(name) for item in items]
            again.verify()
    assert gone.key not in again


def test_a_file_of_many_batches_is_read_item_by_item(make, monkeypatch):
    for module in (columns_module, item_file):
        monkeypatch.setattr(module, "BATCH_ITEMS", 4)
    index = make.empty()
    items = [make.item(f"{number}", label=None if number % 3 else "third") for number in range(11)]
    index.add(items, {"frame": make.rows(*[[[0, 0, 0]]] * 11)})
    index.remove(["0", "5", "8"])
    left = [item for item in items if item.key not in ("0", "5", "8")]
    for _ in range(2):
        opened = MediaIndex.open(index.folder)
        assert opened.items[-1] == left[-1]
        assert opened.items[2:5] == tuple(left[2:5])
        assert opened.items == left
        assert opened.items != left[:-1]
        with pytest.raises(IndexError, match=r"ids must lie in 0 \.\. 7, got 8"):
            opened.items[8]
        assert opened.values("label") == [item.label for item in left]
        file = opened._snapshot.segments[0].items
        for numbers in ([3, 2, 1, 0], [7, 0], [1, 1]):
            assert list(file.take(numbers)) == [next(file.take([number])) for number in numbers]
        index.compact()
    with pa.ipc.open_file(index.folder / "segments/000002/items.arrow") as file:
        assert [len(file.get_batch(number)) for number in range(file.num_record_batches)] == [4, 4]
        assert file.read_all()["key"].to_pylist() == [item.key for item in left]


def test_opening_reads_no_item(make, monkeypatch):
    index = make.filled()

    def refused(*args):
        raise AssertionError("an item was read")

    monkeypatch.setattr(item_file.ItemFile, "batch", refused)
    opened = MediaIndex.open(index.folder)
    assert len(opened) == len(opened.items) == 3
    assert len(opened.rows("frame")) == 5


def test_columns_of_other_kinds_do_not_mix(make):
    index = make.empty()
    index.add([make.item("a", columns={"year": 1999})], {"frame": make.rows([[0, 0, 0]])})
    index.add([make.item("b", columns={"year": 1.5, "more": True})], {"frame": make.rows([[0, 0, 0]])})
    with pytest.raises(ValueError, match="column 'year' holds numbers, got text for it"):
        index.add([make.item("c", columns={"year": "2000"})], {"frame": make.rows([[0, 0, 0]])})
    items = [make.item("c", columns={"x": True}), make.item("d", columns={"x": 1})]
    with pytest.raises(ValueError, match="item 'd': column 'x' holds truth values, got numbers for it"):
        index.add(items, {"frame": make.rows([[0, 0, 0]], [[0, 0, 0]])})
    assert index.columns == ("year", "more")
    assert index.values("year") == [1999, 1.5]
    assert index.values("more") == [None, True]
    with pytest.raises(ValueError, match=r"column must be one of key, .*, content, duration, .*, year, more, got 'x'"):
        index.values("x")


@pytest.mark.parametrize(
    ("given_columns", "error", "message"),
    [
        ({"label": "x"}, ValueError, "name of a column must be none of .*label.*, got 'label'"),
        ({"size": 3}, ValueError, "got 'size'"),
        ({"": 3}, ValueError, "got ''"),
        ({3: 3}, TypeError, "name of a column must be a string, got 3"),
        ({"x": [1]}, TypeError, r"column 'x' of item 'a' must be a string, a number or a truth value, got \[1\]"),
        ({"x": float("inf")}, ValueError, "column 'x' of item 'a' must be finite, got inf"),
        ({"x": 2**63}, ValueError, "must fit into 64 bits, got 9223372036854775808"),
        ("x", TypeError, "columns of item 'a' must be a mapping"),
    ],
)
def test_columns_that_cannot_be(given_columns, error, message):
    with pytest.raises(error, match=message):
        MediaItem("a", "image", columns=given_columns)


def test_columns_in_json():
    item = MediaItem("a", "image", columns={"year": 3, "none": None})
    assert item.columns == {"year": 3}
    assert item.to_json()["columns"] == {"year": 3}
    assert MediaItem.from_json(item.to_json()) == item
    assert "columns" not in MediaItem("a", "image").to_json()
    assert hash(item) == hash(MediaItem("a", "image"))


def test_an_index_of_version_1_opens_grows_and_is_rewritten(make):
    index = make.version_1()
    assert [item.key for item in index.items] == ["a", "b", "c"]
    assert index.items[2] == make.item("c", label="jump", source="film")
    found = index.search("frame", np.zeros(3, np.float32), 3)
    assert found.ids.tolist() == [[0, 2, 1]]
    assert found.found[2].label == "jump"
    index.add([make.item("d", columns={"year": 3})], {"frame": make.rows([[1, 1, 1]])})
    index.remove(["b"])
    opened = MediaIndex.open(index.folder)
    opened.verify()
    assert [item.key for item in opened.items] == ["a", "c", "d"]
    assert sorted(path.name for path in index.folder.glob("segments/*/items.*")) == [
        "items.arrow",
        "items.jsonl",
        "items.jsonl",
        "items.keys.npy",
    ]
    opened.compact()
    assert [path.name for path in index.folder.glob("segments/*/items.jsonl")] == []
    assert opened.items[1].source == "film"
    assert opened.values("year") == [None, None, 3]


def test_upgrading_rewrites_items_and_leaves_rows(make):
    index = make.version_1()
    before = {path: path.stat().st_mtime_ns for path in index.folder.glob("segments/*/frame.*")}
    items = list(index.items)
    index.upgrade()
    index.verify()
    assert MediaIndex.open(index.folder).items == items
    assert {path: path.stat().st_mtime_ns for path in index.folder.glob("segments/*/frame.*")} == before
    names = sorted(path.name for path in index.folder.glob("segments/*/items*"))
    assert names == ["items-4.arrow", "items-4.arrow", "items-4.keys.npy", "items-4.keys.npy"]
    revision = index.revision
    index.upgrade()
    assert index.revision == revision  # nothing left to do


def test_columns_are_set_changed_and_taken_away(make):
    index = make.filled()
    other = MediaIndex.open(index.folder)
    index.set_columns({"a": {"year": 3, "note": "x"}, "d": {"year": 4.5}})
    index.set_columns({"a": {"year": None, "seen": True}})
    for opened in (index, MediaIndex.open(index.folder)):
        assert [dict(item.columns) for item in opened.items] == [{"note": "x", "seen": True}, {}, {"year": 4.5}]
        opened.verify()
    assert other.values("key") == ["a", "c", "d"]  # an older revision reads on
    with pytest.raises(ValueError, match="key 'b' is not in the index"):
        index.set_columns({"a": {"year": 1}, "b": {"year": 1}})
    with pytest.raises(ValueError, match="column 'note' holds text, got numbers for it"):
        index.set_columns({"d": {"note": 1}})
    assert dict(index.items[0].columns) == {"note": "x", "seen": True}
    index.compact()
    assert dict(index.items[0].columns) == {"note": "x", "seen": True}
    index.verify()


def test_keys_that_another_program_removed_are_passed_over_on_demand(make):
    index = make.filled()
    revision = index.revision
    index.set_columns({"b": {"year": 1}}, missing_ok=True)
    index.remove(["b"], missing_ok=True)
    assert index.revision == revision
    index.set_columns({"b": {"year": 1}, "d": {"year": 2}}, missing_ok=True)
    index.remove(["b", "a"], missing_ok=True)
    assert {item.key: dict(item.columns) for item in index.items} == {"c": {}, "d": {"year": 2}}
    with pytest.raises(ValueError, match="key 'b' is not in the index"):
        index.remove(["c", "b"])
    assert index.values("key") == ["c", "d"]


def test_media_that_move_are_found_below_another_root(make, tmp_path):
    index = make.empty()
    paths = ["/films/a/1.mp4", "/films/b/2.mp4", "/else/3.mp4", None]

    def add(number):
        index.add([make.item(str(number), path=paths[number])], {"frame": make.rows([[0, 0, 0]])})

    for number in (0, 2, 3):
        add(number)
    assert index.media_root is None
    index.set_media_root("/films")
    add(1)
    assert str(index.media_root) == "/films"
    opened = MediaIndex.open(index.folder)
    assert (
        opened.values("path")
        == [item.path for item in opened.items]
        == ["/films/a/1.mp4", "/else/3.mp4", None, paths[1]]
    )
    assert opened.passing(where="path LIKE '%/1.mp4'").tolist() == [True, False, False, False]
    assert opened.passing(where="path = 'b/2.mp4'").tolist() == [False, False, False, True]
    opened.relocate(tmp_path)
    assert opened.items[0].path == f"{tmp_path}/a/1.mp4"
    assert opened.items[1].path == "/else/3.mp4"
    assert opened.search("frame", np.zeros(3, np.float32), 1).found[0].path == f"{tmp_path}/a/1.mp4"
    opened.set_media_root(tmp_path / "a")
    assert opened.values("path") == [f"{tmp_path}/a/1.mp4", "/else/3.mp4", None, f"{tmp_path}/b/2.mp4"]
    opened.compact()
    opened.verify()
    assert opened.values("path")[0] == f"{tmp_path}/a/1.mp4"


def test_without_a_root_the_folder_that_holds_all_media_has_moved(make, tmp_path):
    index = make.empty()
    with pytest.raises(ConfigError, match="names no media files, so none can have moved"):
        index.relocate(tmp_path)
    items = [make.item("a", path="/films/x/a.mp4"), make.item("b", path="/films/y/z/b.mp4")]
    index.add(items, {"frame": make.rows([[0, 0, 0]], [[0, 0, 0]])})
    index.relocate(tmp_path)
    assert MediaIndex.open(index.folder).values("path") == [f"{tmp_path}/x/a.mp4", f"{tmp_path}/y/z/b.mp4"]


def test_keys_of_one_hash_are_told_apart():
    hashes = np.array([7, 3, 7, 9, 7], np.uint64)
    numbers, places = places_of_hashes(key_table(hashes), np.array([9, 7, 4], np.uint64))
    assert list(zip(numbers.tolist(), places.tolist(), strict=True)) == [(0, 3), (1, 0), (1, 2), (1, 4)]


def test_the_hash_of_a_key_is_the_documented_one():
    short = [int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") for key in ("a", "\u00e9")]
    assert key_hashes(["a", "\u00e9"]).tolist() == short
    assert len(key_hashes(["\udcff"])) == 1
