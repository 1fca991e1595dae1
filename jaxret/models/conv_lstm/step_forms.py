"""The convolution of a ConvLSTM's step on a CPU, in the two forms that are fast there, and which fits which maps."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.layers.cpu import winograd
from jaxret.models.layers.cpu.conv3d import gradient_of_kernel
from jaxret.models.layers.dispatch import convolve

__all__ = ["Direct", "Form", "Winograd", "fitting_form"]

# Places (of all clips together) that a step works on: more, and the arrays of a step no longer stay in cache.
_PLACES = 2048
# Channels from which on the transforms of Winograd's form are worth it.
_LEAST_CHANNELS = 16


class Form(Protocol):
    """How the convolution of a step is computed; hashable.

    Attributes:
      clip_axis: the axis of clips in the layout.
      reads_gradient_once: whether `backward` reads the gradient of the outputs in one operation.
    """

    clip_axis: ClassVar[int]
    reads_gradient_once: ClassVar[bool]

    def clips(self, batch: int) -> int:
        """How many of the clips of a batch a step works on; they divide it."""

    def enter(self, maps: jax.Array) -> jax.Array:
        """Maps (B', *spatial, C) of one time step in the layout that the other functions take, (*layout, C)."""

    def leave(self, maps: jax.Array) -> jax.Array:
        """The inverse of `enter`."""

    def prepare(self, kernel: jax.Array) -> jax.Array:
        """The kernel as the other functions take it; linear."""

    def forward(self, maps: jax.Array, prepared: jax.Array) -> jax.Array:
        """The convolution of (*layout, C_in), (*layout, C_out)."""

    def backward(self, maps: jax.Array, prepared: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The gradients of `maps` and, as `of_kernel` takes it, of the kernel, given that of the outputs."""

    def of_kernel(self, total: jax.Array) -> jax.Array:
        """The gradient of the kernel, from the sum of what `backward` gave."""


@dataclasses.dataclass(frozen=True)
class Direct:
    """All clips at once, by the library's convolution."""

    clip_axis: ClassVar[int] = 0
    reads_gradient_once: ClassVar[bool] = False

    def clips(self, batch: int) -> int:
        """All."""
        return batch

    def enter(self, maps: jax.Array) -> jax.Array:
        """The maps."""
        return maps

    def leave(self, maps: jax.Array) -> jax.Array:
        """The maps."""
        return maps

    def prepare(self, kernel: jax.Array) -> jax.Array:
        """The kernel."""
        return kernel

    def forward(self, maps: jax.Array, prepared: jax.Array) -> jax.Array:
        """See `Form`."""
        return convolve(maps, prepared, strides=(1,) * (maps.ndim - 2))

    def backward(self, maps: jax.Array, prepared: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
        """See `Form`."""
        axes = maps.ndim - 2
        turned = jnp.flip(prepared, tuple(range(axes))).swapaxes(-1, -2)  # the window is odd
        pads = tuple((wide // 2, wide // 2) for wide in prepared.shape[:axes])
        return self.forward(gradient, turned), gradient_of_kernel(maps, prepared, gradient, (1,) * axes, pads)

    def of_kernel(self, total: jax.Array) -> jax.Array:
        """As it is."""
        return total


@dataclasses.dataclass(frozen=True)
class Winograd:
    """Some clips at a time, by minimal filtering.

    Attributes:
      group: how many clips.
      parts: equal shares of a group whose gradients of the kernel are summed up apart until the loop has ended: one for
        each of the devices that clips are spread over, or they would add up theirs in every step.
    """

    clip_axis: ClassVar[int] = 2
    reads_gradient_once: ClassVar[bool] = True
    group: int
    parts: int = 1

    def clips(self, batch: int) -> int:
        """Those of a group."""
        return self.group

    def enter(self, maps: jax.Array) -> jax.Array:
        """See `winograd.tiles_of`."""
        return winograd.tiles_of(maps)

    def leave(self, maps: jax.Array) -> jax.Array:
        """See `winograd.from_tiles`."""
        return winograd.from_tiles(maps)

    def prepare(self, kernel: jax.Array) -> jax.Array:
        """At the 36 points, (36, C_out, C_in): so both products below run faster."""
        return winograd.points_of_kernel(kernel.swapaxes(2, 3))

    def forward(self, maps: jax.Array, prepared: jax.Array) -> jax.Array:
        """See `Form`."""
        products = winograd.point_products(winograd.points_seen(maps), prepared, axes=(2, 2))
        return winograd.outputs_of(products, (*maps.shape[:-1], prepared.shape[1]))

    def backward(self, maps: jax.Array, prepared: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
        """See `Form`; the second is (36, parts, C_in, C_out)."""
        pulled = winograd.points_of_gradient(gradient)
        of_maps = winograd.adjoint_of_seen(winograd.point_products(pulled, prepared, axes=(2, 1)), maps.shape)
        shares = (36, self.parts, -1)
        seen, pulled = (each.reshape(*shares, each.shape[-1]) for each in (winograd.points_seen(maps), pulled))
        return of_maps, lax.dot_general(seen, pulled, (((2,), (2,)), ((0, 1), (0, 1))))

    def of_kernel(self, total: jax.Array) -> jax.Array:
        """See `Form`; the parts are added up last, when they are a quarter as large."""
        return winograd.adjoint_of_kernel(total).sum(axis=2)


def fitting_form(inputs: jax.Array, kernel: jax.Array) -> Form:
    """The form for inputs (B, T, *spatial, C_in) and a kernel (*window, C_in + C, 4 C)."""
    batch, _, *spatial, _ = inputs.shape
    tiled = kernel.shape[:-2] == (3, 3) and not any(size % winograd.TILE for size in spatial)
    if not tiled or kernel.shape[-1] < 4 * _LEAST_CHANNELS or inputs.dtype != jnp.float32:
        return Direct()
    devices = jax.device_count()
    if devices > 1 and batch % devices == 0:  # each has its share of one group: a group of some would be gathered
        return Winograd(batch, devices)
    most = max(1, _PLACES // math.prod(spatial))
    return Winograd(max(clips for clips in range(1, min(most, batch) + 1) if batch % clips == 0))
