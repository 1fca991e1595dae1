"""Trainings of the recipe instance-search: by the commands, stopped and gone on with, of films, of a detector."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from instance_making import PICTURES, make_film, make_pictures, map_encoder
from instance_runs import FEATURES, found
from readme_commands import readme_commands

from jaxret import train
from jaxret.__main__ import dispatch
from jaxret.cli.compilation_cache import SWITCH
from jaxret.cli.run import run_command
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError
from jaxret.index import MediaIndex
from jaxret.models import create_backbone
from jaxret.models.descriptors import stage_maps
from jaxret.models.detection import DetectorSettings, PyramidRCNN
from jaxret.models.store import encoder_arrays, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.instances import recipe
from jaxret.recipes.instances.recipe import InstanceSearchConfig, training_indices
from jaxret.retrieval import Retriever
from jaxret.training import RunContext, RunFolder


def test_commands_keep_the_programs_of_maps(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    outputs = []
    for number in range(2):
        out = tmp_path / f"run-{number}"
        assert dispatch(["train", "instance-search", "--data", str(data), "--out", str(out), *FEATURES["grid"]]) == 0
        capsys.readouterr()
        words = ["search", str(out), str(data / next(iter(PICTURES))), "--region", "0.2,0.2,0.5,0.5", "--json"]
        assert dispatch(words) == 0
        outputs.append(capsys.readouterr().out.replace(out.name, "run"))
        kept = set((tmp_path / "cache").rglob("*.program"))
        assert kept
        # Nothing is traced again: neither by the second training nor by its search.
        monkeypatch.setattr(stage_maps, "_maps", None)
        monkeypatch.setattr(stage_maps._stage_means, "_found", {})
    assert kept == set((tmp_path / "cache").rglob("*.program"))
    assert outputs[0] == outputs[1]


def test_the_readme_commands_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = make_pictures(tmp_path / "MORE_IMAGES", ["a.png"])
    places: dict[str, Path | str] = {
        "IMAGES": data, "MORE_IMAGES": more, "PHOTO.jpg": data / "b.png", "FILM.mp4": data / "x.mp4",
        "boxes:BOXES.csv": f"boxes:{data / 'boxes.csv'}",
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    lines = readme_commands("instances", places)
    assert [words[1] for words in lines] == ["train", "index", "search", "search", "evaluate"]
    for words in lines:
        assert dispatch([*words[1:], *(FEATURES["blcf"] if words[1] == "train" else [])]) == 0
        assert capsys.readouterr().out.strip()
    assert (tmp_path / "found.png").is_file()


def test_the_whitening_counts_the_pictures_that_were_read(data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    config = InstanceSearchConfig(
        data=str(data), backbone="small-convnet", weights="none", image_size=64, frames=2, whitened_size=8
    )
    recipe.train(config, RunContext(RunFolder(tmp_path), log=lines.append))
    assert f"whitening: fitted on {len(PICTURES) + 1} images and videos" in lines  # and the film; one is broken


def test_a_stopped_run_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped while it fits, and again while it indexes; what was fitted is not fitted anew."""
    small = make_pictures(tmp_path / "pictures", ["a.png", "b.png", "c.png"])
    words = ["instance-search", "--data", str(small), *FEATURES["blcf"]]
    assert train.main([*words, "--out", str(tmp_path / "whole")]) == 0
    parts = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr("jaxret.recipes.instances.recipe.fit_words", _stop)
        with pytest.raises(KeyboardInterrupt):
            train.main([*words, "--out", str(parts)])
    assert not (parts / "encoder").exists()
    with monkeypatch.context() as patch:
        patch.setattr("jaxret.recipes.instances.report._searches", _stop)
        with pytest.raises(KeyboardInterrupt):
            train.main(["--resume", str(parts), "--quiet"])
    Retriever.open(parts / "index").index.remove(["c.png"])  # as if stopped before it
    fitted = (parts / "encoder" / "weights.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert train.main(["--resume", str(parts), "--quiet", "--threads", "3"]) == 0
    assert "3 items are in" in capsys.readouterr().out
    assert RunFolder(parts).read_config()[1]["threads"] == 3
    assert (parts / "encoder" / "weights.safetensors").stat().st_mtime_ns == fitted
    first, second = (encoder_arrays(load_encoder(folder / "encoder")) for folder in (tmp_path / "whole", parts))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)
    asked = [small / "a.png", "--region", "8,8,24,24"]
    assert found(capsys, tmp_path / "whole", *asked) == found(capsys, parts, *asked)
    # Another encoder in the run folder is not that of its index.
    shutil.rmtree(parts / "encoder")
    save_encoder(map_encoder(), parts / "encoder")
    assert run_command(train.main, ["--resume", str(parts), "--quiet"]) == 2
    assert "was made by encoder" in capsys.readouterr().err


def _stop(*args: object, **settings: object) -> None:
    raise KeyboardInterrupt


def test_films_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    make_film(folder / "x.mp4", ["flag", None], seed=1)
    make_film(folder / "y.mp4", ["sea", "flag"], seed=2)
    words = ["--data", str(folder), "--out", str(tmp_path / "run"), *FEATURES["blcf"]]
    assert train.main(["instance-search", *words]) == 0
    command = capsys.readouterr().out.splitlines()[-1].split()
    assert command[-4:] == ["--at", "0", "--region", "0.25,0.25,0.5,0.5"]
    assert not (tmp_path / "run" / "gallery.png").exists()
    matches = found(capsys, *command[command.index("search") + 1 :])
    assert {match["key"] for match in matches} == {"x.mp4", "y.mp4"}
    assert all(match["box"] is not None for match in matches)


def test_a_split_names_what_is_fitted_on() -> None:
    def chosen(items: list[MediaItem], limit: int) -> list[int]:
        return training_indices(MediaFiles(items, probe=False), limit)

    named = [MediaItem(str(n), "image", split="train" if n % 3 == 0 else "test", path=f"{n}.png") for n in range(30)]
    assert chosen(named, 100) == list(range(0, 30, 3))
    assert chosen(named, 4) == [0, 9, 18, 27]
    assert chosen([MediaItem(str(n), "image", path=f"{n}.png") for n in range(7)], 3) == [0, 3, 6]
    with pytest.raises(ConfigError, match="there is nothing to fit an encoder on: the data hold no image that can"):
        chosen([], 3)


def test_regions_of_a_published_detector_are_searched(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file itself is read in tests/models/test_pyramid_rcnn.py; a small detector stands in for it."""

    def read(path: str, preprocessing: Preprocessing, *, proposals: int, windows: bool) -> PyramidRCNN:
        assert path == "detector.pth"
        settings = DetectorSettings((8, 16, 32, 48, 64), proposer_channels=8, head_units=8, proposals=proposals)
        settings = dataclasses.replace(settings, windows=windows)
        net = create_backbone("mobilenet-v1", width=0.125, rngs=nnx.Rngs(0))
        stages = ("conv_pw_3", "conv_pw_5", "conv_pw_11", "conv_pw_13")
        return PyramidRCNN(net, stages, ["thing"], preprocessing, settings, rngs=nnx.Rngs(0))

    monkeypatch.setattr(recipe, "read_detector", read)
    words = ["--features", "faster-rcnn", "--weights", "detector.pth", "--image-size", "64", "--frames", "2"]
    counts = ["--proposals", "5", "--search-regions", "windows", "--quiet"]
    assert train.main(["instance-search", "--data", str(data), "--out", str(tmp_path / "run"), *words, *counts]) == 0
    hits = found(capsys, tmp_path / "run", data / "a.png", "--region", "0,0,64,64")
    assert hits[0]["key"] == "a.png"
    left, top, right, bottom = hits[0]["box"]
    assert 0 <= left < right <= 64
    assert 0 <= top < bottom <= 64
    index = MediaIndex.open(tmp_path / "run" / "index")
    assert index.spaces["regions"].dimension == 121 * 12
