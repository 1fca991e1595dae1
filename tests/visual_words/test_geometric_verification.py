"""Pairs against loops, transforms that are known, and an object that is turned and pasted into another image."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from jaxret.data.sampling.sift import shared_pairs, sift_features
from jaxret.errors import ConfigError
from jaxret.metrics import best_box_iou
from jaxret.visual_words import Codebook, query_bag, rerank_windows, same_word_pairs, verify_geometry, words_at_points

AFFINE = np.array([[0.8, -0.3, 40.0], [0.25, 0.9, 20.0], [0.0, 0.0, 1.0]])
PERSPECTIVE = np.array([[0.9, -0.2, 40.0], [0.2, 0.8, 20.0], [4e-4, 6e-4, 1.0]])
SIMILAR = np.array([[0.6, -0.6, 90.0], [0.6, 0.6, 9.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def opencv():
    pytest.importorskip("cv2")


def moved(transform, points):
    rows = [transform @ (x, y, 1.0) for x, y in np.asarray(points, float)]
    return np.array([(row[0] / row[2], row[1] / row[2]) for row in rows])


@pytest.mark.parametrize("seed", range(6))
def test_pairs_of_one_word_equal_loops(seed):
    rng = np.random.default_rng(seed)

    def image(count):
        return words_at_points(rng.integers(0, 8, count), rng.uniform(0, 9, (count, 2)), (9, 9))

    query, candidate = image(seed * 2), image(12)
    expected = []
    for i, word in enumerate(query.words):
        for j, other in enumerate(candidate.words):
            if word == other and (query.words == word).sum() * (candidate.words == word).sum() <= 4:
                expected.append([i, j])
    assert same_word_pairs(query, candidate).tolist() == expected


@pytest.mark.parametrize(
    ("model", "transform"),
    [("similarity", SIMILAR), ("affine", AFFINE), ("homography", PERSPECTIVE), ("homography", AFFINE)],
)
def test_a_known_transform_is_found_among_wrong_pairs(opencv, model, transform):
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 200, (60, 2))
    target = moved(transform, source) + rng.normal(0, 0.3, (60, 2))
    target[40:] = rng.uniform(0, 300, (20, 2))
    box = (10, 20, 150, 160)
    found = verify_geometry(source, target, box, (400, 400), model=model)
    again = verify_geometry(source, target, box, (400, 400), model=model)
    np.testing.assert_array_equal(found.transform, again.transform)
    off = np.linalg.norm(moved(found.transform, source) - target, axis=1)
    assert found.inliers == (off <= 6).sum()
    assert 40 <= found.inliers <= 43
    corners = moved(transform, [(10, 20), (150, 20), (150, 160), (10, 160)])
    np.testing.assert_allclose(found.box, [*corners.min(axis=0), *corners.max(axis=0)], atol=2)
    cut = verify_geometry(source, target, box, (100, 120), model=model)
    np.testing.assert_array_equal(cut.box, np.minimum(found.box, (120, 100, 120, 100)))


def test_what_is_found_by_accident_is_nothing(opencv):
    rng = np.random.default_rng(1)
    source = rng.uniform(0, 200, (30, 2))
    box = (0, 0, 200, 200)
    one_place = np.tile([50.0, 60.0], (30, 1)) + rng.normal(0, 0.1, (30, 2))  # all on one spot
    mirrored = moved(np.array([[-1.0, 0, 200], [0, 1, 0], [0, 0, 1]]), source)
    far_away = moved(np.array([[1.0, 0, 900], [0, 1, 0], [0, 0, 1]]), source)
    repeated = np.repeat(source[:4], 5, axis=0)  # four points, however often they are named
    for first, second in (
        (source, one_place),
        (source, mirrored),
        (source, far_away),
        (repeated, repeated),
        (source[:3], source[:3]),
        (np.zeros((0, 2)), np.zeros((0, 2))),
    ):
        found = verify_geometry(first, second, box, (300, 300))
        assert found.inliers == 0
        assert np.isnan(found.box).all()
        assert np.isnan(found.transform).all()


def test_wrong_input_is_named(monkeypatch):
    points, box = np.zeros((9, 2)), (0, 0, 9, 9)
    with pytest.raises(ValueError, match=r"points must be \(P, 2\) in both images, got \(9, 2\) and \(8, 2\)"):
        verify_geometry(points, points[:8], box, (9, 9))
    with pytest.raises(ValueError, match="model must be one of similarity, affine, homography, got 'rigid'"):
        verify_geometry(points, points, box, (9, 9), model="rigid")
    with pytest.raises(ValueError, match="least_inliers must be above the 4 of the model 'homography', got 4"):
        verify_geometry(points, points, box, (9, 9), model="homography", least_inliers=4)
    with pytest.raises(ValueError, match="tolerance must be a number of pixels above 0, got 0"):
        verify_geometry(points, points, box, (9, 9), tolerance=0)
    with pytest.raises(ValueError, match="has no area"):
        verify_geometry(points, points, (0, 0, 0, 9), (9, 9))
    with pytest.raises(ValueError, match="max_pairs must be at least 1, got 0"):
        same_word_pairs(*[words_at_points([], np.zeros((0, 2)), (9, 9))] * 2, max_pairs=0)
    with pytest.raises(ValueError, match=r"image must be uint8 \(H, W, 3\), got float64 \(3, 4\)"):
        sift_features(np.zeros((3, 4)))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"geometric verification needs the extra `opencv`"):
        verify_geometry(points, points, box, (9, 9))


def texture(seed: int, width: int, height: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_sift_words_find_an_object_turned_by_a_quarter(opencv):
    thing = texture(0, 96, 60)
    query = texture(1, 240, 180).copy()
    query[40:100, 30:126] = thing
    scenes = [texture(seed, 260, 200).copy() for seed in (2, 3, 4)]
    scenes[1][80:176, 120:180] = np.rot90(thing, -1)
    box, true_box = (30, 40, 126, 100), (120, 80, 180, 176)
    features = [sift_features(image) for image in (query, *scenes)]
    assert all(len(found) > 50 for found in features)
    codebook = Codebook.fit(np.concatenate([found.descriptors for found in features]), 150)
    placed = [
        words_at_points(codebook.assign(found.descriptors), found.points, image.shape[:2], cells=16)
        for found, image in zip(features, (query, *scenes), strict=True)
    ]
    ranked = rerank_windows(query_bag(placed[0], 150, box), [0, 1, 2], placed[1:])
    assert ranked.ids[0] == 1
    left, top, right, bottom = ranked.boxes[0]
    assert left < 150 < right
    assert top < 128 < bottom
    inside = placed[0].inside(box)
    for number, scene in enumerate(features[1:]):
        pairs = shared_pairs(features[0].descriptors[inside], scene.descriptors)
        points = features[0].points[inside][pairs[:, 0]], scene.points[pairs[:, 1]]
        verified = verify_geometry(*points, box, scenes[number].shape[:2], tolerance=3)
        if number == 1:
            assert verified.inliers > 20
            np.testing.assert_allclose(verified.box, true_box, atol=1.5)
        else:
            assert verified.inliers == 0


def test_sift_places_are_in_pixels_and_root_descriptors_have_length_one(opencv):
    blob = np.full((61, 81, 3), 20, np.uint8)
    y, x = np.mgrid[:61, :81]
    blob[...] = (20 + 200 * np.exp(-((x - 50) ** 2 + (y - 30) ** 2) / 50))[..., None]
    found = sift_features(blob)
    assert len(found)
    # The blob's middle is the centre of pixel (50, 30).
    assert np.abs(found.points - (50.5, 30.5)).max(axis=1).min() < 0.3
    rooted = sift_features(blob, root=True)
    np.testing.assert_allclose(np.linalg.norm(rooted.descriptors, axis=1), 1, atol=1e-5)
    flat = sift_features(np.full((40, 40, 3), 9, np.uint8))
    assert flat.points.shape == (0, 2)
    assert flat.descriptors.shape == (0, 128)


def test_part_of_a_photograph_is_found_enlarged_in_another(opencv, shared_media):
    photographs = sorted((shared_media / "data" / "corel5k" / "train").glob("*/*.jpg"))[::400][:8]
    images = [np.array(Image.open(path).convert("RGB").resize((384, 256))) for path in photographs]
    found = []
    for query, scene in zip(images[:4], images[4:], strict=True):
        part = Image.fromarray(query[60:180, 100:260]).resize((200, 150))
        scene[80:230, 150:350] = np.asarray(part)
        first, second = sift_features(query), sift_features(scene)
        inside = words_at_points(np.zeros(len(first), int), first.points, (256, 384)).inside((100, 60, 260, 180))
        pairs = shared_pairs(first.descriptors[inside], second.descriptors)
        points = first.points[inside][pairs[:, 0]], second.points[pairs[:, 1]]
        if inside.sum() >= 30:  # of smooth sky there is nothing to find
            found.append(verify_geometry(*points, (100, 60, 260, 180), (256, 384)).box)
    assert len(found) >= 2
    assert best_box_iou(found, [[(150, 80, 350, 230)]] * len(found)).min() > 0.9
