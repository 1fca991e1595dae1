"""Settings of a training of system 2: what is refused, what is chosen, and what its log remarks."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.recipes.conv_lstm.paper import PAPER
from jaxret.recipes.conv_lstm.recipe import RECIPE, ConvLstmConfig, TransformerConfig, resolve
from jaxret.recipes.conv_lstm.remarks import TripletRemarks
from jaxret.training import LoopConfig


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


def test_what_is_left_open_follows_the_model_and_the_paper() -> None:
    digits = MovingDigits(1, 0, 0)
    config = resolve(ConvLstmConfig(), digits)
    assert (config.image_size, config.frames, config.recurrent_channels, config.batch_size) == (16, 4, 16, 32)
    assert (config.embedding_size, config.loop_of("pretrain").epochs) == (128, 4)
    assert config.loop_of("triplet") == config.loop
    assert resolve(ConvLstmConfig(recurrent_channels=6, frames=5), digits).frames == 5
    config = resolve(RECIPE.config, digits)
    assert (config.standardise_by, config.thumbnail_share) == ("data", None)
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


def test_the_papers_loss_is_in_squared_distances() -> None:
    points, labels = jnp.array([[0.0], [3.0], [4.0]]), jnp.array([0, 0, 1])

    def loss(config: ConvLstmConfig) -> float:
        model = SimpleNamespace
        return float(
            config.objective(unit=16.0)(lambda inputs: model(embedding=inputs), {"inputs": points, "labels": labels})[0]
        )

    assert loss(ConvLstmConfig(margin=1.0)) == pytest.approx(np.mean([9 - 16 + 16, 9 - 1 + 16]) / 16)
    assert loss(PAPER) == pytest.approx(np.mean([9 - 16 + 16, 9 - 1 + 16]))


def test_what_does_not_learn_is_told_once_with_what_to_do() -> None:
    remark = TripletRemarks()
    assert remark({"in_order": 0.51, "spread": 0.5}, 299) is None
    assert "after 300 updates 51 % of the triplets are in order" in str(remark({"in_order": 0.51, "spread": 0.5}, 300))
    assert remark({"in_order": 0.51, "spread": 0.5}, 400) is None
    assert "the vectors shrink to a point (spread 0.02" in str(remark({"in_order": 0.9, "spread": 0.02}, 500))
    assert remark({"in_order": 0.9, "spread": 0.5}, 600) is None
