"""A ConvLSTM, and a convolution over time, of clips on four devices: a program of its own, as `four_devices.py`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxret.models.conv_lstm.cell import ConvLSTM
from jaxret.models.conv_lstm.step_forms import Winograd, fitting_form
from jaxret.models.layers.cpu import winograd

if __name__ == "__main__":
    devices = jax.devices()
    assert len(devices) == 4
    clips = np.random.default_rng(0).normal(size=(8, 3, 8, 8, 3)).astype(np.float32)
    graph, parameters = nnx.split(ConvLSTM(3, 16, rngs=nnx.Rngs(0)))

    def loss(parameters: nnx.State, clips: jax.Array) -> jax.Array:
        outputs = nnx.merge(graph, parameters)(clips)
        return (outputs * jnp.arange(outputs.size, dtype=jnp.float32).reshape(outputs.shape) / outputs.size).sum()

    mesh = Mesh(np.array(devices), ("clips",))
    spread = jax.device_put(clips, NamedSharding(mesh, PartitionSpec("clips")))
    on_all = jax.device_put(parameters, NamedSharding(mesh, PartitionSpec()))
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(on_all, spread).compile()
    found = compiled(on_all, spread)
    assert fitting_form(jnp.asarray(clips), jnp.zeros((3, 3, 19, 64))) == Winograd(8, parts=4)
    # Each device computes its own clips: they are not gathered, and the gradients are added up once, after the loop.
    program = compiled.as_text()
    assert "all-gather" not in program
    assert program.count(" all-reduce(") == 1

    def loss_of_volume(kernel: jax.Array, clips: jax.Array) -> jax.Array:
        return (winograd.volume_convolution(clips, kernel) ** 2).sum()

    winograd._TILES_OF_BLOCK = 8  # a frame of each device's two clips at a time
    kernel = jax.device_put(jnp.ones((3, 3, 3, 3, 2)), NamedSharding(mesh, PartitionSpec()))
    of_volume = jax.jit(jax.value_and_grad(loss_of_volume, argnums=(0, 1))).lower(kernel, spread).compile()
    found_of_volume = of_volume(kernel, spread)
    assert "all-gather" not in of_volume.as_text()
    computations = of_volume.as_text().split("\n\n")
    assert all(one.lstrip().startswith("ENTRY") for one in computations if " all-reduce(" in one)

    jax.device_count = lambda: 1  # the form of one device: groups of clips, one after the other
    expected = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(parameters, jnp.asarray(clips))
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4 * float(jnp.abs(theirs).max()))
    expected = jax.jit(jax.value_and_grad(loss_of_volume, argnums=(0, 1)))(jnp.array(kernel), jnp.asarray(clips))
    for ours, theirs in zip(jax.tree.leaves(found_of_volume), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4 * float(jnp.abs(theirs).max()))
