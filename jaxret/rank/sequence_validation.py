"""Checks of sequences of vectors, and of the arguments that the DTW functions share."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.rank._dtw import LARGEST_SQUARE, Sequences
from jaxret.rank.validation import as_array, check_float_matrix, raise_if_not_finite, to_float32

Frames = NDArray[np.float32]

MOST_FRAMES = 1 << 30


def as_frames(array: Any, name: str) -> Frames:
    """A C-contiguous float32 matrix (T, D) of one sequence, not yet checked for NaN; a copy only where needed.

    Raises:
        TypeError: the dtype is not a float.
        ValueError: the shape is not (T, D) with T and D at least 1, or T is above 2^30.
    """
    if _is_plain(array):
        return array
    matrix = check_float_matrix(array, name)
    if len(matrix) > MOST_FRAMES:
        raise ValueError(f"{name} must have at most {MOST_FRAMES} frames, got {len(matrix)}")
    return to_float32(matrix)


def _is_plain(array: Any) -> bool:
    """Whether it may be used as it is. It is called for each of a million arrays, so no names are built before it."""
    return (
        type(array) is np.ndarray
        and array.dtype == np.float32
        and array.ndim == 2
        and array.size > 0
        and array.flags.c_contiguous
        and array.flags.aligned
        and len(array) <= MOST_FRAMES
    )


def as_sequence_list(sequences: Any, name: str) -> list[Frames]:
    """The members of a non-empty collection of (T_i, D) arrays, all with the same D.

    Raises:
        TypeError: it is no collection, or a member is not of a float dtype.
        ValueError: it is empty, a member has another shape than (T, D), or their D differ.
    """
    if not isinstance(sequences, (Sequence, np.ndarray)) or isinstance(sequences, (str, bytes)):
        if not hasattr(sequences, "__array__"):
            raise TypeError(f"{name} must be a sequence of (T, D) arrays, got {type(sequences).__name__}")
        sequences = as_array(sequences, name)
    if isinstance(sequences, np.ndarray) and sequences.ndim != 3 and sequences.dtype != object:
        raise ValueError(f"{name} must be a sequence of (T, D) arrays, got one array of shape {sequences.shape}")
    if len(sequences) == 0:
        raise ValueError(f"{name} must not be empty, got 0 sequences")
    members = [member if _is_plain(member) else as_frames(member, f"{name}[{i}]") for i, member in enumerate(sequences)]
    dimensions = members[0].shape[1]
    for i, member in enumerate(members):
        if member.shape[1] != dimensions:
            raise ValueError(f"{name}[{i}] must have {dimensions} dimensions as {name}[0] has, got {member.shape[1]}")
    return members


def prepared(members: list[Frames], name: str, threads: int, *, with_means: bool = False) -> Sequences:
    """The sequences as the kernels want them.

    Raises:
        ValueError: a NaN, an infinity, or numbers so large that distances would overflow float32.
    """
    sequences = Sequences(members, members[0].shape[1])
    bad = sequences.prepare(with_means, threads)
    if bad >= 0:
        raise_unfit(members[bad], name if name.endswith("]") or len(members) == 1 else f"{name}[{bad}]")
    return sequences


def raise_unfit(frames: Frames, name: str) -> None:
    """Says why the kernels refuse a sequence.

    Raises:
        ValueError: always.
    """
    raise_if_not_finite(frames, name)
    largest = np.abs(frames).max()
    raise ValueError(
        f"{name} must have frames of squared norm up to {LARGEST_SQUARE:.0e}, so that distances do not overflow "
        f"float32, got a value of magnitude {largest:.3g}"
    )


def check_dimensions(a: int, b: int, a_name: str, b_name: str) -> None:
    """Refuses two sequences whose frames differ in length.

    Raises:
        ValueError: they do.
    """
    if a != b:
        raise ValueError(f"{a_name} and {b_name} must have the same number of dimensions, got {a} and {b}")


def check_window(window: Any) -> int | None:
    """A Sakoe-Chiba window as a Python integer of at least 0, or None.

    Raises:
        TypeError: it is no integer.
        ValueError: it is negative.
    """
    if window is None:
        return None
    if isinstance(window, (bool, np.bool_)):
        raise TypeError(f"window must be an integer or None, got {window!r}")
    try:
        width = operator.index(window)
    except TypeError:
        raise TypeError(f"window must be an integer or None, got {window!r}") from None
    if width < 0:
        raise ValueError(f"window must be at least 0, got {width}")
    return min(width, MOST_FRAMES)


def check_reverse(reverse: Any, choices: tuple[str | None, ...]) -> bool:
    """Whether the query is also to be read backwards.

    "both", the formula min(DTW(a, b), DTW(reversed a, reversed b)), is DTW itself: reversing both sequences maps
    every warping path onto one of equal cost.

    Raises:
        ValueError: it is none of the choices.
    """
    if not (reverse is None or isinstance(reverse, str)) or reverse not in choices:
        raise ValueError(f"reverse must be one of {', '.join(map(repr, choices))}, got {reverse!r}")
    return reverse == "query"
