"""The manifest is read and checked: its bytes may come from anywhere, and all after it trusts what it says."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from jaxret.errors import ConfigError, IndexFormatError
from jaxret.index.array_file import ALLOWED_DTYPES, ArrayEntry, FileEntry
from jaxret.index.cells.term_lists import Terms
from jaxret.index.manifest import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST_NAME,
    WITHOUT_TERMS,
    EncoderRecord,
    Manifest,
    SegmentEntry,
    manifest_checksum,
)
from jaxret.index.space import ARRAY_NAMES, Space
from jaxret.preprocessing import Preprocessing

__all__ = ["read_manifest"]


def read_manifest(root: Path) -> Manifest:
    """Read and check the manifest of an index folder.

    Raises:
      IndexFormatError: there is none, it is not JSON, it is of a later format version, it was edited, or a
        field is missing, unknown, malformed or names a file outside the folder.
    """
    path = root / MANIFEST_NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        why = f"it has no {MANIFEST_NAME}" if os.path.lexists(root) else "there is no such folder"
        raise IndexFormatError(f"{root}: is not an index ({why})") from None
    except OSError as error:
        raise IndexFormatError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IndexFormatError(f"{path}: is not JSON: {error}") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise IndexFormatError(f"{path}: is not the manifest of a {FORMAT}")
    version = body.get("format_version")
    if isinstance(version, bool) or version not in range(1, FORMAT_VERSION + 1):
        raise IndexFormatError(
            f"{path}: has format version {version!r}, this jaxret reads versions up to {FORMAT_VERSION}"
            f" (written by {str(body.get('updated_by'))[:40]})"
        )
    if body.get("checksum") != manifest_checksum(body):
        raise IndexFormatError(f"{path}: was edited or damaged: its checksum does not match")
    try:
        return _parse(root, body)
    except (ValueError, TypeError, ConfigError) as error:
        raise IndexFormatError(f"{path}: {error}") from error


def _parse(root: Path, body: dict[str, Any]) -> Manifest:
    if body["format_version"] == 1 and isinstance(body.get("segments"), list):
        entries = [{"keys": None, **entry} if isinstance(entry, dict) else entry for entry in body["segments"]]
        body = {"media_root": None, **body, "segments": entries}
    if body["format_version"] <= 2 and isinstance(body.get("segments"), list):
        entries = [{"cells": {}, **entry} if isinstance(entry, dict) else entry for entry in body["segments"]]
        body = {"centroids": {}, **body, "segments": entries}
    if body["format_version"] <= WITHOUT_TERMS:
        body = {"terms": {}, **body}
    if body.get("media_root") is not None and not isinstance(body["media_root"], str):
        raise ValueError(f"media_root of the manifest must be a string or null, got {body['media_root']!r:.60}")
    fields = {
        "format": str,
        "format_version": int,
        "created_by": str,
        "updated_by": str,
        "revision": int,
        "next_segment": int,
        "encoder": dict,
        "media_root": object,
        "spaces": list,
        "centroids": dict,
        "terms": dict,
        "segments": list,
        "checksum": str,
    }
    _check_fields(body, fields, "the manifest")
    _check_fields(body["encoder"], {"fingerprint": str, "preprocessing": dict, "description": dict}, "encoder")
    encoder = EncoderRecord(
        body["encoder"]["fingerprint"],
        Preprocessing.from_json(body["encoder"]["preprocessing"]),
        body["encoder"]["description"],
    )
    spaces = []
    for fields_of_space in body["spaces"]:
        shape = {"name": str, "dimension": int, "representation": str, "dtype": str, "metrics": list}
        _check_fields(fields_of_space, shape, "a space")
        spaces.append(Space(**{**fields_of_space, "metrics": tuple(fields_of_space["metrics"])}))
    if len({space.name for space in spaces}) < len(spaces):
        raise ValueError("two spaces have one name")
    by_name = {space.name: space for space in spaces}
    home = Path(os.path.realpath(root))
    centroids = _parse_centroids(home, body["centroids"], by_name)
    terms = {name: _parse_terms(name, own, by_name) for name, own in body["terms"].items()}
    guides: dict[str, ArrayEntry | Terms] = {**centroids, **terms}
    segments = tuple(_parse_segment(home, segment, by_name, guides) for segment in body["segments"])
    if len({segment.name for segment in segments}) < len(segments):
        raise ValueError("two segments have one name")
    if any(int(segment.name) >= body["next_segment"] for segment in segments):
        raise ValueError(f"next_segment {body['next_segment']} is not above the numbers in use")
    return Manifest(
        encoder=encoder,
        spaces=tuple(spaces),
        segments=segments,
        centroids=centroids,
        terms=terms,
        **{name: body[name] for name in ("revision", "next_segment", "created_by", "updated_by", "media_root")},
    )


def _parse_centroids(root: Path, body: Any, spaces: Mapping[str, Space]) -> dict[str, ArrayEntry]:
    centroids = {}
    for name, file in body.items():
        if name not in spaces or spaces[name].representation != "vector":
            raise ValueError(f"there are centroids of {name!r}, which is no space of vectors")
        entry = _array_entry(root, file)
        if entry.dtype != "float32" or len(entry.shape) != 2 or entry.shape[1:] != (spaces[name].dimension,):
            raise ValueError(f"the centroids of space {name!r} do not fit it")
        centroids[name] = entry
    return centroids


def _parse_terms(name: str, body: Any, spaces: Mapping[str, Space]) -> Terms:
    _check_fields(body, {field.name: int for field in dataclasses.fields(Terms)}, f"the terms of {name!r}")
    terms, space = Terms(**body), spaces.get(name)
    if space is None or space.representation != "record" or "int" not in space.dtype:
        raise ValueError(f"there are terms of {name!r}, which is no space of whole numbers")
    if terms.first >= space.dimension:
        raise ValueError(f"the terms of space {name!r} begin beyond its {space.dimension} numbers")
    return terms


def _parse_segment(
    root: Path, body: Any, spaces: Mapping[str, Space], guides: Mapping[str, ArrayEntry | Terms]
) -> SegmentEntry:
    fields = {
        "name": str,
        "n_items": int,
        "removed": list,
        "items": dict,
        "keys": object,
        "arrays": dict,
        "cells": dict,
    }
    _check_fields(body, fields, "a segment")
    name, n_items, removed = body["name"], body["n_items"], body["removed"]
    if not re.fullmatch(r"\d{6,12}", name):
        raise ValueError(f"a segment is named {name!r}")
    if n_items < 1 or not all(type(i) is int and 0 <= i < n_items for i in removed):
        raise ValueError(f"segment {name} has {n_items} items and removed ones that are not among them")
    if removed != sorted(set(removed)):
        raise ValueError(f"the removed items of segment {name} are not in order")
    items = FileEntry(**_check_file(root, body["items"], {}))
    if not items.file.endswith((".arrow", ".jsonl")):
        raise ValueError(f"{items.file} is neither an Arrow file nor JSON lines")
    keys = None if body["keys"] is None else _array_entry(root, body["keys"])
    if keys is not None and (keys.dtype, keys.shape) != ("uint64", (2, n_items)):
        raise ValueError(f"the keys of segment {name} do not fit its {n_items} items")
    arrays: dict[str, dict[str, ArrayEntry]] = {}
    for space, files in body["arrays"].items():
        if space not in spaces:
            raise ValueError(f"segment {name} has rows of an unknown space {space!r}")
        if not isinstance(files, dict):
            raise ValueError(f"the arrays of space {space!r} in segment {name} must be an object")
        arrays[space] = {}
        for array, file in files.items():
            arrays[space][array] = _array_entry(root, file)
        if spaces[space].representation in ARRAY_NAMES:
            _check_row_arrays(spaces[space], arrays[space], name)
    celled = sorted(space for space in arrays if space in guides)
    if sorted(body["cells"]) != celled:
        raise ValueError(f"segment {name} must have cells of the spaces {celled}, has them of {sorted(body['cells'])}")
    cells = {space: _parse_guided(root, body["cells"][space], arrays[space], guides[space]) for space in celled}
    return SegmentEntry(name, n_items, tuple(removed), items, keys, arrays, cells)


def _parse_guided(
    root: Path, body: Any, arrays: Mapping[str, ArrayEntry], guide: ArrayEntry | Terms
) -> dict[str, ArrayEntry]:
    if isinstance(guide, ArrayEntry):
        return _parse_cells(root, body, arrays, guide)
    _check_fields(body, dict.fromkeys(("offsets", "rows", "counts", "lengths"), dict), "the lists of a segment")
    lists = {name: _array_entry(root, file) for name, file in body.items()}
    entries = lists["rows"].shape[:1]
    wanted = {"offsets": (guide.count + 1,), "rows": entries, "counts": entries, "lengths": arrays["items"].shape}
    types = {"offsets": ("int64",), "rows": ("int32",), "counts": ("uint16", "uint32"), "lengths": ("float64",)}
    if any(lists[name].shape != shape or lists[name].dtype not in types[name] for name, shape in wanted.items()):
        raise ValueError(f"{lists['offsets'].file} and the files beside it do not fit their rows and terms")
    return lists


def _parse_cells(
    root: Path, body: Any, arrays: Mapping[str, ArrayEntry], centroids: ArrayEntry
) -> dict[str, ArrayEntry]:
    _check_fields(body, {"offsets": dict, "rows": dict, "vectors": dict}, "the cells of a segment")
    cells = {name: _array_entry(root, file) for name, file in body.items()}
    n = arrays["items"].shape[0]
    wanted = {
        "offsets": ("int64", (centroids.shape[0] + 1,)),
        "rows": ("int64", (n,)),
        "vectors": ("float32", (n, centroids.shape[1])),
    }
    if {name: (entry.dtype, entry.shape) for name, entry in cells.items()} != wanted:
        raise ValueError(f"{cells['vectors'].file} and the files beside it do not fit their rows and centroids")
    return cells


def _array_entry(root: Path, body: Any) -> ArrayEntry:
    kept = _check_file(root, body, {"dtype": str, "shape": list})
    if kept["dtype"] not in ALLOWED_DTYPES:
        raise ValueError(f"{kept['file']} has dtype {kept['dtype']!r}")
    if not kept["shape"] or not all(type(n) is int and n >= 0 for n in kept["shape"]):
        raise ValueError(f"{kept['file']} has shape {kept['shape']!r}")
    return ArrayEntry(**{**kept, "shape": tuple(kept["shape"])})


def _check_row_arrays(space: Space, arrays: Mapping[str, ArrayEntry], segment: str) -> None:
    n = arrays[space.array_name].shape[0] if space.array_name in arrays else 0
    wanted = {
        space.array_name: (space.dtype, (n, space.row_length)),
        "items": ("int64", (n,)),
        "spans": ("float64", (n, 2)),
    }
    if {name: (entry.dtype, entry.shape) for name, entry in arrays.items()} != wanted:
        raise ValueError(f"the arrays of space {space.name!r} in segment {segment} do not fit together")


def _check_file(root: Path, body: Any, more: Mapping[str, type]) -> dict[str, Any]:
    """The entry of a file; `root` is the real path of the index."""
    _check_fields(body, {"file": str, "size": int, "sha256": str, **more}, "a file")
    file = body["file"]
    path = PurePosixPath(file)
    plain = re.fullmatch(r"[A-Za-z0-9_./-]+", file) and not path.is_absolute() and ".." not in path.parts
    # A link inside the folder that leads out of it is an escape too.
    if not plain or not Path(os.path.realpath(root / file)).is_relative_to(root):
        raise ValueError(f"{file!r} leads outside the index folder")
    if body["size"] < 0 or not re.fullmatch(r"[0-9a-f]{64}", body["sha256"]):
        raise ValueError(f"{file} has a malformed size or checksum")
    return dict(body)


def _check_fields(body: Any, fields: Mapping[str, type], where: str) -> None:
    """Exactly these fields, of these types; a bool is no number."""
    if not isinstance(body, dict):
        raise ValueError(f"{where} must be an object, got {type(body).__name__}")
    if odd := sorted(set(body) ^ set(fields)):
        raise ValueError(f"{where} has missing or unknown fields: {', '.join(odd)}")
    for name, kind in fields.items():
        if not isinstance(body[name], kind) or (isinstance(body[name], bool) and kind is not object):
            raise ValueError(f"{name} of {where} must be {kind.__name__}, got {body[name]!r:.60}")
