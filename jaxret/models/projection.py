"""A fixed linear projection behind an encoder or a backbone: PCA and whitening, as a dense layer that stays as it is.

The numbers come from outside (`jaxret.training.pca` fits them). They are stored with the encoder and
counted in its fingerprint, so that whatever encodes also projects; training leaves them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxret.errors import ConfigError
from jaxret.models.backbones.wrapping import WrappingBackbone
from jaxret.models.base import Backbone, Encoding, SequenceEncoder, check_sizes
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.frozen import FixedArray
from jaxret.models.registry import (
    create_sequence_encoder,
    register_backbone,
    register_sequence_encoder,
)

__all__ = ["LinearProjection", "ProjectedBackbone", "ProjectedEncoder"]


class LinearProjection(nnx.Module):
    """(x - mean) @ components, in float32. Before `assign` it keeps the first E numbers of a vector.

    Args:
      input_size: D.
      size: E, at least 1 and at most D.

    Raises:
      ConfigError: a size is out of range.

    Example:
      >>> projection = LinearProjection(3, 2)
      >>> projection.assign(np.array([1.0, 0, 0]), np.array([[0, 2.0], [1, 0], [0, 0]]))
      >>> projection(jnp.array([[2.0, 5.0, 7.0]])).tolist()
      [[5.0, 2.0]]
    """

    def __init__(self, input_size: int, size: int):
        check_sizes(input_size=input_size, size=size)
        if size > input_size:
            raise ConfigError(f"size must be at most the {input_size} numbers that are projected, got {size}")
        self.input_size, self.size = input_size, size
        self.mean = FixedArray(jnp.zeros(input_size))
        self.components = FixedArray(jnp.eye(input_size, size))

    def assign(self, mean: ArrayLike, components: ArrayLike) -> None:
        """Take these numbers.

        Args:
          mean: (D,), what is subtracted first.
          components: (D, E), a direction a column, scaled as the result is to be (whitening is such a scale).

        Raises:
          ValueError: a shape does not fit, or a number is not finite in float32.
        """
        given = (("mean", mean, self.mean), ("components", components, self.components))
        arrays = []
        for name, value, variable in given:
            array = np.asarray(value)
            if array.shape != variable.shape:
                raise ValueError(f"{name} must have shape {variable.shape}, got {array.shape}")
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite in float32")
            arrays.append(array)
        self.mean[...], self.components[...] = map(jnp.asarray, arrays)

    def __call__(self, vectors: jax.Array) -> jax.Array:
        """(..., D) to (..., E) float32."""
        # The least rounding that a device offers: distances are taken of the result.
        vectors = vectors.astype(jnp.float32)
        centred = vectors - per_channel(self.mean[...], vectors)
        return jnp.matmul(centred, self.components[...], precision=jax.lax.Precision.HIGHEST)

    def compiled(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same as one program, for many arrays of few shapes; NumPy's threads wait busily between products."""
        return np.asarray(_project(self, vectors))

    def on_host(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same in NumPy, for arrays of many shapes: none is compiled."""
        return np.asarray((vectors - np.asarray(self.mean[...])) @ np.asarray(self.components[...]), np.float32)


@jax.jit
def _project(projection: LinearProjection, vectors: jax.Array) -> jax.Array:
    return projection(vectors)


@register_sequence_encoder
class ProjectedEncoder(SequenceEncoder):
    """A projection of the embeddings of another encoder of sequences.

    Args:
      encoder: what comes before; without a hash layer, which may come after the projection.
      size: E, of the projected embedding.

    Attributes:
      projection: `assign` gives it its numbers.
      stage_names: `unprojected_embedding`, the embedding of the encoder before, and that encoder's own stages.

    Raises:
      ConfigError: the size is out of range, or the encoder ends in a hash layer.

    Example:
      >>> from jaxret.models.temporal.recurrent import TemporalEncoder
      >>> projected = ProjectedEncoder(TemporalEncoder(8, 6, rngs=nnx.Rngs(0)), 4)
      >>> projected(jnp.ones((2, 16, 8))).embedding.shape
      (2, 4)
    """

    kind: ClassVar[str] = "projected"

    def __init__(self, encoder: SequenceEncoder, size: int):
        if encoder.code_bits:
            raise ConfigError(
                f"a projection comes before a hash layer, and the encoder ends in one of {encoder.code_bits} bits"
            )
        self.encoder = encoder
        self.projection = LinearProjection(encoder.embedding_size, size)
        self.input_size = encoder.input_size
        self.embedding_size = size
        self.stage_names = (*encoder.stage_names, "unprojected_embedding")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "encoder": self.encoder.config, "size": self.embedding_size}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `SequenceEncoder.from_config`."""
        return cls(create_sequence_encoder(**config["encoder"], rngs=rngs), config["size"])

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.encoder.summary}, then a projection to {self.embedding_size} numbers"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, E); see `SequenceEncoder`."""
        before = self.encoder(vectors, lengths)
        stages = {**before.stages, "unprojected_embedding": before.embedding}
        return Encoding(self.projection(before.embedding), stages)


@register_backbone()
class ProjectedBackbone(WrappingBackbone):
    """A projection of the vectors of a backbone, such as whitened frame vectors.

    Args:
      backbone: what comes before; one of frames, for the vectors of chunks are projected by a `ProjectedEncoder`.
      size: E, of the projected vectors.

    Attributes:
      projection: `assign` gives it its numbers.
      stage_names: the backbone's own stages and `unprojected`, the vector before.

    Raises:
      ConfigError: the size is out of range, or the backbone takes chunks.
    """

    name: ClassVar[str] = "projected"

    def __init__(self, backbone: Backbone, size: int):
        if backbone.unit != "frame":
            raise ConfigError(
                f"frame vectors are projected behind a backbone of frames, and {backbone.name} takes chunks: put the "
                "projection behind the encoder of sequences"
            )
        self.backbone = backbone
        self._begin_as(backbone)
        self.projection = LinearProjection(backbone.embedding_size, size)
        self.embedding_size = size
        self.stage_names = (*backbone.stage_names, "unprojected")

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.backbone.summary}, projected to {self.embedding_size} numbers"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "backbone": self.backbone.config, "size": self.embedding_size}

    @property
    def packing(self) -> tuple[int, int] | None:
        """See `Backbone.packing`."""
        return self.backbone.packing

    def __call__(self, images: Any) -> Encoding:
        """Images (B, H, W, C) to projected vectors (B, E) and the stages."""
        before = self.backbone(images)
        return Encoding(self.projection(before.embedding), {**before.stages, "unprojected": before.embedding})
