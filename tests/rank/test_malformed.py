"""What cannot be searched is an error that names the argument and the value: never a crash, never a wrong answer."""

from __future__ import annotations

import decimal

import numpy as np
import pytest

from jaxret.rank import (
    HammingIndex,
    cosine_topk,
    euclidean_topk,
    hamming_topk,
    hamming_within,
    merge_results,
    pack_bits,
    par,
    simd_level,
    unpack_bits,
)
from jaxret.rank.search_result import SearchResult


def par_search(queries, gallery, k, **options):
    return par(queries, gallery, k, 0.5, **options)


VECTOR_SEARCHES = {"euclidean": euclidean_topk, "cosine": cosine_topk, "par": par_search}
each_vector_search = pytest.mark.parametrize("search", VECTOR_SEARCHES.values(), ids=VECTOR_SEARCHES)
CODE_SEARCHES = {"topk": hamming_topk, "within": hamming_within}
each_code_search = pytest.mark.parametrize("search", CODE_SEARCHES.values(), ids=CODE_SEARCHES)

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
CODES = np.arange(12, dtype=np.uint8).reshape(4, 3)
MASKED = np.ma.masked_greater(ROWS, 9)


class Liar:
    """Claims to be an array and is none."""

    def __array__(self, dtype=None, copy=None):
        raise ValueError("no data here")


def with_value(value, dtype=np.float32, place=(2, 1)):
    rows = ROWS.astype(dtype)
    rows[place] = value
    return rows


# name: (matrix, error, message); {arg} is the argument's name
BAD_MATRICES = {
    "int": (ROWS.astype(np.int32), TypeError, "{arg} must have a float dtype, got int32"),
    "uint8": (ROWS.astype(np.uint8), TypeError, "{arg} must have a float dtype, got uint8"),
    "bool": (ROWS > 3, TypeError, "{arg} must have a float dtype, got bool"),
    "complex": (ROWS.astype(np.complex64), TypeError, "{arg} must have a float dtype, got complex64"),
    "string": (ROWS.astype(str), TypeError, "{arg} must have a float dtype, got <U"),
    "bytes": (ROWS.astype("S4"), TypeError, "{arg} must have a float dtype"),
    "date": (ROWS.astype("M8[s]"), TypeError, "{arg} must have a float dtype"),
    "record": (np.zeros((4, 3), [("x", "f4")]), TypeError, "{arg} must have a float dtype"),
    "void": (np.zeros((4, 3), "V4"), TypeError, "{arg} must have a float dtype"),
    "objects": (np.array([[decimal.Decimal(1)] * 3] * 4), TypeError, "{arg} must have a float dtype, got object"),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], TypeError, "{arg} must be an array of numbers"),
    "None": (None, TypeError, "{arg} must be an array of numbers, got NoneType"),
    "dictionary": ({"a": 1}, TypeError, "{arg} must be an array of numbers, got dict"),
    "liar": (Liar(), TypeError, "{arg} must be an array of numbers, got Liar: no data here"),
    "masked": (
        MASKED,
        ValueError,
        "{arg} must have a value everywhere, got 2 masked ones: fill them or leave them out",
    ),
    "masked rows": (list(MASKED), ValueError, "{arg} must have a value everywhere, got 2 masked ones"),
    "scalar": (np.float32(3), ValueError, "{arg} must have the shape"),
    "three axes": (ROWS[None], ValueError, r"{arg} must have the shape .*got \(1, 4, 3\)"),
    "no rows": (ROWS[:0], ValueError, r"{arg} must not be empty, got shape \(0, 3\)"),
    "no columns": (ROWS[:, :0], ValueError, r"{arg} must have at least one dimension, got shape \(4, 0\)"),
    "nan": (with_value(np.nan), ValueError, r"{arg} must be finite in float32, got nan at \[2, 1\]"),
    "inf": (with_value(np.inf), ValueError, r"{arg} must be finite in float32, got inf at \[2, 1\]"),
    "-inf": (with_value(-np.inf, place=(0, 0)), ValueError, r"{arg} must be finite in float32, got -inf at \[0, 0\]"),
    "float16 inf": (with_value(np.inf, np.float16), ValueError, "{arg} must be finite in float32, got inf"),
    "too large": (with_value(1e39, np.float64), ValueError, r"{arg} must be finite in float32, got inf at \[2, 1\]"),
    "last nan": (with_value(np.nan, place=(3, 2)), ValueError, r"{arg} must be finite in float32, got nan at \[3, 2\]"),
    "strided nan": (with_value(np.nan)[::-1], ValueError, r"{arg} must be finite in float32, got nan at \[1, 1\]"),
    "2 dimensions": (ROWS[:, :2].copy(), ValueError, "same number of dimensions, got"),
    "4 dimensions": (np.ones((4, 4), np.float32), ValueError, "same number of dimensions, got"),
}


@each_vector_search
@pytest.mark.parametrize("argument", ["queries", "gallery"])
@pytest.mark.parametrize(("matrix", "error", "message"), BAD_MATRICES.values(), ids=BAD_MATRICES)
def test_bad_matrices(search, argument, matrix, error, message):
    both = {"queries": ROWS, "gallery": ROWS, argument: matrix}
    with pytest.raises(error, match=message.format(arg=argument)):
        search(both["queries"], both["gallery"], 2)


@each_vector_search
@pytest.mark.parametrize("count", [1, 4, 5, 30])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 299, 700, 1999])
def test_one_bad_number_in_a_large_gallery(search, count, value, row):
    gallery = np.ones((2000, 70), np.float32)
    gallery[row, row % 70] = value
    with pytest.raises(ValueError, match=rf"gallery must be finite in float32, got {value} at \[{row}, {row % 70}\]"):
        search(np.ones((count, 70), np.float32), gallery, 3, threads=2)


BAD_K = {
    "zero": (0, ValueError, "k must be at least 1, got 0"),
    "negative": (-3, ValueError, "k must be at least 1, got -3"),
    "above N": (5, ValueError, "k must be at most the 4 gallery items, got 5"),
    "huge": (2**70, ValueError, f"k must be at most the 4 gallery items, got {2**70}"),
    "float": (2.0, TypeError, "k must be an integer, got 2.0"),
    "nan": (np.nan, TypeError, "k must be an integer, got nan"),
    "text": ("2", TypeError, "k must be an integer, got '2'"),
    "none": (None, TypeError, "k must be an integer, got None"),
    "bool": (True, TypeError, "k must be an integer, got True"),
    "numpy bool": (np.True_, TypeError, "k must be an integer"),
    "array": (np.array([1, 2]), TypeError, "k must be an integer"),
}


@pytest.mark.parametrize(("k", "error", "message"), BAD_K.values(), ids=BAD_K)
@pytest.mark.parametrize("name", [*VECTOR_SEARCHES, "hamming"])
def test_bad_k(name, k, error, message):
    search, rows = (hamming_topk, CODES) if name == "hamming" else (VECTOR_SEARCHES[name], ROWS)
    with pytest.raises(error, match=message):
        search(rows, rows, k)


BAD_THREADS = {
    "zero": (0, ValueError, "threads must be at least 1, got 0"),
    "negative": (-1, ValueError, "threads must be at least 1, got -1"),
    "float": (1.5, TypeError, "threads must be an integer or None, got 1.5"),
    "text": ("all", TypeError, "threads must be an integer or None, got 'all'"),
    "bool": (True, TypeError, "threads must be an integer or None, got True"),
}


@pytest.mark.parametrize(("threads", "error", "message"), BAD_THREADS.values(), ids=BAD_THREADS)
@pytest.mark.parametrize("search", [*VECTOR_SEARCHES.values(), *CODE_SEARCHES.values()])
def test_bad_threads(search, threads, error, message):
    rows = CODES if search in CODE_SEARCHES.values() else ROWS
    with pytest.raises(error, match=message):
        search(rows, rows, 1, threads=threads)


BAD_CODES = {
    "int8": (CODES.astype(np.int8), TypeError, r"{arg} must have the dtype uint8 .*got int8"),
    "int64": (CODES.astype(np.int64), TypeError, r"{arg} must have the dtype uint8 .*got int64"),
    "float": (CODES.astype(np.float32), TypeError, r"{arg} must have the dtype uint8 .*got float32"),
    "bool": (CODES > 3, TypeError, r"{arg} must have the dtype uint8 .*got bool"),
    "bytes": (b"abc", TypeError, "{arg} must have the dtype uint8"),
    "list": ([[1, 2, 3]], TypeError, r"{arg} must have the dtype uint8 .*got int64"),
    "None": (None, TypeError, "{arg} must be an array of numbers"),
    "ragged": ([[1], [1, 2]], TypeError, "{arg} must be an array of numbers"),
    "liar": (Liar(), TypeError, "{arg} must be an array of numbers, got Liar"),
    "masked": (MASKED.astype(np.uint8), ValueError, "{arg} must have a value everywhere, got 2 masked ones"),
    "scalar": (np.uint8(3), ValueError, "{arg} must have the shape"),
    "three axes": (CODES[None], ValueError, r"{arg} must have the shape .*got \(1, 4, 3\)"),
    "no codes": (CODES[:0], ValueError, r"{arg} must not be empty, got shape \(0, 3\)"),
    "no bytes": (CODES[:, :0], ValueError, r"{arg} must have at least one byte a code, got shape \(4, 0\)"),
    "a byte less": (CODES[:, :2], ValueError, "same number of bytes a code, got"),
    "a byte more": (np.zeros((4, 4), np.uint8), ValueError, "same number of bytes a code, got"),
}


@each_code_search
@pytest.mark.parametrize("argument", ["query_codes", "gallery_codes"])
@pytest.mark.parametrize(("codes", "error", "message"), BAD_CODES.values(), ids=BAD_CODES)
def test_bad_codes(search, argument, codes, error, message):
    both = {"query_codes": CODES, "gallery_codes": CODES, argument: codes}
    with pytest.raises(error, match=message.format(arg=argument)):
        search(both["query_codes"], both["gallery_codes"], 2)


@pytest.mark.parametrize(("codes", "error", "message"), BAD_CODES.values(), ids=BAD_CODES)
def test_bad_codes_of_an_index(codes, error, message):
    index = HammingIndex(3)
    index.add(CODES)
    with pytest.raises(error, match=message.format(arg="query_codes")):
        index.topk(codes, 1)
    with pytest.raises(error, match=message.format(arg="codes").replace("same number of bytes a code", "3 bytes each")):
        index.add(codes)
    assert len(index) == 4  # a refused addition changes nothing


@pytest.mark.parametrize("search", [euclidean_topk, hamming_topk])
def test_gallery_of_one_dimension_is_no_row(search):
    rows = CODES if search is hamming_topk else ROWS
    with pytest.raises(ValueError, match=r"must have the shape \(N, .*got \(3,\)"):
        search(rows, rows[0], 1)


@pytest.mark.parametrize(
    ("radius", "error", "message"),
    [
        (-1, ValueError, "radius must be at least 0 bits, got -1"),
        (1.0, TypeError, "radius must be an integer, got 1.0"),
        ("1", TypeError, "radius must be an integer, got '1'"),
        (None, TypeError, "radius must be an integer, got None"),
        (False, TypeError, "radius must be an integer, got False"),
    ],
)
def test_bad_radius(radius, error, message):
    index = HammingIndex(3)
    index.add(CODES)
    for search in (lambda: hamming_within(CODES, CODES, radius), lambda: index.within(CODES, radius)):
        with pytest.raises(error, match=message):
            search()


@pytest.mark.parametrize(
    ("threshold", "error"),
    [
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("0.5", TypeError),
        (None, TypeError),
        (1j, TypeError),
        (True, TypeError),
    ],
)
def test_bad_thresholds(threshold, error):
    with pytest.raises(error, match="min_cosine must be"):
        par(ROWS, ROWS, 1, threshold)
    with pytest.raises(error, match="threshold must be"):
        pack_bits(ROWS, threshold)


@pytest.mark.parametrize(
    ("activations", "error", "message"),
    [
        (ROWS[:0], ValueError, "both above 0"),
        (ROWS[:, :0], ValueError, "both above 0"),
        (ROWS[None], ValueError, "both above 0"),
        (with_value(np.nan), ValueError, r"activations must not be NaN, got nan at \[2, 1\]"),
        (ROWS.astype(complex), TypeError, "activations must be real numbers, got complex128"),
        (ROWS.astype(str), TypeError, "activations must be real numbers"),
        (None, TypeError, "activations must be an array of numbers"),
    ],
)
def test_bad_activations(activations, error, message):
    with pytest.raises(error, match=message):
        pack_bits(activations)


@pytest.mark.parametrize(("bits", "error"), [(0, ValueError), (25, ValueError), (-1, ValueError), (2.0, TypeError)])
def test_bad_bits(bits, error):
    with pytest.raises(error, match="bits must be"):
        unpack_bits(CODES, bits)


def test_width_beyond_the_kernels():
    wide = np.broadcast_to(np.uint8(0), (1, 2**20 + 1))
    with pytest.raises(ValueError, match=f"at most {2**20} bytes, got {2**20 + 1}"):
        hamming_topk(wide, wide, 1)


def test_sizes_that_no_memory_holds():
    """More results than there is memory are an error, not an overflow."""
    from jaxret.rank._topk import TopkSearch

    with pytest.raises(MemoryError):
        TopkSearch(ROWS, 2**60, 0, 1, 0)
    with pytest.raises(MemoryError):
        TopkSearch(ROWS, 2**61 + 1, 0, 4, 0)


@pytest.mark.parametrize("k", [0, -2])
def test_bad_merges(k):
    result = SearchResult(np.zeros((2, 1), np.int64), np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match=f"k must be at least 1, got {k}"):
        merge_results([result], k)
    with pytest.raises(ValueError, match="at least one SearchResult"):
        merge_results([], 1)
    other = SearchResult(np.zeros((3, 1), np.int64), np.zeros((3, 1), np.float32))
    with pytest.raises(ValueError, match=r"same number of queries, got \[2, 3\]"):
        merge_results([result, other], 1)


@pytest.mark.parametrize("name", ["sse9", "AVX2", "portable ", "neon,avx2"])
def test_bad_simd_level(monkeypatch, name):
    monkeypatch.setenv("JAXRET_SIMD", name)
    with pytest.raises(ValueError, match=f"JAXRET_SIMD must be one of portable.*got '{name}'"):
        simd_level()
    with pytest.raises(ValueError, match="JAXRET_SIMD"):
        euclidean_topk(ROWS, ROWS, 1)
