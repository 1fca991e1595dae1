"""Temporal fusion without recurrence that is learned: a weighted average, and convolutions over time."""

from __future__ import annotations

from typing import Any, ClassVar

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
from jaxret.models.layers.init import he_normal
from jaxret.models.layers.largest import largest
from jaxret.models.registry import register_sequence_encoder

__all__ = ["ConvolutionFusion", "WeightedAverage"]


@register_sequence_encoder
class WeightedAverage(SequenceEncoder):
    """The weighted average of the frame vectors, weights learned: e = sum_t a_t x_t, a = softmax_t(x_t . w).

    The softmax runs over the frames of a clip, so the weights say which frames matter, whatever their number.
    w starts at zero: the plain average.

    Args:
      input_size: D, length of a frame vector and of the embedding.
      rngs: not drawn from; there so that all encoders of sequences are made alike.

    Attributes:
      stage_names: `weights`, (B, T), zero at padding.
    """

    kind: ClassVar[str] = "weighted-average"
    stage_names = ("weights",)

    def __init__(self, input_size: int, *, rngs: nnx.Rngs):
        check_sizes(input_size=input_size)
        self.input_size = self.embedding_size = input_size
        self.score = nnx.Linear(input_size, 1, use_bias=False, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "input_size": self.input_size}

    @property
    def summary(self) -> str:
        """A few words for people."""
        return "weighted average of frames"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to their weighted average (B, D); see `SequenceEncoder`."""
        valid = valid_steps(self, vectors, lengths)
        vectors = vectors.astype(jnp.float32)
        weights = masked_softmax(self.score(vectors)[..., 0], valid)
        return Encoding(jnp.einsum("bt,btd->bd", weights, vectors), {"weights": weights})


@register_sequence_encoder
class ConvolutionFusion(SequenceEncoder):
    """Convolutions over time, each followed by a rectifier and max pooling by 2, then the mean over time.

    What 3D convolution and 3D pooling are for frame vectors, whose spatial extent is 1 x 1 already. Padding
    at both ends is zero ("same"); a last single step stands alone in its pooling window.

    Args:
      input_size: D, length of a frame vector.
      units: channels of each layer, and length of the embedding.
      window: time steps under a kernel, an odd number.
      layers: how many.
      dropout: share of the inputs set to zero in training, one mask for all time steps.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights and of dropout.

    Attributes:
      stage_names: `convolution_1` ...: (B, T', units), T' halved by each layer's pooling, rounded up.

    Raises:
      ConfigError: a setting is out of range.
    """

    kind: ClassVar[str] = "convolution"

    def __init__(
        self,
        input_size: int,
        units: int = 256,
        *,
        window: int = 3,
        layers: int = 2,
        dropout: float = 0.25,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(input_size=input_size, units=units, layers=layers, window=window)
        if window % 2 == 0:
            raise ConfigError(f"window must be odd, got {window}")
        self.input_size, self.embedding_size = input_size, units
        check_dropout(dropout)
        self.window, self.layers, self.dropout_rate = window, layers, dropout
        self.dtype = compute_dtype(dtype)
        sizes = [input_size] + [units] * (layers - 1)
        self.convolutions = nnx.List(
            nnx.Conv(size, units, (window,), kernel_init=he_normal, dtype=self.dtype, rngs=rngs) for size in sizes
        )
        self.stage_names = tuple(f"convolution_{layer + 1}" for layer in range(layers))
        self.dropout = nnx.Dropout(dropout, broadcast_dims=(1,), deterministic=True, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "kind": self.kind,
            "input_size": self.input_size,
            "units": self.embedding_size,
            "window": self.window,
            "layers": self.layers,
            "dropout": self.dropout_rate,
            "dtype": self.dtype.name,
        }

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.layers} convolutions over time of {self.embedding_size} channels"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, units); see `SequenceEncoder`."""
        valid = valid_steps(self, vectors, lengths)
        hidden = jnp.where(valid[..., None], self.dropout(vectors), 0).astype(self.dtype)
        stages = {}
        for stage, convolution in zip(self.stage_names, self.convolutions, strict=True):
            # Rectified values are at least 0, so zero at padding changes no maximum of a window with a valid step.
            hidden = jnp.where(valid[..., None], nnx.relu(convolution(hidden)), 0)
            hidden, valid = _halved(hidden), _halved(valid)
            stages[stage] = hidden
        return Encoding(hidden.astype(jnp.float32).sum(axis=1) / counted_steps(valid), stages)


def masked_softmax(scores: jax.Array, valid: jax.Array) -> jax.Array:
    """Softmax over the last axis of the entries that are valid; 0 elsewhere, and everywhere if none is."""
    highest = jax.lax.stop_gradient(jnp.max(jnp.where(valid, scores, -jnp.inf), axis=-1, keepdims=True))
    # Infinities must be gone before the exponential, or their gradients are NaN.
    exponents = jnp.where(valid, scores - jnp.where(jnp.isfinite(highest), highest, 0), 0)
    powers = jnp.where(valid, jnp.exp(exponents), 0)
    total = powers.sum(axis=-1, keepdims=True)
    return powers / jnp.where(total > 0, total, 1)


def _halved(values: jax.Array) -> jax.Array:
    """The maximum of every two steps of axis 1; a last single one stays."""
    padded = jnp.pad(values, [(0, 0), (0, values.shape[1] % 2), *[(0, 0)] * (values.ndim - 2)])
    return largest(padded.reshape(padded.shape[0], -1, 2, *padded.shape[2:]), 2)
