"""The recipe deep-hash as a user runs it: codes in the index, two streams, half precision, and bad settings."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from jaxret import train
from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models.store import load_encoder
from jaxret.rank import pack_bits
from jaxret.recipes.clips.deep_hash import DeepHashConfig, make_encoder
from jaxret.retrieval import Retriever

SMALL = [
    *("--image-size", "32", "--frames", "4", "--batch-size", "8", "--quiet", "--weights", "none"),
]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=12, validation_clips=0, test_clips=0)
    labels = ("0-up", "1-left")
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in labels])
    next(root.glob("*.csv")).unlink()
    return root


def run_recipe(media: Path, out: Path, *words: str) -> Path:
    batches = [*SMALL, "--samples-per-class", "2"]
    assert train.main(["deep-hash", "--data", str(media), "--out", str(out), "--epochs", "2", *batches, *words]) == 0
    return out


def test_a_run_leaves_an_index_of_codes_that_are_the_rounded_activations(media: Path, tmp_path: Path, capsys) -> None:
    run = run_recipe(media, tmp_path / "run", "--bits", "24", "--fusion", "convolution", "--balance-weight", "0.1")
    figures = json.loads((run / "figures.json").read_text())
    assert set(figures) == {
        "trained",
        "trained, before rounding",
        "mean of frame vectors",
        "untrained",
        "mean of pixels",
        "chance",
    }
    assert "mAP tie-averaged" in figures["trained"]["all"]
    retriever = Retriever.open(run / "index")
    codes, clips = retriever.index.rows("code"), retriever.index.rows("clip")
    assert codes.vectors.shape == (24, 3)
    np.testing.assert_array_equal(codes.vectors, pack_bits(np.asarray(clips.vectors)))
    assert load_encoder(run / "encoder").code_bits == 24
    video = next(media.glob("1-left/*.mp4"))
    capsys.readouterr()
    assert dispatch(["search", str(run), str(video), "-k", "24"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "bits"
    assert any(line.endswith(str(video.resolve())) and line.split()[1] == "0" for line in lines[1:])


def test_maps_are_fused_in_space_and_time(media: Path, tmp_path: Path) -> None:
    words = ["--bits", "8", "--fusion", "convolution-3d", "--map-grid", "2", "--units", "8", "--epochs", "1"]
    encoder = load_encoder(run_recipe(media, tmp_path / "run", *words) / "encoder")
    assert (encoder.backbone.name, encoder.temporal.encoder.kind) == ("map-grid", "convolution-3d")
    assert encoder.frame_embedding_size == 2 * 2 * 32
    assert len(Retriever.open(tmp_path / "run").index.rows("code").vectors) == 24


def test_a_frozen_backbone_under_maps_serves_all_streams(tmp_path: Path) -> None:
    weights = tmp_path / "weights.h5"
    weights.write_bytes(b"of a network")
    config = DeepHashConfig(
        fusion="convolution-3d", backbone="small-convnet", weights=str(weights), freeze=True, image_size=32, map_grid=2,
        modalities=("rgb", "difference"),
    )  # fmt: skip
    shared = make_encoder(dataclasses.replace(config, weights="none", freeze=None)).backbone
    assert not shared.shared  # trained ones go ways of their own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxret.models.pretrained.load_pretrained", lambda *_: None)
        assert make_encoder(config).backbone.shared


def test_streams_are_separate_where_they_are_trained(media: Path, tmp_path: Path) -> None:
    words = ["--modalities", "rgb", "difference", "--bits", "8", "--epochs", "1"]
    run = run_recipe(media, tmp_path / "run", *words)
    encoder = load_encoder(run / "encoder")
    assert encoder.preprocessing.pixel_channels == 6
    assert len(encoder.backbone.backbones) == 2
    assert Retriever.open(run / "index").search(next(media.glob("0-up/*.mp4")), 1)[0].distance == 0


def test_codes_on_top_of_the_lstm_recipe_in_half_precision(media: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [
        "cnn-lstm",
        "--data",
        str(media),
        "--out",
        str(out),
        "--epochs",
        "2",
        *SMALL,
        "--units",
        "8",
        "--bits",
        "16",
    ]
    assert train.main([*words, "--precision", "bfloat16"]) == 0
    encoder = load_encoder(out / "encoder")
    assert (encoder.backbone.dtype.name, encoder.code_bits) == ("bfloat16", 16)
    assert np.isfinite(json.loads((out / "figures.json").read_text())["trained"]["all"]["mAP"])
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["loss"]) for row in rows)


def test_codes_of_pictures_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "data" / label / f"{number}.png")
    with pytest.raises(ConfigError, match=r"--bits 64: codes are learned for videos, and .* holds images only"):
        train.main(["deep-hash", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *SMALL])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 63}, r"bits must be 0 or a positive multiple of 8 \(codes are whole bytes\), got 63"),
        ({"samples_per_class": 1}, "samples_per_class must be at least 2 for the triplet loss"),
        ({"batch_size": 6}, "batch_size 6 must be a multiple of samples_per_class 4"),
        ({"batch_size": 4}, "holds one class of samples_per_class 4, which leaves no negative"),
        ({"bits": 0, "quantisation_weight": 0.1}, "quantisation_weight is a term of binary codes: set bits as well"),
        ({"cross_entropy_weight": 0.0, "triplet_weight": 0.0}, "not both 0"),
        ({"modalities": ("rgb", "rgb")}, "modality 'rgb' is there twice"),
        ({"map_grid": 0}, "map_grid must be at least 1, got 0"),
    ],
)
def test_bad_settings_say_what_to_change(media: Path, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DeepHashConfig(**settings)
