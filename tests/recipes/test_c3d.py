"""The recipe c3d: an encoder of whole chunks goes through training, index, search and codes like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret import train
from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models.store import load_encoder
from jaxret.recipes.clips.c3d import C3dConfig
from jaxret.retrieval import Retriever, VectorSearch

SMALL = [
    "--width",
    "0.03125",
    "--embedding-size",
    "16",
    "--image-size",
    "48",
    "--frames",
    "4",
    "--epochs",
    "1",
    "--quiet",
]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of twelve short videos, and a picture."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=12, validation_clips=0, test_clips=0)
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in ("0-up", "1-left")])
    next(root.glob("*.csv")).unlink()
    Image.fromarray(digits.render([0])[0, 0]).save(root / "0-up" / "picture.png")
    return root


def test_videos_and_pictures_are_indexed_and_found(media: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    assert train.main(["c3d", "--data", str(media), "--out", str(out), "--bits", "16", *SMALL]) == 0
    encoder = load_encoder(out / "encoder")
    assert (encoder.unit, encoder.backbone.name, encoder.code_bits) == ("chunk", "c3d", 16)
    figures = json.loads((out / "figures.json").read_text())
    assert "mean of frame vectors" not in figures  # a chunk has one vector: there is no order to be blind to
    retriever = Retriever.open(out / "index")
    assert {name: retriever.index.count_rows(name) for name in ("frame", "clip", "code")} == {
        "frame": 25,
        "clip": 24,
        "code": 24,
    }
    picture = media / "0-up" / "picture.png"
    found = retriever.search(picture, 1)[0]
    assert (found.item.path, found.distance) == (str(picture.resolve()), pytest.approx(0, abs=1e-3))
    video = next(media.glob("1-left/*.mp4"))
    found = retriever.search(video, 1, options=VectorSearch(space="clip"))[0]
    assert (found.item.path, found.distance) == (str(video.resolve()), pytest.approx(0, abs=1e-3))
    capsys.readouterr()
    assert dispatch(["search", str(out), str(video), "--space", "frame", "-k", "1"]) == 0
    assert str(video.resolve()) in capsys.readouterr().out


def test_the_embedding_of_a_still_clip_is_that_of_its_picture(media: Path, tmp_path: Path) -> None:
    from jaxret.recipes.clips.c3d import make_encoder

    encoder = make_encoder(C3dConfig(width=1 / 32, embedding_size=16, image_size=48, frames=4))
    picture = np.random.default_rng(0).integers(0, 256, (1, 1, 48, 48, 3), np.uint8)
    still = np.repeat(picture, 4, axis=1)
    np.testing.assert_allclose(encoder.encode_clips(still), encoder.encode_frames(still), atol=1e-6)


def test_pictures_alone_are_refused(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "data" / label / f"{number}.png")
    with pytest.raises(ConfigError, match=r"c3d takes chunks of video, and .* holds images only"):
        train.main(["c3d", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *SMALL])
