"""The recipe ndvr-dml as a user runs it: one vector a video, and the layers that are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from jaxret import train
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.recipes.clips.ndvr_dml import NdvrDmlConfig, default_layers, make_encoder
from jaxret.retrieval import Retriever, SequenceSearch


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=6, validation_clips=0, test_clips=0)
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in ("0-up", "1-left")])
    next(root.glob("*.csv")).unlink()
    return root


def test_a_run_leaves_one_vector_of_length_1_a_video(media: Path, tmp_path: Path) -> None:
    words = [
        *("--data", str(media), "--out", str(tmp_path / "run"), "--epochs", "1", "--quiet", "--weights", "none"),
        *("--image-size", "32", "--frames", "4", "--batch-size", "8", "--samples-per-class", "2"),
        *("--widths", "16", "8", "--layers", "conv_1", "conv_3"),
    ]
    assert train.main(["ndvr-dml", *words]) == 0
    retriever = Retriever.open(tmp_path / "run" / "index")
    rows = retriever.index.rows("clip")
    assert len(rows.vectors) == len(retriever.index) == 12
    np.testing.assert_allclose(np.linalg.norm(rows.vectors, axis=1), 1, atol=1e-5)
    assert retriever.encoder.backbone.config["layers"] == ["conv_1", "conv_3"]
    video = next(media.glob("1-left/*.mp4"))
    for sequence in ("bi-dtw", "mean-cosine"):
        assert Path(retriever.search(video, 1, options=SequenceSearch(sequence))[0].item.path) == video.resolve()


def test_all_convolutions_are_taken_where_none_is_named() -> None:
    assert default_layers(create_backbone("small-convnet", rngs=nnx.Rngs(0))) == ("conv_1", "conv_2", "conv_3")
    layers = default_layers(create_backbone("vgg16", rngs=nnx.Rngs(0)))
    assert len(layers) == 13
    assert (layers[0], layers[-1]) == ("block1_conv1", "block5_conv3")
    config = NdvrDmlConfig(backbone="mobilenet-v1", weights="none", freeze=False, image_size=32, widths=(8,))
    assert make_encoder(config).frame_embedding_size == 64 + 2 * 128 + 2 * 256 + 6 * 512 + 2 * 1024  # 13 layers
    with pytest.raises(ConfigError, match="unknown stage of small-convnet 'conv_7'"):
        make_encoder(NdvrDmlConfig(backbone="small-convnet", weights="none", image_size=32, layers=("conv_7",)))
