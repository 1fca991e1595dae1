"""Encoders of visual words: descriptors against loops, settings, storing, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from instance_making import FITTED, map_encoder, scene, sift_encoder

from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
from jaxret.models.registry import create_encoder
from jaxret.models.store import encoder_arrays, fingerprint, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing, ShotSampling

PICTURES = np.stack([scene(seed, (32, 64), {"flag": (4, 4, 28, 28)}) for seed in range(2)])


def unit(vector: np.ndarray) -> np.ndarray:
    length = np.sqrt((vector**2).sum())
    return vector / length if length else vector


def test_descriptors_equal_a_loop_over_the_places() -> None:
    encoder = map_encoder(descriptor_size=5)
    rng = np.random.default_rng(0)
    mean, components = rng.normal(size=16), rng.normal(size=(16, 5))
    assert encoder.whitening is not None
    encoder.whitening.assign(mean, components)
    stage = np.asarray(encoder.backbone(PICTURES).stages["conv_3"], np.float64)
    maps, found = np.asarray(encoder.maps(PICTURES)), np.asarray(encoder.descriptors(PICTURES))
    assert maps.shape == (2, 8, 16, 16)
    assert found.shape == (2, 8, 16, 5)
    assert encoder.grid(32, 64) == (8, 16)
    assert found.dtype == np.float32
    for place in np.ndindex(2, 8, 16):
        np.testing.assert_allclose(maps[place], unit(stage[place]), atol=1e-5)
        np.testing.assert_allclose(found[place], unit((unit(stage[place]) - mean) @ components), atol=1e-5)


def test_without_whitening_descriptors_are_the_maps() -> None:
    encoder = map_encoder()
    np.testing.assert_array_equal(np.asarray(encoder.descriptors(PICTURES)), np.asarray(encoder.maps(PICTURES)))
    one, alone = np.asarray(encoder.descriptors(PICTURES)), np.asarray(encoder.descriptors(PICTURES[:1]))
    np.testing.assert_allclose(one[:1], alone, atol=1e-6)


@pytest.mark.parametrize("make", [map_encoder, lambda: map_encoder(descriptor_size=6), sift_encoder])
def test_stored_and_loaded(tmp_path: Path, make) -> None:
    encoder = make()
    rng = np.random.default_rng(0)
    size = encoder.centres.shape[1]
    centres, idf = rng.normal(size=(encoder.n_words, size)), rng.uniform(0, 3, encoder.n_words)
    before = fingerprint(encoder)
    encoder.assign(centres, idf)
    assert fingerprint(encoder) != before  # the words are part of what an index is made by
    save_encoder(encoder, tmp_path / "encoder")
    assert not [path for path in (tmp_path / "encoder").iterdir() if path.suffix in {".pkl", ".npy"}]
    again = load_encoder(tmp_path / "encoder")
    assert type(again) is type(encoder)
    assert (again.config, again.summary) == (encoder.config, encoder.summary)
    assert fingerprint(again) == fingerprint(encoder)
    np.testing.assert_array_equal(np.asarray(again.centres[...]), centres.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(again.idf[...]), idf.astype(np.float32))
    fresh = create_encoder(encoder.config, rngs=nnx.Rngs(0))
    assert {name: array.shape for name, array in encoder_arrays(fresh).items()} == {
        name: array.shape for name, array in encoder_arrays(encoder).items()
    }


def test_words_are_not_trained() -> None:
    for encoder in (map_encoder(descriptor_size=4), sift_encoder()):
        trained = {".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(encoder, nnx.Param))}
        assert not {name for name in trained if "centres" in name or "idf" in name or "whitening" in name}


@pytest.mark.parametrize(
    ("centres", "idf", "message"),
    [
        (np.zeros((3, 16)), np.ones(12), r"centres must have shape \(12, 16\), got \(3, 16\)"),
        (np.zeros((12, 16)), np.ones(11), r"idf must have shape \(12,\), got \(11,\)"),
        (np.full((12, 16), np.nan), np.ones(12), "centres must be finite"),
        (np.full((12, 16), 1e39), np.ones(12), "centres must be finite"),
        (np.zeros((12, 16)), -np.ones(12), "idf must be finite and at least 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_codebooks_that_do_not_fit(centres: np.ndarray, idf: np.ndarray, message: str) -> None:
    encoder = map_encoder(12)
    with pytest.raises(ValueError, match=message):
        encoder.assign(centres, idf)


CROPPED = Preprocessing(height=64, width=64)
SHOTS = Preprocessing(height=64, width=64, resize="limit", shots=ShotSampling(image_side=64))


@pytest.mark.parametrize("preprocessing", [CROPPED, SHOTS])
def test_pictures_must_be_seen_whole(preprocessing: Preprocessing) -> None:
    message = "words are placed in whole images: resize must be limit or fit, and without shots"
    with pytest.raises(ConfigError, match=message):
        map_encoder(preprocessing=preprocessing)
    with pytest.raises(ConfigError, match=message):
        SiftWordEncoder(5, preprocessing)


def test_sizes_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"n_words must be .*at least 1, got 0"):
        map_encoder(0)
    with pytest.raises(
        ConfigError, match=r"descriptor_size must be 1\.\.16, the channels of conv_3 of small-convnet, got 17"
    ):
        map_encoder(descriptor_size=17)
    with pytest.raises(ConfigError, match=r"max_features must be .*at least 1, got 0"):
        SiftWordEncoder(5, FITTED, max_features=0)
    large = Preprocessing(height=4096, width=64, resize="fit")
    with pytest.raises(ConfigError, match="sides of at most 4064 pixels, got 4096 x 64"):
        SiftWordEncoder(5, large)
    moving = Preprocessing(height=64, width=64, resize="fit", modalities=("rgb", "flow"))
    with pytest.raises(ConfigError, match="SIFT sees rgb alone, got the modalities rgb, flow"):
        SiftWordEncoder(5, moving)
    net = create_backbone("small-convnet", widths=[4, 8], rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="unknown stage of small-convnet 'conv_9'"):
        MapWordEncoder(net, "conv_9", 5, FITTED)
