"""Columns of the user's own from a CSV."""

from __future__ import annotations

import pytest
from PIL import Image

from jaxret.data.item_columns import read_item_columns, with_columns
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError


@pytest.fixture
def media(tmp_path):
    for name in ("a/one.png", "a/two.png", "b/three.png"):
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return tmp_path / "media"


def test_a_column_holds_what_all_its_cells_are(tmp_path):
    path = tmp_path / "columns.csv"
    path.write_text(
        "key,label,year,score,mixed,seen,note,none\n"
        "x,cat,1999,1,3,true, a ,\n"
        '"y,2",dog,-3,.5e1,x,FALSE,,\n'
        "\n"
        "z,,+2,,true,,007,\n"
    )
    columns = read_item_columns(path)
    assert columns.by == "key"
    assert columns.values == {
        "x": {"year": 1999, "score": 1.0, "mixed": "3", "seen": True, "note": "a"},
        "y,2": {"year": -3, "score": 5.0, "mixed": "x", "seen": False},
        "z": {"year": 2, "mixed": "true", "note": "007"},
    }
    assert type(columns.values["x"]["score"]) is float


def test_items_are_named_by_key_or_by_path(media, tmp_path):
    dataset = open_dataset(media)
    by_key, by_path = tmp_path / "keys.csv", media / "a" / "paths.csv"
    by_key.write_text("key,year\na/one.png,3\nnone.png,4\n")
    by_path.write_text("path,year\none.png,3\n../b/three.png,5\n")
    described, others = with_columns(dataset, read_item_columns(by_key))
    assert others == 1
    assert {item.key: dict(item.columns) for item in described.items} == {
        "a/one.png": {"year": 3},
        "a/two.png": {},
        "b/three.png": {},
    }
    assert all(not item.columns for item in dataset.items)  # the first is as it was
    described, others = with_columns(described, read_item_columns(by_path))
    assert others == 0
    assert [item.columns.get("year") for item in described.items] == [3, None, 5]
    described.read(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a column key or path, got $"),
        ("name,year\n", "must have a column key or path, got name, year"),
        ("path,label,split\n", "has no columns of your own beside path; label and split come from the data set"),
        ("key,year,year\n", "has two columns of one name"),
        ("key,duration\n", "columns.csv: the name of a column must be none of .*, got 'duration'"),
        ("key,year\na,1,2\n", "line 2: has 3 cells where the header has 2"),
        ("key,year\na,1\na,2\n", "line 3: key 'a' is there twice"),
        ("path,year\n ,1\n", "line 2: path '' is empty"),
    ],
)
def test_malformed_files_are_named(tmp_path, text, message):
    path = tmp_path / "columns.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_item_columns(path)
