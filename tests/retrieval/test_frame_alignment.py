"""Alignment of frames against a twin in plain loops, and what it is for: edits move all frames alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.retrieval.systems.alignment import FrameSequence, align


def sequence(rng: np.random.Generator, count: int, rate: float = 1.0, start: float = 0.0) -> FrameSequence:
    vectors = np.cumsum(rng.normal(size=(count, 5)), axis=0).astype(np.float32)
    return FrameSequence(vectors, start + np.arange(count) / rate)


def twin(short: FrameSequence, long: FrameSequence, *, long_asks: bool = False) -> float:
    """The smallest cost over all offsets, from the definition, in double precision."""
    costs = []
    unmet = []
    last = long.times[-1] - short.times[-1]
    for offset in [*(t - short.times[0] for t in long.times), max(last, long.times[0] - short.times[0])]:
        if offset <= max(last, long.times[0] - short.times[0]):
            differences, met = [], []
            for vector, time in zip(short.vectors, short.times, strict=True):
                gaps = [abs(t - (time + offset)) for t in long.times]
                met.append(int(np.argmin(gaps)))
                differences.append(vector.astype(float) - long.vectors[met[-1]])
            unmet.append(1 - (max(met) - min(met) + 1) / len(long.times))
            shift = np.mean(differences, axis=0)
            centred = np.mean([np.sum((d - shift) ** 2) for d in differences])
            costs.append(centred + 0.25 * np.sum(shift**2))
    best = int(np.argmin(costs))
    return costs[best] * (1 + unmet[best] / 2 if long_asks else 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 99))
def test_equals_the_definition(frames: int, others: int, rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, item = sequence(rng, frames), sequence(rng, others, rate)
    longer = (query.times[-1], frames) > (item.times[-1], others)
    expected = twin(item, query, long_asks=True) if longer else twin(query, item)
    found = align(query, item)
    assert found.squared_distance == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert -1.0001 <= found.cosine <= 1.0001


def test_a_part_is_found_with_its_place_and_its_whole() -> None:
    rng = np.random.default_rng(0)
    film = sequence(rng, 40, rate=4.0)
    part = FrameSequence(film.vectors[12:20], film.times[12:20] - film.times[12])
    found = align(part, film)
    assert found.squared_distance == pytest.approx(0, abs=1e-4)
    assert found.cosine == pytest.approx(1, abs=1e-5)
    assert (found.query_span, found.item_span) == ((0.0, 1.75), (3.0, 4.75))
    back = align(film, part)
    assert (back.query_span, back.item_span) == ((3.0, 4.75), (0.0, 1.75))


def test_a_shift_of_all_frames_counts_for_a_quarter_and_noise_in_full() -> None:
    rng = np.random.default_rng(0)
    clip = sequence(rng, 16)
    shift = np.full(5, 3.0, np.float32)
    moved = FrameSequence(clip.vectors + shift, clip.times)
    assert align(moved, clip).squared_distance == pytest.approx(0.25 * 45, rel=1e-4)
    turns = np.where(np.arange(16) % 2, 1, -1).astype(np.float32)[:, None]
    noisy = FrameSequence(clip.vectors + turns * shift, clip.times)
    assert align(noisy, clip).squared_distance == pytest.approx(45, rel=1e-3)


def test_frames_of_the_query_that_meet_nothing_count_as_half_as_far_again() -> None:
    film = FrameSequence(np.zeros((10, 2), np.float32), np.arange(10.0))
    part = FrameSequence(np.array([[2, 0], [-2, 0]] * 2, np.float32), np.arange(4.0))
    assert align(part, film).squared_distance == pytest.approx(4)
    assert align(film, part).squared_distance == pytest.approx(4 * 0.4 + 4 * 0.6 * 1.5)


def test_a_single_frame_is_compared_as_it_is() -> None:
    one = FrameSequence(np.array([[3.0, 4.0]], np.float32), np.zeros(1))
    nothing = FrameSequence(np.zeros((1, 2), np.float32), np.zeros(1))
    found = align(one, nothing)
    assert found.squared_distance == pytest.approx(0.25 * 25)
    assert found.cosine == 0
