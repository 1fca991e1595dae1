"""The option grey: one channel all the way from training to queries, in every recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from safetensors.numpy import save_file

from jaxret import train
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.store import encoder_arrays, load_encoder
from jaxret.recipes.clips import c3d, cnn_lstm, deep_hash
from jaxret.retrieval import Retriever


def picture(number: int) -> np.ndarray:
    """A colour picture (32, 32, 3): classes 0 and 1 are stripes across and down."""
    rng = np.random.default_rng(number)
    stripes = np.where(np.arange(32) // 4 % 2, 220, 30)
    grid = np.broadcast_to(stripes[:, None] if number % 2 else stripes, (32, 32))
    return (grid[..., None] * rng.uniform(0.3, 1, 3) + rng.integers(0, 20, (32, 32, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished grey training on 24 pictures."""
    root = tmp_path_factory.mktemp("grey")
    for number in range(24):
        path = root / "data" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    small = ["--image-size", "32", "--batch-size", "8", "--epochs", "1", "--quiet", "--weights", "none"]
    assert (
        train.main(["cnn-lstm", "--data", str(root / "data"), "--out", str(root / "run"), "--grey", "True", *small])
        == 0
    )
    return root / "run"


def test_a_grey_copy_of_a_colour_picture_is_the_picture(run: Path, tmp_path: Path) -> None:
    encoder = load_encoder(run / "encoder")
    assert (encoder.preprocessing.channels, encoder.backbone.channels) == (1, 1)
    assert "frames of 32 x 32 grey pixels" in encoder.summary
    retriever = Retriever.open(run / "index")
    luma = np.rint(picture(5) @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    Image.fromarray(luma).save(tmp_path / "grey.png")
    found = retriever.search(tmp_path / "grey.png", 2)
    assert Path(str(found[0].item.path)).name == "5.png"
    assert found[0].distance < 0.1 * found[1].distance


def test_videos_train_in_grey(tmp_path: Path) -> None:
    digits = MovingDigits(train_clips=4, validation_clips=0, test_clips=0)
    digits.write_media_folder(
        tmp_path / "data", [n for n, item in enumerate(digits.items) if item.label in ("0-up", "1-left")]
    )
    options = ["--image-size", "32", "--frames", "4", "--bits", "8", "--batch-size", "8", "--epochs", "1", "--quiet"]
    options += ["--weights", "none", "--grey", "True", "--data", str(tmp_path / "data")]
    assert train.main(["deep-hash", *options, "--out", str(tmp_path / "run")]) == 0
    assert load_encoder(tmp_path / "run" / "encoder").preprocessing.channels == 1


@pytest.mark.parametrize("name", ["mobilenet-v1", "small-convnet"])
def test_colour_weights_see_the_grey_picture_as_three_channels(tmp_path: Path, name: str) -> None:
    weights = tmp_path / "colour.safetensors"
    save_file(encoder_arrays(create_backbone(name, rngs=nnx.Rngs(3))), weights)
    settings = {"backbone": name, "weights": str(weights), "image_size": 32, "freeze": True, "units": 4}
    grey, colour = (
        cnn_lstm.make_encoder(cnn_lstm.CnnLstmConfig(**settings, grey=channels == 1)) for channels in (1, 3)
    )
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 1), np.uint8)
    np.testing.assert_allclose(grey.encode_clips(clips), colour.encode_clips(clips.repeat(3, -1)), atol=1e-5)


def test_c3d_takes_grey_chunks() -> None:
    encoder = c3d.make_encoder(c3d.C3dConfig(grey=True, width=1 / 32, embedding_size=4, image_size=48, frames=4))
    assert encoder.encode_clips(np.zeros((1, 4, 48, 48, 1), np.uint8)).shape == (1, 4)


@pytest.mark.parametrize("kind", [cnn_lstm.CnnLstmConfig, deep_hash.DeepHashConfig])
def test_motion_is_not_grey(kind: type) -> None:
    with pytest.raises(ConfigError, match="grey=True does not go with the modality 'flow', which has 3 channels"):
        kind(grey=True, modalities=("rgb", "flow"))
