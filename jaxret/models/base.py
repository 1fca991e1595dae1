"""What every model returns, and what backbones and encoders of sequences are."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.preprocessing import SIDE_STEP

if TYPE_CHECKING:
    from jaxret.models.weights.names import WeightTable

__all__ = [
    "Backbone",
    "Encoding",
    "SequenceEncoder",
    "Unit",
    "check_backbone_settings",
    "check_dropout",
    "check_sizes",
    "compute_dtype",
    "counted_steps",
    "stored_settings",
    "valid_steps",
]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Encoding:
    """An embedding and the named intermediate results on the way to it; a JAX pytree.

    Attributes:
      embedding: (B, D) float32.
      stages: named intermediate arrays, such as `stages["conv_pw_13"]` of shape (B, H, W, C), in the
        model's compute dtype. Inside `jax.jit` stages that are not read cost nothing.

    Example:
      >>> import jax.numpy as jnp
      >>> encoding = Encoding(embedding=jnp.zeros((2, 8)), stages={"pool": jnp.zeros((2, 4, 4, 8))})
      >>> encoding.stages["pool"].shape
      (2, 4, 4, 8)
    """

    embedding: jax.Array
    stages: dict[str, jax.Array] = dataclasses.field(default_factory=dict)


Unit = Literal["frame", "chunk"]


class Backbone(nnx.Module):
    """Base of the frame encoders: images (B, H, W, C) in, one vector an image and its stages out.

    A backbone whose `unit` is "chunk" takes the frames of a chunk of video at once, (B, T, H, W, C), and gives one
    vector a chunk.

    A backbone normalises pixels itself. In evaluation mode (`.eval()`, the state after creation) batch norms
    use their running statistics and dropout is off; in training mode (`.train()`) batch norms use and update
    batch statistics.

    Attributes:
      name: the name under which `create_backbone` makes it.
      unit: what one vector stands for, a frame or a chunk.
      embedding_size: D, the length of the embedding.
      stage_names: the keys of `Encoding.stages`, first layer first.
      normalisation: how pixels in 0..255 become the first layer's input, JSON-able.
      channels: of the input: 3 for RGB, 1 for grey, more where an image is more than its colours.
      dtype: dtype in which the layers compute; parameters are float32.
      side_step: images whose sides are multiples of this many pixels fill whole cells of every map.
      takes_sizes: whether images of several sizes may share a batch, see `padded_maps`.
    """

    name: ClassVar[str]
    unit: Unit = "frame"
    normalisation: ClassVar[dict[str, Any]]
    embedding_size: int
    stage_names: tuple[str, ...]
    channels: int
    dtype: jnp.dtype
    side_step: int = SIDE_STEP
    takes_sizes: ClassVar[bool] = False

    @property
    def summary(self) -> str:
        """A few words for people."""
        return self.name

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_backbone(**config, rngs=...)` makes a backbone of the same shape."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """A backbone of the shape that `config` describes, with random weights.

        Raises:
          ConfigError: a setting is unknown, or a value is bad.
        """
        create: Any = cls  # a subclass, whose constructor takes its settings and the source of its weights
        return create(**cls._known_settings(config), rngs=rngs)

    @classmethod
    def _known_settings(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a config that the constructor takes; ConfigError where one is unknown, or is needed and missing."""
        settings = {setting: value for setting, value in config.items() if setting != "name"}
        parameters = inspect.signature(cls.__init__).parameters
        known = {setting: parameters[setting].default for setting in parameters if setting not in ("self", "rngs")}
        for setting in settings:
            if setting not in known:
                raise ConfigError(unknown_name_message(f"option of {cls.name}", setting, known))
        for setting, default in known.items():
            if default is inspect.Parameter.empty and setting not in settings:
                raise ConfigError(f"{cls.name} needs the option {setting!r}")
        return settings

    def weight_tables(self) -> list[WeightTable]:
        """What other libraries' weight files call the arrays of this backbone, a table a library; by default none.

        Files that were written from this module itself need no table.
        """
        return []

    def __call__(self, images: jax.Array) -> Encoding:
        """Encode images.

        Args:
          images: (B, H, W, C), uint8, or floating in 0..255; RGB order.

        Returns:
          The embedding (B, D) float32 and the stages.

        Raises:
          ValueError: the array is not four-dimensional or has another number of channels.
        """
        raise NotImplementedError

    @property
    def packing(self) -> tuple[int, int] | None:
        """Side of a patch in pixels and patches of an image, where `__call__` takes `PackedPatches` as well, and a
        program for these encodes images of all shapes; else None."""
        return None

    def padded_maps(self, images: jax.Array, sizes: jax.Array) -> dict[str, jax.Array]:
        """The feature maps of images of several sizes in one batch; of classes with `takes_sizes`, in evaluation mode.

        Args:
          images: as for a call; the image lies in the upper left corner, and the rest is padding.
          sizes: int (B, 2), height and width of each image, multiples of `side_step`.

        Returns:
          Stages by name, (B, H', W', C). Where the image is they are those of the image alone, up to rounding; what
          stands in the padding means nothing.
        """
        raise NotImplementedError(f"{self.name} takes images of one size in a batch")

    def _check_images(self, images: jax.Array) -> None:
        if images.ndim != 4 or images.shape[-1] != self.channels:
            raise ValueError(
                f"images must have shape (B, H, W, {self.channels}) for this {self.name}, got {images.shape}"
            )

    def _normalise(self, images: jax.Array) -> jax.Array:
        """Pixels in 0..255 to the first layer's input, in the compute dtype."""
        mean, scale = self.normalisation["mean"], self.normalisation["scale"]
        return ((images.astype(jnp.float32) - mean) * scale).astype(self.dtype)


def check_backbone_settings(*, channels: int, classes: int) -> None:
    """Raise a ConfigError unless channels is 1 or 3 and classes at least 0."""
    if channels not in (1, 3):
        raise ConfigError(f"channels must be 1 (grey) or 3 (RGB), got {channels!r}")
    if classes < 0:
        raise ConfigError(f"classes must be at least 0, got {classes!r}")


def compute_dtype(name: str) -> jnp.dtype:
    """The dtype in which layers compute, from its name; parameters and statistics stay float32.

    Raises:
      ConfigError: it is neither "float32" nor "bfloat16".

    Example:
      >>> compute_dtype("bfloat16").name
      'bfloat16'
    """
    if name not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype must be float32 or bfloat16, got {name!r}")
    return jnp.dtype(name)


def check_sizes(**sizes: int) -> None:
    """Raise a ConfigError that names the first size below 1."""
    for setting, value in sizes.items():
        if value < 1:
            raise ConfigError(f"{setting} must be at least 1, got {value!r}")


def stored_settings(settings: Iterable[tuple[str, Any]], later: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they are stored: those that came later are left out where they are as before there was a choice, so
    that what was written then keeps its fingerprint.

    Args:
      settings: by name.
      later: names and defaults of those that came later.

    Example:
      >>> stored_settings([("depth", 2), ("softcap", 0.0)], later={"softcap": 0.0})
      {'depth': 2}
    """
    return {name: value for name, value in settings if name not in later or later[name] != value}


def check_dropout(dropout: float) -> None:
    """Raise a ConfigError unless 0 <= dropout < 1."""
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout must be at least 0 and below 1, got {dropout!r}")


class SequenceEncoder(nnx.Module):
    """Base of the encoders of sequences: frame vectors (B, T, D) in, one vector a sequence out.

    Attributes:
      kind: the name under which `create_sequence_encoder` makes it.
      input_size: D, length of a frame vector.
      embedding_size: E, length of the embedding.
      code_bits: bits of the binary code that the embedding, sigmoid activations, is rounded to; 0: no code.
      stage_names: the keys of `Encoding.stages`, first layer first.
    """

    kind: ClassVar[str]
    input_size: int
    embedding_size: int
    code_bits: int = 0
    stage_names: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_sequence_encoder(**config, rngs=...)` makes one of the same shape."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """An encoder of the shape that `config` describes, with random weights.

        Raises:
          ConfigError: a value is bad.
          TypeError, KeyError: a setting is missing or unknown.
        """
        create: Any = cls
        return create(**{setting: value for setting, value in config.items() if setting != "kind"}, rngs=rngs)

    @property
    def summary(self) -> str:
        """A few words for people."""
        raise NotImplementedError

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Encode sequences of frame vectors.

        Args:
          vectors: (B, T, D) floating.
          lengths: (B,) int, how many time steps of each sequence count; the rest is padding and changes
            nothing. None: all T. A sequence of length 0 is embedded as zeros before a projection or a hash layer.

        Returns:
          The embedding (B, E) float32 and the stages.

        Raises:
          ValueError: a shape does not fit.
        """
        raise NotImplementedError


def valid_steps(encoder: SequenceEncoder, vectors: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """(B, T) bool, the time steps that count.

    Raises:
      ValueError: a shape does not fit the encoder.
    """
    if vectors.ndim != 3 or vectors.shape[-1] != encoder.input_size:
        raise ValueError(f"vectors must have shape (B, T, {encoder.input_size}), got {vectors.shape}")
    batch, steps, _ = vectors.shape
    if lengths is None:
        return jnp.ones((batch, steps), bool)
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), got {lengths.shape}")
    return jnp.arange(steps, dtype=jnp.int32)[None] < lengths.astype(jnp.int32)[:, None]


def counted_steps(valid: jax.Array) -> jax.Array:
    """How many time steps of (B, T) bool count, but at least 1, to divide sums over time by: (B, 1) float32."""
    return jnp.maximum(valid.sum(axis=1, keepdims=True), 1).astype(jnp.float32)
