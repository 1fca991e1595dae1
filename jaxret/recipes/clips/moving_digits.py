"""System 1 sized for the embedded moving digits, what `jaxret train` runs without arguments.

The paper and the model are those of `jaxret.recipes.clips.cnn_lstm`, with a small network that is trained end to end.
What a class is, a digit and the way it moves, shows in few frames and without colours. So clips are grey and of four
frames, drawn at random one from each quarter: three times as many clips in the same time, none seen twice alike.

Measured (`benchmarks/accuracy_first_run.py`, three seeds, 155 CPU-seconds each): P@5 0.880 +- 0.015 on classes
trained on and 0.830 +- 0.009 on others, where the mean of the trained frame vectors gives 0.177 and
0.153, the untrained encoder 0.035 and 0.034.

Run: `python -m jaxret.train`.
"""

from __future__ import annotations

from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig, train
from jaxret.recipes.recipe import Recipe
from jaxret.training import LoopConfig, OptimiserConfig

__all__ = ["MOVING_DIGITS", "RECIPE"]

MOVING_DIGITS = CnnLstmConfig(
    fusion="lstm",
    grey=True,
    frames=4,
    chunk_seconds=1.0,
    units=128,
    mirror=0.0,  # left and right are classes here
    batch_size=48,
    optimiser=OptimiserConfig(
        algorithm="adamw",
        learning_rate=3e-3,
        schedule="cosine",
        warmup_steps=50,
        weight_decay=1e-4,
        clip_norm=1.0,
    ),
    loop=LoopConfig(epochs=40, evaluate_every=10, patience=0),
)
"""The same system sized for the embedded data: 4 frames of 32 x 32 a clip, trained end to end in minutes."""

RECIPE = Recipe(
    "moving-digits",
    "the same system sized for the embedded moving digits; what runs without arguments",
    MOVING_DIGITS,
    train,
)
