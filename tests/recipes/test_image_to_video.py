"""The recipe image-to-video: whitening, shots, training, index and report; stopped and gone on with."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from film_making import make_film
from readme_commands import run_readme_commands
from two_processes import train_in_two_processes

from jaxret import train
from jaxret.__main__ import dispatch
from jaxret.data.dataset import MediaDataset
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.readers import ArrayReader
from jaxret.data.splits import split_items
from jaxret.errors import ConfigError, MediaError
from jaxret.models.store import encoder_arrays, load_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig, make_encoder
from jaxret.recipes.image_to_video.train import cleaned, shots_by_video, whole_films
from jaxret.recipes.image_to_video.training_frames import training_frames
from jaxret.retrieval.encode import Shot, frame_vectors
from jaxret.training import LoopConfig

# fmt: off
FRAMES = [
    "--backbone", "small-convnet", "--weights", "none", "--whitened-size", "8", "--image-size", "96",
    "--query-image-size", "96", "--rate", "5", "--quiet",
]
SMALL = [
    *FRAMES, "--units", "8", "--batch-size", "8", "--epochs", "3", "--evaluate-every", "1", "--learning-rate", "1e-2",
    "--temporal", "lstm", "--screen-photos", "2",
]
# fmt: on


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five films of three shots and one file that is none."""
    root = tmp_path_factory.mktemp("films")
    for seed in range(5):
        make_film(root / f"{seed}.mp4", seed, (8, 10, 7))
    (root / "broken.mp4").write_bytes(b"no film")
    return root


@pytest.fixture(scope="module")
def run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    assert train.main(["image-to-video", "--data", str(films), "--out", str(out), *SMALL]) == 0
    return out


def test_a_run_leaves_index_figures_and_report(films: Path, run: Path, capsys) -> None:
    figures = json.loads((run / "figures.json").read_text())
    assert list(figures) == ["LSTM", "sum", "max"]
    assert all(0 < found[name] <= 1 for found in figures.values() for name in ("mAP", "seen mAP", "seen video mAP"))
    report = (run / "report.html").read_text()
    assert "Images that find shots" in report
    assert "broken.mp4" in report
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"positive_cosine", "negative_cosine", "validation mAP", "validation R@1"} <= set(lines[-1])
    assert dispatch(["search", str(run), str(run / "example" / "frame.png"), "-k", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"start", "end", "moment", "moment_distance"} <= set(found)
    encoder = load_encoder(run / "encoder")
    whitening = encoder.backbone.whitening
    assert whitening is not None
    assert np.abs(np.asarray(whitening.mean[...])).max() > 0


def test_the_readme_command_list_runs(films: Path, run: Path, tmp_path: Path) -> None:
    more, photo = tmp_path / "MORE_FILMS", tmp_path / "photo.png"
    make_film(tmp_path / "new.mp4", 9, (9, 9))
    more.mkdir()
    (tmp_path / "new.mp4").rename(more / "new.mp4")
    shutil.copy(run / "example" / "frame.png", photo)
    table = tmp_path / "photographs.csv"
    table.write_text(f"path,film,start\nphoto.png,{films / '0.mp4'},1.2")
    places = {"FILMS": films, "MORE_FILMS": more, "PHOTO.jpg": photo, "PHOTOGRAPHS.csv": table}
    run_readme_commands("image to video", places, SMALL, tmp_path)


def test_stopped_and_resumed_equals_one_run(films: Path, run: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "halves"
    command = ["image-to-video", "--data", str(films), "--out", str(out), *SMALL]
    assert train.main([*command, "--stop-after", "2"]) == 0
    assert "To go on" in capsys.readouterr().out
    assert not (out / "index").exists()
    assert train.main(["--resume", str(out), "--quiet", "--patience", "9"]) == 0
    assert json.loads((out / "config.json").read_text())["loop"]["patience"] == 9
    first, second = (encoder_arrays(load_encoder(folder / "encoder")) for folder in (run, out))
    assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_auto_tries_all_and_goes_on_where_it_was_stopped(films: Path, tmp_path: Path, capsys) -> None:
    settings = [*SMALL, "--temporal", "auto", "--epochs", "2", "--screen-photos", "0"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train.main(["image-to-video", "--data", str(films), "--out", str(whole), *settings]) == 0
    chosen = re.search(r"auto: shots by (\w+)", capsys.readouterr().out)[1]
    figures = json.loads((whole / "figures.json").read_text())
    assert next(iter(figures)) == chosen
    assert set(figures) == {"sum", "max", "LSTM", "GRU", "residual"}
    report = (whole / "report.html").read_text()
    assert f"Taken: {chosen}." in report
    assert "gain on the sum" in report
    steps = json.loads((whole / "candidates" / "lstm" / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    command = ["image-to-video", "--data", str(films), "--out", str(halves), *settings]
    assert train.main([*command, "--stop-after", str(steps + 1)]) == 0  # one step into the second of three
    assert "To go on" in capsys.readouterr().out
    logs = {name: (halves / "candidates" / name / "checkpoints").exists() for name in ("residual", "lstm", "gru")}
    assert logs == {"residual": True, "lstm": True, "gru": False}
    assert train.main(["--resume", str(halves), "--quiet"]) == 0
    assert json.loads((halves / "figures.json").read_text()) == figures


def test_auto_takes_the_sum_where_nothing_can_be_chosen_by(films: Path, tmp_path: Path, capsys) -> None:
    command = ["image-to-video", "--data", str(films), "--out", str(tmp_path / "uncut"), *FRAMES]
    assert train.main([*command, "--cut-threshold", "2", "--screen-photos", "0"]) == 0
    assert "no two shots to choose by in the validation films, so shots count by their sum" in capsys.readouterr().out
    assert not (tmp_path / "uncut" / "candidates").exists()
    assert load_encoder(tmp_path / "uncut" / "encoder").temporal.config["kind"] == "unit-length"


def test_seen_shots_are_of_whole_films_and_as_many_as_wanted() -> None:
    shots = [(film, f"{film}.{number}") for film in range(6) for number in range(3)]
    found = whole_films(shots, 7)
    assert [film for film, _ in found] == [film for film in dict.fromkeys(f for f, _ in found) for _ in range(3)][:7]
    assert whole_films(shots, 99) != shots
    assert sorted(whole_films(shots, 99)) == shots
    assert whole_films([], 3) == []


@pytest.mark.slow
def test_two_processes_leave_one_run(films: Path, run: Path, tmp_path: Path) -> None:
    """The first one prepares, indexes and reports; together they see the batches that one process sees."""
    out = tmp_path / "both"
    outputs = train_in_two_processes(["image-to-video", "--data", films, "--out", out, *SMALL])
    assert "search the index" in outputs[0]
    assert "whitening: fitted" in outputs[0]
    assert "search the index" not in outputs[1]
    assert "whitening: fitted" not in outputs[1]
    figures, alone = (json.loads((folder / "figures.json").read_text()) for folder in (out, run))
    assert figures["sum"] == pytest.approx(alone["sum"])


def test_finishing_again_keeps_what_was_added_to_the_index(films: Path, run: Path, tmp_path: Path, capsys) -> None:
    again = tmp_path / "again"
    shutil.copytree(run, again)
    make_film(tmp_path / "new.mp4", 7, (9, 9))
    make_film(tmp_path / "gone.mp4", 8, (9,))
    for name in ("new.mp4", "gone.mp4"):
        assert dispatch(["index", str(tmp_path / name), str(again / "index"), "--quiet"]) == 0
    (tmp_path / "gone.mp4").unlink()
    assert train.main(["--resume", str(again), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "1 of 2 items that were added to the index before are in it again" in printed
    assert "lost: " in printed
    assert "gone.mp4" in printed
    assert dispatch(["search", str(again), str(tmp_path / "new.mp4"), "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == "new.mp4"


def test_sums_need_no_training_and_one_film_is_enough_for_no_recipe(films: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "sums"
    command = [
        "image-to-video",
        "--data",
        str(films),
        "--out",
        str(out),
        *FRAMES,
        "--temporal",
        "sum",
        "--pooling",
        "gem",
    ]
    assert train.main(command) == 0
    assert "nothing to train" in capsys.readouterr().out
    assert list(json.loads((out / "figures.json").read_text())) == ["sum", "max"]
    assert not (out / "metrics.jsonl").exists()
    assert dispatch(["index", str(films / "0.mp4"), str(out), "--quiet"]) == 0  # the index in the run folder
    assert f"added 0 items, 1 were there already, 0 could not be read; 5 are in {out / 'index'}" in (
        capsys.readouterr().out
    )
    alone = ["image-to-video", "--data", str(films / "0.mp4"), "--out", str(tmp_path / "one"), *SMALL]
    with pytest.raises(ConfigError, match="need videos of 3 sources or more, found 1"):
        train.main(alone)
    assert not (tmp_path / "one").exists()


def test_a_run_says_that_nothing_was_measured(films: Path, tmp_path: Path, capsys) -> None:
    command = ["image-to-video", "--data", str(films), "--out", str(tmp_path / "uncut"), *FRAMES, "--temporal", "max"]
    assert train.main([*command, "--cut-threshold", "2"]) == 0
    assert "no two shots to tell apart: there is nothing to measure" in capsys.readouterr().out
    assert json.loads((tmp_path / "uncut" / "figures.json").read_text()) == {"max": {}, "sum": {}}


def test_settings_of_a_training_are_refused_where_there_is_none() -> None:
    ImageToVideoConfig(temporal="sum", screen_photos=3)  # screen photos are the queries of the evaluation
    with pytest.raises(ConfigError, match="units=8 has no effect: shots by their sum need no training"):
        ImageToVideoConfig(temporal="sum", units=8)
    with pytest.raises(ConfigError, match=r"dropout=0.2 has no effect: shots by their sum need no training"):
        ImageToVideoConfig(temporal="sum", dropout=0.2)
    with pytest.raises(ConfigError, match="epochs=3 has no effect: shots by their max need no training"):
        ImageToVideoConfig(temporal="max", loop=LoopConfig(epochs=3, evaluate_every=10))


def test_parts_keep_sources_together_or_are_those_of_the_list(films: Path, tmp_path: Path) -> None:
    parts = split_items(open_dataset(films), "video", seed=0)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == [0, 1, 2, 3, 4]
    assert all(len(numbers) for numbers in parts.values())
    table = tmp_path / "films.csv"
    rows = [
        f"{films / f'{n}.mp4'},{split}" for n, split in enumerate(["train", "test", "train", "validation", "unused"])
    ]
    table.write_text("\n".join(["path,split", *rows]))
    named = split_items(open_dataset(table), "video", seed=0)
    assert {name: numbers.tolist() for name, numbers in named.items()} == {
        "train": [0, 2], "validation": [3], "test": [1]
    }  # fmt: skip
    table.write_text("\n".join(["path,split", *(f"{films / f'{n}.mp4'},train" for n in range(3))]))
    taken = split_items(open_dataset(table), "video", seed=0)  # no validation part is named
    assert sorted(len(numbers) for numbers in taken.values()) == [0, 1, 2]
    assert (len(taken["validation"]), len(taken["test"])) == (1, 0)
    table.write_text("\n".join(["path,split", f"{films / '0.mp4'},train", f"{films / '1.mp4'},test"]))
    with pytest.raises(ConfigError, match="train, validation need videos of 2 sources or more, found 1"):
        split_items(open_dataset(table), "video", seed=0)
    table.write_text("\n".join(["path,split", *rows]).replace("unused", "val"))
    with pytest.raises(ConfigError, match="a split must be train, validation, test or unused, got 'val'"):
        split_items(open_dataset(table), "video", seed=0)


def test_the_whitening_sees_even_frames_of_even_films(films: Path) -> None:
    settings = Preprocessing(height=96, width=96, resize="limit")
    dataset = open_dataset(films)
    batches = list(training_frames(dataset, np.arange(5), settings, 15))
    assert [batch.shape for batch in batches] == [(3, 64, 96, 3)] * 5
    with dataset.open(4) as reader:
        expected = reader.read_at([2.5 / 6, 2.5 / 2, 2.5 * 5 / 6])
    np.testing.assert_array_equal(batches[4], expected)
    assert len(list(training_frames(dataset, np.arange(5), settings, 2))) == 2


def test_the_whitening_passes_over_a_film_with_a_frame_that_does_not_decode(films: Path, tmp_path: Path) -> None:
    settings = Preprocessing(height=96, width=96, resize="limit")
    good = (films / "0.mp4").read_bytes()
    payload = good.index(b"mdat") + 4
    half = (good.index(b"moov") - payload) // 2 if good.index(b"moov") > payload else (len(good) - payload) // 2
    garbled = good[: payload + half] + b"\xa5" * half + good[payload + 2 * half :]
    (tmp_path / "garbled.mp4").write_bytes(garbled)
    shutil.copy(films / "1.mp4", tmp_path / "good.mp4")
    dataset = open_dataset(tmp_path)
    assert [Path(item.key).name for item in dataset.items] == ["garbled.mp4", "good.mp4"]
    with dataset.open(0) as reader, pytest.raises(MediaError):
        reader.read()
    (frames,) = training_frames(dataset, np.arange(2), settings, 30)
    (expected,) = training_frames(dataset, np.array([1]), settings, 15)
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed (extra `opencv`)")
def test_cleaning_keeps_the_frames_of_one_shot(films: Path, run: Path) -> None:
    encoder, dataset = load_encoder(run / "encoder"), open_dataset(films)
    settings = {"data": str(films), "rate": 5.0, "image_size": 96, "query_image_size": 96, "cut_threshold": 2.0}
    ((_, vectors),) = frame_vectors(dataset, encoder, indices=[0])
    uncut = ImageToVideoConfig(**settings, clean=True)
    ((video, shot),) = shots_by_video({0: vectors}, uncut)
    assert len(shot.vectors) == 13  # the whole film: nothing is cut at 2
    kept = cleaned(dataset, video, shot, uncut)
    assert 3 <= len(kept) <= 6  # of one of its shots of 8, 10 and 7 frames, every second
    np.testing.assert_array_equal(cleaned(dataset, video, shot, ImageToVideoConfig(**settings)), shot.vectors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "data must name the films: --data FOLDER"),
        (["--data", "{films}", "--stage", "conv_9"], "did you mean 'conv_"),
        (
            ["--data", "{films}", "--whitened-size", "5000"],
            r"whitened[_-]size must be 1\.\.32, the channels of conv_3 of small-convnet, got 5000",
        ),
    ],
)
def test_bad_settings_are_named(films: Path, tmp_path: Path, options, message) -> None:
    words = [word.format(films=films) for word in options]
    with pytest.raises(ConfigError, match=message):
        train.main(["image-to-video", "--out", str(tmp_path / "run"), *SMALL, *words])
    assert not (tmp_path / "run").exists()


def test_a_vector_has_128_numbers_or_those_of_its_map() -> None:
    def size(**settings) -> int:
        config = ImageToVideoConfig(data="films", backbone="small-convnet", weights="none", **settings)
        return make_encoder(config, "sum").frame_embedding_size

    assert size() == size(whitened_size=0) == 32  # all channels of the last map
    assert size(whitened_size=7) == 7
    whitened = make_encoder(ImageToVideoConfig(data="films", backbone="mobilenet-v1", weights="none"), "lstm")
    assert whitened.frame_embedding_size == whitened.clip_embedding_size == 128


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "rate must be above 0, got 0.0"),
        ({"cut_threshold": 3.0}, "cut_threshold must be 0 to 2, got 3.0"),
        ({"image_size": 100}, "must be multiples of 32, got 100 x 100"),
        ({"query_image_size": 100}, "query_image_size must be a multiple of 32 pixels, got 100"),
        ({"max_frames": 0}, "max_frames must be at least 1, got 0"),
        ({"margin": 2.0}, "margin must be -1 to 1, got 2.0"),
        ({"positive_share": -0.1}, "positive_share must be 0 to 1, got -0.1"),
        ({"whitened_size": -1}, "whitened_size must be at least 0 or none, got -1"),
        ({"units": 0}, "units must be 1 to 16384, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        ImageToVideoConfig(data="films", **settings)


def test_frames_after_a_gap_are_cleaned_where_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A film of a second, nothing for 70, and a second: frames 2 and 3 of two a second are those at 71 and 71.5."""
    greys = np.array([10, 60, 110, 160], np.uint8)
    pixels = np.broadcast_to(greys[:, None, None, None], (4, 96, 96, 3)).copy()

    class Film(MediaDataset):
        items = (MediaItem("film", "video"),)

        def open(self, index: int) -> ArrayReader:
            reader = ArrayReader(pixels, np.array([0.0, 0.5, 71.0, 71.5]), 72.0)
            reader.info = dataclasses.replace(reader.info, parts=((0.0, 1.0), (71.0, 72.0)))
            return reader

    shown: list[np.ndarray] = []

    def keep_all(frames: np.ndarray) -> np.ndarray:
        shown.append(frames)
        return np.arange(len(frames))

    monkeypatch.setattr("jaxret.recipes.image_to_video.train.clean_shot", keep_all)
    config = ImageToVideoConfig(rate=2.0, image_size=96, query_image_size=96, clean=True)
    shot = Shot(2, 4, 71.0, 72.0, np.array([2, 3]), np.zeros((2, 5), np.float32))
    assert cleaned(Film(), 0, shot, config).shape == (2, 5)
    assert [frame.mean() for frame in shown[0]] == [110, 160]
