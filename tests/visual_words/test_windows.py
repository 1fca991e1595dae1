"""Windows against brute force: every histogram counted anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import words as slow

from jaxret.visual_words import (
    WindowSettings,
    best_window,
    query_bag,
    rerank_windows,
    sliding_windows,
    window_boxes,
    window_lengths,
    words_at_points,
    words_of_map,
)

N_WORDS = 7


def random_image(rng, points=False):
    size = tuple(rng.integers(20, 90, 2).tolist())
    if points:
        count = int(rng.integers(0, 40))
        places = rng.uniform(0, 1, (count, 2)) * size[::-1]
        image = words_at_points(rng.integers(0, N_WORDS, count), places, size, cells=int(rng.integers(1, 9)))
    else:
        image = words_of_map(rng.integers(-1, N_WORDS, rng.integers(1, 8, 2)), size)
    return image.weighted(rng.choice([0.0, 0.5, 1.0, 1.0], len(image))) if rng.random() < 0.5 else image


def random_query(rng):
    return query_bag(words_of_map(rng.integers(0, N_WORDS, (2, 3)), (9, 9)), N_WORDS)


def query_dict(query, idf):
    return slow.histogram(zip(query.words.tolist(), query.counts.tolist(), strict=True), idf)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
@example(49, False, False)  # two windows of one cosine, up to rounding
def test_best_windows_equal_brute_force(seed, points, with_idf):
    rng = np.random.default_rng(seed)
    image, query = random_image(rng, points), random_query(rng)
    idf = rng.uniform(0, 2, N_WORDS) * (rng.random(N_WORDS) < 0.8) if with_idf else None
    windows = sliding_windows(image.grid, shares=(1.0, 0.6, 0.3), overlap=0.4)
    lengths = window_lengths(image, windows, idf=idf)
    for window, length in zip(windows, lengths, strict=True):
        counted = slow.histogram(slow.in_window(image, window), idf)
        assert length == pytest.approx(np.sqrt(sum(amount**2 for amount in counted.values())), abs=1e-7)
    cosine, box = best_window(query, image, windows, idf=idf)
    expected, window = slow.best_window(query_dict(query, idf), image, windows, idf)
    assert cosine == pytest.approx(expected, abs=1e-9)
    if window is None:
        assert np.isnan(box).all()
    else:
        # Cosines are rounded before the first of the largest is taken: one on the border between two rounded values may
        # fall to either side, so windows that are that near to the best are as good as it.
        searched = query_dict(query, idf)
        cosines = [slow.cosine(searched, slow.histogram(slow.in_window(image, one), idf)) for one in windows]
        best = [one for one, value in zip(windows, cosines, strict=True) if value > expected - 2**-39]
        assert box.tolist() in window_boxes(best, image).tolist()
        if len(best) == 1:
            np.testing.assert_array_equal(box, window_boxes([window], image)[0])
    kept = best_window(query, image, windows, idf=idf, lengths=lengths)
    assert kept.cosine == cosine


def test_lengths_do_not_depend_on_how_many_words_are_held_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    image = words_of_map(rng.integers(0, 40, (12, 17)), (120, 170))
    windows = sliding_windows(image.grid)
    whole = window_lengths(image, windows)
    monkeypatch.setattr("jaxret.visual_words.windows._TABLE_BYTES", 3 * 8 * (13 * 18 + len(windows)))
    np.testing.assert_array_equal(window_lengths(image, windows), whole)


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (5, 3), (20, 30)])
def test_windows_cover_the_grid_and_come_largest_first(grid):
    windows = sliding_windows(grid)
    assert len(np.unique(windows, axis=0)) == len(windows)
    sides = windows[:, 2:] - windows[:, :2]
    assert (np.diff(sides.prod(axis=1)) <= 0).all()
    assert windows[0].tolist() == [0, 0, *grid]
    for height, width in np.unique(sides, axis=0):
        some = windows[(sides == (height, width)).all(axis=1)]
        covered = np.zeros(grid, bool)
        for top, left, bottom, right in some:
            covered[top:bottom, left:right] = True
        assert covered.all()
        tops = np.unique(some[:, 0])
        assert (np.diff(tops) <= max(1, round(height / 2))).all()


def test_the_number_of_windows_of_blcf():
    # 1, 3 and 7 places of each side in 8 cells
    assert len(sliding_windows((8, 8))) == 11**2


@pytest.mark.parametrize("aspect", [None, 3.0, 1e-3])
def test_candidates_are_ordered_by_their_best_windows(aspect):
    rng = np.random.default_rng(4)
    images = [random_image(rng, points=n % 2 == 0) for n in range(12)]
    images[7] = images[2]  # a tie
    ids = rng.permutation(100)[:12]
    query, idf = random_query(rng), rng.uniform(0.2, 2, N_WORDS)
    lengths = [window_lengths(image, sliding_windows(image.grid), idf=idf) for image in images]
    expected = []
    for number, image in zip(ids, images, strict=True):
        windows = sliding_windows(image.grid)
        if aspect is not None:
            left, top, right, bottom = window_boxes(windows, image).T
            agree = [min(a / aspect, aspect / a) for a in (right - left) / (bottom - top)]
            least = min(0.4, max(agree))
            windows = windows[[value >= least for value in agree]]
        cosine, window = slow.best_window(query_dict(query, idf), image, windows, idf)
        box = [np.nan] * 4 if window is None else window_boxes([window], image)[0].tolist()
        expected.append((np.float32(1 - cosine), int(number), box))
    expected.sort(key=lambda entry: entry[:2])
    for kept in (None, lengths):
        found = rerank_windows(query, ids, images, idf=idf, aspect=aspect, lengths=kept)
        assert found.ids.tolist() == [number for _, number, _ in expected]
        np.testing.assert_allclose(found.distances, [distance for distance, _, _ in expected], atol=1e-6)
        np.testing.assert_array_equal(found.boxes, [box for _, _, box in expected])


def test_an_object_is_found_where_it_was_put():
    rng = np.random.default_rng(5)
    thing = rng.integers(100, 120, (4, 4))
    scene = rng.integers(0, 100, (16, 16))
    scene[8:12, 2:6] = thing
    query = query_bag(words_of_map(thing, (64, 64)), 120)
    images = [words_of_map(rng.integers(0, 100, (16, 16)), (160, 160)), words_of_map(scene, (160, 160))]
    found = rerank_windows(query, [0, 1], images)
    assert found.ids.tolist() == [1, 0]
    assert found.boxes[0].tolist() == [20, 80, 60, 120]
    assert found.distances[0] == 0
    assert np.isnan(found.boxes[1]).all()


def test_wrong_input_is_named():
    image = words_of_map([[0, 1]], (8, 16))
    query = query_bag(image, 3)
    with pytest.raises(ValueError, match=r"window \(0, 1, 1, 3\) is empty or reaches outside the grid of 1 x 2"):
        best_window(query, image, [[0, 1, 1, 3]])
    with pytest.raises(ValueError, match="there must be at least one window"):
        best_window(query, image, np.zeros((0, 4), int))
    with pytest.raises(ValueError, match=r"lengths must have shape \(1,\), one a window, got \(2,\)"):
        best_window(query, image, [[0, 0, 1, 1]], lengths=[1.0, 1.0])
    with pytest.raises(ValueError, match=r"lengths\[0\] must have shape \(3,\)"):
        rerank_windows(query, [0], [image], lengths=[[1.0]])
    with pytest.raises(ValueError, match="ids must name every candidate once"):
        rerank_windows(query, [4, 4], [image, image])
    with pytest.raises(ValueError, match="ids must be 1 whole numbers"):
        rerank_windows(query, [4, 5], [image])
    with pytest.raises(ValueError, match="word 5 is not of a codebook of 3 words"):
        rerank_windows(query, [4], [words_of_map([[5]], (8, 8))])
    with pytest.raises(ValueError, match="aspect must be a width divided by a height, above 0, got 0"):
        rerank_windows(query, [4], [image], aspect=0)
    with pytest.raises(ValueError, match=r"least_agreement must be above 0 and up to 1, got 1.5"):
        rerank_windows(query, [4], [image], aspect=1.0, windows=WindowSettings(least_agreement=1.5))
    with pytest.raises(ValueError, match=r"shares must be above 0 and up to 1, at least one, got \(0.0,\)"):
        sliding_windows((3, 3), shares=(0.0,))
    with pytest.raises(ValueError, match=r"overlap must be from 0 to below 1, got 1"):
        sliding_windows((3, 3), overlap=1)
    assert len(rerank_windows(query, [], []).ids) == 0
