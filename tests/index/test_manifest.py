"""Edited, malformed and hostile manifests, checksum and all: an IndexFormatError that says what is wrong."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from signed_manifests import resign

from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, Space

VECTORS = "segments/000001/frame.vectors.npy"


def test_a_manifest_of_another_index_is_noticed(make):
    index, other = make.filled(), make.empty(Space("frame", 3))
    other.add([make.item("x"), make.item("y")], {"frame": make.rows([[1, 1, 1]], [[2, 2, 2]])})
    shutil.copy(other.folder / "manifest.json", index.folder / "manifest.json")
    with pytest.raises(IndexFormatError, match="000001"):
        MediaIndex.open(index.folder)


@pytest.mark.parametrize("shape", [[10**18, 3], [2**63, 3], [10**30, 3], [4, 3], [2, 3], [0, 3]])
def test_claims_about_size_must_be_true(make, shape):
    index = make.filled()

    def claim(body):
        arrays = body["segments"][0]["arrays"]["frame"]
        arrays["vectors"]["shape"] = shape
        arrays["items"]["shape"] = shape[:1]
        arrays["spans"]["shape"] = [shape[0], 2]

    resign(index.folder, claim)
    with pytest.raises(IndexFormatError, match=r"where the manifest says|too few"):
        MediaIndex.open(index.folder)


def test_a_header_and_a_manifest_that_agree_on_a_huge_shape_are_refused(make):
    index = make.filled()
    path = index.folder / VECTORS
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(3, 3), }" + b" " * 12, b"(3000000000000, 3), }"))
    assert len(path.read_bytes()) == len(data)

    def claim(body):
        arrays = body["segments"][0]["arrays"]["frame"]
        arrays["vectors"] |= {
            "shape": [3 * 10**12, 3],
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        arrays["items"]["shape"] = [3 * 10**12]
        arrays["spans"]["shape"] = [3 * 10**12, 2]

    resign(index.folder, claim)
    with pytest.raises(IndexFormatError, match=r"frame.vectors.npy: has 164 bytes, too few or too many"):
        MediaIndex.open(index.folder)


@pytest.mark.parametrize(
    "file",
    [
        "../secret.npy",
        "segments/../../secret.npy",
        "/etc/passwd",
        "segments/000001/../../../secret.npy",
        "C:\\secret.npy",
        "segments\\000001",
        "~/secret.npy",
        "segments/link/secret.npy",
        "",
        ".",
        "segments/\u0000",
    ],
)
def test_paths_that_lead_out_of_the_folder_are_refused(make, tmp_path, file):
    index = make.filled()
    (tmp_path / "secret.npy").write_bytes((index.folder / VECTORS).read_bytes())
    (index.folder / "segments" / "link").symlink_to(tmp_path)

    def point(body):
        body["segments"][0]["arrays"]["frame"]["vectors"]["file"] = file

    resign(index.folder, point)
    with pytest.raises(IndexFormatError, match=r"leads outside the index folder|cannot be read"):
        MediaIndex.open(index.folder)


def put(*path_and_value):
    *path, last, value = path_and_value

    def change(body):
        for step in path:
            body = body[step]
        body[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", "faiss"), "is not the manifest of a jaxret-index"),
        (put("format_version", 5), "format version 5, this jaxret reads versions up to 4"),
        (put("format_version", True), "format version True"),
        (put("format_version", "1"), "format version '1'"),
        (put("revision", "3"), "revision of the manifest must be int, got '3'"),
        (put("revision", True), "revision of the manifest must be int"),
        (put("surprise", 1), "the manifest has missing or unknown fields: surprise"),
        (lambda body: {k: v for k, v in body.items() if k != "spaces"}, "unknown fields: spaces"),
        (put("encoder", {}), "encoder has missing or unknown fields"),
        (put("encoder", "fingerprint", ""), "fingerprint must be a non-empty string"),
        (put("encoder", "preprocessing", "height", -1), "height must be a whole number"),
        (put("encoder", "preprocessing", {}), "preprocessing has missing"),
        (put("spaces", [7]), "a space must be an object, got int"),
        (put("spaces", 0, "dimension", 0), "dimension of space 'frame' must be at least 1"),
        (put("spaces", 0, "dimension", 4), "arrays of space 'frame' in segment 000001 do not fit"),
        (put("spaces", 0, "dtype", "float16"), "do not fit together"),
        (put("spaces", 0, "dtype", "object"), "dtype of space 'frame' must be float32 or float16"),
        (put("spaces", 0, "metrics", [1]), "metrics of space 'frame'"),
        (put("spaces", 0, "metrics", []), "metrics of space 'frame'"),
        (put("spaces", 0, "name", "other"), "rows of an unknown space 'frame'"),
        (lambda body: body["spaces"].append(body["spaces"][0]), "two spaces have one name"),
        (put("segments", 0, "name", "../x"), "a segment is named '../x'"),
        (put("segments", 0, "name", "000002"), "two segments have one name"),
        (put("next_segment", 2), "next_segment 2 is not above"),
        (put("segments", 0, "n_items", 0), "has 0 items"),
        (put("segments", 0, "n_items", 10**30), "keys of segment 000001 do not fit"),
        (put("segments", 0, "n_items", 1), "removed ones that are not among them"),
        (put("segments", 0, "removed", [2]), "removed ones that are not among them"),
        (put("segments", 0, "removed", [-1]), "removed ones that are not among them"),
        (put("segments", 0, "removed", [1.0]), "removed ones that are not among them"),
        (put("segments", 0, "removed", [1, 0]), "not in order"),
        (put("segments", 0, "removed", [0, 0]), "not in order"),
        (put("segments", 0, "items", "size", -1), "malformed size"),
        (put("segments", 0, "items", "sha256", "xyz"), "malformed size or checksum"),
        (put("segments", 0, "items", "sha256", "0" * 64), "items.arrow: was altered"),
        (put("segments", 0, "items", "file", "segments/000001/frame.items.npy"), "neither an Arrow file nor JSON"),
        (put("segments", 0, "keys", 5), "a file must be an object"),
        (put("segments", 0, "keys", "dtype", "object"), "has dtype 'object'"),
        (put("segments", 0, "keys", "shape", [2, 3]), "keys of segment 000001 do not fit its 2 items"),
        (put("media_root", 5), "media_root of the manifest must be a string or null, got 5"),
        (put("segments", 0, "arrays", "frame", []), "must be an object"),
        (put("segments", 0, "arrays", "frame", {}), "do not fit together"),
        (put("segments", 0, "arrays", "frame", "spans", "dtype", "object"), "has dtype 'object'"),
        (put("segments", 0, "arrays", "frame", "spans", "shape", []), "has shape"),
        (put("segments", 0, "arrays", "frame", "spans", "shape", [-1, 2]), "has shape"),
        (put("segments", 0, "arrays", "frame", "spans", "shape", [True, 2]), "has shape"),
        (put("segments", 0, "arrays", "frame", "extra", {}), "a file has missing or unknown fields"),
        (put("segments", 0, 5), "a segment must be an object, got int"),
        (lambda body: [body], None),
    ],
)
def test_a_signed_but_malformed_manifest(make, change, message):
    index = make.filled()
    if message is None:
        (index.folder / "manifest.json").write_text("[1, 2]")
        message = "is not the manifest"
    else:
        resign(index.folder, change)
    with pytest.raises(IndexFormatError, match=message) as caught:
        MediaIndex.open(index.folder)
    assert str(index.folder) in str(caught.value)


def test_an_edited_manifest_is_noticed(make):
    index = make.filled()
    path = index.folder / "manifest.json"
    path.write_text(path.read_text().replace("sha256:abc", "sha256:xyz"))
    with pytest.raises(IndexFormatError, match="was edited or damaged"):
        MediaIndex.open(index.folder)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"format": 1}'])
def test_a_manifest_that_is_none(make, text):
    index = make.filled()
    (index.folder / "manifest.json").write_bytes(text)
    with pytest.raises(IndexFormatError, match=r"manifest.json"):
        MediaIndex.open(index.folder)
