"""Recipes by name: listed without JAX, trained from Python, and found in other packages."""

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

from jaxret import recipes, train
from jaxret.cli.run import run_command
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError
from jaxret.recipes import RECIPES
from jaxret.recipes.recipe import RENAMED_SETTINGS, Recipe, Run
from jaxret.training import RunFolder

SETTINGS = {"image_size": 32, "frames": 4, "units": 8, "batch_size": 8, "weights": "none", "epochs": 1}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six short videos."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=6, validation_clips=0, test_clips=0)
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in ("0-up", "1-left")])
    next(root.glob("*.csv")).unlink()
    return root


def test_recipes_are_listed_without_jax() -> None:
    code = "import sys; from jaxret import train; train.main(['--help']); sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in RECIPES:
        assert name in done.stdout


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_listed_as_it_says(name: str) -> None:
    recipe = RECIPES[name]
    assert isinstance(recipe, Recipe)
    assert (recipe.name, recipe.summary) == (name, RECIPES.summaries()[name])
    assert recipe.config.out is None
    assert not set(RENAMED_SETTINGS) & set(vars(recipe.config)), "a name that was renamed is used again"


def test_training_from_python_gives_the_run(media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    out = tmp_path / "run"
    run = recipes.train("cnn-lstm", data=media, out=out, log=lines.append, learning_rate=2e-3, **SETTINGS)
    assert isinstance(run, Run)
    assert run.path == out
    assert run.figures == json.loads((out / "figures.json").read_text())
    assert str(out / "index") in run.search_command
    video = next(media.glob("1-left/*.mp4"))
    assert run.retriever.search(video, 1)[0].item.path == str(video.resolve())
    assert any(line.startswith("encoder: ") for line in lines)
    assert json.loads((out / "config.json").read_text())["optimiser"]["learning_rate"] == 2e-3
    printed = capsys.readouterr()
    assert not printed.out
    assert "step" not in printed.err


def test_classes_that_only_the_test_split_of_a_csv_has_are_reported_as_unseen(tmp_path: Path) -> None:
    digits = MovingDigits(train_clips=4, validation_clips=1, test_clips=2)
    kept = {"0-up": None, "1-left": None, "2-right": "test"}  # of the last class nothing is trained on
    numbers = [n for n, item in enumerate(digits.items) if kept.get(item.label, "") in (None, item.split)]
    digits.write_media_folder(tmp_path / "media", numbers)
    settings = {name: value for name, value in SETTINGS.items() if name != "units"}
    run = recipes.train(
        "deep-hash", data=tmp_path / "media", out=tmp_path / "run", bits=8, samples_per_class=2, **settings
    )
    assert run is not None
    for method in ("trained", "trained, before rounding", "untrained"):
        groups = run.figures[method]
        assert set(groups) == {"all", "seen", "unseen"}
        assert (groups["seen"]["queries"], groups["unseen"]["queries"]) == (4, 2)


def test_a_stopped_training_gives_no_run(media: Path, tmp_path: Path) -> None:
    assert recipes.train("cnn-lstm", data=media, out=tmp_path / "run", stop_after=1, **SETTINGS | {"epochs": 9}) is None
    assert (tmp_path / "run" / "checkpoints").exists()
    config = tmp_path / "run" / "config.json"
    text = config.read_text()
    assert '"margin": 0.2' in text
    config.write_text(text.replace('"margin": 0.2', '"margin": 0.5'))  # as older versions let it stand
    words = ["--resume", str(config.parent), "--quiet", "--stop-after", "1"]
    assert train.main(words) == 0


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cnn-lst", {}, "unknown recipe 'cnn-lst'.*did you mean 'cnn-lstm'"),
        ("cnn-lstm", {"epoch": 3}, "cnn-lstm has no setting 'epoch'; did you mean 'epochs'"),
        ("cnn-lstm", {"lerning_rate": 3}, "did you mean 'learning_rate'"),
        ("cnn-lstm", {"frame_size": 3}, "the setting frame_size is called image_size now"),
        ("image-to-video", {"picture_side": 3}, "the setting picture_side is called query_image_size now"),
        ("faster-rcnn", {"picture_side": 3}, "the setting picture_side is called image_size now"),
        ("cnn-lstm", {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ("cnn-lstm", {"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ("cnn-lstm", {"units": "8"}, "units must be a whole number, got '8'"),
        ("cnn-lstm", {"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ("cnn-lstm", {"freeze": 1}, "freeze must be True or False or None, got 1"),
        ("cnn-lstm", {"optimiser": "adam"}, "optimiser must be of the class OptimiserConfig, got 'adam'"),
        ("cnn-lstm", {"algorithm": "adan"}, "algorithm must be one of adam, adamw, sgd, got 'adan'"),
        ("cnn-lstm", {"mining": "hard"}, "mining must be one of batch-hard, semi-hard, all, got 'hard'"),
        ("cnn-lstm", {"test_data": "/data/B"}, "test_data must be a list or a tuple, got '/data/B'"),
        ("cnn-lstm", {"train_data": Path("B")}, "train_data must be a list or a tuple, got "),
        ("ndvr-dml", {"widths": 8}, "widths must be a list or a tuple, got 8"),
        ("conv-lstm", {"steps": "pretrain"}, "steps must be a list or a tuple, got 'pretrain'"),
        ("deep-hash", {"fusion": "sum"}, "fusion must be one of .*, got 'sum'"),
        ("conv-lstm", {"architecture": "m9"}, "architecture must be one of m1, .*, got 'm9'"),
        (
            "instance-search",
            {"features": "surf"},
            "features must be one of grid, blcf, sift, rmac, faster-rcnn, got 'surf'",
        ),
        ("cnn-lstm", {"image_size": 0}, "image_size must be at least 1 or none, got 0"),
        ("cnn-lstm", {"mirror": 2.0}, "mirror must be 0 to 1 or none, got 2.0"),
        ("cnn-lstm", {"zoom": 0.5}, "zoom must be at least 1, got 0.5"),
        ("cnn-lstm", {"seed": -1}, "seed must be at least 0, got -1"),
        ("image-to-video", {"seed": -1}, "seed must be at least 0, got -1"),
        ("instance-search", {"seed": -1}, "seed must be at least 0, got -1"),
        ("faster-rcnn", {"seed": -1}, "seed must be at least 0, got -1"),
        ("zzz", {}, r"unknown recipe 'zzz'\. Known: c3d, "),
        ("moving-digits", {"loss": "arcfac"}, "unknown loss 'arcfac'"),
    ],
)
def test_what_cannot_be_trained_is_named(name: str, settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.train(name, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_settings_of_older_versions_open(tmp_path: Path) -> None:
    from jaxret.recipes.recipe import open_config

    for name, old in (
        ("cnn-lstm", {"frame_size": 48}),
        ("image-to-video", {"frame_side": 64, "picture_side": 32, "photographs": 1}),
        ("faster-rcnn", {"picture_side": 64, "trunk_learning_rate": None}),
        ("instance-search", {"side": 64, "training_pictures": 7}),
    ):
        (tmp_path / "config.json").write_text(json.dumps({"recipe": name, **old}))
        recipe, config = open_config(RunFolder(tmp_path))
        assert recipe.name == name
        new = [next(n for n in RENAMED_SETTINGS[setting] if hasattr(config, n)) for setting in old]
        assert [getattr(config, setting) for setting in new] == list(old.values())
    assert new == ["image_size", "training_images"]


PLUGIN = """
import dataclasses

from jaxret.recipes.recipe import Recipe
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig, train
from jaxret.training import OptimiserConfig


@dataclasses.dataclass(frozen=True)
class TinyConfig(CnnLstmConfig):
    units: int = 4
    image_size: int | None = 32
    frames: int = 4
    weights: str = "none"
    optimiser: OptimiserConfig = OptimiserConfig(momentum=0.5)  # which nobody has typed


RECIPE = Recipe("tiny", "a recipe of another package", TinyConfig(), train)
"""


def test_a_recipe_of_another_package_is_listed_and_trained(media: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    info = packages / "tiny_recipe-1.0.dist-info"
    info.mkdir(parents=True)
    (packages / "tiny_recipe.py").write_text(PLUGIN)
    (packages / "broken_recipe.py").write_text("import no_such_module")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-recipe\nVersion: 1.0\n")
    points = "tiny = tiny_recipe:RECIPE\nbroken = broken_recipe:RECIPE\n"
    (info / "entry_points.txt").write_text(f"[jaxret.recipes]\n{points}")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), *sys.path])}

    def jaxret(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jaxret", "train", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    listed = jaxret("--help").stdout
    assert "a recipe of another package" in listed
    assert "the recipe 'broken' of another package cannot be imported" in listed
    run = tmp_path / "run"
    done = jaxret("tiny", "--data", str(media), "--out", str(run), "--epochs", "1", "--batch-size", "8", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "config.json").read_text())["recipe"] == "tiny"
    assert (run / "index" / "manifest.json").exists()
    assert train.main(["--help"]) == 0  # here it is not installed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop_after": 0}, "stop_after must be a whole number of at least 1 step, or None, got 0"),
        ({"loss": 5}, "loss must be"),
        (
            {"split_column": "official"},
            "split_column names a column of a CSV, and .* is none and holds none: leave it out",
        ),
        ({"download": True}, "download fetches data sets named tfds:..., and .* is none: leave it out"),
        ({"out": "a.png/run"}, r"a\.png is no folder; give another --out"),
    ],
)
def test_what_would_do_nothing_or_fail_later_is_refused(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cats", "dogs"):
        (tmp_path / "media" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "media" / name / "a.png")
    (tmp_path / "a.png").write_bytes(b"no folder")
    with pytest.raises(ConfigError, match=message):
        recipes.train("cnn-lstm", data="media", **{"out": "run", **settings})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("trained", "found"), [((), "no training video"), (("cats",), "training videos of one class")])
def test_images_among_videos_do_not_train(trained, found, tmp_path):
    rows = ["path,label,source,split"]
    for label in ("cats", "dogs"):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{label}.png")
        write_video(tmp_path / f"{label}.mp4", np.zeros((4, 32, 32, 3), np.uint8), fps=4)
        write_video(tmp_path / f"{label}-tested.mp4", np.ones((4, 32, 32, 3), np.uint8), fps=4)
        rows += [f"{label}.png,{label},{label}1,train", f"{label}-tested.mp4,{label},{label}2,test"]
        rows += [f"{label}.mp4,{label},{label}3,{'train' if label in trained else 'test'}"]
    (tmp_path / "media.csv").write_text("\n".join(rows))
    with pytest.raises(ConfigError, match=f"{found}.*: images among videos are not trained on"):
        recipes.train("cnn-lstm", data=tmp_path / "media.csv", out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_a_training_does_not_go_on_with_other_data(media, tmp_path, capsys):
    shutil.copytree(media, tmp_path / "media")
    settings = SETTINGS | {"data": tmp_path / "media", "out": tmp_path / "run", "epochs": 2}
    assert recipes.train("cnn-lstm", **settings, stop_after=1) is None
    gone = next((tmp_path / "media").rglob("*.mp4"))
    gone.rename(tmp_path / "gone.mp4")
    assert run_command(train.main, ["--resume", str(tmp_path / "run"), "--quiet"]) == 2
    assert f"of 12 items 1 are missing or cannot be read ({gone.parent.name}/{gone.name})" in capsys.readouterr().err
    (tmp_path / "gone.mp4").rename(gone)
    assert run_command(train.main, ["--resume", str(tmp_path / "run"), "--quiet"]) == 0
