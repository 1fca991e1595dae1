"""An image or a video, as data sets list it and indexes keep it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

__all__ = ["ColumnValue", "FileState", "Kind", "MediaItem", "check_column_name"]

Kind = Literal["image", "video"]

ColumnValue = str | int | float | bool
"""A value in a column of the user's own."""

_KINDS = get_args(Kind)
_MOST_WHOLE = 1 << 63


@dataclasses.dataclass(frozen=True, slots=True)
class FileState:
    """What a file was when it was indexed, to notice later that it is another.

    Attributes:
      size: bytes.
      modified: nanoseconds since 1970.
      content: the hash that `MediaDataset.content_hash` gives.
    """

    size: int
    modified: int
    content: str

    def __post_init__(self) -> None:
        for name in ("size", "modified"):
            if type(value := getattr(self, name)) is not int:
                raise TypeError(f"{name} of a file must be a whole number, got {value!r}")
        if not isinstance(self.content, str):
            raise TypeError(f"content of a file must be a string, got {self.content!r}")


@dataclasses.dataclass(frozen=True, slots=True)
class MediaItem:
    """One image or video.

    Attributes:
      key: its name, unique within a data set or an index (for files the path relative to the root, with `/`).
      kind: "image" or "video".
      label: its class, or None where it is not known.
      source: what it was cut from (a film, an upload, a photograph). Items of one source look alike, so splits keep
        them together and evaluation leaves the query's own source out. Defaults to `key`.
      split: "train", "validation", "test" or any name the data set's lists use; None where not listed.
      path: the media file, or the folder of an RGB-D video as `rgbd:FOLDER` opens it; None for media that is neither.
      duration: seconds, 0 for an image; None where it is not known. An index fills it in.
      origin: what `MediaDataset.origin` gives, where that is not the path: it tells items of one key apart. An index
        fills it in.
      file: what the file was when it was indexed; None where that is not known, or there is no file.
      columns: values of the user's own by the name of their column: strings, numbers or truth values. None is as good
        as no value.

    Raises:
      TypeError: a field is of another type.
      ValueError: `key` is empty, `kind` is unknown, `duration` is negative or not finite, a column has the name of a
        field, or a number in one does not fit.

    Example:
      >>> MediaItem("walk/a.mp4", "video", label="walk", duration=3.5).source
      'walk/a.mp4'
    """

    key: str
    kind: Kind
    label: str | None = None
    source: str = ""
    split: str | None = None
    path: str | None = None
    duration: float | None = None
    origin: str | None = None
    file: FileState | None = None
    columns: Mapping[str, ColumnValue] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("key", "source"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a string, got {getattr(self, name)!r}")
        for name in ("label", "split", "path", "origin"):
            if (value := getattr(self, name)) is not None and not isinstance(value, str):
                raise TypeError(f"{name} of item {self.key!r} must be a string or None, got {value!r}")
        if not self.key:
            raise ValueError("key must not be empty")
        if self.kind not in _KINDS:
            raise ValueError(f"kind of item {self.key!r} must be image or video, got {self.kind!r}")
        if self.duration is not None:
            where = f"duration of item {self.key!r}"
            if isinstance(self.duration, bool) or not isinstance(self.duration, int | float):
                raise TypeError(f"{where} must be seconds or None, got {self.duration!r}")
            if not 0 <= self.duration < math.inf:
                raise ValueError(f"{where} must be finite and at least 0, got {self.duration!r}")
        if self.file is not None and not isinstance(self.file, FileState):
            raise TypeError(f"file of item {self.key!r} must be a FileState or None, got {self.file!r}")
        if not self.source:
            object.__setattr__(self, "source", self.key)
        object.__setattr__(self, "columns", self._checked_columns())

    def _checked_columns(self) -> dict[str, ColumnValue]:
        if type(self.columns) is not dict and not isinstance(self.columns, Mapping):
            raise TypeError(f"columns of item {self.key!r} must be a mapping of names to values, got {self.columns!r}")
        kept = {name: value for name, value in self.columns.items() if value is not None}
        for name, value in kept.items():
            check_column_name(name)
            where = f"column {name!r} of item {self.key!r}"
            if not isinstance(value, ColumnValue):
                raise TypeError(f"{where} must be a string, a number or a truth value, got {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{where} must be finite, got {value!r}")
            if type(value) is int and not -_MOST_WHOLE <= value < _MOST_WHOLE:
                raise ValueError(f"{where} must fit into 64 bits, got {value!r}")
        return kept

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict of JSON values; `origin`, `file` and `columns` only where there are some."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in _OPTIONAL or value not in (None, {})}

    @classmethod
    def from_json(cls, fields: Any) -> MediaItem:
        """The inverse of `to_json`; ValueError or TypeError for a missing, unknown or malformed field."""
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or not known - _OPTIONAL <= set(fields) <= known:
            raise ValueError(f"an item must be an object with the fields {', '.join(sorted(known - _OPTIONAL))}")
        if "file" in fields:
            if not isinstance(fields["file"], dict):
                raise TypeError(f"file of item {fields['key']!r} must be an object, got {fields['file']!r}")
            fields = {**fields, "file": FileState(**fields["file"])}
        return cls(**fields)


def check_column_name(name: Any) -> None:
    """Refuse a name that no column of a user's own can have.

    Raises:
      TypeError: it is no string.
      ValueError: it is empty, or is that of a field of every item.

    Example:
      >>> check_column_name("year")
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a column must be a string, got {name!r}")
    if not name or name in _FIELD_NAMES:
        taken = ", ".join(sorted(_FIELD_NAMES))
        raise ValueError(f"the name of a column must be none of {taken}, and not empty, got {name!r}")


_OPTIONAL = frozenset({"origin", "file", "columns"})
_FIELD_NAMES = frozenset(
    name for kind in (MediaItem, FileState) for name in kind.__dataclass_fields__ if name not in ("file", "columns")
)
