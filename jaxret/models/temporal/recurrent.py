"""Recurrent encoders of frame-vector sequences: LSTM and GRU cells, and the scan over time around them.

A cell reads like its equations: contract `(carry, projected input) -> (new carry, output)`. The products of
the inputs with their weights do not depend on the carry, so they are taken for all time steps at once,
outside the scan, as one matrix product (Appleyard, Kocisky and Blunsom 2016, arXiv:1604.01946).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike

from jaxret.errors import ConfigError
from jaxret.models.base import (
    Encoding,
    SequenceEncoder,
    check_dropout,
    check_sizes,
    compute_dtype,
    counted_steps,
    valid_steps,
)
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform, orthogonal
from jaxret.models.registry import register_sequence_encoder

__all__ = ["GRUCell", "LSTMCell", "TemporalEncoder"]

Carry = tuple[jax.Array, ...]


class LSTMCell(nnx.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + h U + b) in this order; c' = f c + i g;
    h' = o tanh(c'). Gate order, shapes and initial values (Glorot uniform, orthogonal, forget bias 1) are
    those of Keras, so its weights fit as they are.

    Attributes:
      kernel: (D, 4 units), recurrent_kernel: (units, 4 units), bias: (4 units,).
    """

    def __init__(self, input_size: int, units: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (input_size, 4 * units)))
        self.recurrent_kernel = nnx.Param(orthogonal(rngs.params(), (units, 4 * units)))
        self.bias = nnx.Param(jnp.zeros(4 * units).at[units : 2 * units].set(1.0))
        self.units = units
        self.dtype = jnp.dtype(dtype)

    def initial_carry(self, batch: int) -> Carry:
        """h and c of zeros, each (batch, units)."""
        return (jnp.zeros((batch, self.units), self.dtype),) * 2

    def project(self, inputs: jax.Array) -> jax.Array:
        """x W + b for all time steps: (..., D) to (..., 4 units)."""
        projected = inputs.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
        return projected + per_channel(self.bias[...].astype(self.dtype), projected)

    def __call__(self, carry: Carry, projected: jax.Array) -> tuple[Carry, jax.Array]:
        """One time step: ((h, c), x W + b) to ((h', c'), h')."""
        h, c = carry
        i, f, g, o = jnp.split(projected + h @ self.recurrent_kernel[...].astype(self.dtype), 4, axis=-1)
        new_c = nnx.sigmoid(f) * c + nnx.sigmoid(i) * jnp.tanh(g)
        new_h = nnx.sigmoid(o) * jnp.tanh(new_c)
        return (new_h, new_c), new_h


class GRUCell(nnx.Module):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), with the reset gate after the product.

    z, r = sigmoid(x W + b + h U + b'); g = tanh(x W + b + r (h U + b')); h' = z h + (1 - z) g. Resetting
    after the product is cuDNN's form and Keras' default (`reset_after=True`); it allows one product with U a
    step. Gate order z, r, g and shapes are those of Keras.

    Attributes:
      kernel: (D, 3 units), recurrent_kernel: (units, 3 units), bias and recurrent_bias: (3 units,).
    """

    def __init__(self, input_size: int, units: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (input_size, 3 * units)))
        self.recurrent_kernel = nnx.Param(orthogonal(rngs.params(), (units, 3 * units)))
        self.bias = nnx.Param(jnp.zeros(3 * units))
        self.recurrent_bias = nnx.Param(jnp.zeros(3 * units))
        self.units = units
        self.dtype = jnp.dtype(dtype)

    def initial_carry(self, batch: int) -> Carry:
        """h of zeros, (batch, units)."""
        return (jnp.zeros((batch, self.units), self.dtype),)

    def project(self, inputs: jax.Array) -> jax.Array:
        """x W + b for all time steps: (..., D) to (..., 3 units)."""
        projected = inputs.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
        return projected + per_channel(self.bias[...].astype(self.dtype), projected)

    def __call__(self, carry: Carry, projected: jax.Array) -> tuple[Carry, jax.Array]:
        """One time step: ((h,), x W + b) to ((h',), h')."""
        (h,) = carry
        recurrent = h @ self.recurrent_kernel[...].astype(self.dtype)
        recurrent = recurrent + per_channel(self.recurrent_bias[...].astype(self.dtype), recurrent)
        x_z, x_r, x_g = jnp.split(projected, 3, axis=-1)
        h_z, h_r, h_g = jnp.split(recurrent, 3, axis=-1)
        z = nnx.sigmoid(x_z + h_z)
        r = nnx.sigmoid(x_r + h_r)
        g = jnp.tanh(x_g + r * h_g)
        new_h = z * h + (1 - z) * g
        return (new_h,), new_h


Cell = LSTMCell | GRUCell


def scan_over_time(
    cell: Cell, inputs: jax.Array, valid: jax.Array, *, reverse: bool = False
) -> tuple[Carry, jax.Array]:
    """Run a cell over a batch of sequences.

    Args:
      cell: the cell.
      inputs: (B, T, D).
      valid: (B, T) bool; at other time steps the carry stands still and the output is zero.
      reverse: from the last time step to the first.

    Returns:
      The carry after the last step taken, and the outputs (B, T, units), in the order of the inputs.
    """
    projected = jnp.swapaxes(cell.project(inputs), 0, 1)  # (T, B, gates * units)

    def step(carry: Carry, now: tuple[jax.Array, jax.Array]) -> tuple[Carry, jax.Array]:
        projected_now, valid_now = now
        new_carry, output = cell(carry, projected_now)
        keep = valid_now[:, None]
        new_carry = tuple(jnp.where(keep, new, old) for new, old in zip(new_carry, carry, strict=True))
        return new_carry, jnp.where(keep, output, 0)

    carry, outputs = lax.scan(step, cell.initial_carry(inputs.shape[0]), (projected, valid.T), reverse=reverse)
    return carry, jnp.swapaxes(outputs, 0, 1)


@register_sequence_encoder
class TemporalEncoder(SequenceEncoder):
    """One or more recurrent layers over the frame vectors of a clip; the state at the end is the embedding.

    Dropout acts on the inputs of every layer, one mask for all time steps of a sequence (Gal and Ghahramani
    2016, arXiv:1512.05287), as the `dropout` argument of Keras' recurrent layers does; it is off in
    evaluation mode, the state after creation.

    Args:
      input_size: D, length of a frame vector.
      units: length of a hidden state.
      cell: "lstm" or "gru".
      layers: how many layers are stacked.
      bidirectional: run every layer in both directions, each with its own weights, and join the two.
      output: "last" (the last layer's hidden state after the last time step; of the backward direction, after
        the first), "mean" (its mean over time) or "hidden+cell" (LSTM only: h and c after the last step).
      dropout: share of the inputs set to zero in training, 0 <= dropout < 1.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights and of dropout.

    Attributes:
      embedding_size: units, doubled by `bidirectional` and again by "hidden+cell".
      stage_names: `hidden_1` ... `hidden_<layers>`.

    Raises:
      ConfigError: a setting is out of range, unknown, or contradicts another.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> encoder = TemporalEncoder(input_size=8, units=4, rngs=nnx.Rngs(0))
      >>> encoder(jnp.ones((2, 16, 8)), lengths=jnp.array([16, 3])).embedding.shape
      (2, 4)
    """

    kind: ClassVar[str] = "recurrent"

    Output = Literal["last", "mean", "hidden+cell"]

    def __init__(
        self,
        input_size: int,
        units: int = 256,
        *,
        cell: Literal["lstm", "gru"] = "lstm",
        layers: int = 1,
        bidirectional: bool = False,
        output: Output = "last",
        dropout: float = 0.25,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(input_size=input_size, units=units, layers=layers)
        if cell not in ("lstm", "gru"):
            raise ConfigError(f"cell must be lstm or gru, got {cell!r}")
        if output not in get_args(self.Output):
            raise ConfigError(f"output must be one of {', '.join(get_args(self.Output))}, got {output!r}")
        if output == "hidden+cell" and cell == "gru":
            raise ConfigError("output 'hidden+cell' needs cell 'lstm': a gru has no cell state")
        check_dropout(dropout)
        self.input_size = input_size
        self.units = units
        self.cell = cell
        self.layers = layers
        self.bidirectional = bidirectional
        self.output = output
        self.dropout_rate = dropout
        self.dtype = compute_dtype(dtype)
        directions = 2 if bidirectional else 1
        self.embedding_size = units * directions * (2 if output == "hidden+cell" else 1)
        self.stage_names = tuple(f"hidden_{layer + 1}" for layer in range(layers))
        cell_class = LSTMCell if cell == "lstm" else GRUCell
        sizes = [input_size] + [units * directions] * (layers - 1)
        # One entry a layer: its cell, or its forward and its backward cell.
        self.cells = nnx.List(
            nnx.List(cell_class(size, units, dtype=self.dtype, rngs=rngs) for _ in range(directions)) for size in sizes
        )
        self.dropout = nnx.Dropout(dropout, broadcast_dims=(1,), deterministic=True, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "kind": self.kind,
            "input_size": self.input_size,
            "units": self.units,
            "cell": self.cell,
            "layers": self.layers,
            "bidirectional": self.bidirectional,
            "output": self.output,
            "dropout": self.dropout_rate,
            "dtype": self.dtype.name,
        }

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.cell} of {self.units} units"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, embedding_size); see `SequenceEncoder`.

        Stages `hidden_1` ...: all hidden states of each layer, (B, T, units) or (B, T, 2 units), zero at padding.
        """
        valid = valid_steps(self, vectors, lengths)

        stages = {}
        hidden = vectors
        carries: list[Carry] = []
        for stage, cells in zip(self.stage_names, self.cells, strict=True):
            hidden = self.dropout(hidden)
            runs = [scan_over_time(cell, hidden, valid, reverse=way == 1) for way, cell in enumerate(cells)]
            carries = [carry for carry, _ in runs]
            hidden = stages[stage] = jnp.concatenate([outputs for _, outputs in runs], axis=-1)

        if self.output == "mean":
            embedding = jnp.sum(hidden.astype(jnp.float32), axis=1) / counted_steps(valid)
        else:
            parts = 1 if self.output == "last" else 2
            embedding = jnp.concatenate([carry[part] for part in range(parts) for carry in carries], axis=-1)
        return Encoding(embedding.astype(jnp.float32), stages)
