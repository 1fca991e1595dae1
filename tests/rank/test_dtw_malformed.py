"""What DTW cannot compare is an error that names the argument, its place and the value: never a crash or a guess."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.rank import (
    SequenceTable,
    bidtw,
    dtw,
    dtw_cdist,
    dtw_path,
    dtw_subsequence,
    dtw_subsequence_topk,
    dtw_topk,
)

GOOD = np.arange(12, dtype=np.float32).reshape(4, 3)
PAIRWISE = {"dtw": dtw, "dtw_path": dtw_path, "bidtw": bidtw}


def with_value(value, dtype=np.float32):
    frames = GOOD.astype(dtype)
    frames[2, 1] = value
    return frames


class Liar:
    def __array__(self, dtype=None, copy=None):
        raise ValueError("no data here")


# name: (array, error, message); {arg} is the argument's name
BAD_FRAMES = {
    "int": (GOOD.astype(np.int64), TypeError, "{arg} must have a float dtype, got int64"),
    "uint8": (GOOD.astype(np.uint8), TypeError, "{arg} must have a float dtype, got uint8"),
    "bool": (GOOD > 2, TypeError, "{arg} must have a float dtype, got bool"),
    "complex": (GOOD.astype(complex), TypeError, "{arg} must have a float dtype, got complex128"),
    "text": (GOOD.astype(str), TypeError, "{arg} must have a float dtype"),
    "object": (GOOD.astype(object), TypeError, "{arg} must have a float dtype, got object"),
    "liar": (Liar(), TypeError, "{arg} must be an array of numbers, got Liar"),
    "dict": ({"a": 1}, TypeError, "{arg} must be an array of numbers"),
    "masked": (np.ma.masked_greater(GOOD, 2), ValueError, "{arg} must have a value everywhere, got .* masked ones"),
    "zero_dimensional": (np.float32(1), ValueError, r"{arg} must have the shape .* got \(\)"),
    "one_dimensional": (GOOD[0], ValueError, r"{arg} must have the shape .* got \(3,\)"),
    "no_frames": (GOOD[:0], ValueError, r"{arg} must not be empty, got shape \(0, 3\)"),
    "no_dimensions": (GOOD[:, :0], ValueError, r"{arg} must have at least one dimension, got shape \(4, 0\)"),
    "nan": (with_value(np.nan), ValueError, r"{arg} must be finite in float32, got nan at \[2, 1\]"),
    "inf": (with_value(np.inf), ValueError, r"{arg} must be finite in float32, got inf at \[2, 1\]"),
    "minus_inf": (with_value(-np.inf), ValueError, r"{arg} must be finite in float32, got -inf at \[2, 1\]"),
    "half_nan": (with_value(np.nan, np.float16), ValueError, r"{arg} must be finite in float32, got nan"),
    "too_large_for_float32": (with_value(1e39, np.float64), ValueError, r"{arg} must be finite in float32, got inf"),
    "square_overflows": (
        with_value(1e20),
        ValueError,
        r"{arg} must have frames of squared norm up to .* 1e\+20",
    ),
    "sum_would_overflow": (with_value(1e14), ValueError, r"{arg} must have frames of squared norm up to"),
}
each_bad = pytest.mark.parametrize("bad", BAD_FRAMES)


def raises(bad: str, arg: str):
    _, error, message = BAD_FRAMES[bad]
    return pytest.raises(error, match=message.replace("{arg}", arg.replace("[", r"\[").replace("]", r"\]")))


@each_bad
@pytest.mark.parametrize("function", PAIRWISE)
def test_first_of_a_pair(function, bad):
    with raises(bad, "a"):
        PAIRWISE[function](BAD_FRAMES[bad][0], GOOD)


@each_bad
def test_second_of_a_pair(bad):
    with raises(bad, "b"):
        dtw(GOOD, BAD_FRAMES[bad][0])


@each_bad
@pytest.mark.parametrize("search", [dtw_topk, dtw_subsequence_topk], ids=["topk", "subsequence"])
def test_a_member_of_a_gallery(search, bad):
    with raises(bad, "gallery[1]"):
        search(GOOD, [GOOD, BAD_FRAMES[bad][0], GOOD], 1)


@each_bad
def test_a_member_of_several_queries(bad):
    with raises(bad, "query[1]"):
        dtw_topk([GOOD, BAD_FRAMES[bad][0]], [GOOD], 1)


@each_bad
def test_both_sides_of_a_subsequence(bad):
    with raises(bad, "query"):
        dtw_subsequence(BAD_FRAMES[bad][0], GOOD)
    with raises(bad, "long_sequence"):
        dtw_subsequence(GOOD, BAD_FRAMES[bad][0])


@pytest.mark.parametrize("bad", ["nan", "inf", "square_overflows"])
def test_numbers_in_a_table(bad):
    table = SequenceTable.from_sequences([GOOD, BAD_FRAMES[bad][0]])
    for _ in range(2):  # a refused table stays refused
        with raises(bad, "sequence 1 of the table"):
            dtw_topk(GOOD, table, 1)


@pytest.mark.parametrize(
    ("gallery", "error", "message"),
    [
        ([], ValueError, "gallery must not be empty"),
        ((), ValueError, "gallery must not be empty"),
        (np.zeros((0, 4, 3)), ValueError, "gallery must not be empty"),
        (GOOD, ValueError, r"gallery must be a sequence of \(T, D\) arrays, got one array of shape \(4, 3\)"),
        (np.zeros((2, 2, 2, 2)), ValueError, r"got one array of shape \(2, 2, 2, 2\)"),
        (None, TypeError, r"gallery must be a sequence of \(T, D\) arrays, got NoneType"),
        ("video", TypeError, r"gallery must be a sequence of \(T, D\) arrays, got str"),
        (b"video", TypeError, r"gallery must be a sequence of \(T, D\) arrays, got bytes"),
        (iter([GOOD]), TypeError, r"gallery must be a sequence of \(T, D\) arrays, got list_iterator"),
        ({0: GOOD}, TypeError, r"gallery must be a sequence of \(T, D\) arrays, got dict"),
        ([GOOD, GOOD[:, :2]], ValueError, r"gallery\[1\] must have 3 dimensions as gallery\[0\] has, got 2"),
        ([GOOD[:, :2]], ValueError, "query and gallery must have the same number of dimensions, got 3 and 2"),
        ([[1.0, 2.0, 3.0]], ValueError, r"gallery\[0\] must have the shape"),
    ],
)
@pytest.mark.parametrize("search", [dtw_topk, dtw_subsequence_topk], ids=["topk", "subsequence"])
def test_galleries(search, gallery, error, message):
    with pytest.raises(error, match=message):
        search(GOOD, gallery, 1)


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ([], (TypeError, ValueError), "query"),
        (GOOD[0], ValueError, r"query must have the shape"),
        ([1.0, 2.0, 3.0], ValueError, r"query"),
        (None, TypeError, "query must be an array of numbers"),
        ([GOOD, GOOD[:, :1]], ValueError, r"query\[1\] must have 3 dimensions"),
    ],
)
def test_queries(query, error, message):
    with pytest.raises(error, match=message):
        dtw_topk(query, [GOOD], 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be at least 1, got 0"),
        ({"k": -3}, ValueError, "k must be at least 1, got -3"),
        ({"k": 3}, ValueError, "k must be at most the 2 gallery items, got 3"),
        ({"k": 1.0}, TypeError, "k must be an integer, got 1.0"),
        ({"k": True}, TypeError, "k must be an integer, got True"),
        ({"k": None}, TypeError, "k must be an integer, got None"),
        ({"window": -1}, ValueError, "window must be at least 0, got -1"),
        ({"window": 0.1}, TypeError, "window must be an integer or None, got 0.1"),
        ({"window": True}, TypeError, "window must be an integer or None, got True"),
        ({"window": "3"}, TypeError, "window must be an integer or None, got '3'"),
        ({"threads": 0}, ValueError, "threads must be at least 1, got 0"),
        ({"threads": 1.5}, TypeError, "threads must be an integer or None, got 1.5"),
        ({"reverse": "queries"}, ValueError, "reverse must be one of 'query', 'both', None, got 'queries'"),
        ({"reverse": True}, ValueError, "reverse must be one of 'query', 'both', None, got True"),
        ({"reverse": np.zeros(2)}, ValueError, "reverse must be one of"),
    ],
)
def test_options(options, error, message):
    arguments = {"k": 1, **options}
    with pytest.raises(error, match=message):
        dtw_topk(GOOD, [GOOD, GOOD], **arguments)


@pytest.mark.parametrize("function", PAIRWISE)
@pytest.mark.parametrize(("window", "error"), [(-1, ValueError), (2.5, TypeError), (False, TypeError), ([], TypeError)])
def test_windows_of_a_pair(function, window, error):
    with pytest.raises(error, match="window must be"):
        PAIRWISE[function](GOOD, GOOD, window=window)


@pytest.mark.parametrize("reverse", [None, "a", "", 1])
def test_reverse_of_a_pair(reverse):
    with pytest.raises(ValueError, match="reverse must be one of 'query', 'both', got"):
        bidtw(GOOD, GOOD, reverse=reverse)


@pytest.mark.parametrize("function", [dtw, dtw_path, bidtw, dtw_cdist])
def test_dimensions_that_differ(function):
    a, b = ([GOOD], [GOOD[:, :2]]) if function is dtw_cdist else (GOOD, GOOD[:, :2])
    with pytest.raises(ValueError, match=r"must have the same number of dimensions, got 3 and 2"):
        function(a, b)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (None, TypeError)])
def test_number_of_spans(n, error):
    with pytest.raises(error, match="n must be"):
        dtw_subsequence(GOOD, GOOD, n)
    with pytest.raises(error, match="spans_each must be"):
        dtw_subsequence_topk(GOOD, [GOOD], 1, spans_each=n)
    with pytest.raises(error, match="k must be"):
        dtw_subsequence_topk(GOOD, [GOOD], n)


def test_more_spans_than_wanted_of_each():
    with pytest.raises(ValueError, match=r"k must be at most the 4 spans of 2 sequences, got 5"):
        dtw_subsequence_topk(GOOD, [GOOD, GOOD], 5, spans_each=2)


@pytest.mark.parametrize(
    ("values", "offsets", "error", "message"),
    [
        (GOOD.astype(int), [0, 4], TypeError, "values must have a float dtype"),
        (GOOD[0], [0, 3], ValueError, "values must have the shape"),
        (GOOD[:0], [0, 0], ValueError, "values must not be empty"),
        (GOOD, [0.0, 4.0], TypeError, "offsets must have an integer dtype, got float64"),
        (GOOD, [[0, 4]], ValueError, r"offsets must have the shape \(N \+ 1,\)"),
        (GOOD, [4], ValueError, r"offsets must have the shape"),
        (GOOD, [0, 3], ValueError, "offsets must run from 0 to the 4 rows of values, got 0 to 3"),
        (GOOD, [0, 5], ValueError, "offsets must run from 0 to the 4 rows of values, got 0 to 5"),
        (GOOD, [1, 4], ValueError, "offsets must run from 0"),
        (GOOD, [0, 2, 2, 4], ValueError, "sequence 1 must have 1 to .* frames, got 0"),
        (GOOD, [0, 3, 1, 4], ValueError, "sequence 1 must have 1 to .* frames, got -2"),
        (GOOD, [0, 9, 4], ValueError, "sequence 1 must have 1 to .* frames, got -5"),
        (GOOD, np.array([0, 2**64 - 1, 4], np.uint64), ValueError, "sequence 0 must have"),
    ],
)
def test_tables(values, offsets, error, message):
    with pytest.raises(error, match=message):
        SequenceTable(values, offsets)


def test_lengths_that_would_overflow():
    """2^31 frames that take no memory: refused before anything is converted or allocated."""
    endless = np.broadcast_to(np.float64(0.5), (2**31, 1))
    for call in (lambda: dtw(endless, GOOD[:, :1]), lambda: dtw_topk(GOOD[:, :1], [endless], 1)):
        with pytest.raises(ValueError, match=r"must have at most 1073741824 frames, got 2147483648"):
            call()


def test_odd_but_valid_memory():
    """Misaligned, strided, reversed, read-only and memory-mapped-like views give the same answer."""
    raw = np.zeros(GOOD.nbytes + 1, np.uint8)
    misaligned = raw[1:].view(np.float32).reshape(GOOD.shape)
    misaligned[:] = GOOD
    wide = np.zeros((8, 9), np.float32)
    wide[::2, ::3] = GOOD
    frozen = GOOD.copy()
    frozen.flags.writeable = False
    for form in (misaligned, wide[::2, ::3], GOOD[::-1, ::-1][::-1, ::-1], frozen, np.asfortranarray(GOOD)):
        assert dtw(form, GOOD) == 0.0
        assert dtw_topk(form, [GOOD + 1, form], 2).ids.tolist() == [[1, 0]]
        assert len(dtw_subsequence(form, form, 2)) == 1
