"""The formats of an export, each one file or one folder, which appears whole or not at all."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from jaxret.errors import ConfigError
from jaxret.files import is_there, partial_name, write_atomically, write_folder
from jaxret.index.exports.row_table import chosen_rows, row_batches, row_schema
from jaxret.index.media_index import MediaIndex

__all__ = ["ExportFormat", "export_rows"]

ExportFormat = Literal["parquet", "lance", "faiss", "npy"]
"""What an export can be: Parquet, a Lance data set, a flat faiss index, or an `.npy` file, these two with the columns
beside them."""

_INSTALL = {"lance": "pylance", "faiss": "faiss-cpu"}


def export_rows(
    index: MediaIndex, out: str | Path, to: ExportFormat, *, space: str | None = None, where: str | None = None
) -> int:
    """Write the rows of a space, with the columns of their items, as other programs read them.

    Args:
      index: whose rows they are.
      out: the new file (parquet), or folder: of npy `vectors.npy` and `rows.parquet`, of faiss `vectors.faiss` and
        `rows.parquet`, whose column `row` is the number of the vector.
      to: the format.
      space: its name; None where the index has one alone.
      where: export only rows of items that pass this filter, see `MediaIndex.passing`.

    Returns:
      How many rows were written.

    Raises:
      ConfigError: `out` is there, the format is unknown or its package not installed, `space` must be named, faiss is
        given records, or a column of the user's own has the name of one of the rows.
      ValueError: the space is unknown, or the filter malformed.
    """
    out = Path(out)
    if to not in get_args(ExportFormat):
        raise ConfigError(f"to must be one of {', '.join(get_args(ExportFormat))}, got {to!r}")
    if is_there(out):
        raise ConfigError(f"{out} is there already: name a new one")
    if not is_there(out.absolute().parent):
        raise ConfigError(f"{out} cannot be written: there is no folder {out.parent}")
    if space is None and len(index.spaces) > 1:
        spaces = " or ".join(f"space={name}" for name in index.spaces)
        raise ConfigError(f"{index.folder} has several spaces: choose one, {spaces}")
    name = next(iter(index.spaces)) if space is None else space
    count = int(sum(len(rows) for rows in chosen_rows(index, name, where)))
    write = {"parquet": _parquet, "lance": _lance, "faiss": _faiss, "npy": _npy}[to]
    write(index, out, name, where)
    return count


def _parquet(index: MediaIndex, out: Path, space: str, where: str | None) -> None:
    with write_atomically(out) as partial:
        _write_parquet(partial, row_schema(index, space, vectors=True), row_batches(index, space, where, vectors=True))


def _write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _lance(index: MediaIndex, out: Path, space: str, where: str | None) -> None:
    lance = _package("lance")
    schema = row_schema(index, space, vectors=True)
    reader = pa.RecordBatchReader.from_batches(schema, row_batches(index, space, where, vectors=True))
    _whole_folder(out, lambda folder: lance.write_dataset(reader, folder))


def _npy(index: MediaIndex, out: Path, space: str, where: str | None) -> None:
    from numpy.lib import format as npy_format

    own = index.spaces[space]
    count = sum(len(rows) for rows in chosen_rows(index, space, where))

    def write(folder: Path) -> None:
        folder.mkdir()
        header = {"descr": npy_format.dtype_to_descr(np.dtype(own.dtype)), "fortran_order": False}
        with open(folder / "vectors.npy", "wb") as file:
            npy_format.write_array_header_1_0(file, {**header, "shape": (count, own.row_length)})
            for rows in chosen_rows(index, space, where):
                file.write(np.ascontiguousarray(rows.vectors).data)
        _write_rows(folder, index, space, where)

    _whole_folder(out, write)


def _faiss(index: MediaIndex, out: Path, space: str, where: str | None) -> None:
    faiss = _package("faiss")
    own = index.spaces[space]
    if own.representation == "record":
        raise ConfigError(f"faiss compares vectors or codes, and space {space!r} holds records")

    def write(folder: Path) -> None:
        folder.mkdir()
        if own.representation == "code":
            flat, save = faiss.IndexBinaryFlat(own.dimension), faiss.write_index_binary
        else:
            cosine = own.metrics[0] == "cosine"
            flat, save = (faiss.IndexFlatIP if cosine else faiss.IndexFlatL2)(own.dimension), faiss.write_index
        for rows in chosen_rows(index, space, where):
            flat.add(np.ascontiguousarray(rows.vectors, np.uint8 if own.representation == "code" else np.float32))
        save(flat, str(folder / "vectors.faiss"))
        _write_rows(folder, index, space, where)

    _whole_folder(out, write)


def _write_rows(folder: Path, index: MediaIndex, space: str, where: str | None) -> None:
    batches = row_batches(index, space, where, vectors=False)
    _write_parquet(folder / "rows.parquet", row_schema(index, space, vectors=False), batches)


def _whole_folder(out: Path, write: Callable[[Path], Any]) -> None:
    """Let a folder be written under another name, and give it its own."""
    partial = out.with_name(partial_name(out.name))
    shutil.rmtree(partial, ignore_errors=True)  # a killed writer's
    with write_folder(out, partial=partial):
        write(partial)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(f"{name} is not installed: pip install {_INSTALL[name]}") from None
