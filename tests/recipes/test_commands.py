"""The commands as a user types them: the README's list, a whole run, stop and resume, and what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from readme_commands import run_readme_commands
from two_processes import train_in_two_processes

from jaxret import train
from jaxret.__main__ import VERBS, dispatch
from jaxret.cli.run import run_command
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.training import read_run_log

SMALL = ["--image-size", "32", "--frames", "4", "--batch-size", "8", "--quiet", "--weights", "none"]
NARROW = ["--units", "8"]  # of an LSTM


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of six short videos, pictures of two of them, and a broken file."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=6, validation_clips=0, test_clips=0)
    labels = ("0-up", "1-left", "2-right", "3-up")
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in labels])
    next(root.glob("*.csv")).unlink()
    for number in (0, 12):
        Image.fromarray(digits.render([number])[0, 0]).save(root / "0-up" / f"picture-{number}.png")
    (root / "1-left" / "broken.mp4").write_bytes(b"\0" * 1000)
    return root


@pytest.fixture(scope="module")
def run(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train.main(["cnn-lstm", "--data", str(media), "--out", str(out), "--epochs", "2", *SMALL, *NARROW]) == 0
    return out


@pytest.mark.parametrize(("name", "narrow"), [("own media", NARROW), ("codes", [])])
def test_the_readme_command_lists_run(media: Path, tmp_path: Path, name: str, narrow: list[str]) -> None:
    video, picture = next(media.glob("0-up/*.mp4")), next(media.glob("0-up/*.png"))
    more = tmp_path / "MORE_MEDIA"
    more.mkdir()
    shutil.copy(picture, more / "another.png")
    places = {"FOLDER": media, "MORE_MEDIA": more, "QUERY.mp4": video, "PICTURE.png": picture}
    run_readme_commands(name, places, ["--epochs", "1", *SMALL, *narrow], tmp_path)


def test_a_run_folder_holds_everything(media: Path, run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    files = {"config.json", "metrics.jsonl", "figures.json", "curves.png", "gallery.png", "report.html"}
    assert files | {"checkpoints", "encoder", "index"} <= names
    config = json.loads((run / "config.json").read_text())
    assert (config["recipe"], config["backbone"], config["freeze"]) == ("cnn-lstm", "small-convnet", False)
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "broken.mp4" in report
    figures = json.loads((run / "figures.json").read_text())
    assert set(figures) == {"trained", "untrained", "mean of frame vectors", "mean of pixels", "chance"}
    assert [row["epoch"] for row in read_run_log(run / "metrics.jsonl")] == [2.0]


def test_search_prints_the_query_itself_first(media: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = next(media.glob("2-right/*.mp4"))
    assert dispatch(["search", str(run), str(video), "-k", "3"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    assert table[1].endswith(str(video.resolve()))
    assert dispatch(["search", str(run), str(video), "-k", "2", "--par", "0.5", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["path"] == str(video.resolve())
    assert first["cosine"] == pytest.approx(1.0, abs=1e-4)
    assert (first["start"], first["end"]) == (0.0, pytest.approx(1.0))


def test_index_adds_once_and_removes(media: Path, run: Path, tmp_path: Path, capsys) -> None:
    index = tmp_path / "index"
    assert dispatch(["index", str(media), str(index), "--encoder", str(run), "--quiet"]) == 0
    assert "added 26 items, 0 were there already, 1 could not" in capsys.readouterr().out
    assert dispatch(["index", str(media), str(index), "--quiet"]) == 0
    assert "added 0 items, 26 were there already" in capsys.readouterr().out
    assert dispatch(["index", str(media), str(index), "--remove", "--compact", "--quiet"]) == 0
    assert "removed 26 of 26 items; 0 are left" in capsys.readouterr().out


def test_evaluate_writes_what_it_prints(run: Path, tmp_path: Path, capsys) -> None:
    assert dispatch(["evaluate", str(run), "--json", str(tmp_path / "f.json"), "-k", "1", "--by-class"]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert {name for name in figures if ":" not in name} == {"all", "0-up", "1-left", "2-right", "3-up"}
    assert {"all: chance", "all: mean of frames", "3-up: chance"} <= set(figures)
    assert f"{figures['all']['mAP']:.4f}" in capsys.readouterr().out


def test_stop_and_resume_by_command_equals_one_run(media: Path, tmp_path: Path) -> None:
    options = ["--epochs", "4", "--evaluate-every", "2", *SMALL, *NARROW]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.main(["cnn-lstm", "--data", str(media), "--out", str(whole), *options])
    train.main(["cnn-lstm", "--data", str(media), "--out", str(parts), *options, "--stop-after", "3"])
    assert not (parts / "report.html").exists()
    for command in (["search", str(parts), "x.mp4"], ["evaluate", str(parts)], ["index", str(media), str(parts)]):
        with pytest.raises(ConfigError, match=r"has no index yet: .* To go on: .*train --resume .*parts"):
            dispatch(command)
    train.main(["--resume", str(parts), "--quiet"])
    weights = [(folder / "encoder" / "weights.safetensors").read_bytes() for folder in (whole, parts)]
    assert weights[0] == weights[1]
    logs = [[r["loss"] for r in read_run_log(folder / "metrics.jsonl")] for folder in (whole, parts)]
    np.testing.assert_allclose(logs[0][-1], logs[1][-1], rtol=1e-6)


@pytest.mark.slow  # test_image_to_video.py and ../training/test_fit.py train in two processes as well
def test_two_processes_share_a_training(media: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    outputs = train_in_two_processes(["cnn-lstm", "--data", media, "--out", out, "--epochs", "1", *SMALL, *NARROW])
    assert (out / "report.html").exists()
    assert "search the index" in outputs[0]
    assert "search the index" not in outputs[1]


def test_pictures_alone_train_the_backbone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, hue in (("red", 0), ("blue", 2)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 120, (40, 40, 3)).astype(np.uint8)
            pixels[..., hue] += 120
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.png")
    out = tmp_path / "run"
    arguments = ["cnn-lstm", "--data", str(tmp_path / "data"), "--out", str(out), "--epochs", "10", *SMALL, *NARROW]
    assert train.main(arguments) == 0
    figures = json.loads((out / "figures.json").read_text())
    assert figures["trained"]["all"]["mAP"] > 0.95
    assert "mean of frame vectors" not in figures


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nonsense"], "unknown recipe 'nonsense'"),
        (["cnn-lst"], "did you mean 'cnn-lstm'"),
        (["cnn-lstm", "--data", "/nowhere/at/all", "--out", "{tmp}/a"], "/nowhere/at/all"),
        (["--stop-after", "0"], "--stop-after must be at least 1, got 0"),
        (["--process-index", "0"], "--process-index is of a multi-host training: give --distributed as well"),
        (["--coordinator", "here:1", "--process-count", "2"], "--coordinator is of a multi-host training"),
        (["--stop-after", "x"], "Error parsing --stop-after"),
        (["--resume"], "Missing value for argument '--resume'"),
        (["--resume", "{tmp}"], "holds no run"),
        (["--resume", "{run}", "--units", "9"], "--units cannot change when a run is resumed: it was 8, got 9"),
        (["--resume", "{run}", "--average-over", "2"], "--average-over cannot change when a run is resumed: it was 1"),
        (["deep-hash", "--resume", "{run}"], "is a run of cnn-lstm, not of deep-hash: leave deep-hash out"),
        (["cnn-lstm", "--out", "{run}"], "is not empty"),
        (["cnn-lstm", "--frame-size", "32"], "--frame-size is called --image-size now"),
        (["cnn-lstm", "--loss", "no-such"], "invalid choice 'no-such' for argument '--loss'"),
        (["cnn-lstm", "--weights", "none", "--freeze", "True", "--out", "{tmp}/b"], "needs pretrained weights"),
        (["cnn-lstm", "--freeze", "True", "--backbone-learning-rate", "1e-4", "--out", "{tmp}/b"], "frozen"),
        (["cnn-lstm", "--backbone-learning-rate", "0", "--out", "{tmp}/b"], "must be above 0 or none, got 0"),
        (["cnn-lstm", "--units", "1000000", "--out", "{tmp}/c"], "--units must be 1 to 16384, got 1000000"),
        (["cnn-lstm", "--layers", "1001", "--out", "{tmp}/c"], "--layers must be 1 to 1000, got 1001"),
        (["c3d", "--embedding-size", "100000000", "--out", "{tmp}/c"], "--embedding-size must be 1 to 16384, got 10"),
        (["cnn-lstm", "--batch-size", "0", "--out", "{tmp}/c"], "--batch-size must be at least 1, got 0"),
        (["deep-hash", "--bits", "1000000000", "--out", "{tmp}/c"], "--bits must be 0 to 16384, got 1000000000"),
        (["conv-lstm", "--embedding-size", "100000000", "--out", "{tmp}/c"], "must be 1 to 16384 or none, got 10"),
    ],
)
def test_bad_training_commands_say_what_is_wrong(run: Path, tmp_path: Path, capsys, argv, message: str) -> None:
    with pytest.raises((ConfigError, SystemExit)) as caught:
        train.main([word.format(tmp=tmp_path, run=run) for word in argv])
    if isinstance(caught.value, ConfigError):
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not capsys.readouterr().out, "the error must come first"
    else:  # what tyro refuses is shown, with where to find help, in a box
        assert caught.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir()), "a run that cannot start must leave nothing behind"


def test_missing_data_leave_no_run_folder(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="/nowhere/at/all"):
        train.main(["cnn-lstm", "--data", "/nowhere/at/all"])
    assert not capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recipe", "words", "taken", "smaller"),
    [
        (
            "cnn-lstm",
            ["--image-size", "1000000", "--weights", "none"],
            r"\d+ clips of 16 frames of 1000000 x 1000000 pixels would take",
            ", frames or",
        ),
        (
            "c3d",
            ["--frames", "2000000000"],
            r"4 clips of 2000000000 frames of 112 x 112 pixels would take",
            ", frames or",
        ),
        (
            "conv-lstm",
            ["--frames", "2000000000"],
            r"32 clips of 2000000000 frames of 64 x 64 pixels would take",
            ", frames or",
        ),
        (
            "instance-search",
            ["--image-size", "960000", "--weights", "none"],
            r"1 clip of 10 frames of 960000 x 960000 pixels would take",
            " or frames smaller",  # no batch to make smaller
        ),
    ],
)
def test_frames_that_no_memory_holds_leave_nothing_behind(media, tmp_path, recipe, words, taken, smaller) -> None:
    argv = [recipe, "--data", str(media), "--out", str(tmp_path / "run"), "--quiet", *words]
    with pytest.raises(ConfigError, match=taken + r" [\d,]+ GB, and [\d.]+ GB are left: make --image-size" + smaller):
        train.main(argv)
    assert not list(tmp_path.iterdir())


def test_an_unknown_setting_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main(["cnn-lstm", "--lerning-rate", "1"])
    assert caught.value.code == 2
    assert "--learning-rate" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_every_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    if verb == "train":
        assert train.main(["--help"]) == 0
    else:
        with pytest.raises(SystemExit) as caught:
            dispatch([verb, "--help"])
        assert caught.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 8


def test_errors_are_one_line_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(dispatch, ["search", str(tmp_path), "x.mp4"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxret: error: ")
    assert error.count("\n") == 1


def test_a_closed_pipe_is_not_an_error(run: Path, media: Path) -> None:
    query = next(media.glob("0-up/*.mp4"))
    command = f"{sys.executable} -m jaxret search {run} {query} -k 20 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "distance" in done.stdout
    assert done.stderr == ""
