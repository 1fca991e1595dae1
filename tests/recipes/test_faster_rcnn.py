"""The recipe faster-rcnn: it learns to find squares, stops and goes on, and says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from box_making import make_squares
from flax import nnx
from PIL import Image
from two_processes import train_in_two_processes

from jaxret import train
from jaxret.data.ground_truth.boxes import BoxReader, read_box_annotations
from jaxret.errors import ConfigError
from jaxret.metrics import ImageBoxes
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.store import encoder_arrays, load_encoder
from jaxret.recipes.instances.faster_rcnn import FasterRcnnConfig, fix_backbone, make_detector
from jaxret.recipes.instances.scores import detector_figures, seen_images
from jaxret.recipes.instances.train import fit_map_scale
from jaxret.training import read_run_log

# fmt: off
SMALL = [
    "--backbone", "small-convnet", "--weights", "none", "--image-size", "64", "--anchor-sizes", "12", "24",
    "--anchor-aspects", "1", "--proposals", "20", "--proposer-channels", "32", "--head-units", "32",
    "--sampled-anchors", "64", "--sampled-regions", "32", "--batch-size", "8", "--learning-rate", "2e-3", "--quiet",
]
# fmt: on
EPOCHS = ["--epochs", "16", "--evaluate-every", "8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_squares(tmp_path_factory.mktemp("squares"), 48)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train.main(["faster-rcnn", "--data", str(data), "--out", str(out), *SMALL, *EPOCHS]) == 0
    return out


def test_it_learns_to_find_squares(data: Path, run: Path) -> None:
    rows = read_run_log(run / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [8, 16]
    parts = {"objectness", "proposal_boxes", "classes", "boxes"}
    assert rows[-1]["loss"] == pytest.approx(sum(rows[-1][name] for name in parts), rel=1e-4)
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    figures = json.loads((run / "figures.json").read_text())
    assert list(figures) == ["trained", "untrained"]
    assert figures["trained"]["mAP"] > 0.6
    assert figures["trained"]["mAP"] > 2 * figures["untrained"]["mAP"]
    assert figures["trained"]["recall"] >= max(0.9, figures["untrained"]["recall"])
    assert figures["trained"]["images"] == 8
    assert {path.name for path in run.iterdir()} >= {
        "encoder",
        "curves.png",
        "detections.png",
        "report.html",
        "config.json",
    }
    report = (run / "report.html").read_text()
    assert "Detection on the test split" in report
    assert "Detections and proposals" in report


def test_the_stored_detector_finds_the_square_of_a_picture(data: Path, run: Path) -> None:
    model = load_encoder(run / "encoder")
    assert isinstance(model, FasterRCNN)
    assert model.classes == ("square",)
    pixels = np.random.default_rng(5).integers(0, 130, (1, 64, 64, 3)).astype(np.uint8)
    pixels[:, 20:44, 30:54] = 220
    detections, _ = model.detect(pixels)
    assert float(detections.scores[0, 0]) > 0.5
    np.testing.assert_allclose(detections.boxes[0, 0], [30, 20, 54, 44], atol=5)
    regions = model.regions(pixels)
    inside = model.region_vectors(pixels, jnp.array([[[30.0, 20, 54, 44], [0.0, 0, 20, 20]]]))[0]
    best = regions.vectors[0, 0]  # the likeliest proposal is of the square, not of the noise
    assert float(best @ inside[0]) > float(best @ inside[1])


def test_stopped_and_resumed_equals_one_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["faster-rcnn", "--data", str(data), *SMALL, "--epochs", "2", "--out"]
    assert train.main([*short, str(tmp_path / "whole")]) == 0
    assert train.main([*short, str(tmp_path / "halves"), "--stop-after", "3"]) == 0
    assert "To go on" in capsys.readouterr().out
    assert not (tmp_path / "halves" / "encoder").exists()
    assert train.main(["--resume", str(tmp_path / "halves"), "--quiet"]) == 0
    first, second = (encoder_arrays(load_encoder(tmp_path / name / "encoder")) for name in ("whole", "halves"))
    assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


@pytest.mark.slow  # test_image_to_video.py and ../training/test_fit.py train in two processes as well
def test_two_processes_leave_one_run(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "both"
    outputs = train_in_two_processes(["faster-rcnn", "--data", data, "--out", run, *SMALL, "--epochs", "1"])
    assert "report" in outputs[0]
    assert "report" not in outputs[1]
    assert set(json.loads((run / "figures.json").read_text())) == {"trained", "untrained"}


def test_a_frozen_part_of_the_trunk_stays_and_broken_pictures_are_listed(tmp_path: Path) -> None:
    table = make_squares(tmp_path, 12, splits=False)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    table.write_text(table.read_text() + "broken.png,1,1,9,9,square\n")
    out = tmp_path / "run"
    words = ["--frozen-stage", "conv_2", "--backbone-learning-rate", "1e-3", "--weight-decay", "0.1", "--epochs", "1"]
    assert train.main(["faster-rcnn", "--data", str(table), "--out", str(out), *SMALL, *words]) == 0
    assert "broken.png" in (out / "report.html").read_text()
    settings = {"backbone": "small-convnet", "weights": "none", "image_size": 64, "anchor_sizes": (12, 24)}
    start = make_detector(
        FasterRcnnConfig(**settings, anchor_aspects=(1,), proposals=20, proposer_channels=32, head_units=32),
        ("square",),
    )
    before, after = encoder_arrays(start), encoder_arrays(load_encoder(out / "encoder"))
    kernels = [name for name in before if name.startswith("backbone") and name.endswith("kernel")]
    changed = [name for name in kernels if not np.array_equal(before[name], after[name])]
    assert changed == ["backbone.convolutions.2.kernel"]  # nor the dense layer, which has no part in the map


def test_a_frozen_trunk_trains_nothing_of_the_backbone() -> None:
    config = FasterRcnnConfig(data="x.csv", backbone="mobilenet-v1", weights="mobilenet.h5")
    assert config.frozen
    assert not config.objective().batch_statistics
    model = make_detector(FasterRcnnConfig(data="x.csv", backbone="mobilenet-v1", weights="none"), ("a",))
    fix_backbone(model, config)
    assert {path[0] for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))} == {"proposer", "head"}
    trained = FasterRcnnConfig(data="x.csv", backbone="mobilenet-v1", weights="mobilenet.h5", freeze=False)
    assert not trained.frozen
    assert not trained.objective().batch_statistics
    assert FasterRcnnConfig(data="x.csv", weights="none").objective().batch_statistics


def test_the_map_is_scaled_to_numbers_of_about_one(data: Path) -> None:
    found = read_box_annotations(data)
    settings = FasterRcnnConfig(backbone="small-convnet", weights="none", image_size=64)
    model = make_detector(settings, found.classes)
    reader = BoxReader(found.images, found.boxes, found.labels, model.preprocessing, places=2, mirror=0.0)
    squares, numbers = 0.0, 0
    for row in (0, 1, 2):  # 64 x 64, 64 x 48 and 48 x 64, where sides are rounded to 32 or 64
        one = reader(row, np.random.default_rng(0))
        height, width = one["sizes"] // model.stride
        part = np.asarray(model.backbone(one["images"][None]).stages["conv_3"])[0, :height, :width]
        squares, numbers = squares + float((part**2).sum()), numbers + part.size
    fit_map_scale(model, reader, [0, 1, 2], batch_size=2)
    np.testing.assert_allclose(model.map_scale[...], [(numbers / squares) ** 0.5], rtol=1e-4)
    again = make_detector(settings, found.classes)
    assert again.map_scale[...].tolist() == [1]


def test_figures_of_pictures_without_objects_and_of_several_classes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
    table = tmp_path / "boxes.csv"
    table.write_text("path,left,top,right,bottom,label\na.png,,,,,\nb.png,1,1,9,9,cat\nb.png,2,2,30,30,dog\n")
    found = read_box_annotations(table)
    settings = {"backbone": "small-convnet", "weights": "none", "image_size": 64, "proposals": 5}
    model = make_detector(FasterRcnnConfig(**settings), found.classes)
    reader = BoxReader(found.images, found.boxes, found.labels, model.preprocessing, places=2, mirror=0.0)
    seen = list(seen_images(model, reader, [0, 1], batch_size=3, threads=1))
    assert [picture.row for picture in seen] == [0, 1]
    assert detector_figures(seen[:1], found.classes) == {}
    figures = detector_figures(seen, found.classes)
    assert list(figures) == ["mAP", "recall", "AP cat", "AP dog", "images"]
    assert figures["mAP"] == pytest.approx((figures["AP cat"] + figures["AP dog"]) / 2)
    assert isinstance(seen[0].true, ImageBoxes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "data must name the boxes: --data BOXES.csv"),
        (["--data", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--data", "{data}", "--stage", "conv_9"], "unknown stage of small-convnet 'conv_9'"),
        (["--data", "{data}", "--image-size", "640000"], "8 images of 640000 x 640000 pixels would take"),
        (["--data", "{data}", "--frozen-stage", "conv_3"], "no layer lies between it and the map conv_3 to train"),
    ],
)
def test_bad_settings_are_named(data: Path, tmp_path: Path, options: list[str], message: str) -> None:
    words = [word.format(data=data) for word in options]
    with pytest.raises(ConfigError, match=message):
        train.main(["faster-rcnn", "--out", str(tmp_path / "run"), *SMALL, *words])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"weights": "none", "freeze": True},
            "freeze=True needs pretrained weights: a random backbone would stay random",
        ),
        (
            {"backbone_learning_rate": 1e-4},
            "backbone_learning_rate=0.0001, but the backbone is frozen: set freeze=False",
        ),
        ({"frozen_stage": "block_3"}, "frozen_stage=block_3, but the backbone is frozen: set freeze=False"),
        ({"freeze": False, "backbone_learning_rate": 0.0}, "backbone_learning_rate must be above 0 or none, got 0.0"),
        ({"image_size": 100}, "must be multiples of 32, got 100 x 100"),
        ({"mirror": 2.0}, "mirror must be 0 to 1, got 2.0"),
        ({"sampled_regions": 0}, "sampled_regions must be at least 1, got 0"),
        ({"anchor_sizes": (0.0,)}, "anchor_sizes must be above 0, got 0.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FasterRcnnConfig(data="boxes.csv", **settings)
