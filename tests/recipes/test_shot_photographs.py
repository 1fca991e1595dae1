"""Vectors of photographs of moments: one at a time, kept, and read forwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from film_making import make_film
from flax import nnx

from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.data.open import open_dataset
from jaxret.data.sampling.screen_photos import photograph
from jaxret.data.sampling.transforms import centre_geometry, resize_frame
from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone, Sum, UnitLength, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing, ShotSampling
from jaxret.recipes.image_to_video.photos import random_moments, screen_photo_vectors
from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig
from jaxret.recipes.image_to_video.train import _held_out_queries
from jaxret.retrieval.encode import shots_between
from jaxret.training import RunFolder


def make_encoder() -> VideoEncoder:
    net = create_backbone("small-convnet", widths=[8, 16], rngs=nnx.Rngs(0))
    settings = Preprocessing(height=96, width=96, resize="limit", shots=ShotSampling(image_side=64))
    return VideoEncoder(PooledBackbone(net, "conv_2"), UnitLength(Sum(16, rngs=nnx.Rngs(0))), settings)


def test_vectors_are_those_of_each_photograph_alone_and_are_kept(tmp_path: Path) -> None:
    for seed in range(2):
        make_film(tmp_path / f"{seed}.mp4", seed, (8, 9))
    dataset, encoder = open_dataset(tmp_path), make_encoder()
    films, moments = [1, 0, 1], np.array([[0.95, 0.25], [0.55, 0.65], [0.15, 1.65]])
    store = tmp_path / "kept.npy"
    found = screen_photo_vectors(dataset, encoder, films, moments, store, seed=3)
    assert found.shape == (3, 2, 16)
    for row, column in np.ndindex(3, 2):
        with dataset.open(films[row]) as reader:
            frame = reader.read_at([moments[row, column]])[0]
        photo = photograph(frame, np.random.default_rng([3, 37, 2 * row + column]))
        picture = resize_frame(photo, centre_geometry(*photo.shape[:2], encoder.preprocessing.of_images))
        assert max(picture.shape) == 64
        expected = np.asarray(encoder.encode_frames(picture[None]))[0]
        np.testing.assert_allclose(found[row, column], expected, atol=1e-5)
    np.save(store, found + 1)
    np.testing.assert_array_equal(screen_photo_vectors(dataset, encoder, films, moments, store, seed=3), found + 1)
    again = screen_photo_vectors(dataset, encoder, films[:2], moments[:2], store, seed=3)  # does not fit: made anew
    np.testing.assert_allclose(again, found[:2], atol=1e-5)


def test_shots_of_a_frame_each_leave_no_query(tmp_path: Path) -> None:
    make_film(tmp_path / "0.mp4", 0, (8, 9))
    dataset, encoder = open_dataset(tmp_path), make_encoder()
    shots = [(0, shot) for shot in shots_between(np.ones((2, 16), np.float32), np.arange(2.0), 2.0, [1])]
    given = (ImageToVideoConfig(screen_photos=1), RunFolder(tmp_path))
    queries = _held_out_queries(dataset, encoder, shots, "test", *given)
    assert queries.vectors.shape == (0, 16)
    assert not queries.measurable
    assert not _held_out_queries(dataset, encoder, [], "test", *given).measurable


def test_moments_lie_in_their_shots() -> None:
    shots = shots_between(np.ones((9, 2)), np.arange(9) / 3, 3.0, [2, 5])
    moments = random_moments(shots, 50, seed=1)
    assert moments.shape == (3, 50)
    for shot, own in zip(shots, moments, strict=True):
        assert shot.start <= own.min() <= own.max() <= shot.end
        assert own.max() - own.min() > (shot.end - shot.start) / 2


def test_given_images_ask_in_place_of_frames() -> None:
    shots = [np.zeros((3, 2)), np.ones((4, 2)), np.ones((2, 2))]
    images = np.arange(12.0).reshape(3, 2, 2)
    pairs = ShotPairs(shots, max_frames=4, images=images)
    drawn = {tuple(pairs(1, np.random.default_rng(seed))["images"].tolist()) for seed in range(20)}
    assert drawn == {(4.0, 5.0), (6.0, 7.0)}
    for bad in (images[:2], images[:, :0], images[..., :1], images[0]):
        with pytest.raises(ConfigError, match=r"images must have shape \(3, K, 2\)"):
            ShotPairs(shots, max_frames=4, images=bad)
