"""The rows of a space as Arrow record batches: the columns of their items, their spans and their vectors.

start, end    float64, seconds
vector        fixed-size list of float32 or float16; of codes `code`, fixed-size binary of bits / 8 bytes; of records
              `record`, fixed-size list of their type
row           int64, the number of the row, where rows and vectors are in files of their own
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.index.media_index import MediaIndex
from jaxret.index.space import Space

__all__ = ["chosen_rows", "row_batches", "row_schema"]


def chosen_rows(index: MediaIndex, space: str, where: str | None) -> Iterator[Rows]:
    """The rows of a space whose items pass a filter, a bounded number at a time; their `items` are ids.

    Raises:
      ValueError: the space is unknown, or the filter malformed.
    """
    passing = index.passing(where=where)
    for rows in index.row_blocks(space):
        chosen = passing[rows.items]
        if chosen.any():
            yield rows if chosen.all() else rows.take(chosen)


def row_schema(index: MediaIndex, space: str, *, vectors: bool) -> pa.Schema:
    """The schema of `row_batches`.

    Raises:
      ConfigError: a column of the user's own has a name that the rows need.
    """
    own = index.spaces[space]
    more = [("start", pa.float64()), ("end", pa.float64())]
    more.append((_name(own), _type(own)) if vectors else ("row", pa.int64()))
    if taken := [name for name, _ in more if name in index.columns]:
        raise ConfigError(f"{index.folder} has a column {taken[0]!r} of your own, which exported rows have as well")
    return pa.schema([*index.table().schema, *(pa.field(name, type_) for name, type_ in more)])


def row_batches(index: MediaIndex, space: str, where: str | None, *, vectors: bool) -> Iterator[pa.RecordBatch]:
    """The rows of a space whose items pass a filter, with the columns of their items.

    Args:
      index: whose they are.
      space: its name.
      where: see `MediaIndex.passing`.
      vectors: with them; else with the numbers of the rows, from 0.
    """
    own, items, schema, first = index.spaces[space], index.table(), row_schema(index, space, vectors=vectors), 0
    for rows in chosen_rows(index, space, where):
        columns = items.take(rows.items).combine_chunks().columns
        columns += [pa.array(rows.starts), pa.array(rows.ends)]
        columns.append(_array(own, rows.vectors) if vectors else pa.array(np.arange(first, first + len(rows))))
        first += len(rows)
        (batch,) = pa.table(columns, schema=schema).to_batches() or [None]
        yield batch


def _name(space: Space) -> str:
    return space.representation


def _type(space: Space) -> pa.DataType:
    if space.representation == "code":
        return pa.binary(space.row_length)
    return pa.list_(pa.from_numpy_dtype(np.dtype(space.dtype)), space.row_length)


def _array(space: Space, vectors: NDArray[Any]) -> pa.Array:
    flat = np.ascontiguousarray(vectors)
    if space.representation == "code":
        return pa.FixedSizeBinaryArray.from_buffers(_type(space), len(flat), [None, pa.py_buffer(flat)])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), space.row_length)
