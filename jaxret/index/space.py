"""The named spaces of an index, of vectors, packed binary codes or records, and the rows that are added to them."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.data.rows import Rows
from jaxret.rank import metrics_of
from jaxret.rank.validation import as_array, as_codes, check_float_matrix, to_float32

__all__ = ["Space", "checked_rows"]

"""How the rows of a space are compared."""
VECTOR_METRICS = ("euclidean", "cosine")
CODE_METRICS = ("hamming",)
"""The metrics that a space can name. The format knows no others; a search can use any of `jaxret.rank.METRICS`."""
VECTOR_DTYPES = ("float32", "float16")
RECORD_DTYPES = ("uint8", "uint16", "uint32", "int32", "int64", "float16", "float32")
ARRAY_NAMES = {"vector": "vectors", "code": "codes", "record": "records"}
"""What the array of a space's rows is called, by representation; these are all that this version knows."""


@dataclasses.dataclass(frozen=True)
class Space:
    """One space: what its rows are and how they are compared.

    A "frame" space holds vectors of images and of video frames with their times; a "clip" space holds one
    vector a chunk of video with its span. An image is searched in the first, a video in the second. A "code"
    space holds the packed binary code of each such chunk; `Space.of_codes` makes one. Records are rows of numbers that
    the index keeps and hands out without comparing them; `Space.of_records` makes such a space.

    Attributes:
      name: lower-case letters, digits, `-` and `_`; it names files.
      dimension: D, numbers in a vector or a record, or bits of a code (a multiple of 8).
      representation: "vector", "code" or "record". Other kinds can join the format; a reader that does not know a kind
        opens the index all the same, and refuses to search that space.
      dtype: of the stored rows: of vectors "float32" or "float16" (half the size; distances are computed in
        float32), of codes "uint8", of records any whole or floating type of up to 32 bits, or int64.
      metrics: which of the metrics of the format may rank it, its default first: vectors "euclidean" and "cosine",
        codes "hamming"; records have none.

    Raises:
      ValueError: the name, dimension, dtype or metrics are not as above.

    Example:
      >>> Space.of_codes("code", 64).row_length
      8
    """

    name: str
    dimension: int
    representation: str = "vector"
    dtype: str = "float32"
    metrics: tuple[str, ...] = VECTOR_METRICS

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", self.name):
            raise ValueError(f"name of a space must be lower-case letters, digits, - and _, got {self.name!r}")
        if isinstance(self.dimension, bool) or not isinstance(self.dimension, int) or self.dimension < 1:
            raise ValueError(f"dimension of space {self.name!r} must be at least 1, got {self.dimension!r}")
        if not isinstance(self.representation, str) or not isinstance(self.dtype, str):
            raise ValueError(f"representation and dtype of space {self.name!r} must be strings")
        named = all(isinstance(metric, str) for metric in self.metrics)
        if not named or bool(self.metrics) == (self.representation == "record"):
            wanted = "be empty, for records" if self.representation == "record" else "name at least one"
            raise ValueError(f"metrics of space {self.name!r} must {wanted}, got {self.metrics!r}")
        object.__setattr__(self, "metrics", tuple(self.metrics))
        if self.representation == "record" and self.dtype not in RECORD_DTYPES:
            raise ValueError(
                f"dtype of space {self.name!r} must be one of {', '.join(RECORD_DTYPES)}, got {self.dtype!r}"
            )
        if self.representation == "vector":
            if self.dtype not in VECTOR_DTYPES:
                raise ValueError(f"dtype of space {self.name!r} must be float32 or float16, got {self.dtype!r}")
            if odd := [metric for metric in self.metrics if metric not in VECTOR_METRICS]:
                raise ValueError(f"metrics of space {self.name!r} must be euclidean or cosine, got {odd[0]!r}")
        if self.representation == "code":
            if self.dimension % 8:
                raise ValueError(f"dimension of space {self.name!r} must be whole bytes of bits, got {self.dimension}")
            if self.dtype != "uint8" or self.metrics != CODE_METRICS:
                raise ValueError(
                    f"space {self.name!r} of codes must have dtype uint8 and the metric hamming, "
                    f"got {self.dtype!r} and {', '.join(self.metrics)}"
                )

    @classmethod
    def of_codes(cls, name: str, bits: int) -> Self:
        """A space of packed binary codes, compared by Hamming distance; bits a positive multiple of 8."""
        return cls(name, bits, "code", "uint8", CODE_METRICS)

    @classmethod
    def of_records(cls, name: str, length: int, dtype: str) -> Self:
        """A space of rows of `length` numbers that are kept and never compared, such as visual words and places."""
        return cls(name, length, "record", dtype, ())

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """The metrics that a search may name: the space's own, and what was added to `jaxret.rank.METRICS`."""
        added = metrics_of("uint8" if self.representation == "code" else "float32")
        return (*self.metrics, *(name for name in added if name not in VECTOR_METRICS + CODE_METRICS))

    @property
    def array_name(self) -> str:
        """What the array of its rows is called in the manifest and on disk: "vectors", "codes" or "records"."""
        return ARRAY_NAMES[self.representation]

    @property
    def row_length(self) -> int:
        """Numbers stored for a row: D of a vector or a record, bits / 8 bytes of a code."""
        return self.dimension // 8 if self.representation == "code" else self.dimension

    def to_json(self) -> dict[str, Any]:
        """The fields as a flat dict of JSON values."""
        return {**dataclasses.asdict(self), "metrics": list(self.metrics)}


def checked_rows(rows: Rows, space: Space, n_items: int) -> Rows:
    """The rows as a space stores them: in order of their items, in its dtype.

    Args:
      rows: in any order; rows of one item keep theirs.
      space: theirs.
      n_items: items that they come with.

    Raises:
      TypeError: `vectors` are not floats, or not uint8 for a space of codes.
      ValueError: shapes disagree, a number is not finite (or not so in the space's dtype), an item is
        out of range, or a span is negative or ends before it starts.
    """
    where = f"space {space.name!r}"
    check = {"vector": _checked_floats, "code": _checked_codes, "record": _checked_records}[space.representation]
    vectors = check(rows.vectors, space)
    n, items = len(vectors), rows.items
    if items.shape != (n,) or items.dtype.kind not in "iu":
        raise ValueError(f"items of {where} must be {n} whole numbers, got {items.dtype} {items.shape}")
    if items.size and (items.min() < 0 or items.max() >= n_items):
        raise ValueError(f"items of {where} must lie in 0 .. {n_items - 1}, got {items.min()} .. {items.max()}")
    for name, seconds in (("starts", rows.starts), ("ends", rows.ends)):
        if seconds.shape != (n,) or not np.isfinite(seconds).all() or (seconds < 0).any():
            raise ValueError(f"{name} of {where} must be {n} finite seconds of at least 0")
    if (backward := rows.starts > rows.ends).any():
        row = int(np.argmax(backward))
        raise ValueError(f"row {row} of {where} ends ({rows.ends[row]} s) before it starts ({rows.starts[row]} s)")
    checked = Rows(vectors, items, rows.starts, rows.ends, n_items)
    return checked if (items[1:] >= items[:-1]).all() else checked.take(np.argsort(items, kind="stable"))


def _checked_codes(given: ArrayLike, space: Space) -> NDArray[np.uint8]:
    where = f"codes of space {space.name!r}"
    raw = as_array(given, where)
    empty = raw.ndim == 2 and not len(raw)
    raw = raw.astype(np.uint8) if empty else as_codes(raw, where)
    if raw.shape[1] != space.row_length:
        raise ValueError(f"{where} must have {space.row_length} bytes ({space.dimension} bits), got {raw.shape[1]}")
    return raw


def _checked_records(given: ArrayLike, space: Space) -> NDArray[Any]:
    where = f"records of space {space.name!r}"
    raw = as_array(given, where)
    if raw.ndim != 2 or raw.shape[1] != space.row_length:
        raise ValueError(f"{where} must be (N, {space.row_length}), got {raw.shape}")
    whole = np.dtype(space.dtype).kind in "iu"
    if raw.dtype.kind not in ("iu" if whole else "iuf"):
        raise TypeError(f"{where} must be {'whole' if whole else 'real'} numbers, got {raw.dtype}")
    with np.errstate(over="ignore"):
        records = raw.astype(space.dtype)
    held = (records == raw) if whole else np.isfinite(records)
    if not held.all():
        raise ValueError(f"{where} must fit into {space.dtype}, got {raw[~held][0]}")
    return records


def _checked_floats(given: ArrayLike, space: Space) -> NDArray[Any]:
    where = f"vectors of space {space.name!r}"
    raw = as_array(given, where)
    empty = raw.ndim == 2 and not len(raw)
    raw = raw.astype(np.float32) if empty else check_float_matrix(raw, where)
    if raw.shape[1] != space.dimension:
        raise ValueError(f"{where} must have dimension {space.dimension}, got {raw.shape[1]}")
    with np.errstate(over="ignore"):
        vectors = to_float32(raw).astype(space.dtype, copy=False)
    if not (finite := np.isfinite(vectors).all(axis=1)).all():
        raise ValueError(f"{where} must be finite in {space.dtype}, row {int(np.argmin(finite))} is not")
    return vectors
