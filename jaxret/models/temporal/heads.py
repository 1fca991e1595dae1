"""What comes after an encoder of sequences: hash layer, tanh head, softmax head, dense embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from jaxret.errors import ConfigError
from jaxret.models.base import Encoding, SequenceEncoder, check_dropout, check_sizes, counted_steps, valid_steps
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import create_sequence_encoder, register_sequence_encoder

__all__ = ["DenseEmbedding", "HashLayer", "SoftmaxHead", "TanhHead"]


@register_sequence_encoder
class HashLayer(SequenceEncoder):
    """One linear layer with a sigmoid after another encoder of sequences (Dong and Li 2017, arXiv:1712.00133).

    The embedding is the activations, in 0..1; the code has a 1 where an activation is at least 0.5, which is
    where the linear layer's output is at least 0 (`jaxret.rank.pack_bits`).

    Args:
      encoder: what comes before.
      bits: of the code, a positive multiple of 8.
      rngs: source of the initial weights.

    Attributes:
      stage_names: `real_embedding`, the embedding of the encoder before, and that encoder's own stages.

    Raises:
      ConfigError: `bits` is not a positive multiple of 8, or the encoder has a hash layer already.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxret.models.temporal.recurrent import TemporalEncoder
      >>> rngs = nnx.Rngs(0)
      >>> hashed = HashLayer(TemporalEncoder(8, 4, rngs=rngs), 64, rngs=rngs)
      >>> hashed(jnp.ones((2, 16, 8))).embedding.shape, hashed.code_bits
      ((2, 64), 64)
    """

    kind: ClassVar[str] = "hash"

    def __init__(self, encoder: SequenceEncoder, bits: int, *, rngs: nnx.Rngs):
        if bits < 8 or bits % 8:
            raise ConfigError(f"bits must be a positive multiple of 8 (codes are whole bytes), got {bits!r}")
        if encoder.code_bits:
            raise ConfigError(f"the encoder has a hash layer of {encoder.code_bits} bits already")
        self.encoder = encoder
        self.linear = nnx.Linear(encoder.embedding_size, bits, kernel_init=glorot_uniform, rngs=rngs)
        self.input_size = encoder.input_size
        self.embedding_size = self.code_bits = bits
        self.stage_names = (*encoder.stage_names, "real_embedding")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "encoder": self.encoder.config, "bits": self.code_bits}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `SequenceEncoder.from_config`."""
        return cls(create_sequence_encoder(**config["encoder"], rngs=rngs), config["bits"], rngs=rngs)

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.encoder.summary}, then codes of {self.code_bits} bits"

    def assign(self, mean: ArrayLike, normals: ArrayLike, offsets: ArrayLike) -> None:
        """Take hyperplanes that were fitted: bit j is 1 where (x - mean) @ normals[:, j] + offsets[j] is at least 0.

        Args:
          mean: (E,), E the size of the embedding before.
          normals: (E, bits).
          offsets: (bits,).

        Raises:
          ValueError: a shape does not fit, or a number is not finite in float32.
        """
        kernel, wanted = np.asarray(normals, np.float64), self.linear.kernel.shape
        given = (np.shape(mean), kernel.shape, np.shape(offsets))
        if given != (wanted[:1], wanted, wanted[1:]):
            raise ValueError(
                f"mean, normals and offsets must have shapes {wanted[:1]}, {wanted} and {wanted[1:]}, "
                f"got {given[0]}, {given[1]} and {given[2]}"
            )
        bias = np.asarray(offsets, np.float64) - np.asarray(mean, np.float64) @ kernel
        if not (np.isfinite(kernel.astype(np.float32)).all() and np.isfinite(bias.astype(np.float32)).all()):
            raise ValueError("mean, normals and offsets must be finite in float32")
        assert self.linear.bias is not None
        self.linear.kernel[...] = jnp.asarray(kernel, jnp.float32)
        self.linear.bias[...] = jnp.asarray(bias, jnp.float32)

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to activations (B, bits) in 0..1; see `SequenceEncoder`."""
        before = self.encoder(vectors, lengths)
        activations = nnx.sigmoid(self.linear(before.embedding))
        return Encoding(activations, {**before.stages, "real_embedding": before.embedding})


@register_sequence_encoder
class TanhHead(SequenceEncoder):
    """norm(tanh(W h + b)) of the embedding h of another encoder of sequences.

    Garcia and Vogiatzis 2018, "Asymmetric spatio-temporal embeddings for large-scale image-to-video retrieval",
    section 3.2: h is the last state of an LSTM or GRU over the frames of a shot, and the embedding is as long as an
    image's, so that the two are compared by their cosine.

    Args:
      encoder: what comes before; without a hash layer.
      size: E, of the embedding; the length of an image embedding.
      rngs: source of the initial weights.

    Attributes:
      stage_names: `hidden_embedding`, the embedding of the encoder before, and that encoder's own stages.

    Raises:
      ConfigError: the size is below 1, or the encoder ends in a hash layer.

    Example:
      >>> from jaxret.models.temporal.recurrent import TemporalEncoder
      >>> rngs = nnx.Rngs(0)
      >>> shots = TanhHead(TemporalEncoder(8, 6, rngs=rngs), 8, rngs=rngs)
      >>> embedding = shots(jnp.ones((2, 50, 8)), lengths=jnp.array([50, 12])).embedding
      >>> embedding.shape, bool(jnp.allclose(jnp.linalg.norm(embedding, axis=1), 1))
      ((2, 8), True)
    """

    kind: ClassVar[str] = "tanh-head"

    def __init__(self, encoder: SequenceEncoder, size: int, *, rngs: nnx.Rngs):
        check_sizes(size=size)
        if encoder.code_bits:
            raise ConfigError(f"a tanh head comes after real numbers, and the encoder gives {encoder.code_bits} bits")
        self.encoder = encoder
        self.linear = nnx.Linear(encoder.embedding_size, size, kernel_init=glorot_uniform, rngs=rngs)
        self.input_size = encoder.input_size
        self.embedding_size = size
        self.stage_names = (*encoder.stage_names, "hidden_embedding")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "encoder": self.encoder.config, "size": self.embedding_size}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `SequenceEncoder.from_config`."""
        return cls(create_sequence_encoder(**config["encoder"], rngs=rngs), config["size"], rngs=rngs)

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.encoder.summary}, then {self.embedding_size} numbers of length 1"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, E) of length 1; see `SequenceEncoder`."""
        before = self.encoder(vectors, lengths)
        embedding = l2_normalise(jnp.tanh(self.linear(before.embedding)))
        return Encoding(embedding, {**before.stages, "hidden_embedding": before.embedding})


class SoftmaxHead(nnx.Module):
    """Dropout and one linear layer from embeddings to class scores.

    Args:
      embedding_size: D.
      classes: K.
      dropout: share of the embedding set to zero in training, 0 <= dropout < 1.
      rngs: source of the initial weights and of dropout.

    Raises:
      ConfigError: a size is below 1 or the dropout out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> SoftmaxHead(256, 38, rngs=nnx.Rngs(0))(jnp.ones((2, 256))).shape
      (2, 38)
    """

    def __init__(self, embedding_size: int, classes: int, *, dropout: float = 0.25, rngs: nnx.Rngs):
        check_sizes(embedding_size=embedding_size, classes=classes)
        check_dropout(dropout)
        self.dropout = nnx.Dropout(dropout, deterministic=True, rngs=rngs)
        self.linear = nnx.Linear(embedding_size, classes, kernel_init=glorot_uniform, rngs=rngs)

    def __call__(self, embedding: jax.Array) -> jax.Array:
        """(B, D) embeddings to (B, K) float32 scores before the softmax."""
        return self.linear(self.dropout(embedding))


@register_sequence_encoder
class DenseEmbedding(SequenceEncoder):
    """The mean of the frame vectors, less its own mean, of length 1; dense layers with tanh; length 1 again.

    The network of G. Kordopatis-Zilos and others, "Near-Duplicate Video Retrieval with Deep Metric Learning", ICCV
    Workshops 2017, section 3.2.

    Args:
      input_size: D, length of a frame vector.
      widths: units of each dense layer, at least one; the last is the embedding's length. The authors' are 2000, 1000
        and 500.
      rngs: source of the initial weights.

    Attributes:
      stage_names: `video_vector`, (B, D), what enters the first layer: the published baseline without learning.

    Raises:
      ConfigError: there is no layer, or a size is below 1.

    Example:
      >>> encoder = DenseEmbedding(8, [6, 4], rngs=nnx.Rngs(0))
      >>> jax.eval_shape(encoder, jnp.ones((2, 16, 8)), lengths=jnp.array([16, 3])).embedding.shape
      (2, 4)
    """

    kind: ClassVar[str] = "dense-embedding"
    stage_names = ("video_vector",)

    def __init__(self, input_size: int, widths: Sequence[int] = (2000, 1000, 500), *, rngs: nnx.Rngs):
        self.widths = tuple(widths)
        if not self.widths:
            raise ConfigError("widths must give the units of at least one dense layer, got none")
        check_sizes(input_size=input_size, **{f"widths[{layer}]": width for layer, width in enumerate(self.widths)})
        sizes = (input_size, *self.widths)
        self.layers = nnx.List(
            nnx.Linear(before, after, kernel_init=glorot_uniform, rngs=rngs)
            for before, after in zip(sizes, self.widths, strict=False)
        )
        self.input_size, self.embedding_size = input_size, self.widths[-1]

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "input_size": self.input_size, "widths": list(self.widths)}

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"dense layers of {', '.join(map(str, self.widths))} units on their mean"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, E) of length 1; see `SequenceEncoder`."""
        valid = valid_steps(self, vectors, lengths)
        mean = jnp.where(valid[..., None], vectors.astype(jnp.float32), 0).sum(axis=1) / counted_steps(valid)
        hidden = video = l2_normalise(mean - mean.mean(axis=-1, keepdims=True))
        for layer in self.layers:
            hidden = jnp.tanh(layer(hidden))
        return Encoding(l2_normalise(hidden), {"video_vector": video})
