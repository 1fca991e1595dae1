"""The recipe conv-lstm: all four steps, stopped and resumed in each, skipped, and judged against slow twins."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from readme_commands import run_readme_commands
from reference import dtw as twin
from two_processes import train_in_two_processes

from jaxret import train
from jaxret.__main__ import dispatch
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import chunks_of, open_item
from jaxret.data.splits import split_for_autoencoder
from jaxret.errors import ConfigError
from jaxret.models import Mean, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import encoder_arrays, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.conv_lstm.clip_table import StepsData, batches_of_clips, clip_table
from jaxret.recipes.conv_lstm.hard_clips import ClipRanking
from jaxret.recipes.conv_lstm.initial import InitialEncoder
from jaxret.recipes.conv_lstm.paper import PAPER
from jaxret.recipes.conv_lstm.recipe import RECIPE, ConvLstmConfig, TransformerConfig, make_autoencoder, resolve
from jaxret.recipes.conv_lstm.remarks import TripletRemarks
from jaxret.recipes.conv_lstm.steps import AutoencoderSteps
from jaxret.recipes.conv_lstm.thumbnail import with_thumbnail, without_thumbnail
from jaxret.retrieval.encode import frame_vectors
from jaxret.training import LoopConfig, RunFolder, config_from_json, read_run_log

TINY = {
    "image-size": 16,
    "frames": 4,
    "chunk-seconds": 1.0,
    "blocks": 1,
    "map-channels": 2,
    "recurrent-channels": 4,
    "residual-channels": 2,
    "embedding-size": 6,
    "batch-size": 8,
    "epochs": 2,
    "evaluate-every": 1,
    "warmup-steps": 0,
    "learning-rate": 0.01,
    "changes": 0.5,
    "copy-weight": 0.5,
    "thumbnail-share": 0.25,
    "schedule": "constant",  # which does not depend on the number of clips: steps of one shape are compiled once
}
SEEN = ("0-up", "1-left")
CLIPS = Preprocessing(height=32, width=32, frames=4)


def options(**changes: object) -> list[str]:
    settings = {**TINY, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return ["--quiet", *(word for name, value in settings.items() for word in (f"--{name}", *str(value).split()))]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of videos of two clips each, with splits: 5 to train on, 3 for validation and 3 for test; 3 videos
    without a label, one of them of a test video's source; and a picture."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(5, 3, 3, frames=16, size=16, fps=8.0)
    numbers = [n for n, item in enumerate(digits.items) if item.label in SEEN]
    numbers += [n for n, item in enumerate(digits.items) if item.label == "7-up" and item.split == "train"][:3]
    table = digits.write_media_folder(root, numbers)
    Image.fromarray(digits.render([0])[0, 0]).save(root / "picture.png")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    held_out = next(row["source"] for row in rows if row["split"] == "test")
    for number, row in enumerate(row for row in rows if row["label"] == "7-up"):
        row |= {"label": "", "split": "", "source": held_out if number == 2 else row["source"]}
    rows.append({"path": "picture.png", "label": "0-up", "source": "picture", "split": "test"})
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "source", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def whole(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that took all steps at once."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train.main(["conv-lstm", "--data", str(media), "--out", str(run), *options()]) == 0
    return run


@pytest.mark.slow  # test_image_to_video.py and ../training/test_fit.py train in two processes as well
def test_two_processes_train_as_one_does(media: Path, tmp_path: Path) -> None:
    """They share each batch, and the first one ranks and reports.

    By SGD: Adam makes whole steps of gradients that are nothing but rounding, as those of biases before a batch norm.
    """
    words = ["conv-lstm-paper", "--data", str(media), *options()]
    assert train.main([*words, "--out", str(tmp_path / "alone")]) == 0
    outputs = train_in_two_processes([*words, "--out", tmp_path / "both"])
    assert "search the index" in outputs[0]
    assert "search the index" not in outputs[1]
    alone, both = (encoder_arrays(load_encoder(tmp_path / name / "encoder")) for name in ("alone", "both"))
    for name, expected in alone.items():
        np.testing.assert_allclose(both[name], expected, rtol=1e-3, atol=1e-5, err_msg=name)


def config_of(run: Path) -> ConvLstmConfig:
    return config_from_json(ConvLstmConfig, RunFolder(run).read_config()[1])


def test_a_run_leaves_what_can_be_searched_and_read(whole: Path, media: Path, capsys: pytest.CaptureFixture) -> None:
    encoder = load_encoder(whole / "encoder")
    assert (encoder.backbone.name, encoder.backbone.share) == ("beside-thumbnail", 0.25)
    assert encoder.clip_embedding_size == 6 + 8 * 8 * 3
    encoder = without_thumbnail(encoder)
    assert (encoder.unit, encoder.backbone.name, encoder.clip_embedding_size) == ("chunk", "conv-lstm", 6)
    config = config_of(whole)
    assert encoder.backbone.standardise_by == config.standardise_by == "clip"
    assert (config.pixel_mean, config.changes, config.copy_weight) == (None, 0.5, 0.5)
    figures = json.loads((whole / "figures.json").read_text())
    for method in ("mean vector", "DTW", "Bi-DTW"):
        assert figures[method]["all"]["queries"] == 6
        assert figures[f"after challenging, {method}"] != figures[method]  # which has the thumbnail
        assert f"untrained, {method}" in figures
        assert f"after rank, {method}" not in figures
    report = (whole / "report.html").read_text()
    assert report.count("data:image/png") == 7  # gallery, votes, reconstructions, map, three curves
    for words in ("The steps", "Clips and their reconstructions", "t-SNE of the vectors of 12 test clips"):
        assert words in report
    picture = np.asarray(Image.open(whole / "pretrain" / "reconstructions.png"))
    assert picture.std() > 20
    video = next(media.glob("0-up/test-*.mp4"))
    capsys.readouterr()
    assert dispatch(["search", str(whole), str(video), "--sequence", "bi-dtw", "-k", "1"]) == 0
    assert str(video.resolve()) in capsys.readouterr().out


def test_the_steps_learn_and_say_what_they_cost(whole: Path, media: Path) -> None:
    records = {step: json.loads((whole / step / "step.json").read_text()) for step in config_of(whole).steps}
    # 10 labelled videos of 2 clips, and 2 without a label: the third is of a source that is held out.
    assert {step: record["updates"] for step, record in records.items()} == {
        "pretrain": 2 * math.ceil(24 / 8),
        "triplet": 2 * math.ceil(20 / 8),
        "rank": math.ceil(20 / 8),
        "challenging": 2 * math.ceil(20 / 8),
    }
    assert all(record["finished"] and record["seconds"] > 0 for record in records.values())
    assert {"validation reconstruction error", "validation mAP"} <= records["pretrain"]["figures"].keys()
    assert records["rank"]["figures"]["clips"] == 20
    assert records["rank"]["figures"]["hard clips"] == 4
    assert records["pretrain"]["figures"]["error of the mean frame"] == pytest.approx(mean_frame_twin(whole, media))
    rows = read_run_log(whole / "pretrain" / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"]
    best = min(row["validation reconstruction error"] for row in rows)
    assert records["pretrain"]["figures"]["validation reconstruction error"] == pytest.approx(best)
    for step in ("triplet", "challenging"):
        rows = read_run_log(whole / step / "metrics.jsonl")
        assert {"loss", "loss_of_all", "in_order", "copies_in_order", "spread", "validation mAP"} <= rows[-1].keys()
        assert all(0 <= row["in_order"] <= 1 and 0 <= row["copies_in_order"] <= 1 for row in rows)
        assert records[step]["figures"]["validation mAP"] == max(row["validation mAP"] for row in rows)


def mean_frame_twin(run: Path, media: Path) -> float:
    config, dataset = config_of(run), open_dataset(media)
    clips: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    held_out = {item.source for item in dataset.items if item.split in ("validation", "test")}
    for number, item in enumerate(dataset.items):
        split = item.split or ("" if item.source in held_out else "train")
        if item.kind == "video" and split in clips:
            with open_item(dataset, number, config.preprocessing()) as reader:
                pixels = [c.pixels.astype(float) for c in chunks_of(reader, config.preprocessing(), is_image=False)]
                clips[split] += [(each - each.mean()) / np.sqrt(each.var() + 5.0**2) for each in pixels]
    frame = np.concatenate(clips["train"]).mean(axis=0)
    return float(np.mean([((clip - frame) ** 2).mean() for clip in clips["validation"]]))


def weights_after(run: Path, step: str) -> VideoEncoder:
    from jaxret.training.fit import restore_best

    config = config_of(run)
    model = make_autoencoder(config)
    restore_best(model if step == "pretrain" else model.backbone, config, RunFolder(run / step))
    return VideoEncoder(model.backbone, Mean(6, rngs=nnx.Rngs(0)), config.preprocessing())


def test_the_ranking_is_that_of_a_slow_twin(whole: Path, media: Path) -> None:
    encoder, dataset = weights_after(whole, "triplet"), open_dataset(media)
    vectors, labels = [], []
    for number, item in enumerate(dataset.items):
        if item.split == "train" and item.label is not None:
            with open_item(dataset, number, encoder.preprocessing) as reader:
                for chunk in chunks_of(reader, encoder.preprocessing, is_image=False):
                    vectors.append(np.asarray(encoder.encode_clips(chunk.pixels[None]))[0].astype(float))
                    labels.append(item.label)
    losses, unit = [], json.loads((whole / "margin.json").read_text())["unit of the margin"]
    for a, vector in enumerate(vectors):
        distances = [float(((vector - other) ** 2).sum()) / unit for other in vectors]
        positive = max(d for b, d in enumerate(distances) if b != a and labels[b] == labels[a])
        negative = min(d for b, d in enumerate(distances) if labels[b] != labels[a])
        losses.append(max(0.0, positive - negative + 1.0))
    with np.load(whole / "rank" / "ranking.npz") as ranking:
        np.testing.assert_allclose(ranking["losses"], losses, atol=1e-4)
        assert ranking["hard"].tolist() == np.argsort(losses)[::-1][:4].tolist()
    assert not (whole / "rank" / "embeddings.npy").exists()


def test_the_unit_of_the_margin_is_the_mean_distance_of_classes_before_the_triplets(whole: Path, media: Path) -> None:
    encoder, dataset = weights_after(whole, "pretrain"), open_dataset(media)
    vectors: dict[str, list[np.ndarray]] = {label: [] for label in SEEN}
    for number, item in enumerate(dataset.items):
        if item.split == "train" and item.label is not None:
            with open_item(dataset, number, encoder.preprocessing) as reader:
                for chunk in chunks_of(reader, encoder.preprocessing, is_image=False):
                    vectors[item.label].append(np.asarray(encoder.encode_clips(chunk.pixels[None]))[0].astype(float))
    first, second = vectors.values()
    mean = np.mean([((a - b) ** 2).sum() for a in first for b in second])
    assert json.loads((whole / "margin.json").read_text())["unit of the margin"] == pytest.approx(mean, rel=1e-4)


def test_stopped_and_resumed_in_every_step_it_is_the_same_run(
    whole: Path, media: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "parts"
    words = ["conv-lstm", "--data", str(media), "--out", str(run), *options()]
    stopped_in = []
    # 6 + 6 + 3 + 6 steps: in the middle of each, and once at the end of one
    for stop_after in (4, 5, 4, 2, 3, None):
        asked = [] if stop_after is None else ["--stop-after", str(stop_after)]
        assert train.main([*words, *asked]) == 0
        words = ["--resume", str(run), "--quiet"]
        if stop_after is not None:
            assert "stopped and saved. To go on:" in capsys.readouterr().out
            started = [step for step in config_of(run).steps if (run / step / "step.json").exists()]
            record = json.loads((run / started[-1] / "step.json").read_text())
            stopped_in.append((started[-1], record["updates"], record["finished"]))
    assert stopped_in == [
        ("pretrain", 4, False),
        ("triplet", 3, False),
        ("rank", 1, False),
        ("rank", 3, True),
        ("challenging", 3, False),
    ]
    assert (run / "encoder" / "weights.safetensors").read_bytes() == (
        whole / "encoder" / "weights.safetensors"
    ).read_bytes()
    assert json.loads((run / "figures.json").read_text()) == json.loads((whole / "figures.json").read_text())
    with np.load(run / "rank" / "ranking.npz") as ours, np.load(whole / "rank" / "ranking.npz") as theirs:
        assert ours.files == theirs.files
        assert all((ours[name] == theirs[name]).all() for name in ours.files)
    for step in ("pretrain", "triplet", "challenging"):
        rows = [read_run_log(folder / step / "metrics.jsonl") for folder in (run, whole)]
        for ours, theirs in zip(*rows, strict=True):
            mine = {name for name in ours if name.startswith("validation") or name == "step"}
            assert {name: ours[name] for name in mine} == {name: theirs[name] for name in mine}


def test_a_finished_step_is_not_run_again_and_its_ranking_must_be_the_runs_own(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(whole, run)
    with monkeypatch.context() as patch:
        for name in ("steps.fit_model", "labelled_clips.rank_clips"):
            patch.setattr(f"jaxret.recipes.conv_lstm.{name}", None)
        assert train.main(["--resume", str(run), "--quiet", "--epochs", "9"]) == 0
    assert (run / "encoder" / "weights.safetensors").read_bytes() == (
        whole / "encoder" / "weights.safetensors"
    ).read_bytes()
    (run / "rank" / "step.json").unlink()  # as if it had been killed when its ranking was written
    (run / "rank" / "embeddings.npy").write_bytes(b"of the call that was killed")
    with monkeypatch.context() as patch:
        patch.setattr("jaxret.recipes.conv_lstm.hard_clips.batches_of_clips", None)
        assert train.main(["--resume", str(run), "--quiet"]) == 0
    assert not (run / "rank" / "embeddings.npy").exists()
    path = run / "rank" / "ranking.npz"
    with np.load(path) as stored:
        ranking = ClipRanking(stored["losses"], stored["gaps"], stored["hard"])
    ranking.save(path, "of another run")
    with pytest.raises(ConfigError, match="is not the ranking of this run's clips by its encoder"):
        train.main(["--resume", str(run), "--quiet"])
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(ConfigError, match=r"ranking\.npz is damaged"):
        train.main(["--resume", str(run), "--quiet"])
    (run / "rank" / "step.json").write_text("{")
    with pytest.raises(ConfigError, match=r"step\.json is damaged"):
        train.main(["--resume", str(run), "--quiet"])


def test_steps_can_be_skipped_and_the_second_pass_plain(whole: Path, media: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["conv-lstm", "--data", str(media), "--out", str(run), *options(steps="triplet plain")]
    assert train.main(words) == 0
    assert sorted(path.parent.name for path in run.glob("*/step.json")) == ["plain", "triplet"]
    assert "Clips and their reconstructions" not in (run / "report.html").read_text()
    losses = [read_run_log(run / step / "metrics.jsonl")[0]["loss"] for step in ("triplet", "plain")]
    assert losses[0] != losses[1]


def test_validation_videos_search_training_videos(whole: Path, media: Path) -> None:
    encoder, dataset = load_encoder(whole / "challenging" / "encoder"), open_dataset(media)
    items, found = dataset.items, []
    numbers = {
        split: [n for n, item in enumerate(items) if item.split == split and item.label is not None]
        for split in ("train", "validation")
    }
    vectors = dict(frame_vectors(dataset, encoder, indices=sorted([*numbers["train"], *numbers["validation"]])))
    sequences = {n: each.vectors.reshape(len(each.vectors), -1) for n, each in vectors.items()}
    for query in numbers["validation"]:
        others = [n for n in numbers["train"] if items[n].source != items[query].source]
        others.sort(key=lambda n: (twin.bidtw(sequences[query], sequences[n]), n))
        ranks = [rank for rank, n in enumerate(others, 1) if items[n].label == items[query].label]
        found.append(np.mean([place / rank for place, rank in enumerate(ranks, 1)]))
    record = json.loads((whole / "challenging" / "step.json").read_text())
    assert record["figures"]["validation mAP"] == pytest.approx(np.mean(found), abs=1e-5)


def test_a_run_begins_with_the_encoder_of_another(
    whole: Path, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = ["conv-lstm", "--data", str(media), "--out"]
    first = tmp_path / "first"
    shutil.copytree(whole / "pretrain" / "encoder", first / "encoder")
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
    ours, theirs = config_of(tmp_path / "run"), config_of(whole)
    assert ours.standardise_by == theirs.standardise_by == "clip"
    with pytest.raises(
        ConfigError, match="was trained with --map-channels 2, and this training has 3: sizes must agree"
    ):
        train.main([*words, str(tmp_path / "other"), *options(map_channels=3), "--from", str(first)])
    with pytest.raises(
        ConfigError, match="was trained with --image-size 16, and this training has 8: sizes must agree"
    ):
        train.main([*words, str(tmp_path / "other"), *options(image_size=8), "--from", str(first)])
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


@pytest.mark.parametrize(
    ("scores", "share"),
    [((0.5, 0.4, 0.48, 0.9), 0.2), ((0.5, 0.6, 0.5, 0.9), 0.3), ((0.5, 0.1, 0.2, 0.47), 0), ((math.nan,), 0)],
)
def test_a_thumbnail_takes_the_largest_share_that_costs_validation_a_twentieth(
    whole: Path, media: Path, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], share: float
) -> None:
    dataset, config = open_dataset(media), dataclasses.replace(config_of(whole), thumbnail_share=None)
    splits = split_for_autoencoder(dataset, steps_with_labels=("triplet",), unseen_fraction=0.0, seed=0)
    table, _ = clip_table(dataset, splits.splits.train, config.preprocessing(), threads=1)
    encoder = without_thumbnail(load_encoder(whole / "encoder"))
    left, seen, lines = iter(scores), [], []

    def figures(dataset: object, queries: dict, searched: dict, encoder: object) -> dict[str, float]:
        seen.append(queries)
        return {"mAP": next(left)}

    monkeypatch.setattr("jaxret.recipes.conv_lstm.thumbnail.validation_figures", figures)
    made = with_thumbnail(encoder, StepsData(dataset, splits, table), config, lines.append)
    assert len(seen) == len(scores)
    if not share:
        assert made is encoder
        assert [line[:38] for line in lines] == ["thumbnails beside the vectors: share 0"] * (len(scores) > 1)
        return
    assert made.backbone.share == share
    assert f"share {share}; validation mAP 0.5 without, {scores[1]} with a share of 0.3" in lines[0]
    tried = seen[{0.3: 1, 0.2: 2}[share]]  # the vectors that were judged are those that it gives
    for number, found in frame_vectors(dataset, made, indices=list(tried)):
        np.testing.assert_allclose(tried[number].vectors, found.vectors, rtol=1e-4, atol=1e-5)
    units = np.asarray(made.backbone.units)
    ((_, clips, _),) = batches_of_clips(dataset, table, config.preprocessing(), batch_size=len(table), threads=1)
    vectors = made.backbone(clips).stages
    for unit, name in zip(units, ("vector", "thumbnail"), strict=True):
        points = np.asarray(vectors[name], np.float64)
        pairs = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
        assert unit == pytest.approx(pairs.mean(), rel=1e-4)


def test_a_batch_that_devices_cannot_share_leaves_no_run(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    words = ["conv-lstm", "--data", str(media), "--out", str(tmp_path / "run"), *options()]
    with pytest.raises(ConfigError, match="--batch-size must be a multiple of the 3 devices"):
        train.main(words)
    assert not (tmp_path / "run").exists()


def test_what_does_not_learn_is_told_once_with_what_to_do() -> None:
    remark = TripletRemarks()
    assert remark({"in_order": 0.51, "spread": 0.5}, 299) is None
    assert "after 300 updates 51 % of the triplets are in order" in str(remark({"in_order": 0.51, "spread": 0.5}, 300))
    assert remark({"in_order": 0.51, "spread": 0.5}, 400) is None
    assert "the vectors shrink to a point (spread 0.02" in str(remark({"in_order": 0.9, "spread": 0.02}, 500))
    assert remark({"in_order": 0.9, "spread": 0.5}, 600) is None


def test_without_labels_the_first_step_alone_is_taken(media: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number, path in enumerate(sorted(media.glob("*/*.mp4"))[:12]):
        shutil.copy(path, data / f"{number}.mp4")
    words = ["conv-lstm", "--data", str(data), "--out", str(tmp_path / "run")]
    with pytest.raises(ConfigError, match=r"steps triplet, rank, challenging need labels .* none has a label"):
        train.main([*words, *options()])
    assert not (tmp_path / "run").exists()
    assert train.main([*words, *options(steps="pretrain", epochs=1)]) == 0
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
    sizes = {"image_size": 8, "depth_planes": 2, "epochs": 1, "steps": "pretrain", "changes": 0.0}
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": ("triplet", "pretrain")}, "in this order, got"),
        ({"steps": ()}, "steps must be some of pretrain, triplet"),
        ({"steps": ("triplet", "challenging")}, "take rank as well"),
        ({"steps": ("rank", "plain")}, "leave rank and challenging out, or plain"),
        ({"batch_size": 9}, "batch_size must be even, got 9"),
        ({"batch_size": 10, "copy_weight": 0.5}, "half of a batch are hard clips: .* a multiple of 4, got 10"),
        ({"batch_size": 9, "copy_weight": 0.5, "steps": ("triplet",)}, "clip is read twice: .* must be even, got 9"),
        ({"samples_per_class": 2, "copy_weight": 0.5}, "samples_per_class must be even, at least 4, got 2"),
        ({"samples_per_class": 5, "copy_weight": 0.5}, "samples_per_class must be even, at least 4, got 5"),
        ({"copy_weight": 1.5}, "copy_weight must"),
        ({"changes": 0.5, "architecture": "m1-3d"}, "changes=0.5 is of colours, and the model sees depth"),
        ({"standardise_by": "clip", "pixel_mean": 99.0, "pixel_deviation": 9.0}, "leave pixel_mean and pixel_dev"),
        ({"standardise_by": "clip", "bins": 16}, "bins=16 are of intensities, and standardise_by=clip takes them"),
        ({"batch_size": 6}, "batch_size 6 holds fewer than two classes of samples_per_class 4"),
        ({"samples_per_class": 1}, "samples_per_class must be at least 2"),
        ({"hard_fraction": 1.0}, "hard_fraction must be above 0 and below 1, got 1.0"),
        ({"pixel_mean": 99.0}, "pixel_mean and pixel_deviation go together"),
        ({"margin": -1.0}, "margin must be"),
        ({"split_shares": (0.5, 0.5, 0.5)}, "split_shares must sum to 1, the first above 0, got"),
        ({"split_shares": (0.0, 0.5, 0.5)}, "split_shares must sum to 1, the first above 0, got"),
        ({"grey": True, "architecture": "m1-3d"}, "grey=True does not go with m1-3d"),
        ({"depth_near": 1.0}, "depth_near=1.0 has no effect: m1 sees no depth"),
        (
            {"transformer": TransformerConfig(transformer_heads=2)},
            "heads=2 has no effect: m1 has no transformer",
        ),
    ],
)
def test_settings_that_make_no_training_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConvLstmConfig(**changes)


def test_what_cannot_be_trained_on_is_refused_before_the_videos_are_read(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*arguments: object, **settings: object) -> None:
        raise AssertionError("videos are read")

    monkeypatch.setattr("jaxret.recipes.conv_lstm.clip_table.clip_table", read)
    with pytest.raises(ConfigError, match="17"):
        train.main(["conv-lstm", "--data", str(media), "--out", str(tmp_path / "run"), *options(image_size=17)])
    assert not (tmp_path / "run").exists()


def test_what_is_left_open_follows_the_model_and_the_paper() -> None:
    digits = MovingDigits(1, 0, 0)
    config = resolve(ConvLstmConfig(), digits)
    assert (config.image_size, config.frames, config.recurrent_channels, config.batch_size) == (16, 4, 16, 32)
    assert (config.embedding_size, config.loop_of("pretrain").epochs) == (128, 4)
    assert config.loop_of("triplet") == config.loop
    assert resolve(ConvLstmConfig(recurrent_channels=6, frames=5), digits).frames == 5
    config = resolve(RECIPE.config, digits)
    assert (config.standardise_by, config.thumbnail_share) == ("data", 0.0)
    config = resolve(ConvLstmConfig(architecture="m3-3d"), MediaFiles([]))
    assert (config.embedding_size, config.batch_size) == (8 * 8 * 2 * 16 // 4, 8)
    assert (config.image_size, config.frames, config.map_channels) == (64, 8, 16)
    assert (config.recurrent_channels, config.residual_channels) == (64, 32)
    assert config.loop_of("pretrain") == config.loop
    pixels = {"pixel_mean": 9.0, "pixel_deviation": 2.0}
    for settings, expected in {
        (): "clip",
        (("bins", 16),): "data",
        tuple(pixels.items()): "data",
        (("standardise_by", "data"),): "data",
    }.items():
        config = resolve(dataclasses.replace(RECIPE.config, **dict(settings)), MediaFiles([]))
        assert config.standardise_by == expected
    sgd = PAPER.optimiser
    assert (sgd.algorithm, sgd.learning_rate, sgd.momentum, sgd.weight_decay) == ("sgd", 1e-3, 0.9, 1e-3)
    assert (sgd.schedule, sgd.step_epochs, sgd.step_divisor) == ("step", 10, 10)
    assert PAPER.loop == LoopConfig(epochs=50, evaluate_every=1, patience=5)


def test_videos_without_splits_are_dealt_by_the_papers_shares(media: Path) -> None:
    items = [MediaItem(f"{label}{n}.mp4", "video", label, path="x") for label in "ab" for n in range(100)]
    dataset = MediaFiles(items, probe=False)
    shares = dict(zip(("train", "validation", "test"), RECIPE.config.split_shares, strict=True))
    splits = split_for_autoencoder(dataset, steps_with_labels=(), unseen_fraction=0.0, seed=0, shares=shares).splits
    assert [len(getattr(splits, name)) for name in shares] == [140, 30, 30]
    older = config_from_json(ConvLstmConfig, {})
    assert older.split_shares == (0.7, 0.1, 0.2)
    assert (older.standardise_by, older.thumbnail_share) == ("data", 0.0)


def test_the_papers_loss_is_in_squared_distances() -> None:
    points, labels = jnp.array([[0.0], [3.0], [4.0]]), jnp.array([0, 0, 1])

    def loss(config: ConvLstmConfig) -> float:
        model = SimpleNamespace
        return float(
            config.objective(unit=16.0)(lambda inputs: model(embedding=inputs), {"inputs": points, "labels": labels})[0]
        )

    assert loss(ConvLstmConfig(margin=1.0)) == pytest.approx(np.mean([9 - 16 + 16, 9 - 1 + 16]) / 16)
    assert loss(PAPER) == pytest.approx(np.mean([9 - 16 + 16, 9 - 1 + 16]))


def test_the_readmes_list_of_commands_runs(media: Path, tmp_path: Path) -> None:
    places = {"FOLDER": media, "QUERY.mp4": next(media.glob("0-up/test-*.mp4"))}
    run_readme_commands("sequences", places, [*options(epochs=1), "--steps", "pretrain"], tmp_path)
