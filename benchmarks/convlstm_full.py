"""The autoencoders at the paper's sizes: parameters, memory of an update, and a few updates on the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxret.models.conv_lstm_autoencoder import AUTOENCODERS, create_autoencoder
from jaxret.models.encoder_store import parameter_count

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
    model = create_autoencoder("m1", height=_SIDE, width=_SIDE, embedding_size=_NUMBERS, remat=True, rngs=nnx.Rngs(0))
    model.train()
    optimiser = nnx.Optimizer(model, optax.sgd(1e-3, momentum=0.9), wrt=nnx.Param)
    clip = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, _FRAMES, _SIDE, _SIDE, 3), np.uint8))

    @nnx.jit
    def update(model: nnx.Module, optimiser: nnx.Optimizer) -> jax.Array:
        def loss_of(model):
            output = model.reconstruct(clip).output
            target = (clip.astype(jnp.float32) - 127.5) / 64
            return jnp.mean((output - target) ** 2)

        loss, gradients = nnx.value_and_grad(loss_of)(model)
        optimiser.update(model, gradients)
        return loss

    losses, times = [], []
    for _ in range(_UPDATES):
        start = time.perf_counter()
        losses.append(float(update(model, optimiser)))
        times.append(time.perf_counter() - start)
    return {
        "million parameters": parameter_count(model) / 1e6,
        "s an update": min(times),
        "loss, first": losses[0],
        "loss, last": losses[-1],
    }
