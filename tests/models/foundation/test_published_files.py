"""Files of published encoders: what is wrong with them is said, and sizes, shards and the order of settings do."""

from __future__ import annotations

import hashlib
import json

import jax
import numpy as np
import pytest
from flax import nnx
from foundation_making import CROPPED, clip_arrays, clip_config, dinov2_arrays, dinov2_config, write_folder
from safetensors.numpy import save_file

from jaxret.errors import ConfigError, WeightsError
from jaxret.models import create_backbone, create_encoder, load_encoder, save_encoder
from jaxret.models.foundation import open_published, published_kind
from jaxret.models.foundation.sizing import read_sizing
from jaxret.models.frozen import FrozenSettings, frozen_encoder, weights_origin
from jaxret.models.store import fingerprint


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "dinov2-tiny", dinov2_config(), dinov2_arrays(), CROPPED)


def test_missing_extra_and_misshapen_arrays_are_all_listed(tmp_path):
    arrays = dinov2_arrays()
    del arrays["layernorm.bias"]
    arrays["encoder.layer.0.mlp.fc3.bias"] = np.zeros(3, np.float32)
    arrays["encoder.layer.1.mlp.fc1.weight"] = np.zeros((31, 16), np.float32)
    folder = write_folder(tmp_path, dinov2_config(), arrays)
    with pytest.raises(WeightsError) as caught:
        open_published(folder)
    for problem in (
        "missing layernorm.bias",
        "extra encoder.layer.0.mlp.fc3.bias",
        "encoder.layer.1.mlp.fc1.weight has shape (31, 16), not (32, 16)",
    ):
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "resnet"}, "has model_type 'resnet': published encoders of the families dinov2"),
        ({"hidden_act": "relu9"}, "hidden_act must be one of gelu, .*, got 'relu9'"),
        ({"hidden_size": "16"}, "hidden_size must be like 768, got '16'"),
        ({"num_attention_heads": 5}, "units must be a multiple of the 5 heads, got 16"),
        ({"image_size": 13}, "image_size must be at least patch_size 14, got 13"),
        ({"image_size": 56}, r"position_embeddings has shape \(1, 10, 16\), not \(1, 17, 16\)"),
    ],
)
def test_settings_that_describe_no_encoder_are_named(tmp_path, change, message):
    folder = write_folder(tmp_path, dinov2_config(**change), dinov2_arrays())
    with pytest.raises(WeightsError, match=message):
        open_published(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "clip", "vision_config": None}, "vision_config must hold settings, got None"),
        ({"model_type": "siglip2", "vision_config": [1]}, r"vision_config must hold settings, got \[1\]"),
        (
            {"model_type": "videoprism", "vision_config": {"tubelet_size": 18}},
            r"tubelet_size must be like \[1, 18, 18\]",
        ),
        ({"model_type": "videoprism", "tubelet_size": []}, "describes no videoprism encoder: list index out of range"),
        ({"model_type": "dinov2", "image_size": [[1]]}, "describes no dinov2 encoder"),
    ],
)
def test_settings_that_are_half_there_are_named(tmp_path, config, message):
    folder = write_folder(tmp_path, config, dinov2_arrays())
    for read in (published_kind, open_published):
        with pytest.raises(WeightsError, match=message):
            read(folder)


def test_settings_of_words_that_are_half_there_are_named(tmp_path):
    folder = write_folder(tmp_path, clip_config(text_config=None), clip_arrays())
    with pytest.raises(WeightsError, match="text_config must hold settings, got None"):
        open_published(folder)


def test_files_that_are_missing_or_damaged_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file"):
        open_published(tmp_path / "nowhere")
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json is damaged"):
        open_published(folder)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"config\.json is missing: give a folder as Hugging Face lays it out"):
        open_published(folder)
    (folder / "config.json").write_text(json.dumps(dinov2_config()))
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"holds no weights: one of model\.safetensors"):
        open_published(folder)
    path = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, path)
    with pytest.raises(WeightsError, match="has arrays that no family has"):
        open_published(path)


def test_shards_are_read_together(folder):
    whole = open_published(folder)
    arrays = dinov2_arrays()
    names = sorted(arrays)
    parts = {"model-1.safetensors": names[:20], "model-2.safetensors": names[20:]}
    for part, held in parts.items():
        save_file({name: arrays[name] for name in held}, folder / part)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: part for part, held in parts.items() for name in held}}))
    sharded = open_published(folder)
    assert fingerprint(sharded.backbone) == fingerprint(whole.backbone)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model-2\.safetensors is missing, which model\.safetensors\.index\.json"):
        open_published(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(WeightsError, match=r"names the file '\.\./\.\./secret\.safetensors'"):
        open_published(folder)


def test_images_need_not_be_whole_patches(tmp_path):
    """SigLIP's So400m has patches of 14 pixels and images of 384."""
    backbone = open_published(write_folder(tmp_path, dinov2_config(image_size=45), dinov2_arrays())).backbone
    shapes = jax.eval_shape(backbone, np.zeros((1, 45, 45, 3), np.uint8))
    assert shapes.stages["patch_grid"].shape == (1, 3, 3, 16)


def test_half_precision_files_become_float32(tmp_path):
    arrays = {name: array.astype(np.float16) for name, array in dinov2_arrays().items()}
    backbone = open_published(write_folder(tmp_path, dinov2_config(), arrays)).backbone
    kernel = backbone.blocks[0].mlp.widen.kernel[...]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, arrays["encoder.layer.0.mlp.fc1.weight"].T.astype(np.float32))


def test_processors_say_how_images_are_sized(tmp_path):
    cropped = read_sizing(CROPPED, "p")
    assert (cropped.resize, cropped.height, cropped.shortest, cropped.resampling) == ("crop", 28, 36, "bicubic")
    larger = cropped.preprocessing(image_size=56)
    assert (larger.height, larger.width, larger.shortest) == (56, 56, 72)
    square = {"size": {"height": 32, "width": 48}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    squashed = read_sizing(square, "p")
    assert (squashed.resize, squashed.height, squashed.width, squashed.shortest) == ("squash", 32, 48, None)
    assert read_sizing({**square, "do_normalize": False}, "p").mean == (0.0, 0.0, 0.0)
    assert read_sizing({**square, "size": 40}, "p").width == 40
    whole = {**square, "do_center_crop": True}  # cuts nothing off
    assert read_sizing(whole, "p") == read_sizing({**whole, "crop_size": square["size"]}, "p") == squashed
    for settings, message in (
        ({**square, "resample": 1}, "p: a setting is missing or of no known kind"),
        ({**square, "size": {"shortest_edge": 32}}, "images keep their shape there"),
        ({**square, "size": [32]}, "p: a setting is missing or of no known kind"),
        (
            {**square, "do_center_crop": True, "crop_size": 28},
            "'width': 28} is cut there from images that were squashed",
        ),
        ({key: value for key, value in square.items() if key != "image_std"}, "'image_std'"),
    ):
        with pytest.raises(WeightsError, match=message):
            read_sizing(settings, "p")
    with pytest.raises(ConfigError, match="image_size must be at least 1 pixel, got 0"):
        squashed.preprocessing(image_size=0)


def test_a_frozen_encoder_is_stored_with_the_checksum_of_its_weights(folder, tmp_path):
    encoder = frozen_encoder(FrozenSettings(str(folder), frames=2))
    checksum = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert encoder.config["weights"] == {"family": "dinov2", "sha256": checksum}
    assert weights_origin(str(folder)).sha256 == checksum
    save_encoder(encoder, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    assert fingerprint(again) == fingerprint(encoder)
    assert create_encoder(encoder.config, rngs=nnx.Rngs(0)).config == encoder.config
    clips = np.random.default_rng(0).integers(0, 256, (1, 2, 28, 28, 3), np.uint8)
    frames = np.asarray(again.encode_frames(clips[0]))
    np.testing.assert_allclose(np.linalg.norm(frames, axis=1), 1, atol=1e-5)
    mean = frames.mean(axis=0)
    np.testing.assert_allclose(again.encode_clips(clips)[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_settings_of_a_vision_transformer_are_checked():
    def make(**settings):
        small = {"units": 8, "heads": 2, "depth": 1, "patch_size": 8, "image_size": 16}
        return create_backbone("vision-transformer", **{**small, **settings}, rngs=nnx.Rngs(0))

    for settings, message in (
        ({"pooling": "max"}, "pooling must be one of class, attention, mean, got 'max'"),
        ({"positions": "none"}, "positions must be one of learned, rotary, got 'none'"),
        ({"interpolation": "nearest"}, "interpolation must be one of bicubic, .*, got 'nearest'"),
        ({"activation": "relu9"}, "activation must be one of gelu, .*, got 'relu9'"),
        ({"image_size": 7}, "image_size must be at least patch_size 8, got 7"),
        ({"positions": "rotary", "units": 12}, "heads of 4 numbers each, or a multiple of them, got 12"),
        ({"registers": -1}, "registers must be at least 0, got -1"),
        ({"mean": [0.5]}, "mean and deviation must be 3 numbers each"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            make(**settings)
    with pytest.raises(ValueError, match="at least the 8 x 8 pixels of a patch, got 4 x 16"):
        make()(np.zeros((1, 4, 16, 3), np.uint8))


def test_checkpoints_between_blocks_change_no_gradient():
    settings = {"units": 8, "heads": 2, "depth": 2, "patch_size": 8, "image_size": 16}
    plain, kept = (
        create_backbone("vision-transformer", **settings, checkpoint=checkpoint, rngs=nnx.Rngs(0))
        for checkpoint in (False, True)
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    gradient = jax.jit(jax.grad(lambda net, x: (net(x).embedding ** 2).sum()))
    ours, expected = (jax.tree.leaves(nnx.state(gradient(net, images))) for net in (kept, plain))
    assert len(ours) == len(expected) > 0
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert "remat" in str(jax.make_jaxpr(lambda net, x: net(x).embedding)(kept, images))
