"""Values of a filter as Arrow has them, made of their bytes, and its answers as NumPy has them.

`pyarrow.scalar`, `pyarrow.array` and `to_numpy` would load pandas where that is installed, which takes as long as a
hundred searches.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["MISSING", "arrow_scalar", "arrow_strings", "numpy_booleans"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

MISSING = pa.nulls(1, pa.bool_())[0]
"""The truth value that is not known."""


def arrow_strings(values: Sequence[str]) -> pa.Array:
    """Texts as an array.

    Example:
      >>> arrow_strings(["a", "bc"]).to_pylist()
      ['a', 'bc']
    """
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def arrow_scalar(value: bool | int | float | str | datetime.datetime) -> Any:
    """A value as a scalar of its type: a boolean, int64, float64, a string, or a time in microseconds.

    Example:
      >>> arrow_scalar(True), arrow_scalar(datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)).as_py().day
      (<pyarrow.BooleanScalar: True>, 2)
    """
    if isinstance(value, str):
        return arrow_strings([value])[0]
    if isinstance(value, bool):
        return _of_bytes(pa.bool_(), np.array([value], np.uint8))
    if isinstance(value, datetime.datetime):
        return _of_bytes(pa.timestamp("us", "UTC"), np.array([(value - _EPOCH) // _MICROSECOND], np.int64))
    if isinstance(value, int):
        return _of_bytes(pa.int64(), np.array([value], np.int64))
    return _of_bytes(pa.float64(), np.array([value], np.float64))


def _of_bytes(type_: pa.DataType, content: np.ndarray) -> Any:
    return pa.Array.from_buffers(type_, 1, [None, pa.py_buffer(content)])[0]


def numpy_booleans(array: pa.Array) -> NDArray[np.bool_]:
    """bool (n,), the values of an array of booleans none of which is missing.

    Example:
      >>> numpy_booleans(pa.array([True, False, True]).slice(1)).tolist()
      [False, True]
    """
    if not len(array):
        return np.zeros(0, bool)
    bits = np.frombuffer(array.buffers()[1], np.uint8)
    found: NDArray[np.uint8] = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :]
    return found.view(bool)
