"""LSTM and GRU cells: their equations, and how a gradient passes them.

The products of the inputs with their weights do not depend on the carry, so they are taken for all time steps at once,
as one matrix product (Appleyard, Kocisky and Blunsom 2016, arXiv:1604.01946), before the loop over time, which
`jaxret.models.temporal.recurrent_steps` has.

What stands between the products acts on every unit by itself. Its derivative is a few numbers a unit, the slopes, and a
step back through time multiplies by them.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform, orthogonal

__all__ = ["Carry", "Cell", "GRUCell", "LSTMCell", "Values"]

Carry = tuple[jax.Array, ...]
"""What goes from one time step to the next, the hidden state h first; each (B, units)."""
Values = tuple[jax.Array, ...]


class LSTMCell(nnx.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + b + h U) in this order; c' = f c + i g; h' = o tanh(c').
    Gate order, shapes and initial values (Glorot uniform, orthogonal, forget bias 1) are those of Keras, so its weights
    fit as they are.

    Attributes:
      kernel: (D, 4 units), recurrent_kernel: (units, 4 units), bias: (4 units,).
    """

    states: ClassVar[int] = 2

    def __init__(self, input_size: int, units: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (input_size, 4 * units)))
        self.recurrent_kernel = nnx.Param(orthogonal(rngs.params(), (units, 4 * units)))
        self.bias = nnx.Param(jnp.zeros(4 * units).at[units : 2 * units].set(1.0))
        self.units = units
        self.dtype = jnp.dtype(dtype)

    def weights(self) -> Values:
        """W, U and b, in the compute dtype."""
        return _in_dtype((self.kernel, self.recurrent_kernel, self.bias), self.dtype)

    @staticmethod
    def advance(carry: Carry, projected: jax.Array, weights: Values) -> tuple[Carry, Values]:
        """One time step: (h, c), x W and (U, b) to (h', c'), and what `slopes` takes."""
        h, c = carry
        recurrent, bias = weights
        sums = projected + per_channel(bias, projected) + h @ recurrent
        i, f, g, o = jnp.split(_sigmoids_and_tanh(sums), 4, axis=-1)
        new_c = f * c + i * g
        squashed = jnp.tanh(new_c)
        return (o * squashed, new_c), (c, i, f, g, o, squashed)

    @staticmethod
    def slopes(values: Values) -> tuple[jax.Array, jax.Array]:
        """Of c' by i, f, g, of h' by o, before their activations, (B, 4 units); of h' by c', c' by c, (B, 2 units)."""
        c, i, f, g, o, squashed = values
        of_gates = (g * i * (1 - i), c * f * (1 - f), i * (1 - g**2), squashed * o * (1 - o))
        return jnp.concatenate(of_gates, axis=-1), jnp.concatenate([o * (1 - squashed**2), f], axis=-1)

    @staticmethod
    def pull(gradient: Carry, of_gates: jax.Array, of_carry: jax.Array) -> tuple[jax.Array, Carry]:
        """Of the gradient of (h', c') what reaches the gates' sums, (B, 4 units), and past them (h, c)."""
        d_h, d_c = gradient
        by_c, forget = jnp.split(of_carry, 2, axis=-1)
        d_c = d_c + d_h * by_c
        return jnp.concatenate([d_c, d_c, d_c, d_h], axis=-1) * of_gates, (jnp.zeros_like(d_h), d_c * forget)

    @staticmethod
    def of_recurrent(d_gates: jax.Array, of_carry: jax.Array) -> jax.Array:
        """The gradient of h U, given that of x W: the same, since they are added."""
        return d_gates


class GRUCell(nnx.Module):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), with the reset gate after the product.

    z, r = sigmoid(x W + b + h U + b'); g = tanh(x W + b + r (h U + b')); h' = z h + (1 - z) g. Resetting
    after the product is cuDNN's form and Keras' default (`reset_after=True`); it allows one product with U a
    step. Gate order z, r, g and shapes are those of Keras.

    Attributes:
      kernel: (D, 3 units), recurrent_kernel: (units, 3 units), bias and recurrent_bias: (3 units,).
    """

    states: ClassVar[int] = 1

    def __init__(self, input_size: int, units: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (input_size, 3 * units)))
        self.recurrent_kernel = nnx.Param(orthogonal(rngs.params(), (units, 3 * units)))
        self.bias = nnx.Param(jnp.zeros(3 * units))
        self.recurrent_bias = nnx.Param(jnp.zeros(3 * units))
        self.units = units
        self.dtype = jnp.dtype(dtype)

    def weights(self) -> Values:
        """W, U, b and b', in the compute dtype."""
        return _in_dtype((self.kernel, self.recurrent_kernel, self.bias, self.recurrent_bias), self.dtype)

    @staticmethod
    def advance(carry: Carry, projected: jax.Array, weights: Values) -> tuple[Carry, Values]:
        """One time step: (h,), x W and (U, b, b') to (h',), and what `slopes` takes."""
        (h,) = carry
        recurrent, bias, recurrent_bias = weights
        x_z, x_r, x_g = jnp.split(projected + per_channel(bias, projected), 3, axis=-1)
        summed = h @ recurrent
        h_z, h_r, h_g = jnp.split(summed + per_channel(recurrent_bias, summed), 3, axis=-1)
        z = nnx.sigmoid(x_z + h_z)
        r = nnx.sigmoid(x_r + h_r)
        g = jnp.tanh(x_g + r * h_g)
        return (z * h + (1 - z) * g,), (h, h_g, z, r, g)

    @staticmethod
    def slopes(values: Values) -> tuple[jax.Array, jax.Array]:
        """Of h' by z, r, g, before their activations, (B, 3 units); of h' by h, and r, (B, 2 units)."""
        h, h_g, z, r, g = values
        by_g = (1 - z) * (1 - g**2)
        of_gates = ((h - g) * z * (1 - z), by_g * h_g * r * (1 - r), by_g)
        return jnp.concatenate(of_gates, axis=-1), jnp.concatenate([z, r], axis=-1)

    @staticmethod
    def pull(gradient: Carry, of_gates: jax.Array, of_carry: jax.Array) -> tuple[jax.Array, Carry]:
        """Of the gradient of (h',) what reaches the gates' sums, (B, 3 units), and past them (h,)."""
        (d_h,) = gradient
        by_h, _ = jnp.split(of_carry, 2, axis=-1)
        return jnp.concatenate([d_h, d_h, d_h], axis=-1) * of_gates, (d_h * by_h,)

    @staticmethod
    def of_recurrent(d_gates: jax.Array, of_carry: jax.Array) -> jax.Array:
        """The gradient of h U, given that of x W: r times as much where the reset gate is between."""
        d_z, d_r, d_g = jnp.split(d_gates, 3, axis=-1)
        _, r = jnp.split(of_carry, 2, axis=-1)
        return jnp.concatenate([d_z, d_r, d_g * r], axis=-1)


Cell = LSTMCell | GRUCell


def _in_dtype(parameters: tuple[nnx.Param[jax.Array], ...], dtype: DTypeLike) -> Values:
    return tuple(parameter[...].astype(dtype) for parameter in parameters)


def _sigmoids_and_tanh(sums: jax.Array) -> jax.Array:
    """The activations of i, f, g and o, (B, 4 units), in one pass: sigmoid(x) is (1 + tanh(x / 2)) / 2."""
    scales = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], sums.dtype), sums.shape[-1] // 4)
    scale = per_channel(jnp.asarray(scales), sums)
    return scale * jnp.tanh(scale * sums) + (1 - scale)
