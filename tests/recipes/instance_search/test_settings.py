"""Settings of the recipe instance-search, and pictures, that do not fit: each is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from instance_runs import FEATURES, SMALL
from PIL import Image

from jaxret import train
from jaxret.errors import ConfigError
from jaxret.recipes.instances.recipe import InstanceSearchConfig


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (FEATURES["grid"], "none of the 1 training images can be read"),
        ([*SMALL, "--features", "rmac"], "none of the 1 items can be read"),
    ],
)
def test_pictures_of_which_none_can_be_read_are_refused(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=rf"{told}; the first: .*broken\.png: not an image"):
        train.main(["instance-search", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *words])


def test_pictures_too_few_for_the_whitening_name_its_option(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    told = r"--whitened-size 8 does not fit 1 regions of 1 images \(0 does not whiten\): .* at least 2 vectors"
    words = ["instance-search", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    with pytest.raises(ConfigError, match=told):
        train.main([*words, *FEATURES["grid"], "--levels", "1"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "data must name the images: --data FOLDER"),
        (["--data", "{here}/nowhere"], "no data set: .*nowhere"),
        (["--data", "{data}", "--stop-after", "3"], "instance-search trains no steps: run it in one process, without"),
        (["--data", "{data}", "--stage", "conv_9", *SMALL], "unknown stage of small-convnet 'conv_9'"),
        (["--data", "{data}", *SMALL, "--whitened-size", "99"], r"--whitened-size must be 1\.\.32, the channels of"),
        (
            ["--data", "{data}", "--features", "blcf", *SMALL],
            "the codebook: 2000 words need at least as many descriptors, got 1792",
        ),
    ],
)
def test_bad_settings_are_named(data: Path, tmp_path: Path, options: list[str], message: str) -> None:
    words = [word.format(data=data, here=tmp_path) for word in options]
    with pytest.raises(ConfigError, match=message):
        train.main(["instance-search", "--out", str(tmp_path / "run"), *words])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"words": 0}, "words must be at least 1, got 0"),
        ({"threads": 0}, "threads must be 1 to 1024, got 0"),
        ({"whitened_size": -1}, "whitened_size must be at least 0 or none, got -1"),
        ({"image_size": 100}, "100 x 100"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        (
            {"features": "sift", "stage": "conv_3"},
            "stage='conv_3' has no effect: it is no setting of the feat",
        ),
        ({"features": "sift", "backbone": "vgg16"}, "backbone='vgg16' has no effect"),
        ({"features": "rmac", "words": 9}, "words=9 has no effect: it is no setting of the features 'rmac'"),
        ({"features": "blcf", "levels": 2}, "levels=2 has no effect"),
        ({"search_regions": "windows"}, "search_regions='windows' has no effect: it is no setting of the features 'gr"),
        ({"features": "faster-rcnn", "weights": "x.pth", "stage": "conv_3"}, "stage='conv_3' has no effect"),
        (
            {"features": "faster-rcnn"},
            r"got weights=imagenet: give the file of torchvision's fasterrcnn_resnet50_fpn \(--weights FILE.pth\)",
        ),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InstanceSearchConfig(data="pictures", **settings)
