"""Records of words, packed and unpacked, and their bags against jaxret.visual_words' own of the unpacked words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.retrieval.systems.word_records import MapLayout, PointLayout, bags_of_records
from jaxret.visual_words import WordBags, bags_of_words, centre_prior, words_at_points, words_of_map

MAPS = MapLayout(9, stride=8, height=40, width=64)
POINTS = PointLayout(7, max_points=12)


def random_map(rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int]]:
    rows, columns = int(rng.integers(1, 6)), int(rng.integers(1, 9))
    return rng.integers(0, 9, (rows, columns)), (8 * rows, 8 * columns)


def random_points(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    size = tuple(rng.integers(1, 4065, 2).tolist())
    count = int(rng.integers(0, 16))  # now and then more than a record holds
    points = np.round(rng.uniform(0, 1, (count, 2)) * size[::-1] * 16) / 16
    return rng.integers(0, 7, count), points, size


def same(found: WordBags, expected: WordBags) -> None:
    assert found.n_words == expected.n_words
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.words, expected.words)
    np.testing.assert_allclose(found.counts, expected.counts, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_maps_come_back_as_they_were(seed: int) -> None:
    word_map, size = random_map(np.random.default_rng(seed))
    record = MAPS.pack(word_map, size)
    assert record.shape == (MAPS.length,)
    image, expected = MAPS.unpack(record.astype(MAPS.dtype)), words_of_map(word_map, size)
    for name in ("words", "cells", "points", "weights"):
        np.testing.assert_array_equal(getattr(image, name), getattr(expected, name), err_msg=name)
    assert (image.grid, image.image_size) == (expected.grid, expected.image_size)
    held = MAPS.words(record[None])[0] > 0
    np.testing.assert_array_equal(MAPS.points(record[None])[0][held], expected.points)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_points_come_back_as_they_were(seed: int) -> None:
    words, points, size = random_points(np.random.default_rng(seed))
    record = POINTS.pack(words, points, size)
    assert record.shape == (POINTS.length,)
    image = POINTS.unpack(record.astype(POINTS.dtype))
    expected = words_at_points(words[:12], points[:12], size)
    for name in ("words", "cells", "points", "weights"):
        np.testing.assert_array_equal(getattr(image, name), getattr(expected, name), err_msg=name)
    assert (image.grid, image.image_size) == (expected.grid, expected.image_size)


def test_points_are_kept_to_a_sixteenth_of_a_pixel_up_to_the_largest_image() -> None:
    points = np.array([[4064.0, 4064.0], [0.03, 1.04], [0.0, 0.0]])
    image = POINTS.unpack(POINTS.pack(np.array([6, 0, 3]), points, (4064, 4064)).astype("uint16"))
    np.testing.assert_array_equal(image.points, [[4064, 4064], [0, 17 / 16], [0, 0]])
    np.testing.assert_array_equal(image.words, [6, 0, 3])


def test_records_take_32_bits_where_words_need_them() -> None:
    assert PointLayout(2**16 - 1, 3).dtype == "uint16"
    assert PointLayout(2**16, 3).dtype == "uint32"
    last = MapLayout(2**16 - 1, 8, 8, 8)
    record = last.pack(np.array([[2**16 - 2]]), (8, 8)).astype(last.dtype)
    assert last.unpack(record).words.tolist() == [2**16 - 2]


@pytest.mark.parametrize("spread", [None, 1 / 3, 0.05])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layout", [MAPS, POINTS], ids=["maps", "points"])
def test_bags_of_records_equal_those_of_the_unpacked(layout: MapLayout | PointLayout, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    packed = []
    for _ in range(9):
        given = random_map(rng) if isinstance(layout, MapLayout) else random_points(rng)
        packed.append(layout.pack(*given))
    if isinstance(layout, PointLayout):
        packed.insert(0, layout.pack(np.zeros(0, int), np.zeros((0, 2)), (64, 64)))  # empty, full, and empty again
        packed.append(layout.pack(np.arange(12) % 7, np.full((12, 2), 3.0), (64, 64)))
        packed.append(packed[0])
    else:
        packed.append(layout.pack(np.full((5, 8), 8), (40, 64)))  # all of one word, the last
        packed.append(layout.pack(np.array([[0]]), (8, 8)))  # one cell
    records = np.stack(packed).astype(layout.dtype)
    images = [layout.unpack(record) for record in records]
    if spread is not None:
        images = [image.weighted(centre_prior(image.points, image.image_size, spread=spread)) for image in images]
    same(bags_of_records(layout, records, spread), bags_of_words(images, layout.n_words))


def test_no_records_have_no_bags() -> None:
    assert len(bags_of_records(MAPS, np.zeros((0, MAPS.length), np.uint16))) == 0
    assert len(bags_of_records(POINTS, np.zeros((0, POINTS.length), np.uint16), 0.3)) == 0


def test_words_so_far_out_that_their_weight_vanishes_are_left_out() -> None:
    record = POINTS.pack(np.array([2, 3]), np.array([[1.0, 1.0], [500.0, 500.0]]), (1000, 1000))
    bags = bags_of_records(POINTS, record[None], 0.01)
    assert bags.words.tolist() == [3]
    image = POINTS.unpack(record)
    same(bags, bags_of_words([image.weighted(centre_prior(image.points, image.image_size, spread=0.01))], 7))
