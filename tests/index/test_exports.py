"""What leaves an index, and what comes in from arrays and a table."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from jaxret.__main__ import dispatch
from jaxret.errors import ConfigError
from jaxret.index import MediaIndex, MediaItem, Rows, Space, export_rows, items_of_table
from jaxret.rank import euclidean_topk


@pytest.fixture
def index(make):
    """Two segments, five items, one of them removed, some with several rows; vectors, codes and records."""
    spaces = [Space("clip", 3, dtype="float16"), Space.of_codes("code", 16), Space.of_records("size", 2, "uint32")]
    index = make.empty(*spaces)
    rng = np.random.default_rng(0)
    for part in (0, 1):
        names = [f"{part}/{number}" for number in range(3 - part)]
        items = [
            MediaItem(name, "video", label=name[-1], path=f"/films/{name}", columns={"part": part}) for name in names
        ]
        owners = np.sort([*range(len(names)), 0, 0])
        starts = np.arange(len(owners), dtype=float)
        rows = {
            "clip": rng.normal(size=(len(owners), 3)).astype(np.float32),
            "code": rng.integers(0, 256, (len(owners), 2), np.uint8),
            "size": rng.integers(1, 2**32, (len(owners), 2)),
        }
        index.add(items, {name: Rows(values, owners, starts, starts + 1) for name, values in rows.items()})
    index.remove(["0/1"])
    index.set_media_root("/films")
    return index


def chosen(index, space, where):
    rows = index.rows(space)
    return rows.take(index.passing(where=where)[rows.items])


@pytest.mark.parametrize("space", ["clip", "code", "size"])
@pytest.mark.parametrize("where", [None, "part = 1", "key = 'none'"])
def test_parquet_holds_every_row_with_the_columns_of_its_item(index, tmp_path, space, where):
    rows, out = chosen(index, space, where), tmp_path / "rows.parquet"
    assert export_rows(index, out, "parquet", space=space, where=where) == len(rows)
    table = parquet.read_table(out)
    assert table["key"].to_pylist() == [index.items[number].key for number in rows.items]
    assert table["path"].to_pylist() == [index.items[number].path for number in rows.items]
    assert table["part"].to_pylist() == [index.items[number].columns["part"] for number in rows.items]
    assert table["start"].to_pylist() == rows.starts.tolist()
    assert table["end"].to_pylist() == rows.ends.tolist()
    stored = table[index.spaces[space].representation].to_pylist()
    if space == "code":
        stored = [list(code) for code in stored]
    np.testing.assert_array_equal(np.array(stored, rows.vectors.dtype).reshape(rows.vectors.shape), rows.vectors)


@pytest.mark.parametrize("space", ["clip", "code", "size"])
def test_npy_holds_the_vectors_and_a_table_says_whose_they_are(index, tmp_path, space):
    rows = chosen(index, space, "label != '0'")
    export_rows(index, tmp_path / "out", "npy", space=space, where="label != '0'")
    vectors = np.load(tmp_path / "out" / "vectors.npy", mmap_mode="r")
    assert vectors.dtype == index.spaces[space].dtype
    np.testing.assert_array_equal(vectors, rows.vectors)
    table = parquet.read_table(tmp_path / "out" / "rows.parquet")
    assert table["row"].to_pylist() == list(range(len(rows)))
    assert table["key"].to_pylist() == [index.items[number].key for number in rows.items]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != index.folder.name) == ["out"]


@pytest.mark.parametrize("space", ["clip", "code"])
def test_faiss_finds_what_the_index_finds(index, tmp_path, space):
    faiss = pytest.importorskip("faiss")
    export_rows(index, tmp_path / "out", "faiss", space=space)
    rows = index.rows(space)
    read = faiss.read_index_binary if space == "code" else faiss.read_index
    flat = read(str(tmp_path / "out" / "vectors.faiss"))
    queries = rows.vectors[:2] if space == "code" else rows.vectors[:2].astype(np.float32)
    _, found = flat.search(queries, 1)
    keys = parquet.read_table(tmp_path / "out" / "rows.parquet")["key"].to_pylist()
    best = index.search(space, queries, 1)
    assert [keys[row] for (row,) in found] == [index.items[number].key for (number,) in best.ids]
    with pytest.raises(ConfigError, match="faiss compares vectors or codes, and space 'size' holds records"):
        export_rows(index, tmp_path / "more", "faiss", space="size")


def test_lance_holds_the_same_table(index, tmp_path):
    lance = pytest.importorskip("lance")
    export_rows(index, tmp_path / "out.lance", "lance", space="clip")
    export_rows(index, tmp_path / "out.parquet", "parquet", space="clip")
    found = lance.dataset(tmp_path / "out.lance").to_table()
    expected = parquet.read_table(tmp_path / "out.parquet")
    assert (
        found.select(["key", "start", "vector"]).to_pydict() == expected.select(["key", "start", "vector"]).to_pydict()
    )


def test_what_cannot_be_exported_is_named_and_nothing_is_left(index, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    cases = [
        ({"out": "there", "to": "npy", "space": "clip"}, "there is there already: name a new one"),
        ({"out": "none/x", "to": "npy", "space": "clip"}, "there is no folder"),
        ({"out": "x", "to": "csv", "space": "clip"}, "to must be one of parquet, lance, faiss, npy, got 'csv'"),
        ({"out": "x", "to": "npy"}, "has several spaces: choose one, space=clip or space=code or space=size"),
        ({"out": "x", "to": "npy", "space": "z"}, "space must be one of clip, code, size, got 'z'"),
        ({"out": "x", "to": "npy", "space": "clip", "where": "z = 1"}, "no column z"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            export_rows(index, tmp_path / arguments.pop("out"), **arguments)
    index.set_columns({"0/0": {"start": "early"}})
    with pytest.raises(ConfigError, match="has a column 'start' of your own, which exported rows have as well"):
        export_rows(index, tmp_path / "x", "npy", space="clip")
    index.set_columns({"0/0": {"start": None}})
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ConfigError, match="faiss is not installed: pip install faiss-cpu"):
        export_rows(index, tmp_path / "x", "faiss", space="clip")
    assert sorted(path.name for path in tmp_path.iterdir()) == [index.folder.name, "there"]


def test_the_command(index, tmp_path, capsys):
    words = ["export", str(index.folder), str(tmp_path / "x.parquet"), "--space", "clip", "--where", "part = 0"]
    assert dispatch(words) == 0
    assert capsys.readouterr().out == f"wrote 4 rows to {tmp_path / 'x.parquet'}\n"
    assert parquet.read_table(tmp_path / "x.parquet").num_rows == 4


def test_an_index_of_arrays_and_a_table_that_someone_has(make):
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    table = pa.table(
        {
            "key": [f"{number}.jpg" for number in range(50)],
            "label": ["cat", None] * 25,
            "duration": [0.0] * 50,
            "year": list(range(1950, 2000)),
        }
    )
    index = make.empty(Space("frame", 8))
    index.add(items_of_table(table), {"frame": Rows(vectors, np.arange(50))})
    found = MediaIndex.open(index.folder).search("frame", vectors[:3], 5, where="year < 1980 and label = 'cat'")
    passing = np.flatnonzero((np.arange(50) < 30) & (np.arange(50) % 2 == 0))
    np.testing.assert_array_equal(found.ids, passing[euclidean_topk(vectors[:3], vectors[passing], 5).ids])
    assert index.items[0] == MediaItem("0.jpg", "image", label="cat", duration=0.0, columns={"year": 1950})
    assert index.table().select(["key", "year"]).to_pylist()[3] == {"key": "3.jpg", "year": 1953}
    for table, message in (
        ({"label": ["x"]}, "table must have a column key, got label"),
        (
            {"key": ["a", "b"], "kind": ["image", "sound"]},
            "row 1 of the table: kind of item 'b' must be image or video",
        ),
        ({"key": ["a"], "x": [[1]]}, "row 0 of the table: column 'x' of item 'a' must be a string, a number"),
    ):
        with pytest.raises(ValueError, match=message):
            items_of_table(table)


def test_vectors_go_to_others_without_a_copy(index):
    rows = index.rows("clip")
    shared = jnp.from_dlpack(rows.vectors)
    np.testing.assert_array_equal(shared, rows.vectors)
    assert np.from_dlpack(rows.vectors).ctypes.data == rows.vectors.ctypes.data
    assert rows.vectors.flags.writeable
