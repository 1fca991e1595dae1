"""Damaged, foreign and hostile files of an index: an IndexFormatError that names the file, never a crash."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signed_manifests import resign

import jaxret.index.segment as segment_module
from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, MediaItem
from jaxret.index.items.columns import batches_of_items

VECTORS = "segments/000001/frame.vectors.npy"


def everything(folder):
    """Open it and use every part of it."""
    index = MediaIndex.open(folder)
    index.search("frame", np.zeros((2, 3), np.float32), 4, exclude_sources=["film", None])
    index.rows("frame")
    index.verify()
    return index


def same_json(a, b):
    try:
        return json.loads(a) == json.loads(b)
    except ValueError:
        return False


def files_of(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_the_files_of_an_index(make):
    index = make.filled()
    assert files_of(index.folder) == [
        "manifest.json",
        *(
            f"segments/00000{s}/{name}"
            for s in (1, 2, 3)
            for name in ("frame.items.npy", "frame.spans.npy", "frame.vectors.npy", "items.arrow", "items.keys.npy")
        ),
    ]


@pytest.mark.parametrize("large", [False, True], ids=["checked at open", "checked by verify"])
def test_truncation_is_noticed_when_opened(make, monkeypatch, large):
    index = make.filled()
    every_offset_of = "segments/000001/items.arrow" if large else VECTORS
    if large:
        monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    for name in files_of(index.folder):
        path = index.folder / name
        whole = path.read_bytes()
        every = 1 if name == every_offset_of else 41
        for offset in {*range(0, len(whole), every), len(whole) - 1}:
            path.write_bytes(whole[:offset])
            if whole[offset:] == b"\n" and path.suffix == ".json":
                continue  # only the last line break is gone
            with pytest.raises(IndexFormatError, match=path.name):
                MediaIndex.open(index.folder)  # truncation is noticed without reading contents
        path.write_bytes(whole + b"\0")
        with pytest.raises(IndexFormatError, match=path.name):
            MediaIndex.open(index.folder)
        path.unlink()
        with pytest.raises(IndexFormatError, match=path.name):
            MediaIndex.open(index.folder)
        path.write_bytes(whole)
    everything(index.folder)


@pytest.mark.parametrize("large", [False, True], ids=["checked at open", "checked by verify"])
def test_a_flipped_byte_anywhere_is_noticed(make, monkeypatch, large):
    index = make.filled()
    if large:
        monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    rng = np.random.default_rng(0)
    for name in files_of(index.folder):
        path = index.folder / name
        whole = path.read_bytes()
        for offset in {*rng.integers(0, len(whole), 15).tolist(), *range(0, min(20, len(whole)), 3)}:
            flipped = bytearray(whole)
            flipped[offset] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(flipped))
            if name == "manifest.json" and same_json(bytes(flipped), whole):
                everything(index.folder)  # white space between two fields
                continue
            with pytest.raises(IndexFormatError, match=path.name):
                everything(index.folder)
        path.write_bytes(whole)
    everything(index.folder)


def test_small_files_are_checked_when_opened_and_large_ones_by_verify(make, monkeypatch):
    index = make.filled()
    path = index.folder / VECTORS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IndexFormatError, match=r"frame.vectors.npy: was altered"):
        MediaIndex.open(index.folder)
    monkeypatch.setattr(segment_module, "SMALL_FILE", 0)
    opened = MediaIndex.open(index.folder)
    with pytest.raises(IndexFormatError, match=r"frame.vectors.npy: was altered"):
        opened.verify()


def test_verify_names_every_damaged_file(make, monkeypatch):
    index = make.filled()
    monkeypatch.setattr(segment_module, "SMALL_FILE", 0)
    for segment in ("000001", "000003"):
        path = index.folder / "segments" / segment / "frame.vectors.npy"
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(IndexFormatError, match=r"000001/frame.vectors.npy: was altered.*; .*000003/frame.vectors"):
        MediaIndex.open(index.folder).verify()


def test_a_nan_in_a_mapped_file_is_a_named_error_of_the_search(make, monkeypatch):
    index = make.filled()
    monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    path = index.folder / VECTORS
    path.write_bytes(path.read_bytes().replace(np.float32(1).tobytes(), np.float32(np.nan).tobytes()))
    with pytest.raises(IndexFormatError, match=r"frame.vectors.npy: gallery must be finite"):
        MediaIndex.open(index.folder).search("frame", np.zeros(3, np.float32), 1)


@pytest.mark.parametrize("links", [[0, 0, 5], [0, 1, 0], [-1, 0, 1], [0, 0, 2**62]])
def test_rows_that_point_to_no_item_are_noticed_before_they_are_used(make, monkeypatch, links):
    index = make.filled()
    monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    path = index.folder / "segments/000001/frame.items.npy"
    path.write_bytes(path.read_bytes()[:-24] + np.array(links, "<i8").tobytes())
    with pytest.raises(IndexFormatError, match=r"frame.items.npy: rows point outside the 2 items"):
        MediaIndex.open(index.folder).search("frame", np.zeros(3, np.float32), 1)


def test_swapped_files_are_noticed(make):
    index = make.filled()
    two, three = (index.folder / f"segments/00000{s}" for s in (2, 3))
    shutil.move(two, index.folder / "aside")
    shutil.move(three, two)
    shutil.move(index.folder / "aside", three)
    with pytest.raises(IndexFormatError, match="000002"):
        MediaIndex.open(index.folder)


def item_line(**changes):
    fields = {"key": "a", "kind": "video", "label": None, "source": "s", "split": None, "path": None}
    return json.dumps({**fields, "duration": None, **changes}).encode()


def save(array):
    def change(path):
        np.save(path, array, allow_pickle=True)

    return change


def write(data):
    return lambda path: path.write_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        save(np.zeros((3, 3), np.float64)),
        save(np.zeros((3, 4), np.float32)),
        save(np.zeros((9,), np.float32)),
        save(np.zeros((3, 3), ">f4")),
        save(np.zeros((3, 3), np.float32, order="F")),
        save(np.zeros((3, 3), np.int32)),
        save(np.array([{}, [], None], dtype=object)),
        save(np.zeros(3, [("x", "<f4"), ("y", "<f4")])),
        write(b""),
        write(b"\x93NUMPY"),
        write(b"\x93NUMPY\x03\x00\xff\xff\xff\x7f"),
        write(b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 400),
        write(b"PK\x03\x04" + b"\0" * 400),
        write(b"\x80\x04\x95" + b"\0" * 400),
        write(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 3), }"),
    ],
)
def test_foreign_files_with_their_true_size_and_checksum_are_refused(make, change):
    """Even where manifest and file agree in size and checksum, the header must be the one expected."""
    index = make.filled()
    path = index.folder / VECTORS
    change(path)

    def sign(body):
        entry = body["segments"][0]["arrays"]["frame"]["vectors"]
        entry["size"], entry["sha256"] = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()

    resign(index.folder, sign)
    with pytest.raises(IndexFormatError, match=r"frame.vectors.npy: (is not a plain .npy|holds)"):
        MediaIndex.open(index.folder)


def test_a_link_to_itself_is_refused(make):
    index = make.filled()
    path = index.folder / VECTORS
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(IndexFormatError, match=r"frame\.vectors\.npy"):
        MediaIndex.open(index.folder)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"7",
        b"{",
        b"\xff",
        item_line(key=1),
        item_line(kind="odd"),
        item_line(duration=float("nan")),
        item_line(surprise=1),
    ],
)
def test_malformed_items_of_version_1_with_a_true_checksum(make, line):
    index = make.version_1()
    sign_items(index, line + b"\n" + (index.folder / LINES).read_bytes().splitlines()[1] + b"\n")
    with pytest.raises(IndexFormatError, match=r"items.jsonl: line 1: "):
        MediaIndex.open(index.folder)


def test_two_items_of_one_key_are_noticed(make):
    index = make.version_1()
    sign_items(index, item_line(key="c") + b"\n" + (index.folder / LINES).read_bytes().splitlines()[1] + b"\n")
    opened = MediaIndex.open(index.folder)
    for use in (opened.verify, lambda: opened.id_of("c"), lambda: opened.remove(["c"])):
        with pytest.raises(IndexFormatError, match="two items have the key 'c'"):
            use()
    assert opened.id_of("b") == 1


LINES, COLUMNS, KEYS = (f"segments/000001/items.{ending}" for ending in ("jsonl", "arrow", "keys.npy"))


def sign_items(index, data: bytes, file: str | None = None) -> None:
    """Put other bytes into a file of items, with their true size and checksum."""
    field = "keys" if file == KEYS else "items"
    body = json.loads((index.folder / "manifest.json").read_text())
    (index.folder / body["segments"][0][field]["file"]).write_bytes(data)
    signed = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    resign(index.folder, lambda body: body["segments"][0][field].update(signed))


def arrow_bytes(*batches: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def two_items(**columns) -> pa.RecordBatch:
    """The columns of two sound items, but for those given."""
    schema, (batch,) = batches_of_items([MediaItem("a", "video"), MediaItem("b", "image")])
    arrays = {**dict(zip(schema.names, batch.columns, strict=True)), **columns}
    return pa.record_batch(list(arrays.values()), names=list(arrays))


def beyond_the_data() -> pa.RecordBatch:
    """Items whose first key is said to end a gigabyte away."""
    offsets, letters = np.array([0, 2**30, 2], np.int32), b"ab"
    keys = pa.StringArray.from_buffers(2, pa.py_buffer(offsets.tobytes()), pa.py_buffer(letters))
    return two_items(key=keys)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: b"ARROW1\0\0" + b"\xff" * 100, "is no Arrow file"),
        (lambda: b"", "is no Arrow file"),
        (lambda: arrow_bytes(pa.record_batch({"key": ["a", "b"]})), "must begin with the columns key, kind"),
        (lambda: arrow_bytes(two_items(duration=pa.array([1, 2]))), "must begin with the columns"),
        (lambda: arrow_bytes(two_items(more=pa.array([[1], [2]]))), "column 'more' is of type list"),
        (lambda: arrow_bytes(two_items(file=pa.array(["x", "y"]), **{"": pa.array([1, 2])})), "name of a column must"),
        (lambda: arrow_bytes(two_items(), two_items()), "has 2 batches where the manifest says 2 items"),
        (lambda: arrow_bytes(two_items().slice(1)), "batch 0 does not hold 2 items"),
        (lambda: arrow_bytes(two_items(key=pa.array(["a", None]))), "batch 0 does not hold 2 items"),
        (lambda: arrow_bytes(two_items(kind=pa.array(["audio", "image"]))), "kind of item 'a' must be image or video"),
        (lambda: arrow_bytes(two_items(duration=pa.array([-1.0, 0]))), "duration of item 'a' must be finite"),
        (lambda: arrow_bytes(two_items(size=pa.array([1, None]))), "modified of a file must be a whole number"),
        (lambda: arrow_bytes(two_items(label=pa.array(["\0\u00e9", "b"]))), "'ascii' codec can't encode"),
        (lambda: arrow_bytes(beyond_the_data()), "is damaged"),
        (lambda: arrow_bytes(two_items(key=pa.array([b"\xff", b"b"]).view(pa.string()))), "is damaged"),
    ],
)
def test_malformed_columns_with_a_true_checksum(make, data, message):
    index = make.empty()
    index.add([make.item("a"), make.item("b", "image")], {"frame": make.rows([[0, 0, 0]], [[5, 0, 0]])})
    sign_items(index, data())
    with pytest.raises(IndexFormatError, match=rf"items.arrow: .*{message}"):
        everything(index.folder)


def test_a_table_of_keys_that_is_not_that_of_the_items(make):
    index = make.empty()
    index.add([make.item("a"), make.item("b", "image")], {"frame": make.rows([[0, 0, 0]], [[5, 0, 0]])})
    whole = (index.folder / KEYS).read_bytes()
    hashes, places = whole[:-16], np.frombuffer(whole[-16:], "<u8")
    sign_items(index, hashes + places[::-1].tobytes(), KEYS)
    opened = MediaIndex.open(index.folder)
    assert "a" not in opened  # a wrong table misses, and never names another item
    with pytest.raises(IndexFormatError, match=r"items.arrow: its table of keys is not that of its items"):
        opened.verify()
    sign_items(index, hashes + (places + 2**40).tobytes(), KEYS)
    with pytest.raises(IndexFormatError, match=r"table of keys points outside the 2 items"):
        MediaIndex.open(index.folder).id_of("a")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_is_an_index_format_error_or_harmless(make, data):
    """Bytes overwritten, inserted or cut anywhere: an IndexFormatError, or (white space) the same index."""
    source = make.root / "sound"
    if not source.exists():
        shutil.move(make.filled().folder, source)
    folder = make.root / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    path = folder / data.draw(st.sampled_from(files_of(folder)))
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(len(whole), start + 40)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=40)) + whole[stop:])
    if path.read_bytes() == whole or (path.name == "manifest.json" and same_json(path.read_bytes(), whole)):
        index = everything(folder)
        assert index.search("frame", np.zeros(3, np.float32), 3).distances.tolist() == [[0, 2, 3]]
    else:
        with pytest.raises(IndexFormatError, match=path.name):
            everything(folder)
