"""Trainings of system 2 of fewer steps, with another beginning, or on other videos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from readme_commands import run_readme_commands
from tiny_conv_lstm import config_of, encoder_of, options, tiny_config

from jaxret import train
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.splits import split_for_autoencoder
from jaxret.errors import ConfigError
from jaxret.models import Mean, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import encoder_arrays, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.conv_lstm.initial import InitialEncoder
from jaxret.recipes.conv_lstm.recipe import RECIPE, ConvLstmConfig
from jaxret.recipes.conv_lstm.steps import AutoencoderSteps
from jaxret.training import config_from_json, read_run_log

CLIPS = Preprocessing(height=32, width=32, frames=4)


def test_a_run_begins_with_the_encoder_of_another(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = ["conv-lstm", "--data", str(media), "--out"]
    first = tmp_path / "first"
    save_encoder(encoder_of(tiny_config(seed=5)), first / "encoder")
    begun: list[dict[str, np.ndarray]] = []

    def stop(steps: AutoencoderSteps, step: str) -> bool:
        begun.append(encoder_arrays(steps._encoder))
        return False

    monkeypatch.setattr(AutoencoderSteps, "take", stop)
    train.main([*words, str(tmp_path / "run"), *options(steps="triplet"), "--from", str(first)])
    assert f"the first step begins with the encoder of {first}" in capsys.readouterr().out
    first.rename(tmp_path / "moved")  # what resumes has no need of it
    train.main(["--resume", str(tmp_path / "run")])
    first = tmp_path / "moved"
    expected = encoder_arrays(load_encoder(first / "encoder"))
    for arrays in begun:
        assert expected.keys() == arrays.keys()
        assert all(np.array_equal(arrays[name], expected[name]) for name in expected)
    assert len(begun) == 2
    assert config_of(tmp_path / "run").standardise_by == "clip"
    for changes, message in {
        (("map_channels", 3),): "with --map-channels 2, and this training has 3: sizes must agree",
        (("image_size", 8),): "with --image-size 16, and this training has 8: sizes must agree",
        (("grey", True),): "with --grey False, and this training has --grey True: both must be the same",
        (("architecture", "m2-3d"), ("changes", 0.0)): (
            r"of another encoder \(m1, m2, m3\), and this training's is of m1-3d, m2-3d, m3-3d: .* --architecture m1$"
        ),
    }.items():
        with pytest.raises(ConfigError, match=message):
            train.main([*words, str(tmp_path / "other"), *options(**dict(changes)), "--from", str(first)])
    backbone = json.loads((first / "encoder" / "encoder.json").read_text())["encoder"]["backbone"]
    assert backbone["standardise_by"] == "clip"
    with pytest.raises(ConfigError, match=r"--bins 8 are of intensities, and the encoder of --from .* set bins to 0"):
        train.main([*words, str(tmp_path / "other"), *options(bins=8), "--from", str(first)])
    with pytest.raises(ConfigError, match="holds no encoder to begin with"):  # before the data are opened
        train.main([*words, str(tmp_path / "none"), "--from", str(tmp_path), "--data", "nothing-there"])
    with pytest.raises(ConfigError, match=r"--from cannot change when a run is resumed: it was .*first, got .*moved"):
        train.main(["--resume", str(tmp_path / "run"), "--from", str(first)])
    encoder = VideoEncoder(create_backbone("small-convnet", rngs=nnx.Rngs(0)), Mean(128, rngs=nnx.Rngs(0)), CLIPS)
    save_encoder(encoder, tmp_path / "clips" / "encoder")
    with pytest.raises(ConfigError, match="is no run of conv-lstm: its backbone is small-convnet"):
        InitialEncoder.load(tmp_path / "clips")


def test_steps_can_be_skipped_and_the_second_pass_plain(media: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["conv-lstm", "--data", str(media), "--out", str(run), *options(steps="triplet plain")]
    assert train.main(words) == 0
    assert sorted(path.parent.name for path in run.glob("*/step.json")) == ["plain", "triplet"]
    assert "Clips and their reconstructions" not in (run / "report.html").read_text()
    losses = [read_run_log(run / step / "metrics.jsonl")[0]["loss"] for step in ("triplet", "plain")]
    assert losses[0] != losses[1]


def test_without_labels_the_first_step_alone_is_taken(media: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number, path in enumerate(sorted(media.glob("*/*.mp4"))[:12]):
        shutil.copy(path, data / f"{number}.mp4")
    words = ["conv-lstm", "--data", str(data), "--out", str(tmp_path / "run")]
    with pytest.raises(ConfigError, match=r"steps triplet, rank, challenging need labels .* none has a label"):
        train.main([*words, *options()])
    assert not (tmp_path / "run").exists()
    assert train.main([*words, *options(steps="pretrain", copy_weight=0.0, epochs=1)]) == 0
    record = json.loads((tmp_path / "run" / "pretrain" / "step.json").read_text())
    assert record["figures"].keys() == {"validation reconstruction error", "error of the mean frame"}
    assert "nothing to measure" in (tmp_path / "run" / "report.html").read_text()


def test_videos_with_depth_come_back_with_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        colours = np.broadcast_to(rng.integers(0, 256, (4, 1, 1, 3), np.uint8), (4, 8, 8, 3))
        depths = np.tile(np.where(np.arange(8) < 4, 1.0, 3.0 + number / 6).astype(np.float32), (4, 8, 1))
        write_rgbd_folder(tmp_path / "data" / str(number), colours, depths, times=np.arange(4) / 4)
    words = ["conv-lstm", "--data", f"rgbd:{tmp_path / 'data'}", "--out", str(tmp_path / "run")]
    sizes = {"image_size": 8, "depth_planes": 2, "epochs": 1, "steps": "pretrain", "changes": 0.0, "copy_weight": 0.0}
    assert train.main([*words, *options(architecture="cnn-3d", **sizes)]) == 0
    encoder = load_encoder(tmp_path / "run" / "encoder")
    assert (encoder.backbone.depth_planes, encoder.preprocessing.depth.count) == (2, 2)
    picture = np.asarray(Image.open(tmp_path / "run" / "pretrain" / "reconstructions.png"))
    shown = picture[:, 66:]
    assert {155, 255} <= set(shown[(shown == shown[..., :1]).all(axis=-1)].ravel().tolist())  # both planes are drawn


def test_who_trains_where_some_have_no_label(media: Path) -> None:
    dataset = open_dataset(media)
    data = split_for_autoencoder(dataset, steps_with_labels=("triplet",), unseen_fraction=0.0, seed=0)
    parts = {name: getattr(data.splits, name).tolist() for name in ("train", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 10, "validation": 6, "test": 7}
    assert len(data.unlabelled) == 2
    held_out = {dataset.items[n].source for n in (*parts["validation"], *parts["test"])}
    assert all(dataset.items[n].label is None and dataset.items[n].source not in held_out for n in data.unlabelled)


def test_videos_without_splits_are_dealt_by_the_papers_shares(media: Path) -> None:
    items = [MediaItem(f"{label}{n}.mp4", "video", label, path="x") for label in "ab" for n in range(100)]
    dataset = MediaFiles(items, probe=False)
    shares = dict(zip(("train", "validation", "test"), RECIPE.config.split_shares, strict=True))
    splits = split_for_autoencoder(dataset, steps_with_labels=(), unseen_fraction=0.0, seed=0, shares=shares).splits
    assert [len(getattr(splits, name)) for name in shares] == [140, 30, 30]
    older = config_from_json(ConvLstmConfig, {})
    assert older.split_shares == (0.7, 0.1, 0.2)
    assert (older.standardise_by, older.thumbnail_share) == ("data", 0.0)


def test_a_batch_that_devices_cannot_share_leaves_no_run(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    words = ["conv-lstm", "--data", str(media), "--out", str(tmp_path / "run"), *options()]
    with pytest.raises(ConfigError, match="--batch-size must be a multiple of the 3 devices"):
        train.main(words)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_on_is_refused_before_the_videos_are_read(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*arguments: object, **settings: object) -> None:
        raise AssertionError("videos are read")

    monkeypatch.setattr("jaxret.recipes.conv_lstm.clip_table.clip_table", read)
    with pytest.raises(ConfigError, match="17"):
        train.main(["conv-lstm", "--data", str(media), "--out", str(tmp_path / "run"), *options(image_size=17)])
    assert not (tmp_path / "run").exists()


def test_the_readmes_list_of_commands_runs(media: Path, tmp_path: Path) -> None:
    places = {"FOLDER": media, "QUERY.mp4": next(media.glob("0-up/test-*.mp4"))}
    run_readme_commands("sequences", places, [*options(epochs=1, copy_weight=0.0), "--steps", "pretrain"], tmp_path)
