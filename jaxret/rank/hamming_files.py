"""The files of a `HammingIndex`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.rank._hamming import MAX_CODE_BYTES
from jaxret.rank._multi_index import MAX_SUBSTRING_BITS
from jaxret.rank.index_files import IndexFormat
from jaxret.rank.substring_tables import table_starts

HAMMING_FORMAT = IndexFormat(
    "jaxret hamming index", "a Hamming index", {"codes": "uint8", "bucket_offsets": "uint32", "bucket_ids": "uint32"}
)


def read(folder: Path, verify: bool) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """The memory-mapped arrays and the substring bounds of an index folder, checked.

    Raises:
        IndexFormatError: anything does not fit; the message names the file.
    """
    arrays, manifest = HAMMING_FORMAT.read(folder, verify)
    try:
        bounds = np.array([int(bound) for bound in manifest["substring_bounds"]], np.int64)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise IndexFormatError(f"{folder / 'manifest.json'}: its substring_bounds are damaged ({error!r})") from error
    _check_shapes(folder, arrays, bounds)
    return arrays, bounds


def _check_shapes(folder: Path, arrays: dict[str, NDArray[Any]], bounds: NDArray[np.int64]) -> None:
    """Refuses tables that do not cover exactly the bits of the codes."""
    codes, offsets, ids = arrays["codes"], arrays["bucket_offsets"], arrays["bucket_ids"]
    widths = np.diff(bounds)
    if codes.ndim != 2 or 0 in codes.shape or codes.shape[1] > MAX_CODE_BYTES or len(widths) < 1:
        raise IndexFormatError(f"{folder}: codes of shape {codes.shape} and {len(widths)} substrings")
    if bounds[0] != 0 or bounds[-1] != 8 * codes.shape[1] or widths.min() < 1 or widths.max() > MAX_SUBSTRING_BITS:
        raise IndexFormatError(f"{folder}: substrings {bounds.tolist()} do not cover {8 * codes.shape[1]} bits")
    if offsets.shape != (int(table_starts(bounds)[-1]),) or ids.shape != (len(widths), len(codes)):
        raise IndexFormatError(f"{folder}: tables of shapes {offsets.shape} and {ids.shape} do not fit the codes")
