"""Items of a table that stay columns are those that are made objects row by row, and so are the errors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.index import MediaIndex, MediaItem, Rows, Space, items_of_table
from jaxret.index.items import item_table
from jaxret.index.items.item_table import ItemTable

TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "image", "video", "/films/a", "\0x"]))
NUMBER = st.one_of(st.none(), st.sampled_from([0.0, 1.5, -1.0, float("inf"), float("nan")]))
WHOLE = st.one_of(st.none(), st.integers(-3, 3), st.just(2**63 - 1))
COLUMNS = {
    "kind": st.one_of(TEXT, st.sampled_from(["image", "video"])),
    "label": TEXT,
    "source": TEXT,
    "split": TEXT,
    "path": TEXT,
    "origin": TEXT,
    "duration": st.one_of(NUMBER, st.just(2.0)),
    "year": WHOLE,
    "score": NUMBER,
    "seen": st.one_of(st.none(), st.booleans()),
    "note": TEXT,
    "size": st.none(),
    "": st.none(),
}
TYPES = {"year": pa.int64(), "score": pa.float64(), "duration": pa.float64(), "seen": pa.bool_(), "": pa.null()}


@st.composite
def tables(draw) -> pa.Table:
    rows = draw(st.integers(1, 4))
    names = draw(st.lists(st.sampled_from(list(COLUMNS)[:-1]), unique=True, max_size=5))
    columns = {"key": pa.array([f"k{n}" for n in range(rows)])}
    if draw(st.booleans()):
        columns["key"] = pa.array(draw(st.lists(TEXT, min_size=rows, max_size=rows)), pa.string())
    for name in names:
        values = draw(st.lists(COLUMNS[name], min_size=rows, max_size=rows))
        columns[name] = pa.array(values, TYPES.get(name, pa.string()))
    table = pa.table(columns)
    return pa.concat_tables([table.slice(0, 1), table.slice(1)])  # in several chunks


def outcome(table, few: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_table, "_FEW", few)
        try:
            return items_of_table(table)
        except ValueError as error:
            return str(error)


@settings(deadline=None, max_examples=300)
@given(table=tables())
def test_columns_describe_the_items_that_rows_describe(table):
    expected, found = outcome(table, 10), outcome(table, 0)
    assert found == expected
    if isinstance(found, ItemTable):
        assert list(found) == [found[number] for number in range(len(found))] == list(found[:])
        assert found[-1] == expected[-1]


ORDINARY = {"key": ["a", "b"], "label": ["x", None], "year": pa.array([1, None], pa.int32()), "duration": [0, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": ["a", None]}, "row 1 of the table: key must be a string, got None"),
        ({"key": ["", "b"]}, "row 0 of the table: key must not be empty"),
        ({"kind": ["image", "sound"]}, "row 1 of the table: kind of item 'b' must be image or video, got 'sound'"),
        ({"label": [1, 2]}, "row 0 of the table: label of item 'a' must be a string or None, got 1"),
        ({"duration": [0.0, -1.0]}, "row 1 of the table: duration of item 'b' must be finite and at least 0, got -1.0"),
        ({"duration": [True, False]}, "row 0 of the table: duration of item 'a' must be seconds or None, got True"),
        ({"score": [0.0, np.inf]}, "row 1 of the table: column 'score' of item 'b' must be finite, got inf"),
        (
            {"big": pa.array([0, 2**63], pa.uint64())},
            "row 1 of the table: column 'big' of item 'b' must fit into 64 bits",
        ),
        ({"tags": [["x"], []]}, "row 0 of the table: column 'tags' of item 'a' must be a string, a number or a truth"),
        ({"size": [1, 2]}, "row 0 of the table: the name of a column must be none of"),
    ],
)
def test_what_is_wrong_is_named_by_row_item_and_value(change, message, monkeypatch):
    monkeypatch.setattr(item_table, "_FEW", 0)
    assert isinstance(items_of_table(ORDINARY), ItemTable)
    with pytest.raises(ValueError, match=message):
        items_of_table({**ORDINARY, **change})


@pytest.mark.parametrize(
    "column", [["a", 5], [1, "a"], ["a", "\udc80"], np.ones((2, 2)), np.ones(2, complex), [2**64, 1], [object(), None]]
)
def test_a_column_that_arrow_does_not_know_is_named(column):
    with pytest.raises(TypeError, match="column 'note' of the table is none that Arrow knows: "):
        items_of_table({**ORDINARY, "note": column})


def test_two_columns_of_one_name_are_refused():
    table = pa.table([pa.array(["a"])] * 5, names=["key", "note", "key", "note", "label"])
    with pytest.raises(ValueError, match="one column of each name, got 'key', 'note' more than once"):
        items_of_table(table)


@pytest.mark.parametrize("rooted", [False, True])
def test_an_index_of_columns_is_that_of_objects(make, monkeypatch, rooted, tmp_path):
    vectors = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    parts = [
        {"key": ["a", "b", "c"], "kind": ["video"] * 3, "path": ["/films/a", "/x/b", None], "year": [1, None, 3]},
        {"key": ["d", "é"], "label": ["l", None], "year": [1.5, 2.5]},
    ]
    made = []
    for few in (10, 0):
        monkeypatch.setattr(item_table, "_FEW", few)
        index = make.empty(Space("frame", 3))
        if rooted:
            index.set_media_root("/films")
        for part, rows in zip(parts, (vectors[:3], vectors[3:]), strict=True):
            items = items_of_table(part)
            assert isinstance(items, ItemTable) == (few == 0)
            index.add(items, {"frame": Rows(rows, np.arange(len(rows)))})
        made.append(MediaIndex.open(index.folder))
        made[-1].verify()
    objects, columns = made
    assert columns.items == objects.items
    assert columns.items[0].path == "/films/a"
    assert columns.items[4] == MediaItem("é", "image", columns={"year": 2.5})
    assert columns.table().equals(objects.table())
    files = [sorted((index.folder / "segments").rglob("items*")) for index in made]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    twice = items_of_table({"key": ["x", "y", "x"]})
    assert isinstance(twice, ItemTable)
    with pytest.raises(ValueError, match="items hold the key 'x' 2 times"):
        columns.add(twice, {"frame": Rows(vectors[:3], np.arange(3))})
    with pytest.raises(ValueError, match="key 'b' is in the index already"):
        columns.add(items_of_table({"key": ["z", "b"]}), {"frame": Rows(vectors[:2], np.arange(2))})
    with pytest.raises(ValueError, match="item 'z' has no row in any space"):
        columns.add(items_of_table({"key": ["y", "z"]}), {"frame": Rows(vectors[:1], [0])})
    with pytest.raises(ValueError, match="column 'year' holds numbers, got text for it"):
        columns.add(items_of_table({"key": ["z"], "year": ["no"]}), {"frame": Rows(vectors[:1], [0])})
