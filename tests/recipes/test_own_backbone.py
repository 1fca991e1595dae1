"""A backbone from outside the package: one class, a decorator, and every recipe and command takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from instance_making import make_pictures
from safetensors.numpy import save_file

from jaxret import train
from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models import Backbone, Encoding, backbone_info, create_backbone, known_backbones, register_backbone
from jaxret.models.base import compute_dtype
from jaxret.models.store import encoder_arrays, load_encoder
from jaxret.models.weights.load import load_pretrained
from jaxret.models.weights.names import TORCH_CONVOLUTION, TORCH_DENSE, Slot, WeightTable
from jaxret.recipes.instances.faster_rcnn import FasterRcnnConfig, make_detector
from jaxret.recipes.instances.recipe import InstanceSearchConfig

PATCH = 8


@register_backbone(image_size=32, stages={"rmac": "block_1", "words": "block_1", "detector": "patches"})
class ToyViT(Backbone):
    """A vision transformer of one block and one attention head (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

    name: ClassVar[str] = "toy-vit"
    normalisation: ClassVar[dict[str, Any]] = {"mean": 127.5, "scale": 1 / 127.5}

    def __init__(self, *, width: int = 12, channels: int = 3, dtype: str = "float32", rngs: nnx.Rngs):
        self.embedding_size, self.channels, self.dtype = width, channels, compute_dtype(dtype)
        self.stage_names = ("patches", "block_1")
        self.patches = nnx.Conv(channels, width, (PATCH, PATCH), strides=PATCH, dtype=self.dtype, rngs=rngs)
        self.norm = nnx.LayerNorm(width, dtype=self.dtype, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * width, dtype=self.dtype, rngs=rngs)
        self.out = nnx.Linear(width, width, dtype=self.dtype, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "width": self.embedding_size,
            "channels": self.channels,
            "dtype": self.dtype.name,
        }

    def weight_tables(self) -> list[WeightTable]:
        slots = {
            "patch_embed.proj.weight": Slot(("patches", "kernel"), *TORCH_CONVOLUTION),
            "patch_embed.proj.bias": Slot(("patches", "bias")),
            "norm.weight": Slot(("norm", "scale")),
            "norm.bias": Slot(("norm", "bias")),
        }
        for theirs, ours in (("attn.qkv", "qkv"), ("attn.proj", "out")):
            slots[f"{theirs}.weight"] = Slot((ours, "kernel"), *TORCH_DENSE)
            slots[f"{theirs}.bias"] = Slot((ours, "bias"))
        return [WeightTable("PyTorch", slots, lambda name: name == "head.weight", "patch_embed.proj.weight")]

    def __call__(self, images: jax.Array) -> Encoding:
        self._check_images(images)
        patches = self.patches(self._normalise(images))  # (B, H/8, W/8, D)
        tokens = patches.reshape(len(images), -1, self.embedding_size)  # (B, N, D)
        query, key, value = jnp.split(self.qkv(self.norm(tokens)), 3, axis=-1)
        weights = jax.nn.softmax(query @ key.mT / self.embedding_size**0.5)  # (B, N, N)
        tokens = tokens + self.out(weights @ value)
        stages = {"patches": patches, "block_1": nnx.relu(tokens).reshape(patches.shape)}
        return Encoding(tokens.mean(axis=1, dtype=jnp.float32), stages)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six short videos."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=6, validation_clips=0, test_clips=0)
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in ("0-up", "1-left")])
    next(root.glob("*.csv")).unlink()
    return root


def results(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    """What a search prints as JSON."""
    capsys.readouterr()
    assert dispatch(["search", *map(str, words), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def pytorch_weights(path: Path, channels: int = 3) -> dict[str, np.ndarray]:
    """A file of random weights with PyTorch's names and layouts; its arrays."""
    width = 12
    shapes = {
        "patch_embed.proj.weight": (width, channels, PATCH, PATCH),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "head.weight": (10, width),
    }
    shapes |= dict.fromkeys(("patch_embed.proj.bias", "norm.weight", "norm.bias", "attn.proj.bias"), (width,))
    rng = np.random.default_rng(0)
    arrays = {name: 0.1 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    save_file(arrays, path)
    return arrays


def test_the_registry_knows_it() -> None:
    info = backbone_info("toy-vit")
    assert (info.unit, info.image_size, info.imagenet) == ("frame", 32, None)
    assert (info.stage("words"), info.stage("detector")) == ("block_1", "patches")
    assert known_backbones("frame")["toy-vit"] is info
    assert "toy-vit" not in known_backbones("chunk")
    assert isinstance(create_backbone("toy-vit", rngs=nnx.Rngs(0)), ToyViT)
    with pytest.raises(ConfigError, match="unknown option of toy-vit 'widht': did you mean 'width'"):
        create_backbone("toy-vit", widht=8, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("recipe", ["cnn-lstm", "image-to-video", "instance-search", "faster-rcnn"])
def test_help_lists_it(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        train.main([recipe, "--help"])
    assert ended.value.code == 0
    assert "toy-vit" in capsys.readouterr().out


def test_it_trains_is_indexed_and_searched(media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, weights = tmp_path / "run", tmp_path / "toy.safetensors"
    pytorch_weights(weights)
    words = ["--frames", "4", "--units", "8", "--batch-size", "4", "--epochs", "2", "--quiet", "--freeze", "False"]
    backbone = ["--backbone", "toy-vit", "--weights", str(weights)]
    assert train.main(["cnn-lstm", "--data", str(media), "--out", str(run), *backbone, *words]) == 0
    assert json.loads((run / "config.json").read_text())["image_size"] == 32
    trained = load_encoder(run / "encoder")
    assert isinstance(trained.backbone, ToyViT)
    before = create_backbone("toy-vit", rngs=nnx.Rngs(0))
    load_pretrained(before, weights)
    changed = [
        name
        for name, array in encoder_arrays(before).items()
        if not np.array_equal(array, encoder_arrays(trained.backbone)[name])
    ]
    assert "qkv.kernel" in changed
    video = next(media.glob("0-up/*.mp4"))
    first = results(capsys, run, video, "-k", "3")[0]
    assert first["path"] == str(video.resolve())
    assert first["distance"] == pytest.approx(0, abs=1e-3)


def test_weights_of_another_library_load_by_its_own_table(tmp_path: Path) -> None:
    arrays = pytorch_weights(tmp_path / "toy.safetensors")
    for channels in (3, 1):
        backbone = create_backbone("toy-vit", channels=channels, rngs=nnx.Rngs(0))
        load_pretrained(backbone, tmp_path / "toy.safetensors")
        kernel = arrays["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
        expected = kernel if channels == 3 else kernel.sum(axis=2, keepdims=True)
        np.testing.assert_allclose(encoder_arrays(backbone)["patches.kernel"], expected, rtol=1e-6)
        np.testing.assert_array_equal(encoder_arrays(backbone)["qkv.kernel"], arrays["attn.qkv.weight"].T)


@pytest.mark.parametrize("features", ["rmac", "blcf"])
def test_its_maps_find_instances(features: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, run = make_pictures(tmp_path / "images"), tmp_path / "run"
    words = ["--backbone", "toy-vit", "--weights", "none", "--image-size", "64", "--features", features, "--quiet"]
    words += ["--words", "12"] if features == "blcf" else []
    assert train.main(["instance-search", "--data", str(images), "--out", str(run), *words]) == 0
    assert json.loads((run / "encoder" / "encoder.json").read_text())["encoder"]["backbone"]
    found = results(capsys, run, images / "a.png", "--region", "8,8,24,24", "-k", "3")
    assert found[0]["path"].endswith("a.png")
    assert found[0]["box"] is not None


def test_a_detector_takes_its_own_stage() -> None:
    config = FasterRcnnConfig(data="x", backbone="toy-vit", weights="none", image_size=64)
    detector = make_detector(config, ("thing",))
    assert (detector.stage, detector.stride) == ("patches", PATCH)


def test_what_it_does_not_name_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="toy-vit names no stage for 'convolutions': choose one with the setting"):
        backbone_info("toy-vit").stage("convolutions")


def test_settings_refuse_what_is_no_backbone_of_frames() -> None:
    for name in ("toy-vitt", "c3d", "pooled"):
        with pytest.raises(ConfigError, match=f"unknown backbone '{name}'.*toy-vit"):
            InstanceSearchConfig(backbone=name)
