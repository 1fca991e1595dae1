"""The autoencoders at the paper's sizes: parameters, and of M1 the memory of an update and a few updates."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxret.models.conv_lstm.autoencoder import AUTOENCODERS, create_autoencoder
from jaxret.recipes.conv_lstm.recipe import ConvLstmConfig
from jaxret.training import (
    ReconstructionObjective,
    SplitModel,
    check_memory,
    compile_step,
    make_optimiser,
    make_train_step,
)

__all__ = ["full_size_rows"]

_SIDE, _NUMBERS, _PLANES = 256, 4000, 16
_FRAMES, _UPDATES = 8, 3


def full_size_rows() -> Iterator[tuple[str, str, dict[str, float]]]:
    """Name, setting and figures of each model; M1 is also run for a few updates."""
    for architecture, form in AUTOENCODERS.items():
        shape = {"depth_planes": _PLANES} if form.depth else {}
        model = nnx.eval_shape(
            lambda architecture=architecture, shape=shape: create_autoencoder(
                architecture, height=_SIDE, width=_SIDE, embedding_size=_NUMBERS, remat=True, rngs=nnx.Rngs(0), **shape
            )
        )
        size = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
        yield architecture.upper(), f"{_SIDE} x {_SIDE}, {_NUMBERS} numbers", {"million parameters": size / 1e6}
    yield "M1", f"{_UPDATES} updates, one clip of {_FRAMES} frames", _updates()


def _updates() -> dict[str, float]:
    split = SplitModel(
        create_autoencoder("m1", height=_SIDE, width=_SIDE, embedding_size=_NUMBERS, remat=True, rngs=nnx.Rngs(0))
    )
    optimiser = make_optimiser(ConvLstmConfig().optimiser, total_steps=_UPDATES, steps_per_epoch=_UPDATES)
    state = split.initial_state(optimiser, seed=0)
    clip = np.random.default_rng(0).integers(0, 256, (1, _FRAMES, _SIDE, _SIDE, 3), np.uint8)
    batch = {"inputs": jnp.asarray(clip)}
    step, estimate = compile_step(make_train_step(split, ReconstructionObjective(), optimiser), state, batch)
    check_memory(estimate)
    losses, times = [], []
    for _ in range(_UPDATES):
        start = time.perf_counter()
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
        times.append(time.perf_counter() - start)
    return {
        "million parameters": estimate.parameters / 1e6,
        "GB predicted": estimate.peak / 1e9,
        "s an update": min(times),
        "loss, first": losses[0],
        "loss, last": losses[-1],
    }
