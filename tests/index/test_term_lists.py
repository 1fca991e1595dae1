"""Lists of terms that are kept on disk: those of the records after any change, and refused where they are damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from signed_manifests import resign

from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, Rows, Space, Terms
from jaxret.index.cells.term_lists import lists_of_files, problems_of_lists

TERMS = Terms(9, 2, 3)  # terms stand at 2, 5, 8 and 11


def records(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 10, (count, 13)).astype(np.uint16)


def grown(make, parts, *, listed_after=1):
    """Items of two rows each, added in parts; lists are kept after the first ones."""
    index, first = make.empty(Space.of_records("words", 13, "uint16")), 0
    for number, count in enumerate(parts, start=1):
        rows = Rows(records(number, 2 * count), np.repeat(np.arange(count), 2))
        index.add([make.item(f"{first + i:03}") for i in range(count)], {"words": rows})
        first += count
        if number == listed_after:
            index.keep_lists("words", TERMS)
    return index


def histograms(stored: np.ndarray) -> np.ndarray:
    """Of each record how often each term is in it."""
    table = np.zeros((len(stored), TERMS.count))
    for row, record in zip(table, stored, strict=True):
        for place in (2, 5, 8, 11):
            if record[place]:
                row[record[place] - 1] += 1
    return table


def check(index) -> None:
    """The lists tell what the records do, of live rows in order."""
    table = histograms(index.rows("words").vectors)
    weights = np.linspace(0.5, 2, TERMS.count)
    terms, amounts = np.array([0, 3, 8]), np.array([1.0, 0.5, 2.0])
    parts = index.term_lists("words")
    products = np.concatenate([lists.products(terms, amounts)[live] for lists, live in parts])
    np.testing.assert_allclose(products, table[:, terms] @ amounts)
    assert not any(lists.products(terms[:0], amounts[:0]).any() for lists, _ in parts)
    lengths = np.concatenate([lists.lengths[live] for lists, live in parts])
    np.testing.assert_allclose(lengths, np.linalg.norm(table, axis=1))
    weighted = np.concatenate([lists.weighted_lengths(weights)[live] for lists, live in parts])
    np.testing.assert_allclose(weighted, np.linalg.norm(table * weights, axis=1))
    assert table.max() > 1  # a term that stands twice counts twice


@pytest.mark.parametrize("listed_after", [1, 3])
def test_lists_grow_with_the_index(make, listed_after: int) -> None:
    index = grown(make, [30, 5, 20], listed_after=listed_after)
    assert len(index.term_lists("words")) == 3
    check(index)
    index.verify()
    index.remove(["003", "031", "040"])
    check(index)
    index.compact()
    again = MediaIndex.open(index.folder)
    assert len(again.term_lists("words")) == 1
    check(again)
    again.verify()
    revision = json.loads((index.folder / "manifest.json").read_text())["revision"]
    again.keep_lists("words", TERMS)
    assert json.loads((index.folder / "manifest.json").read_text())["revision"] == revision  # they are there


def test_many_rows_are_listed_and_read_in_blocks(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxret.index.cells.term_lists._BLOCK_ROWS", 7)
    monkeypatch.setattr("jaxret.index.cells.term_lists._ENTRIES", 5)
    index = grown(make, [30])
    check(index)
    index.verify()


def test_an_index_without_terms_stays_readable_by_older_versions(make) -> None:
    index = grown(make, [4], listed_after=0)
    assert index.term_lists("words") is None
    body = json.loads((index.folder / "manifest.json").read_text())
    assert body["format_version"] == 3
    assert "terms" not in body
    index.keep_lists("words", TERMS)
    assert json.loads((index.folder / "manifest.json").read_text())["format_version"] == 4


def test_what_has_no_terms_is_refused(make) -> None:
    index = grown(make, [4], listed_after=0)
    with pytest.raises(ValueError, match="term 9 is above the 3 that there are"):
        index.keep_lists("words", Terms(3, 2, 3))
    with pytest.raises(ValueError, match="terms of space 'words' must begin within its 13 numbers, got Terms"):
        index.keep_lists("words", Terms(3, 13))
    for bad in ({"count": 0}, {"count": 3, "first": -1}, {"count": 3, "step": 0}):
        with pytest.raises(ValueError, match="of terms must be a whole number of at least"):
            Terms(**bad)
    assert MediaIndex.open(index.folder).term_lists("words") is None
    vectors = make.empty(Space("frame", 3))
    with pytest.raises(ValueError, match="terms are of spaces of whole numbers, and space 'frame' holds float32"):
        vectors.keep_lists("frame", TERMS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body["terms"]["words"].update(count=0), "count of terms must be a whole number of at least 1"),
        (lambda body: body["terms"]["words"].update(count=8), "do not fit their rows and terms"),
        (lambda body: body["terms"].update(other={"count": 3, "first": 0, "step": 1}), "there are terms of 'other'"),
        (lambda body: body["segments"][0]["cells"].clear(), "must have cells of the spaces"),
        (lambda body: body["segments"][0]["cells"]["words"].pop("rows") and None, "missing or unknown fields: rows"),
    ],
)
def test_manifests_that_do_not_fit_are_refused(make, change, message: str) -> None:
    index = grown(make, [4])
    resign(index.folder, change)
    with pytest.raises(IndexFormatError, match=message):
        MediaIndex.open(index.folder)


def test_altered_lists_are_noticed(make) -> None:
    index = grown(make, [30])
    records_of, arrays = index.rows("words").vectors, {}
    for file in index.folder.rglob("words.lists*"):
        arrays[file.name.split(".")[-2]] = np.load(file)
    assert problems_of_lists(records_of, TERMS, arrays, index.folder) == []
    for name, place, value in (
        ("counts", 0, 9),
        ("rows", 0, 7),
        ("rows", 1, 99),
        ("rows", 0, -1),
        ("offsets", 1, 0),
        ("offsets", 9, 1),
    ):
        altered = {key: array.copy() for key, array in arrays.items()}
        altered[name][place] = value
        assert problems_of_lists(records_of, TERMS, altered, index.folder), (name, place)
    arrays["rows"][5] = 60  # as many as there are
    lists = lists_of_files(TERMS, arrays, index.folder)
    with pytest.raises(IndexFormatError, match="the lists name rows that are not there"):
        lists.products(np.arange(9), np.ones(9))
    file = next(index.folder.rglob("words.lists*.counts.npy"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    with pytest.raises(IndexFormatError, match=r"words.lists.*counts.npy: was altered"):
        MediaIndex.open(index.folder)
