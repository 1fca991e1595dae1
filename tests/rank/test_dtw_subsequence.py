"""Where a query lies in longer sequences, against a twin that tries every span."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dtw as twin
from reference.kernel_levels import at_every_level, forced

from jaxret.rank import SequenceTable, dtw, dtw_subsequence, dtw_subsequence_topk


def spans(matches) -> list[tuple[int, int, float]]:
    return [(match.start, match.end, match.distance) for match in matches]


@at_every_level
@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    frames=st.integers(1, 6),
    length=st.integers(1, 22),
    dimensions=st.integers(1, 9),
    n=st.integers(1, 30),
)
def test_integers_against_every_span(level, seed, frames, length, dimensions, n):
    """Ties everywhere: the earlier end comes first, then the shorter span."""
    rng = np.random.default_rng(seed)
    query, long = (rng.integers(-1, 2, (count, dimensions)).astype("f4") for count in (frames, length))
    with forced(level):
        assert spans(dtw_subsequence(query, long, n)) == twin.subsequences(query, long, n)


@at_every_level
@pytest.mark.parametrize(("frames", "length", "dimensions"), [(1, 40, 3), (5, 40, 130), (17, 30, 20), (30, 12, 8)])
def test_random_floats(level, frames, length, dimensions):
    rng = np.random.default_rng(frames)
    query, long = rng.normal(size=(frames, dimensions)), rng.normal(size=(length, dimensions))
    with forced(level):
        found = dtw_subsequence(query, long, 3)
        for match in found:
            assert match.distance == dtw(query, long[match.start : match.end])
    expected = twin.subsequences(query.astype("f4"), long.astype("f4"), 3)
    assert [(m.start, m.end) for m in found] == [(start, end) for start, end, _ in expected]
    np.testing.assert_allclose([m.distance for m in found], [d for _, _, d in expected], rtol=3e-6)


def test_planted_copies_are_found_with_their_spans():
    """Slowed down, speeded up and plain, in a sequence longer than the blocks that costs are worked out in."""
    rng = np.random.default_rng(1)
    query = np.cumsum(rng.normal(size=(24, 16)), axis=0)
    long = rng.normal(size=(1000, 16)) * 20
    long[100:124] = query
    long[330:378] = np.repeat(query, 2, axis=0)
    long[700:712] = query[::2]
    found = dtw_subsequence(query, long, 3)
    # The repeats of the first and the last frame are not needed: of equally near spans the shorter one.
    assert [(m.start, m.end) for m in found] == [(100, 124), (331, 377), (700, 712)]
    assert found[0].distance == found[1].distance == 0.0
    assert 0 < found[2].distance < 3000


def test_spans_of_many_sequences():
    rng = np.random.default_rng(2)
    gallery = [rng.normal(size=(int(length), 5)).astype("f4") for length in rng.integers(1, 50, 60)]
    query = rng.normal(size=(6, 5)).astype("f4")
    rows = [
        (match.distance, i, order, match.start, match.end)
        for i, member in enumerate(gallery)
        for order, match in enumerate(dtw_subsequence(query, member, 2))
    ]
    rows.sort()
    for threads in (1, 2, 3):
        for form in (gallery, SequenceTable.from_sequences(gallery)):
            found = dtw_subsequence_topk(query, form, 25, spans_each=2, threads=threads)
            columns = zip(found.distances[0], found.ids[0], found.starts[0], found.ends[0], strict=True)
            assert list(columns) == [(np.float32(d), i, start, end) for d, i, _, start, end in rows[:25]]
            assert found.starts.dtype == found.ends.dtype == found.ids.dtype == np.int64


def test_places_without_a_span_stay_empty():
    query = np.ones((2, 1))
    found = dtw_subsequence_topk(query, [np.ones((1, 1)), np.zeros((3, 1))], 6, spans_each=3)
    assert found.ids.tolist() == [[0, 1, 1, 1, -1, -1]]
    assert found.starts.tolist() == [[0, 0, 1, 2, -1, -1]]
    assert found.ends.tolist() == [[1, 1, 2, 3, -1, -1]]
    assert found.distances.tolist() == [[0.0, 2.0, 2.0, 2.0, np.inf, np.inf]]
    assert found.counts.tolist() == [4]
    assert len(dtw_subsequence(query, np.zeros((3, 1)), 99)) == 3


def test_progress_counts_sequences():
    calls: list[tuple[int, int]] = []
    gallery = [np.ones((4, 2))] * 9
    dtw_subsequence_topk(np.ones((2, 2)), gallery, 1, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (9, 9)
