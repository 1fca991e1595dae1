"""Searches on a device: the results of a scan, whatever takes part, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from index_results import keys_of

import jaxret.index.search.shards as shards
import jaxret.index.segment as segment_module
from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, Rows, SearchOptions, Space
from jaxret.rank import DeviceGallery


@pytest.fixture
def index(make) -> MediaIndex:
    """Two segments of vectors and codes, four rows an item, every seventh item removed."""
    rng = np.random.default_rng(0)
    index = make.empty(Space("frame", 8, dtype="float16"), Space.of_codes("code", 16))
    for segment in "ab":
        made = [make.item(f"{segment}{i}", "image" if i % 9 == 0 else "video") for i in range(60)]
        items = np.repeat(np.arange(60), 4)
        vectors = rng.integers(-3, 4, (240, 8)).astype(np.float32)  # many ties
        codes = rng.integers(0, 256, (240, 2), np.uint8)
        index.add(made, {"frame": Rows(vectors, items), "code": Rows(codes, items)})
    index.remove([f"{segment}{i}" for segment in "ab" for i in range(0, 60, 7)])
    return index


@pytest.mark.parametrize("chosen", [{}, {"kinds": ("video",)}, {"where": "key like 'a%'"}, {"where": "key = 'b9'"}])
def test_finds_what_a_scan_finds(index, chosen) -> None:
    rng = np.random.default_rng(1)
    vectors, codes = rng.integers(-3, 4, (5, 8)).astype(np.float32), rng.integers(0, 256, (5, 2), np.uint8)
    for space, queries, metric in (
        ("frame", vectors, "euclidean"),
        ("frame", vectors, "cosine"),
        ("code", codes, None),
    ):
        found = index.search(space, queries, 6, options=SearchOptions(metric, device="cpu"), **chosen)
        expected = index.search(space, queries, 6, options=SearchOptions(metric), **chosen)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        np.testing.assert_array_equal(found.starts, expected.starts)


def test_rows_are_sent_once_also_when_the_index_changes(index, make, monkeypatch) -> None:
    sent = []
    monkeypatch.setattr(DeviceGallery, "__init__", noted(sent, DeviceGallery.__init__))
    for _ in range(2):
        index.search("frame", np.ones(8, np.float32), 3, options=SearchOptions(device="cpu"))
    assert sent == [240, 240]
    index.add([make.item("new")], {"frame": Rows(np.ones((2, 8), np.float32), [0, 0])})
    found = index.search("frame", np.ones(8, np.float32), 1, options=SearchOptions(device="cpu"))
    assert (keys_of(found), sent) == (["new"], [240, 240, 2])
    monkeypatch.setattr(shards, "_SCANNED_SHARE", 1.0)  # all rows that take part are few
    index.search("frame", np.ones(8, np.float32), 1, options=SearchOptions(device="cpu"), kinds=("image",))
    assert len(sent) == 3


def noted(sent: list[int], original):
    def init(self, rows, *rest, **named) -> None:
        sent.append(len(rows))
        original(self, rows, *rest, **named)

    return init


def test_what_is_refused(index) -> None:
    with pytest.raises(ValueError, match=r"devices must be of a kind that JAX finds here \(cpu\), got 'abacus'"):
        index.search("frame", np.ones(8), 1, options=SearchOptions(device="abacus"))
    with pytest.raises(ValueError, match="device 'cpu' compares all rows: it needs neither multi_index nor probes"):
        index.search("frame", np.ones(8), 1, options=SearchOptions(device="cpu", probes=3))


def test_stored_rows_that_are_not_finite_are_named(make, monkeypatch) -> None:
    index = make.filled()
    monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    path = index.folder / "segments/000001/frame.vectors.npy"
    path.write_bytes(path.read_bytes()[:-4] + np.array([np.nan], "<f4").tobytes())
    with pytest.raises(IndexFormatError, match=r"frame.vectors.npy: rows must be finite .* `verify\(\)` checks all"):
        MediaIndex.open(index.folder).search("frame", np.zeros(3), 1, options=SearchOptions(device="cpu"))
