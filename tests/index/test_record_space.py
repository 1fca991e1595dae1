"""Spaces of records: kept, handed out, compacted, never compared."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.index import MediaIndex, Rows, Space


def test_records_come_back_as_they_were_after_removal_and_compaction(make):
    index = make.empty(Space.of_records("words", 4, "uint16"))
    first = np.arange(12).reshape(3, 4) * 5000
    index.add([make.item("a"), make.item("b")], {"words": Rows(first, [0, 0, 1], [0, 1, 0], [0, 1, 0])})
    index.add([make.item("c")], {"words": Rows(first[:1] + 1, [0])})
    index.remove(["b"])
    index.compact()
    index = MediaIndex.open(index.folder)
    index.verify()
    rows = index.rows("words")
    assert np.asarray(rows.vectors).dtype == np.uint16
    assert np.asarray(rows.vectors).tolist() == [*first[:2].tolist(), (first[0] + 1).tolist()]
    assert np.asarray(rows.items).tolist() == [0, 0, 1]
    assert np.asarray(rows.starts).tolist() == [0, 1, 0]
    blocks = list(index.row_blocks("words"))
    assert np.concatenate([np.asarray(block.vectors) for block in blocks]).tolist() == np.asarray(rows.vectors).tolist()


def test_records_are_not_searched(make):
    index = make.empty(Space.of_records("words", 2, "float16"))
    index.add([make.item("a")], {"words": Rows([[0.5, 2.0]], [0])})
    with pytest.raises(ValueError, match="space 'words' holds records, which are not compared"):
        index.search("words", [0.5, 2.0], 1)


@pytest.mark.parametrize(
    ("dtype", "records", "error", "message"),
    [
        ("uint16", [[1, 2, 3]], ValueError, r"records of space 'words' must be \(N, 2\), got \(1, 3\)"),
        ("uint16", [[1, 70000]], ValueError, "must fit into uint16, got 70000"),
        ("uint16", [[1, -1]], ValueError, "must fit into uint16, got -1"),
        ("uint16", [[1.0, 2.0]], TypeError, "must be whole numbers, got float64"),
        ("float16", [[1.0, 1e6]], ValueError, "must fit into float16, got 1000000.0"),
        ("float16", [["a", "b"]], TypeError, "must be real numbers"),
        (
            "uint16",
            np.ma.masked_equal([[1, 2]], 2),
            ValueError,
            "records of space 'words' must have a value everywhere",
        ),
    ],
)
def test_records_that_do_not_fit_are_refused(make, dtype, records, error, message):
    index = make.empty(Space.of_records("words", 2, dtype))
    with pytest.raises(error, match=message):
        index.add([make.item("x")], {"words": Rows(records, [0])})
    assert len(MediaIndex.open(index.folder)) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dtype": "float64"}, "dtype of space 'words' must be one of uint8, .* got 'float64'"),
        ({"metrics": ("cosine",)}, "metrics of space 'words' must be empty, for records"),
        ({"representation": "vector", "dtype": "float32"}, "metrics of space 'words' must name at least one"),
    ],
)
def test_spaces_of_records_are_checked(fields, message):
    good = {"name": "words", "dimension": 2, "representation": "record", "dtype": "uint16", "metrics": ()}
    with pytest.raises(ValueError, match=message):
        Space(**(good | fields))
