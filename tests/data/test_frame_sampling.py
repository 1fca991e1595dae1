"""Frame sampling against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxret.data.sampling.frames import (
    chunk_spans,
    even_samples,
    frames_on_display,
    moments_at_rate,
    random_chunk,
    random_samples,
)


@pytest.mark.parametrize(
    ("duration", "chunk", "count"),
    [
        (0, 10, 1),
        (1, 10, 1),
        (14.9, 10, 1),
        (15, 10, 2),
        (24, 10, 2),
        (25, 10, 3),
        (35, 10, 4),
        (100, 10, 10),
    ],
)
def test_chunks_are_equal_and_as_many_as_the_rule_says(duration, chunk, count):
    spans = chunk_spans(duration, chunk)
    assert spans.shape == (count, 2)
    assert spans[0, 0] == 0
    assert spans[-1, 1] == pytest.approx(duration)
    np.testing.assert_array_equal(spans[1:, 0], spans[:-1, 1])
    np.testing.assert_allclose(spans[:, 1] - spans[:, 0], duration / count)


@pytest.mark.parametrize(
    ("duration", "chunk", "name"),
    [(-1, 10, "duration"), (np.inf, 10, "duration"), (np.nan, 1, "duration"), (1, 0, "chunk_seconds")],
)
def test_bad_chunks_are_named(duration, chunk, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        chunk_spans(duration, chunk)


times_lists = st.lists(st.integers(1, 3000), min_size=0, max_size=60).map(lambda gaps: np.cumsum([0, *gaps]) / 1000)


@given(times_lists, st.lists(st.floats(-1, 200), min_size=1, max_size=10))
def test_frame_on_display_is_the_last_that_has_begun(times, moments):
    slow = []
    for moment in moments:
        begun = [number for number, time in enumerate(times) if time <= moment + 1e-9]
        slow.append(begun[-1] if begun else 0)
    assert frames_on_display(times, np.array(moments)).tolist() == slow


@given(st.integers(1, 200), st.integers(1, 40))
def test_constant_rate_is_the_usual_index_formula(frames, count):
    """Segment centres: frame floor((2k + 1) * N / (2T))."""
    times = np.arange(frames) / 25
    expected = [(2 * k + 1) * frames // (2 * count) for k in range(count)]
    assert even_samples(times, 0, frames / 25, count).tolist() == expected


@given(times_lists, st.integers(1, 20), st.integers(0, 2**32))
def test_random_samples_stay_in_their_segments(times, count, seed):
    end = float(times[-1]) + 0.04
    chosen = random_samples(times, 0, end, count, np.random.default_rng(seed))
    edges = np.arange(count + 1) * end / count
    assert np.all(chosen >= frames_on_display(times, edges[:-1]))
    assert np.all(chosen <= frames_on_display(times, edges[1:]))
    assert np.all(np.diff(chosen) >= 0)


def test_short_videos_repeat_frames_evenly():
    assert even_samples(np.zeros(1), 0, 0.04, 4).tolist() == [0, 0, 0, 0]
    assert even_samples(np.zeros(1), 0, 0.0, 2).tolist() == [0, 0]
    counts = np.bincount(even_samples(np.arange(3) / 10, 0, 0.3, 16))
    assert counts.max() - counts.min() <= 1


def test_random_samples_cover_every_frame():
    rng = np.random.default_rng(0)
    seen = np.concatenate([random_samples(np.arange(12) / 10, 0, 1.2, 3, rng) for _ in range(300)])
    counts = np.bincount(seen, minlength=12)
    assert counts.min() > 40  # 75 each on average


def test_random_chunk_is_as_long_as_the_chunks_and_inside():
    rng = np.random.default_rng(1)
    spans = np.array([random_chunk(34.0, 10.0, rng) for _ in range(300)])
    np.testing.assert_allclose(spans[:, 1] - spans[:, 0], 34 / 3)
    assert spans.min() >= 0
    assert spans.max() <= 34
    assert spans[:, 0].min() < 1
    assert spans[:, 0].max() > 21
    assert random_chunk(3.0, 10.0, rng) == (0.0, 3.0)


@pytest.mark.parametrize("function", [even_samples, lambda *a: random_samples(*a, np.random.default_rng(0))])
def test_count_must_be_positive(function):
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        function(np.zeros(1), 0, 1, 0)


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="at least one frame"):
        frames_on_display(np.zeros(0), [0.0])


@pytest.mark.parametrize(
    ("duration", "rate", "count"),
    [
        (0, 3, 1),
        (0.2, 3, 1),
        (1 / 3, 3, 1),
        (0.34, 3, 2),
        (2, 3, 6),
        (7200.0, 3, 21600),
        (1.0, 0.1, 1),
        (10 * (1 / 30), 3, 1),
    ],
)
def test_moments_at_a_rate(duration, rate, count):
    moments = moments_at_rate(duration, rate)
    np.testing.assert_allclose(moments, [number / rate for number in range(count)])


@pytest.mark.parametrize(("duration", "rate", "name"), [(-1, 3, "duration"), (1, 0, "rate"), (1, np.inf, "rate")])
def test_bad_rates_are_named(duration, rate, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        moments_at_rate(duration, rate)
