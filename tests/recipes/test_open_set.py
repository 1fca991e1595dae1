"""Clips fused by an open-set encoder, from a folder of videos to a search: when it is chosen, vectors and codes."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from jaxret import Retriever, train
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.store import encoder_arrays
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig, make_encoder
from jaxret.recipes.clips.deep_hash import DeepHashConfig
from jaxret.recipes.clips.open_set import resolve_fusion
from jaxret.recipes.opening import open_labelled_data
from jaxret.recipes.recipe import open_config
from jaxret.training import LoopConfig, RunContext, RunFolder

CLASSES, SOURCES, SIZE = 5, 10, 32


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of plain colours with noise, each a source of its own; and the weights of a small network."""
    folder = tmp_path_factory.mktemp("open_set")
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        colour = np.random.default_rng(label).integers(40, 216, 3)
        for source in range(SOURCES):
            path = folder / "media" / f"class{label}" / f"{source}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = np.clip(colour + rng.normal(0, 25, (8, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
            write_video(path, frames, fps=8)
    save_file(encoder_arrays(create_backbone("small-convnet", rngs=nnx.Rngs(0))), folder / "weights.safetensors")
    return folder


def arguments(recipe: str, media: Path, out: Path, **more: object) -> list[str]:
    settings = {
        "data": media / "media",
        "out": out,
        "backbone": "small-convnet",
        "weights": media / "weights.safetensors",
        "image-size": SIZE,
        "frames": 4,
        "cache": media / "cache",
        "unseen-fraction": 0.2,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return [recipe, *(word for name, value in settings.items() for word in (f"--{name}", str(value))), "--quiet"]


def test_with_pretrained_weights_it_is_the_default_of_cnn_lstm(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train.main(arguments("cnn-lstm", media, run, rounds=2)) == 0
    printed = capsys.readouterr().out
    assert "fusion: open-set (fitted, " in printed
    assert "held-out training classes gain" in printed
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["fusion"] == "open-set"
    figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
    assert {"seen", "unseen"} <= set(figures["trained"])
    # Before it is fitted, the encoder ranks as the mean of the frame vectors does.
    mean, before = (figures[name]["all"]["mAP"] for name in ("mean of frame vectors", "untrained"))
    assert 0 < before <= 1
    assert 0 < mean <= 1
    retriever = Retriever.open(run)
    temporal = retriever.encoder.temporal
    assert isinstance(temporal, OpenSetEncoder)
    assert temporal.classes == CLASSES - 1
    hits = retriever.search(media / "media" / "class0" / "0.mp4", k=3)
    assert hits[0].item.key.endswith("class0/0.mp4")
    assert hits[0].distance == pytest.approx(0, abs=1e-3)
    # Called again, it is fitted again from the cached frame vectors, to the same.
    assert train.main(["--resume", str(run), "--quiet"]) == 0
    assert json.loads((run / "figures.json").read_text(encoding="utf-8")) == figures


def test_its_codes_are_the_default_of_deep_hash(media: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train.main(arguments("deep-hash", media, run, rounds=2, bits=32)) == 0
    encoder = Retriever.open(run).encoder
    assert isinstance(encoder.temporal, OpenSetHash)
    assert encoder.temporal.doubt > 1
    # Every class that is trained on has a codeword of its own.
    codewords = np.asarray(encoder.temporal.codewords)
    assert codewords.shape == (CLASSES - 1, 32)
    assert len(np.unique(codewords, axis=0)) == CLASSES - 1
    np.testing.assert_array_equal(np.abs(codewords), 1)
    hit = Retriever.open(run).search(media / "media" / "class0" / "0.mp4", k=1)[0]
    assert (hit.item.key.endswith("class0/0.mp4"), hit.distance) == (True, 0)


@pytest.mark.parametrize(
    ("settings", "reason", "change"),
    [
        ({"loop": LoopConfig(epochs=7)}, "epochs=7 is a setting of a training by steps", "without --epochs"),
        ({"units": 8}, "units=8 is a setting of a training by steps", "without --units"),
        ({"unseen_fraction": 0.6, "dropout": 0.5}, "dropout=0.5 is a setting of a tra", "without --dropout"),
        ({"weights": "none", "freeze": False}, "the backbone is trained as well", "with a frozen pretrained backbone"),
        (
            {"freeze": False, "loop": LoopConfig(epochs=7), "batch_size": 8},
            "the backbone is trained as well",
            "with a frozen pretrained backbone .*, without --batch-size, without --epochs",
        ),
    ],
)
def test_where_it_does_not_go_another_is_trained_with_a_warning(
    media: Path, tmp_path: Path, settings: dict[str, Any], reason: str, change: str
) -> None:
    lines: list[str] = []
    context = RunContext(RunFolder(tmp_path), log=lines.append)
    shared: dict[str, Any] = {"data": str(media / "media"), "weights": "a.h5", "freeze": True}
    for kind, trained in ((CnnLstmConfig, "lstm"), (DeepHashConfig, "weighted-average")):
        config = kind(**{**shared, **settings})
        data = open_labelled_data(config, context)
        assert resolve_fusion(config, data, context).fusion == trained
        assert lines[-2].startswith(f"fusion: {trained} ({reason}")
        told = "warning: classes that are not trained on may be found worse than without any training; "
        assert re.match(f"{told}{change}.* open-set is taken, which holds them as well", lines[-1])
        named = dataclasses.replace(config, fusion="open-set")
        with pytest.raises(
            ConfigError, match=f"fusion=open-set does not go here: {reason}.*. --fusion {trained} trains"
        ):
            resolve_fusion(named, data, context)
        alone = kind(**shared)
        assert resolve_fusion(alone, open_labelled_data(alone, context), context).fusion == "open-set"
        assert lines[-1].startswith("fusion: open-set (fitted, ")
        told = len(lines)
        chosen = dataclasses.replace(config, fusion=trained)
        assert resolve_fusion(chosen, data, context) == chosen
        assert len(lines) == told  # who names it has chosen


def test_log_and_report_of_a_training_by_steps_warn(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train.main(arguments("cnn-lstm", media, run, epochs=1, units=8)) == 0
    told = "classes that are not trained on may be found worse than without any training"
    printed = capsys.readouterr().out
    assert f"warning: {told}; without --epochs, without --units open-set is taken" in printed
    assert f"trained by steps (fusion=lstm): {told}." in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("recipe", "bits"), [("cnn-lstm", 0), ("deep-hash", 16)])
def test_of_two_classes_it_is_the_means_alone(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, bits: int
) -> None:
    run = tmp_path / "run"
    two = {"unseen_fraction": 0.6, "bits": bits}
    assert train.main(arguments(recipe, media, run, **two)) == 0
    printed = capsys.readouterr().out
    assert "fusion: open-set (the means of the frame vectors alone, as of two training classes none" in printed
    assert "of two training classes none can be held out, and clips are found by" in printed
    assert "warning" not in printed
    figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
    retriever = Retriever.open(run)
    temporal = retriever.encoder.temporal
    if bits:
        assert isinstance(temporal, OpenSetHash)
        assert not np.asarray(temporal.codewords).any()
        hits = retriever.search(media / "media" / "class0" / "0.mp4", k=1)
        assert (hits[0].item.label, hits[0].distance) == ("class0", 0)
    else:
        assert isinstance(temporal, OpenSetEncoder)
        assert temporal.weight == 0
        assert figures["trained"] == figures["mean of frame vectors"]
    with pytest.raises(ConfigError, match="--rounds 3 has no effect: of two training classes none can be held out"):
        train.main(arguments(recipe, media, tmp_path / "rounds", rounds=3, **two))


def test_what_it_cannot_do_is_refused(media: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--stop-after counts training steps"):
        train.main([*arguments("cnn-lstm", media, tmp_path / "a", fusion="open-set"), "--stop-after", "3"])
    with pytest.raises(ConfigError, match=r"--held-out 0\.5 has no effect: --fusion lstm holds no classes out"):
        train.main(arguments("cnn-lstm", media, tmp_path / "b", fusion="lstm", held_out=0.5))
    with pytest.raises(ConfigError, match="held_out must be above 0 and below 1, got 1"):
        CnnLstmConfig(held_out=1.0)
    with pytest.raises(ConfigError, match="rounds must be at least 2"):
        DeepHashConfig(rounds=1)
    with pytest.raises(ConfigError, match="the recipe open-set is called cnn-lstm --fusion open-set now"):
        train.main(["open-set", "--data", str(media)])
    with pytest.raises(ConfigError, match="an open-set encoder is made for a number of classes"):
        make_encoder(CnnLstmConfig(fusion="open-set", backbone="small-convnet", weights="none", image_size=SIZE))


def test_a_run_of_the_recipe_that_it_was_opens(tmp_path: Path) -> None:
    settings = {"recipe": "open-set", "data": "FOLDER", "backbone": "mobilenet-v1", "weights": "a.h5", "rounds": 4}
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    recipe, config = open_config(RunFolder(tmp_path))
    assert (recipe.name, config.fusion, config.rounds, config.weights) == ("cnn-lstm", "open-set", 4, "a.h5")


def test_a_run_with_a_cell_is_one_with_that_fusion(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"recipe": "cnn-lstm", "cell": "gru"}), encoding="utf-8")
    assert open_config(RunFolder(tmp_path))[1].fusion == "gru"
