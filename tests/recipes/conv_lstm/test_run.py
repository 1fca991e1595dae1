"""A training of system 2 in its steps: what each learns, costs and leaves, stopped and resumed or at once."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from reference import dtw as twin
from tiny_conv_lstm import SEEN, config_of, options
from two_processes import train_in_two_processes

from jaxret import train
from jaxret.__main__ import dispatch
from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import chunks_of, open_item
from jaxret.errors import ConfigError
from jaxret.models import Mean
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import encoder_arrays, load_encoder
from jaxret.recipes.conv_lstm.hard_clips import ClipRanking
from jaxret.recipes.conv_lstm.recipe import make_autoencoder
from jaxret.recipes.conv_lstm.thumbnail import without_thumbnail
from jaxret.retrieval.encode import frame_vectors
from jaxret.training import RunFolder, read_run_log


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
