"""Recipes with the weights of published encoders: a folder tells backbone, sizes and normalisation."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from foundation_making import CROPPED, dinov2_arrays, dinov2_config, siglip_arrays, siglip_config, write_folder
from instance_making import make_pictures

from jaxret import Region, RegionSearch, Retriever
from jaxret.__main__ import dispatch
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError
from jaxret.models.backbones.unit_length import UnitLengthBackbone
from jaxret.models.foundation import open_published
from jaxret.models.foundation.files import checksum_of
from jaxret.models.layers.feature_map import feature_map_shape, feature_map_stride
from jaxret.models.pretrained import pretrained_backbone
from jaxret.models.registry import create_encoder
from jaxret.models.store import encoder_arrays, load_encoder, save_encoder
from jaxret.models.temporal.pooling import Maximum
from jaxret.recipes import train
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.clips.cnn_lstm import make_encoder as make_clip_encoder
from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig
from jaxret.recipes.image_to_video.recipe import make_encoder as make_shot_encoder
from jaxret.recipes.instances.faster_rcnn import FasterRcnnConfig, make_detector
from jaxret.recipes.instances.recipe import InstanceSearchConfig, make_encoder


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory) -> Path:
    """Patches of 14 pixels."""
    return write_folder(tmp_path_factory.mktemp("dinov2"), dinov2_config(), dinov2_arrays(), CROPPED)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory) -> Path:
    """Patches of 8 pixels."""
    return write_folder(tmp_path_factory.mktemp("siglip"), siglip_config(), siglip_arrays())


def test_cells_of_fourteen_pixels_are_filled(dinov2, siglip) -> None:
    for folder, step, stride in ((dinov2, 28, 14), (siglip, 32, 8)):
        backbone = pretrained_backbone("vision-transformer", str(folder), rngs=nnx.Rngs(0))
        assert (backbone.side_step, feature_map_stride(backbone, "patch_grid")) == (step, stride)
        wrapped = UnitLengthBackbone(backbone)
        assert (wrapped.side_step, feature_map_stride(wrapped, "patch_grid")) == (step, stride)
        assert feature_map_shape(backbone, "patch_grid") == (2 * step // stride, 3 * step // stride, 16)
    with pytest.raises(
        ConfigError, match="holds the weights of a vision-transformer: name it as the backbone, got 'vgg16'"
    ):
        pretrained_backbone("vgg16", str(dinov2), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("features", ["blcf", pytest.param("rmac", marks=pytest.mark.slow)])
def test_instance_search_on_the_grid_of_patches(dinov2, tmp_path, features) -> None:
    """Copies of a thing are found by random features, with their box."""
    data = make_pictures(tmp_path / "images")
    own = ["--words", "24"] if features == "blcf" else []
    weights = ["--backbone", "vision-transformer", "--weights", str(dinov2), "--image-size", "168"]
    words = ["--features", features, "--whitened-size", "0", "--training-images", "6", *weights, *own]
    assert dispatch(["train", "instance-search", "--data", str(data), "--out", str(tmp_path / "run"), *words]) == 0
    retriever = Retriever.open(tmp_path / "run")
    assert retriever.encoder.preprocessing.side_step == 28
    hits = retriever.search(data / "a.png", k=3, options=RegionSearch(Region(0.2, 0.2, 0.6, 0.6)))
    assert hits[0].item.key == "a.png"
    left, top, right, bottom = hits[0].box
    height, width = hits[0].size
    assert 0 <= left < right <= width + 1
    assert 0 <= top < bottom <= height + 1


def test_sizes_that_do_not_fill_the_cells_are_refused(dinov2) -> None:
    settings = {"backbone": "vision-transformer", "weights": str(dinov2), "data": "x"}
    with pytest.raises(ConfigError, match="height and width must be multiples of 28, got 160 x 160"):
        make_encoder(InstanceSearchConfig(**settings, image_size=160))
    with pytest.raises(ConfigError, match="height and width must be multiples of 28, got 160 x 160"):
        make_detector(FasterRcnnConfig(**settings, image_size=160), ["thing"])


def test_regions_are_proposed_on_the_grid_of_patches(dinov2, tmp_path) -> None:
    """A vector of a proposal is the largest of the patches that it covers, and the encoder names its weights."""
    settings = {"backbone": "vision-transformer", "weights": str(dinov2), "data": "x", "image_size": 84}
    config = FasterRcnnConfig(**settings, anchor_sizes=(28, 56), proposals=6, head_units=8, proposer_channels=8)
    detector = make_detector(config, ["thing"])
    assert (detector.stride, detector.vector_size, detector.stage) == (14, 16, "patch_grid")
    images = np.random.default_rng(0).integers(0, 256, (2, 56, 84, 3), np.uint8)
    found = detector.regions(images)
    grid = np.asarray(detector.backbone(images).stages["patch_grid"])
    assert grid.shape == (2, 4, 6, 16)
    largest = grid.max(axis=(1, 2))
    np.testing.assert_allclose(found.image_vector, largest / np.linalg.norm(largest, axis=1, keepdims=True), atol=1e-5)
    boxes = np.asarray(found.boxes)
    assert np.asarray(found.valid).any()
    assert (boxes[..., 0] >= 0).all()
    assert (boxes[..., 2] <= 84).all()
    with pytest.raises(ValueError, match="H and W multiples of 28, got"):
        detector.feature_map(images[:, :32])
    save_encoder(detector, tmp_path)
    origin = load_encoder(tmp_path).origin
    assert (origin.family, origin.sha256) == ("dinov2", checksum_of([dinov2 / "model.safetensors"]))
    along = make_detector(dataclasses.replace(config, freeze=False), ["thing"])
    assert "weights" not in along.config


@pytest.mark.parametrize("features", ["grid", "blcf", "rmac"])
def test_encoders_of_regions_name_their_weights(siglip, features) -> None:
    settings = {"data": "x", "image_size": 64, "features": features, "whitened_size": 0}
    made = make_encoder(InstanceSearchConfig(**settings, backbone="vision-transformer", weights=str(siglip)))
    assert made.config["weights"] == {"family": "siglip", "sha256": checksum_of([siglip / "model.safetensors"])}
    assert create_encoder(made.config, rngs=nnx.Rngs(0)).origin == made.origin
    plain = make_encoder(InstanceSearchConfig(**settings, backbone="small-convnet", weights="none"))
    assert "weights" not in plain.config


def test_shots_by_the_grid_of_patches(siglip) -> None:
    config = ImageToVideoConfig(
        data="x",
        weights=str(siglip),
        whitened_size=0,
        image_size=64,
        query_image_size=64,
    )
    encoder = make_shot_encoder(config, "sum")
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
    vectors = np.asarray(encoder.encode_frames(frames))
    assert vectors.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    checksum = hashlib.sha256((siglip / "model.safetensors").read_bytes()).hexdigest()
    assert encoder.config["weights"] == {"family": "siglip", "sha256": checksum}
    assert encoder.with_temporal(Maximum(16, rngs=nnx.Rngs(0))).config["weights"] == encoder.config["weights"]


def test_clips_name_the_weights_that_they_leave_as_they_are(dinov2) -> None:
    config = CnnLstmConfig(data="x", backbone="vision-transformer", weights=str(dinov2), image_size=28, units=4)
    checksum = hashlib.sha256((dinov2 / "model.safetensors").read_bytes()).hexdigest()
    for freeze, origin in ((True, {"family": "dinov2", "sha256": checksum}), (False, None)):
        made = make_clip_encoder(dataclasses.replace(config, freeze=freeze))
        assert made.config.get("weights") == origin


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Films of two colours."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    for label in ("red", "blue"):
        (folder / label).mkdir()
        for number in range(4):
            frames = rng.integers(0, 90, (6, 32, 32, 3), np.uint8)
            frames[..., 0 if label == "red" else 2] += 120
            write_video(folder / label / f"{label}{number}.mp4", frames, 6)
    return folder


@pytest.mark.slow
def test_a_training_on_frozen_features_needs_the_folder_alone(siglip, films, tmp_path) -> None:
    words = ["--data", str(films), "--out", str(tmp_path / "run"), "--weights", str(siglip)]
    assert dispatch(["train", "deep-hash", *words, "--bits", "8", "--epochs", "1", "--frames", "4"]) == 0
    text = (tmp_path / "run" / "config.json").read_text()
    assert '"vision-transformer"' in text
    assert '"image_size": 32' in text
    encoder = load_encoder(tmp_path / "run" / "encoder")
    assert encoder.backbone.config["pooling"] == "attention"


@pytest.mark.slow
def test_adapters_are_trained_in_the_place_of_the_weights(siglip, films, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    words = ["--data", str(films), "--out", str(run), "--weights", str(siglip), "--frames", "2", "--epochs", "1"]
    lora = ["--fusion", "weighted-average", "--freeze", "False", "--lora-rank", "2", "--backbone-learning-rate", "0.01"]
    assert (
        dispatch(["train", "deep-hash", *words, "--bits", "8", "--batch-size", "4", "--samples-per-class", "2", *lora])
        == 0
    )
    assert "backbone trained by adapters of rank 2 alone; " in capsys.readouterr().out
    trained = encoder_arrays(load_encoder(run / "encoder").backbone)
    published = encoder_arrays(open_published(siglip).backbone)
    for name, array in published.items():
        np.testing.assert_array_equal(trained[name], array, err_msg=name)
    ups = [array for name, array in trained.items() if name.endswith("adapter.up")]
    assert len(ups) == 4
    assert all(array.any() for array in ups)


def test_adapters_need_a_backbone_that_is_trained(siglip) -> None:
    with pytest.raises(ConfigError, match="lora_rank=2 trains the backbone: set freeze=False"):
        train("deep-hash", data="x", weights=str(siglip), lora_rank=2)
    with pytest.raises(ConfigError, match="lora_rank must be at least 0, got -1"):
        train("deep-hash", data="x", weights=str(siglip), lora_rank=-1)
