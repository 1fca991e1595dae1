"""System 1 sized for the embedded moving digits, what `jaxret train` runs without arguments.

The paper and the model are those of `jaxret.recipes.clips.cnn_lstm`; a triplet loss is added, and everything is trained
end to end.

Run: `python -m jaxret.train`.
"""

from __future__ import annotations

from jaxret.recipes.base import Recipe
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig, train
from jaxret.training import LoopConfig, OptimiserConfig

__all__ = ["MOVING_DIGITS", "RECIPE"]

MOVING_DIGITS = CnnLstmConfig(
    frames=12,
    chunk_seconds=1.0,
    units=128,
    triplet_weight=1.0,
    mirror=0.0,  # left and right are classes here
    zoom=1.0,
    batch_size=48,
    optimiser=OptimiserConfig(
        algorithm="adamw",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        weight_decay=1e-4,
        clip_norm=1.0,
    ),
    loop=LoopConfig(epochs=8, evaluate_every=2, patience=0),
)
"""The same system sized for the embedded data: clips of 12 frames of 32 x 32, trained end to end in minutes."""

RECIPE = Recipe(
    "moving-digits",
    "the same system sized for the embedded moving digits; what runs without arguments",
    MOVING_DIGITS,
    train,
)
