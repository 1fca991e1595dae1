"""`manifest.json`: the one file that says what an index holds, replaced atomically at each commit.

    format, format_version   "jaxret-index", 3, or 4 where a space has terms; a reader refuses a later version
    created_by, updated_by   version of this library
    revision                 counts commits, from 1
    next_segment             number of the next segment folder; never reused
    encoder                  fingerprint, preprocessing, free-form description of what made the vectors
    media_root               the folder that items' paths are relative to, where they are; null for none
    spaces                   name, representation, dimension, dtype, metrics of each
    centroids                space -> file of the centroids of its cells, float32 (C, D); only of spaces that have cells
    terms                    version 4: space -> which numbers of its records are terms (count, first, step), whose
                             lists are kept
    segments                 in order: name, n_items, removed (local item numbers), items (file, size, sha256), keys
                             (the same with dtype and shape, or null), arrays: space -> array name -> as keys, and
                             cells: the same of each space that has centroids or terms and rows here, see
                             `jaxret.index.cells`
    checksum                 SHA-256 of all the above, so that an edited manifest is noticed

Version 1 has no media_root and no keys; its items are JSON lines, those of later versions Arrow files as well. Versions
1 and 2 have no centroids and no cells.

An array's first axis is rows; a "vector" space has `vectors` (N, D), a "code" space `codes` uint8 (N, bits / 8), a
"record" space `records` (N, D), each with `items` int64 (N,) and `spans` float64 (N, 2). Other representations may
bring other arrays: they are checked like these and left alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxret.files import write_atomically
from jaxret.index.array_file import ArrayEntry, FileEntry
from jaxret.index.cells.term_lists import Terms
from jaxret.index.space import Space
from jaxret.preprocessing import Preprocessing

__all__ = ["EncoderRecord", "Manifest", "SegmentEntry", "manifest_checksum", "write_manifest"]

FORMAT = "jaxret-index"
FORMAT_VERSION = 4
WITHOUT_TERMS = 3
"""The version that an index without lists of terms is written as, for older readers."""
MANIFEST_NAME = "manifest.json"


@dataclasses.dataclass(frozen=True)
class EncoderRecord:
    """What made the vectors; a query must come from the same.

    Attributes:
      fingerprint: of the encoder's architecture and weights; any non-empty string.
      preprocessing: what is done to pixels before the encoder.
      description: free-form JSON values for people and for rebuilding the encoder.

    Raises:
      TypeError, ValueError: the fingerprint is empty, or the description does not fit into JSON.
    """

    fingerprint: str
    preprocessing: Preprocessing
    description: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.fingerprint, str) or not self.fingerprint:
            raise ValueError(f"fingerprint must be a non-empty string, got {self.fingerprint!r}")
        if not isinstance(self.preprocessing, Preprocessing):
            raise TypeError(f"preprocessing must be a Preprocessing, got {self.preprocessing!r}")
        try:
            kept = json.loads(json.dumps(dict(self.description), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"description must hold JSON values only: {error}") from error
        object.__setattr__(self, "description", kept)

    def to_json(self) -> dict[str, Any]:
        """The record as a dict of JSON values."""
        return {
            "fingerprint": self.fingerprint,
            "preprocessing": self.preprocessing.to_json(),
            "description": self.description,
        }


@dataclasses.dataclass(frozen=True)
class SegmentEntry:
    """A segment as the manifest knows it.

    Attributes:
      name: its folder under `segments/`.
      n_items: items written, removed ones included.
      removed: ascending local numbers of the items that are no more.
      items: the Arrow file of items, or the JSON lines of an older version.
      keys: the table that finds an item by its key, see `jaxret.index.items.keys`; None beside JSON lines.
      arrays: space name -> array name -> file.
      cells: the same of the cells of vectors and the lists of terms that are kept, see `jaxret.index.cells`.
    """

    name: str
    n_items: int
    removed: tuple[int, ...]
    items: FileEntry
    keys: ArrayEntry | None
    arrays: Mapping[str, Mapping[str, ArrayEntry]]
    cells: Mapping[str, Mapping[str, ArrayEntry]] = dataclasses.field(default_factory=dict)

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file of the segment."""
        of_spaces = (file for files in (*self.arrays.values(), *self.cells.values()) for file in files.values())
        return (self.items, *([] if self.keys is None else [self.keys]), *of_spaces)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All that `manifest.json` says; see the module's text for the fields."""

    encoder: EncoderRecord
    spaces: tuple[Space, ...]
    segments: tuple[SegmentEntry, ...]
    revision: int
    next_segment: int
    created_by: str
    updated_by: str
    media_root: str | None = None
    centroids: Mapping[str, ArrayEntry] = dataclasses.field(default_factory=dict)
    terms: Mapping[str, Terms] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON values, its checksum included."""
        body = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION if self.terms else WITHOUT_TERMS,
            "created_by": self.created_by,
            "updated_by": self.updated_by,
            "revision": self.revision,
            "next_segment": self.next_segment,
            "encoder": self.encoder.to_json(),
            "media_root": self.media_root,
            "spaces": [space.to_json() for space in self.spaces],
            "centroids": {space: dataclasses.asdict(file) for space, file in self.centroids.items()},
            **({"terms": {space: dataclasses.asdict(own) for space, own in self.terms.items()}} if self.terms else {}),
            "segments": [dataclasses.asdict(segment) for segment in self.segments],
        }
        return {**body, "checksum": manifest_checksum(body)}


def manifest_checksum(body: Mapping[str, Any]) -> str:
    """SHA-256 of the manifest without its `checksum`, in canonical JSON."""
    rest = {key: value for key, value in body.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically: after a crash either the old one or the new one is there, whole."""
    with write_atomically(root / MANIFEST_NAME, sync=True) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(manifest.to_json(), file, indent=1)
        file.write("\n")
