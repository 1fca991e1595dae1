"""Recurrent encoders of frame-vector sequences: layers of LSTM or GRU cells, in one direction or both."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx

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
from jaxret.models.registry import register_sequence_encoder
from jaxret.models.temporal.recurrent_cells import Carry, GRUCell, LSTMCell
from jaxret.models.temporal.recurrent_steps import scan_over_time

__all__ = ["TemporalEncoder"]


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
