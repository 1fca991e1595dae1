"""An index that is searched in parts answers as the whole, to the last bit."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from index_parts import PartsHere

from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, Rows, SearchOptions, ShardedIndex, Space, part_of

FIELDS = ("ids", "distances", "starts", "ends")


@pytest.fixture(scope="module")
def index(make_many):
    """Nine segments of vectors and codes, with ties, items without rows in one space, and removed items."""
    make = make_many
    index = make.empty(Space("frame", 6), Space.of_codes("code", 16))
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((12, 6))
    for segment in range(9):
        count = int(rng.integers(10, 60))
        vectors = centres[rng.integers(0, 12, 3 * count)] + 0.3 * rng.standard_normal((3 * count, 6))
        vectors[::7] = centres[0]  # of many items: ties
        items = [
            make.item(
                f"{segment}/{n}",
                "image" if n % 5 == 0 else "video",
                source=f"s{n % 4}",
                **({"columns": {"year": n}} if segment == 4 else {}),
            )
            for n in range(count)
        ]
        owners = np.repeat(np.arange(count), 3)
        starts = np.tile([0.0, 1.0, 2.0], count)
        codes = rng.integers(0, 4, (count, 2)).astype(np.uint8)
        index.add(
            items,
            {"frame": Rows(vectors.astype(np.float32), owners, starts, starts + 1), "code": Rows(codes, range(count))},
        )
    index.remove([f"{segment}/{n}" for segment in range(9) for n in range(0, 10, 3)])
    return index


@pytest.fixture(scope="module")
def celled(index, tmp_path_factory):
    """The same, which keeps cells."""
    folder = tmp_path_factory.mktemp("celled") / "index"
    shutil.copytree(index.folder, folder)
    celled = MediaIndex.open(folder)
    celled.make_cells("frame", 8)
    return celled


QUERIES = np.random.default_rng(5).standard_normal((7, 6)).astype(np.float32)
SEARCHES = {
    "plain": {},
    "all": {"k": 400},
    "cosine": {"options": SearchOptions("cosine")},
    "par": {"options": SearchOptions(min_cosine=0.8), "k": 60},
    "par of nothing": {"options": SearchOptions(min_cosine=1.5)},
    "cells in memory": {"options": SearchOptions(probes=2)},
    "kinds": {"kinds": "image"},
    "filter": {"where": "year > 20"},  # a column of one segment alone
    "sources": {"exclude_sources": ["s0", None, "s1", "s2", "nowhere", "s3", "s0"]},
    "one query": {"vectors": QUERIES[0]},
}


@pytest.mark.parametrize("count", [1, 2, 7, 20])
@pytest.mark.parametrize("kept", [False, True])
def test_vectors(index, celled, count, kept):
    index = celled if kept else index
    sharded = ShardedIndex(index, PartsHere(index, count))
    assert sum(len(part.rows("frame").items) for part in sharded._pool.parts) == len(index.rows("frame").items)
    for name, given in SEARCHES.items():
        wanted = {"vectors": QUERIES, "k": 25, **given}
        exact, found = (some.search("frame", **wanted) for some in (index, sharded))
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(found, field), getattr(exact, field), err_msg=name)
        assert (found.cosines is None) == (exact.cosines is None)
        if exact.cosines is not None:
            np.testing.assert_array_equal(found.cosines, exact.cosines, err_msg=name)
        assert found.found == exact.found
    assert sharded._pool.calls == len(SEARCHES)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_codes(index, count):
    sharded = ShardedIndex(index, PartsHere(index, count))
    queries = np.random.default_rng(6).integers(0, 4, (5, 2)).astype(np.uint8)
    for options in (None, SearchOptions(multi_index=True)):
        exact, found = (some.search("code", queries, 50, options=options) for some in (index, sharded))
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(found, field), getattr(exact, field))


def test_parts_are_balanced_and_share_out_the_segments(index):
    parts = [part_of(index, number, 3) for number in range(3)]
    assert [len(part) for part in parts] == [len(index)] * 3
    rows = [part.count_rows("frame") for part in parts]
    assert sum(rows) == index.count_rows("frame")
    assert min(rows) > 0.15 * sum(rows)


def test_errors_and_changes_are_those_of_the_whole(index, tmp_path):
    shutil.copytree(index.folder, tmp_path / "index")
    index = MediaIndex.open(tmp_path / "index")
    sharded = ShardedIndex(index, PartsHere(index, 2))
    for wrong, message in (({"k": 0}, "k must be at least 1"), ({"where": "nothing = 1"}, "nothing")):
        with pytest.raises(ValueError, match=message):
            sharded.search("frame", **{"vectors": QUERIES, "k": 3, **wrong})
    with pytest.raises(TypeError, match="min_cosine must be a real number"):
        sharded.search("frame", QUERIES, 3, options=SearchOptions(min_cosine="much"))
    sharded.remove([index.items[0].key])
    with pytest.raises(IndexFormatError, match="another revision"):
        sharded.search("frame", QUERIES, 3)


def test_the_device_of_a_search_is_that_of_every_part(index):
    """There is no such device here: parts that were not told of it would answer."""
    sharded = ShardedIndex(index, PartsHere(index, 2))
    for options in (SearchOptions(device="gpu"), SearchOptions(min_cosine=0.8, device="gpu")):
        for searched in (index, sharded):
            with pytest.raises(ValueError, match=r"of a kind that JAX finds here .*, got .gpu."):
                searched.search("frame", QUERIES, 3, options=options)
