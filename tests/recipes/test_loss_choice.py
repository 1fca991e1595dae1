"""A loss from outside the package: chosen by name, set by options, logged, drawn and kept with the run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import pytest

from jaxret import recipes, train
from jaxret.errors import ConfigError
from jaxret.losses import cross_entropy
from jaxret.recipes.recipe import open_config
from jaxret.reporting import curves
from jaxret.training import RunFolder, read_run_log, register_objective
from jaxret.training.objectives import registry

SMALL = ["--image-size", "32", "--frames", "4", "--units", "8", "--batch-size", "8", "--epochs", "1", "--quiet"]


@dataclasses.dataclass(frozen=True)
class ArcFace:
    """J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019."""

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss",), "angle": ("class_cosine",)}
    needs_positives: ClassVar[bool] = False

    margin: float = 0.5
    """Added to the angle between an embedding and the weights of its class, in radians."""
    scale: float = 16.0
    """Factor of the cosines."""

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        embedding, _ = model(batch["inputs"])
        cosines = unit(embedding, -1) @ unit(model.head.linear.kernel[...], 0)
        own = jax.nn.one_hot(batch["labels"], cosines.shape[-1])
        angles = jnp.arccos(jnp.clip(cosines, -1 + 1e-6, 1 - 1e-6))
        logits = self.scale * jnp.cos(angles + self.margin * own)
        return cross_entropy(logits, batch["labels"]), {"class_cosine": jnp.sum(own * cosines) / len(own)}


def unit(vectors: jax.Array, axis: int) -> jax.Array:
    return vectors / jnp.sqrt(jnp.sum(vectors**2, axis=axis, keepdims=True) + 1e-12)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ArcFace is a choice in these tests alone."""
    monkeypatch.setattr(registry, "_REGISTERED", {})
    register_objective("arcface")(ArcFace)
    return None


def test_a_loss_from_outside_trains_and_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Mapping[str, Any]] = []
    draw = curves.draw_curves

    def noted(path: Path, rows: Any, *, panels: Mapping[str, Any]) -> None:
        drawn.append(panels)
        draw(path, rows, panels=panels)

    monkeypatch.setattr(curves, "draw_curves", noted)
    out = tmp_path / "run"
    digits(monkeypatch)
    words = ["moving-digits", "--loss", "arcface", "--loss.margin", "0.3", "--out", str(out), *SMALL]
    assert train.main(words) == 0
    rows = read_run_log(out / "metrics.jsonl")
    assert -1 < rows[-1]["class_cosine"] < 1
    assert {"cross_entropy", "triplet", "train_accuracy"}.isdisjoint(rows[-1])
    assert drawn[0]["angle"] == ("class_cosine",)
    assert json.loads((out / "config.json").read_text())["loss"] == {"name": "arcface", "margin": 0.3, "scale": 16.0}
    assert open_config(RunFolder(out))[1].loss == ArcFace(0.3)
    with pytest.raises(ConfigError, match="--margin cannot change when a run is resumed"):
        train.main(["--resume", str(out), "--loss.margin", "0.4"])
    with pytest.raises(ConfigError, match="--loss cannot change when a run is resumed"):
        train.main(["--resume", str(out), "--loss", "weighted"])


def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of the moving digits."""
    from jaxret.data import open as opening
    from jaxret.data.datasets.moving_digits import MovingDigits

    monkeypatch.setattr(opening, "MovingDigits", lambda: MovingDigits(1, 1, 1))


def test_help_lists_the_loss_and_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown, hidden in (
        ([], ["--loss {weighted,arcface}"], ["--loss.margin"]),
        (["--loss", "arcface"], ["--loss.margin FLOAT", "in radians", "--loss.scale FLOAT"], []),
    ):
        with pytest.raises(SystemExit):
            train.main(["cnn-lstm", *words, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert all(word in text for word in shown)
        assert not any(word in text for word in hidden)


def test_from_python_the_loss_is_an_object_or_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from jaxret.recipes.recipe import with_settings

    recipe = recipes.RECIPES["deep-hash"]
    assert with_settings(recipe, {"loss": "arcface"}).loss == ArcFace()
    assert with_settings(recipe, {"loss": ArcFace(0.1)}).objective() == ArcFace(0.1)
    with pytest.raises(ConfigError, match="quantisation_weight is a term of the weighted losses"):
        with_settings(recipe, {"loss": ArcFace(), "quantisation_weight": 0.1})


def test_an_objective_that_cannot_be_chosen_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class NoCurves:
        margin: float = 0.1

    @dataclasses.dataclass(frozen=True)
    class NoDefault:
        curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss",)}
        margin: float

    class NoDataclass:
        curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss",)}

    for kind, message in (
        (NoCurves, "names no learning curves"),
        (NoDefault, "gives its setting margin no default"),
        (NoDataclass, "must be a frozen dataclass"),
    ):
        with pytest.raises(ConfigError, match=message):
            register_objective("odd")(kind)
    fine = dataclasses.make_dataclass("Fine", [], namespace={"curves": {"loss": ("loss",)}}, frozen=True)
    with pytest.raises(ConfigError, match=r"'arcface' of .* has the name of one of"):
        register_objective("arcface")(fine)
