"""Words in boxes, histograms, the inverted file and expanded queries, against loops."""

from __future__ import annotations

import numpy as np
import pytest
from reference import words as slow

from jaxret.visual_words import (
    InvertedFile,
    WordBags,
    bags_of_words,
    box_surroundings,
    centre_prior,
    expand_query,
    inverse_document_frequency,
    join_bags,
    query_bag,
    words_at_points,
    words_of_map,
)


def random_map(rng, n_words=9):
    shape = rng.integers(1, 7, 2)
    return words_of_map(rng.integers(-1, n_words, shape), tuple(rng.integers(20, 90, 2)))


def bag_dict(bags, n, idf=None):
    row = bags.bag(n)
    return slow.histogram(zip(row.words.tolist(), row.counts.tolist(), strict=True), idf)


@pytest.mark.parametrize("seed", range(10))
def test_a_box_holds_the_cells_whose_centres_lie_in_it(seed):
    rng = np.random.default_rng(seed)
    word_map = rng.integers(-1, 30, rng.integers(1, 8, 2))
    height, width = rng.integers(10, 100, 2).tolist()
    left, right = np.sort(rng.uniform(-10, width + 10, 2))
    top, bottom = np.sort(rng.uniform(-10, height + 10, 2))
    right, bottom = max(right, 1), max(bottom, 1)
    left, top = min(left, width - 1, right - 0.5), min(top, height - 1, bottom - 0.5)
    expected = []
    for i, row in enumerate(word_map):
        for j, word in enumerate(row):
            x, y = (j + 0.5) * width / word_map.shape[1], (i + 0.5) * height / word_map.shape[0]
            if word >= 0 and left <= x < right and top <= y < bottom:
                expected.append(int(word))
    image = words_of_map(word_map, (height, width))
    assert image.words[image.inside((left, top, right, bottom))].tolist() == expected
    if expected:
        dense = query_bag(image, 30, (left, top, right, bottom)).dense()[0]
        np.testing.assert_array_equal(dense, np.bincount(expected, minlength=30))


def test_points_keep_their_places_and_fall_into_cells():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (50, 2)) * (200, 90)
    points[0] = 200, 90  # on the far corner
    image = words_at_points(rng.integers(0, 5, 50), points, (90, 200), cells=20)
    assert image.grid == (9, 20)
    for (x, y), (row, column) in zip(points[1:], image.cells[1:], strict=True):
        assert row * 10 <= y < (row + 1) * 10
        assert column * 10 <= x < (column + 1) * 10
    assert image.cells[0].tolist() == [8, 19]
    assert len(words_at_points([], np.zeros((0, 2)), (90, 200))) == 0


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((5, 5, 5, 9), r"box \(5.0, 5.0, 5.0, 9.0\) has no area"),
        ((200, 0, 210, 9), r"box \(200.0, 0.0, 210.0, 9.0\) lies outside the image of 200 x 100"),
        ((0, -5, 10, 0), "lies outside the image"),
        ((9, 0, 5, 9), "must have left <= right"),
        ((0, 0, 9, 9), r"holds 0 words, and a query needs at least 1.* a finer map than 2 x 4"),
        ([(0, 0, 9, 9)], r"one box of four numbers, got shape \(1, 4\)"),
    ],
)
def test_wrong_boxes_are_named(box, message):
    with pytest.raises(ValueError, match=message):
        query_bag(words_of_map(np.zeros((2, 4), int), (100, 200)), 3, box)


def test_wrong_words_are_named():
    with pytest.raises(ValueError, match="word 3 is not of a codebook of 3 words"):
        bags_of_words([words_of_map([[3]], (8, 8))], 3)
    with pytest.raises(ValueError, match=r"words must be at least -1 and below 2\^31, got -2"):
        words_of_map([[-2]], (8, 8))
    with pytest.raises(TypeError, match="words must be whole numbers, got float64"):
        words_of_map([[0.5]], (8, 8))
    with pytest.raises(ValueError, match=r"point \(9.0, 3.0\) lies outside the image of 8 x 8"):
        words_at_points([1], [[9.0, 3.0]], (8, 8))
    with pytest.raises(ValueError, match=r"weights must be finite and at least 0, got -1.0"):
        words_of_map([[1]], (8, 8), weights=[[-1.0]])
    with pytest.raises(ValueError, match=r"box .* holds 1 words, and a query needs at least 2"):
        query_bag(words_of_map([[1]], (8, 8)), 3, (0, 0, 8, 8), min_words=2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("with_idf", [False, True])
def test_cosines_and_order_equal_loops(seed, with_idf):
    rng = np.random.default_rng(seed)
    images = [random_map(rng).weighted for _ in range(12)]
    images = [weighted(rng.choice([0.0, 0.5, 1.0], len(weighted.__self__))) for weighted in images]
    images.append(images[0])  # ties
    images.append(words_of_map([[-1]], (9, 9)))  # no words at all
    gallery = bags_of_words(images, 9)
    queries = bags_of_words([random_map(rng) for _ in range(3)], 9)
    idf = inverse_document_frequency(gallery) if with_idf else None
    if with_idf:
        holders = [sum(word in bag_dict(gallery, n) for n in range(14)) for word in range(9)]
        np.testing.assert_allclose(idf, [np.log(14 / count) if count else 0 for count in holders])
    searched = InvertedFile(gallery, idf)
    expected = np.array(
        [[slow.cosine(bag_dict(queries, q, idf), bag_dict(gallery, n, idf)) for n in range(14)] for q in range(3)]
    )
    np.testing.assert_allclose(searched.cosines(queries), expected, atol=1e-12)
    for k in (1, 5, 14):
        found = searched.topk(queries, k)
        distances = np.round((1 - expected) * 2**40) / 2**40
        order = [sorted(range(14), key=lambda n, row=row: (np.float32(row[n]), n))[:k] for row in distances]
        assert found.ids.tolist() == order
        np.testing.assert_allclose(found.distances, np.take_along_axis(distances, np.array(order), 1), atol=1e-6)


def test_bags_join_and_refuse_what_does_not_fit():
    rng = np.random.default_rng(1)
    parts = [bags_of_words([random_map(rng) for _ in range(n)], 9) for n in (2, 0, 3)]
    joined = join_bags(parts, 9)
    np.testing.assert_array_equal(joined.dense(), np.concatenate([part.dense() for part in parts]))
    np.testing.assert_array_equal(joined.bag(3).dense(), joined.dense()[3:4])
    with pytest.raises(ValueError, match="bags must be of 8 words, got one of 9"):
        join_bags(parts, 8)
    with pytest.raises(ValueError, match="words must rise within a bag"):
        WordBags(5, np.array([0, 2]), np.array([3, 3], np.int32), np.ones(2))
    with pytest.raises(ValueError, match=r"words must lie in 0 .. 4, got 3 .. 5"):
        WordBags(5, np.array([0, 2]), np.array([3, 5], np.int32), np.ones(2))
    with pytest.raises(ValueError, match="offsets must rise from 0 to the 2 entries"):
        WordBags(5, np.array([0, 1]), np.array([3, 4], np.int32), np.ones(2))
    with pytest.raises(ValueError, match="queries are bags of 9 words, and the gallery of 5"):
        InvertedFile(WordBags(5, np.array([0, 1]), np.array([3], np.int32), np.ones(1))).topk(joined, 1)
    with pytest.raises(ValueError, match=r"idf must have shape \(9,\)"):
        InvertedFile(joined, np.ones(5))


@pytest.mark.parametrize("with_idf", [False, True])
def test_expanded_queries_are_the_mean_of_bags_of_length_one(with_idf):
    rng = np.random.default_rng(2)
    gallery = bags_of_words([random_map(rng) for _ in range(8)], 9)
    idf = rng.uniform(0.5, 2, 9) if with_idf else np.ones(9)
    query = gallery.bag(0)
    expanded = expand_query(query, join_bags([gallery.bag(3), gallery.bag(5)], 9), idf=idf if with_idf else None)
    dense = gallery.dense()[[0, 3, 5]]
    np.testing.assert_allclose(
        expanded.dense()[0], (dense / np.linalg.norm(dense * idf, axis=1, keepdims=True)).mean(axis=0)
    )
    alone = expand_query(query, bags_of_words([], 9))
    cosine = slow.cosine(bag_dict(alone, 0), bag_dict(query, 0))
    assert cosine == pytest.approx(1)
    with pytest.raises(ValueError, match="query must be one bag, got 8"):
        expand_query(gallery, query)


def test_spatial_weights_see_the_centre_and_the_box():
    image = words_of_map(np.arange(35).reshape(5, 7), (50, 70))
    prior = centre_prior(image.points, image.image_size).reshape(5, 7)
    assert prior[2, 3] == 1
    assert prior[0, 3] == pytest.approx(np.exp(-(20**2) / (2 * (25 / 3) ** 2)))
    np.testing.assert_allclose(prior, prior[::-1, ::-1])
    weights = box_surroundings(image, (20, 10, 40, 30), spread=0.5).reshape(5, 7)
    inside = image.inside((20, 10, 40, 30)).reshape(5, 7)
    assert (weights[inside] == 1).all()
    assert (weights[~inside] < 1).all()
    assert weights[4, 5] == pytest.approx(np.exp(-(15**2 + 15**2) / (2 * 0.25 * 800)))  # from (55, 45) to (40, 30)
    weighted = query_bag(image.weighted(weights.ravel()), 35)
    np.testing.assert_allclose(weighted.dense()[0], weights.ravel())
    with pytest.raises(ValueError, match="spread must be a finite number above 0, got 0"):
        centre_prior(image.points, image.image_size, spread=0)
