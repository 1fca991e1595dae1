"""Settings that would do nothing as the others stand: refused of a new training by name, before the data are opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from jaxret import recipes, train
from jaxret.errors import ConfigError
from jaxret.recipes import RECIPES
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.clips.deep_hash import DeepHashConfig
from jaxret.recipes.recipe import with_settings
from jaxret.training import refuse_idle, register_objective
from jaxret.training.objectives import registry


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cnn-lstm", {"momentum": 0.5}, "momentum=0.5 has no effect: it is of algorithm=sgd, and this is adam"),
        ("conv-lstm", {"step_epochs": 3}, "step_epochs=3 has no effect: it is of schedule=step"),
        ("image-to-video", {"step_divisor": 3.0}, "step_divisor=3.0 has no effect: .* and this is cosine"),
        ("image-to-video", {"temporal": "residual", "units": 8}, "units=8 has no effect: it is of a recurrent layer"),
        ("image-to-video", {"temporal": "residual", "dropout": 0.2}, "dropout=0.2 .*, and temporal=residual has none"),
        (
            "image-to-video",
            {"whitened_size": 0, "whitening_frames": 9},
            "whitening_frames=9 .* whitened_size=0 whitens",
        ),
        ("cnn-lstm", {"margin": 0.5}, "margin=0.5 has no effect: triplet_weight is 0"),
        ("c3d", {"mining": "all"}, "mining='all' has no effect: triplet_weight is 0"),
        ("deep-hash", {"mining": "semi-hard", "triplet_weight": 0.0}, "mining='semi-hard' has no effect"),
        ("cnn-lstm", {"samples_per_class": 2}, "samples_per_class=2 has no effect: batches hold items of any class"),
        ("cnn-lstm", {"freeze": False, "cache": "a"}, "cache=.* has no effect: .*, and freeze=False trains it"),
        ("cnn-lstm", {"freeze": False, "cached_views": 2}, "cached_views=2 has no effect: .*freeze=False"),
        ("cnn-lstm", {"freeze": True, "zoom": 1.5}, "zoom=1.5 has no effect: .* set cached_views above 1"),
        ("cnn-lstm", {"freeze": True, "mirror": 0.5}, "mirror=0.5 has no effect: .* set cached_views above 1"),
        (
            "deep-hash",
            {"fusion": "weighted-average", "units": 8},
            "units=8 has no effect: fusion=weighted-average is as",
        ),
        ("deep-hash", {"fusion": "lstm", "map_grid": 2}, "map_grid=2 has no effect: it is of fusion=convolution-3d"),
        ("cnn-lstm", {"fusion": "gru", "rounds": 3}, "rounds=3 has no effect: fusion=gru holds no classes out"),
        ("conv-lstm", {"steps": ["pretrain", "triplet"], "hard_fraction": 0.5}, "hard_fraction=0.5 .* the step rank"),
        ("conv-lstm", {"steps": ["triplet"], "pretrain_epochs": 3}, "pretrain_epochs=3 .* the step pretrain"),
        ("conv-lstm", {"steps": ["triplet"], "bins": 8}, "bins=8 has no effect: they are of the step pretrain"),
        (
            "conv-lstm",
            {"steps": ["pretrain"], "mining": "batch-hard"},
            "mining='batch-hard' .* the steps triplet, challenging, pl",
        ),
        ("conv-lstm", {"steps": ["pretrain"], "copy_weight": 0.5}, "copy_weight=0.5 has no effect: it is of the steps"),
        ("conv-lstm", {"steps": ["pretrain"], "samples_per_class": 2}, "samples_per_class=2 has no effect"),
        ("conv-lstm", {"steps": ["pretrain", "rank"], "loss_unit": "distance"}, "loss_unit='distance' has no effect"),
        ("conv-lstm-paper", {"steps": ["pretrain"], "loss_unit": "margin"}, "loss_unit='margin' has no effect"),
        (
            "conv-lstm",
            {"steps": ["triplet"], "architecture": "m3", "transformer_heads": 2},
            "transformer_heads=2 has no",
        ),
        ("conv-lstm", {"initial_run": "a", "standardise_by": "data"}, "='data' .* as by the encoder of initial_run=a"),
        ("conv-lstm", {"initial_run": "a", "pixel_mean": 9.0, "pixel_deviation": 2.0}, "pixel_mean=9.0 has no effect"),
        ("conv-lstm", {"steps": ["pretrain"], "margin": 0.5}, "margin=0.5 has no effect: it is of the steps with la"),
    ],
)
def test_they_are_named(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.train(name, data="nothing-there", **settings)


def test_the_command_names_its_options() -> None:
    words = ["--fusion", "weighted-average", "--units", "8", "--data", "nothing-there"]
    with pytest.raises(ConfigError, match="--units 8 has no effect: --fusion weighted-average is as wide as a frame"):
        train.main(["deep-hash", *words])


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_has_some_by_default(name: str) -> None:
    refuse_idle(RECIPES[name].config)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cnn-lstm", {"momentum": 0.5, "algorithm": "sgd", "step_epochs": 3, "schedule": "step"}),
        ("cnn-lstm", {"margin": 0.5, "mining": "all", "samples_per_class": 2, "triplet_weight": 1.0}),
        ("cnn-lstm", {"freeze": True, "zoom": 1.5, "mirror": 0.2, "cached_views": 2, "cache": "a"}),
        ("cnn-lstm", {"freeze": True, "zoom": 1.0, "mirror": 0.0}),
        ("cnn-lstm", {"zoom": 1.5, "units": 8, "cache": "a"}),
        ("deep-hash", {"fusion": "convolution-3d", "units": 8, "map_grid": 2, "samples_per_class": 2}),
        ("image-to-video", {"units": 8, "dropout": 0.2, "whitening_frames": 9}),  # auto tries the recurrent ones
        ("image-to-video", {"temporal": "gru", "units": 8, "dropout": 0.2}),
        ("image-to-video", {"temporal": "residual", "margin": 0.2, "clean": True}),
        ("conv-lstm", {"hard_fraction": 0.5, "pretrain_epochs": 3}),
        ("conv-lstm", {"steps": ["pretrain"], "batch_size": 4}),  # of which no two classes of four could be
        ("conv-lstm", {"steps": ["rank"], "margin": 0.5, "hard_fraction": 0.5}),
        ("conv-lstm", {"steps": ["plain"], "mining": "batch-hard", "samples_per_class": 2, "copy_weight": 0.0}),
        ("conv-lstm-paper", {"steps": ["pretrain"]}),  # whose loss is measured otherwise, which nobody has chosen
        ("conv-lstm-paper", {"algorithm": "adam"}),  # and whose SGD has a momentum
    ],
)
def test_what_does_something_is_taken(name: str, settings: dict[str, Any]) -> None:
    refuse_idle(with_settings(RECIPES[name], settings), RECIPES[name].config)


def test_a_loss_of_its_own_stands_in_the_place_of_the_weighted_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})

    @register_objective("compared")
    @dataclasses.dataclass(frozen=True)
    class Compared:
        curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss",)}
        needs_positives: ClassVar[bool] = True

        def __call__(self, model: Any, batch: Any) -> Any:
            return None

    refuse_idle(CnnLstmConfig(loss=Compared(), samples_per_class=2))
    for name, value in {
        "cross_entropy_weight": 0.5,
        "triplet_weight": 0.5,
        "margin": 0.5,
        "mining": "semi-hard",
    }.items():
        with pytest.raises(
            ConfigError, match=f"{name}={value!r} has no effect: .* loss=compared stands in their place"
        ):
            refuse_idle(DeepHashConfig(loss=Compared(), **{name: value}))
