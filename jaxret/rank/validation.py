"""Checks of arguments: what cannot be searched is an error that names the argument and its value."""

from __future__ import annotations

import operator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.float32]
CodeMatrix = NDArray[np.uint8]


class HasShape(Protocol):
    """An array, or what stands for one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths along each axis."""


MOST = 2**31 - 1
"""The largest count: of what is counted here there are never more."""

_FLOAT32 = np.dtype(np.float32)  # comparing with these takes a quarter of comparing with np.float32 itself
_UINT8 = np.dtype(np.uint8)


def as_array(array: Any, name: str) -> NDArray[Any]:
    """`array` as NumPy sees it: an ndarray, or anything with `__array__` or `__dlpack__` (JAX arrays too).

    Raises:
        TypeError: it is no regular array of numbers (ragged lists, objects, strings, sparse matrices).
        ValueError: it is a masked array of which some numbers are hidden, or a list of such.
    """
    if type(array) is np.ndarray:
        return array
    parts = array if isinstance(array, (list, tuple)) else [array]
    if hidden := sum(int(np.ma.count_masked(part)) for part in parts if isinstance(part, np.ma.MaskedArray)):
        raise ValueError(f"{name} must have a value everywhere, got {hidden} masked ones: fill them or leave them out")
    if isinstance(array, np.ndarray):
        return array.data if isinstance(array, np.ma.MaskedArray) else array
    try:
        if not hasattr(array, "__array__") and hasattr(array, "__dlpack__"):
            return np.from_dlpack(array)
        result = np.asarray(array)
    except (TypeError, ValueError, BufferError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {type(array).__name__}: {error}") from error
    if result.dtype == object:
        raise TypeError(f"{name} must be an array of numbers, got {type(array).__name__} of dtype object")
    return result


def check_float_matrix(array: Any, name: str, *, single: bool = False) -> NDArray[Any]:
    """A two-dimensional array of any float dtype, not yet converted and not yet read.

    Args:
        array: (N, D), or with `single` also (D,), which becomes (1, D).
        name: what to call it in messages.
        single: whether one vector may stand for a matrix of one row.

    Raises:
        TypeError: the dtype is not a float.
        ValueError: the shape is not a matrix of at least one row and one column.
    """
    matrix = as_array(array, name)
    if single and matrix.ndim == 1:
        matrix = matrix[None, :]
    # ml_dtypes.bfloat16 and its kin are of kind "V" to NumPy but convert to float32.
    if matrix.dtype.kind != "f" and not _is_extension_float(matrix.dtype):
        raise TypeError(f"{name} must have a float dtype, got {matrix.dtype}")
    if matrix.ndim == 2 and matrix.size:
        return matrix
    if matrix.ndim != 2:
        shape = "(D,) or (Q, D)" if single else "(N, D)"
        raise ValueError(f"{name} must have the shape {shape}, got {matrix.shape}")
    if matrix.shape[0] == 0:
        raise ValueError(f"{name} must not be empty, got shape {matrix.shape}")
    raise ValueError(f"{name} must have at least one dimension, got shape {matrix.shape}")


def as_float32_matrix(array: Any, name: str, *, single: bool = False) -> FloatMatrix:
    """A C-contiguous, aligned, finite float32 matrix of the values of `array`; a copy only where needed.

    Raises:
        TypeError, ValueError: as `check_float_matrix`, and ValueError at a NaN, an infinity or a number too
            large for float32.
    """
    matrix = to_float32(check_float_matrix(array, name, single=single))
    check_finite(matrix, name)
    return matrix


def to_float32(matrix: NDArray[Any]) -> FloatMatrix:
    """C-contiguous, aligned, native float32; what is too large becomes infinite, for `check_finite`."""
    if type(matrix) is np.ndarray and lies_as_float32(matrix):
        return matrix  # `np.require` takes longer than a search of few rows
    with np.errstate(over="ignore", invalid="ignore"):
        return np.require(matrix, np.float32, ["C", "A"]).view(np.ndarray)


def lies_as_float32(matrix: NDArray[Any]) -> bool:
    """Whether the kernels can read a matrix as it lies."""
    flags = matrix.flags
    return matrix.dtype == _FLOAT32 and flags.c_contiguous and flags.aligned


def check_finite(matrix: FloatMatrix, name: str, first_row: int = 0) -> None:
    """Refuses a NaN or an infinity, with its place and value.

    Raises:
        ValueError: there is one.
    """
    if not np.isfinite(matrix).all():
        raise_if_not_finite(matrix, name, first_row)


def raise_if_not_finite(matrix: FloatMatrix, name: str, first_row: int = 0) -> None:
    """Looks at every number and names the first that is not finite.

    Raises:
        ValueError: there is one.
    """
    bad = ~np.isfinite(matrix)
    if bad.any():
        place = np.argwhere(bad)[0]
        value = matrix[tuple(place)]
        where = [int(place[0]) + first_row, *(int(i) for i in place[1:])]
        raise ValueError(f"{name} must be finite in float32, got {value} at {where}")


def as_codes(array: Any, name: str, *, single: bool = False) -> CodeMatrix:
    """A C-contiguous uint8 matrix (N, bytes) of packed binary codes.

    Raises:
        TypeError, ValueError: as `check_code_matrix`.
    """
    codes = check_code_matrix(array, name, single=single)
    if type(codes) is np.ndarray and codes.flags.c_contiguous:
        return codes  # a search of few codes takes little longer than what follows
    return np.ascontiguousarray(codes).view(np.ndarray)


def check_code_matrix(array: Any, name: str, *, single: bool = False) -> CodeMatrix:
    """A two-dimensional uint8 array of packed binary codes, in any layout; with `single`, (bytes,) becomes (1, bytes).

    Raises:
        TypeError: the dtype is not uint8.
        ValueError: the shape is not a matrix of at least one row and one byte.
    """
    codes = as_array(array, name)
    if single and codes.ndim == 1:
        codes = codes[None, :]
    if codes.dtype != _UINT8:
        raise TypeError(f"{name} must have the dtype uint8 (codes from pack_bits), got {codes.dtype}")
    if codes.ndim == 2 and codes.size:
        return codes
    if codes.ndim != 2:
        shape = "(bytes,) or (Q, bytes)" if single else "(N, bytes)"
        raise ValueError(f"{name} must have the shape {shape}, got {codes.shape}")
    if codes.shape[0] == 0:
        raise ValueError(f"{name} must not be empty, got shape {codes.shape}")
    raise ValueError(f"{name} must have at least one byte a code, got shape {codes.shape}")


def check_same_width(queries: NDArray[Any], gallery: HasShape, unit: str = "dimensions") -> None:
    """Refuses queries and a gallery whose rows differ in length.

    Raises:
        ValueError: they do.
    """
    if queries.shape[1] != gallery.shape[1]:
        widths = f"{queries.shape[1]} and {gallery.shape[1]}"
        raise ValueError(f"queries and gallery must have the same number of {unit}, got {widths}")


def check_count(value: Any, name: str, *, most: int | None = MOST) -> int:
    """A Python integer of at least 1 and at most `most`, None for any.

    Raises:
        TypeError: it is no integer (a bool is none either).
        ValueError: it is out of range.
    """
    count = value if type(value) is int else _as_integer(value, name)
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    if most is not None and count > most:
        raise ValueError(f"{name} must be at most {most}, got {count}")
    return count


def check_working_bytes(value: Any) -> int:
    """How much a device may use beside a gallery: an integer of at least 2^20.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less.
    """
    working_bytes = check_count(value, "working_bytes", most=None)
    if working_bytes < 1 << 20:
        raise ValueError(f"working_bytes must be at least 2^20, got {working_bytes}")
    return working_bytes


def check_seed(seed: Any) -> int:
    """A seed of random numbers as a Python integer of at least 0.

    Raises:
        TypeError: it is no integer.
        ValueError: it is negative.
    """
    number = _as_integer(seed, "seed")
    if number < 0:
        raise ValueError(f"seed must be at least 0, got {number}")
    return number


def check_k(k: Any, gallery_size: int) -> int:
    """k as a Python integer in [1, gallery_size].

    Raises:
        TypeError: it is no integer.
        ValueError: it is below 1 or above the number of gallery items.
    """
    count = check_count(k, "k", most=None)
    if count > gallery_size:
        raise ValueError(f"k must be at most the {gallery_size} gallery items, got {count}")
    return count


def check_radius(radius: Any) -> int:
    """A radius in bits: an integer of at least 0.

    Raises:
        TypeError: it is no integer.
        ValueError: it is negative.
    """
    bits = _as_integer(radius, "radius")
    if bits < 0:
        raise ValueError(f"radius must be at least 0 bits, got {bits}")
    return bits


def check_real(value: Any, name: str) -> float:
    """A finite Python float.

    Raises:
        TypeError: it is no real number.
        ValueError: it is NaN or infinite.
    """
    if isinstance(value, (str, bytes, bool)):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {value!r}") from None
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def _as_integer(value: Any, name: str) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def _is_extension_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "V" and dtype.names is None and "float" in dtype.name
