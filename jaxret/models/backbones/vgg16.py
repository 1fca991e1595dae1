"""VGG16 (Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
arXiv:1409.1556): its convolutions, and its dense layers where they are wanted.

Layers, names and normalisation (mean colour subtracted, channels in the order B, G, R) are those of Keras'
`keras.applications.VGG16`, whose weight files it reads.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, Encoding, check_backbone_settings, compute_dtype
from jaxret.models.layers.conv import ConvBias
from jaxret.models.layers.dispatch import map_groups
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform, he_normal
from jaxret.models.layers.padded import Inside
from jaxret.models.registry import register_backbone
from jaxret.models.weights.names import Path, Slot, WeightTable

__all__ = ["VGG16"]

# Column D of the paper's table 1: channels and number of the 3x3 convolutions before each pooling.
_CONVOLUTIONS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_DENSE_UNITS = 4096


@register_backbone(
    image_size=224,
    stages={
        "rmac": "block5_conv3",
        "words": "block5_conv1",
        "detector": "block5_conv3",
        "convolutions": "block*_conv*",
    },
)
class VGG16(Backbone):
    """VGG16; the embedding is the global average of the last pooled map (512), or a dense layer (4,096).

    Args:
      embedding: "pool" needs the convolutions alone; "fc1" and "fc2" add the dense layers, which fit one image
        size only.
      classes: 0, or the number of scores of a classification head after fc2, stage "logits".
      image_size: the side of the square images that the dense layers are made for, a multiple of 32.
      channels: 3 for RGB; 1 for grey, which is repeated as R, G and B.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Raises:
      ConfigError: a setting is unknown or out of range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from flax import nnx
      >>> net = VGG16(rngs=nnx.Rngs(0))
      >>> encoding = jax.eval_shape(net, jnp.zeros((1, 64, 96, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["block5_conv3"].shape
      ((1, 512), (1, 4, 6, 512))
    """

    name: ClassVar[str] = "vgg16"
    normalisation: ClassVar[dict[str, Any]] = {"order": "BGR", "mean": [103.939, 116.779, 123.68], "scale": 1.0}

    takes_sizes: ClassVar[bool] = True

    EmbeddingLayer = Literal["pool", "fc1", "fc2"]

    def __init__(
        self,
        *,
        embedding: EmbeddingLayer = "pool",
        classes: int = 0,
        image_size: int = 224,
        channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        if embedding not in get_args(self.EmbeddingLayer):
            raise ConfigError(f"embedding must be one of {', '.join(get_args(self.EmbeddingLayer))}, got {embedding!r}")
        if image_size < 32 or image_size % 32:
            raise ConfigError(f"image_size must be a multiple of 32, got {image_size!r}")
        check_backbone_settings(channels=channels, classes=classes)
        self.embedding = embedding
        self.classes = classes
        self.image_size = image_size
        self.channels = channels
        self.dtype = compute_dtype(dtype)

        convolutions = {}
        names: list[str] = []
        into = 3
        for block, (out, count) in enumerate(_CONVOLUTIONS, start=1):
            for number in range(1, count + 1):
                name = f"block{block}_conv{number}"
                convolutions[name] = ConvBias(into, out, window=(3, 3), dtype=self.dtype, rngs=rngs)
                names.append(name)
                into = out
            names.append(f"block{block}_pool")
        self.convolutions = nnx.Dict(convolutions)
        self.trunk_names = tuple(names)

        flat = (image_size // 32) ** 2 * into
        sizes = {"fc1": (flat, _DENSE_UNITS), "fc2": (_DENSE_UNITS, _DENSE_UNITS)}
        wanted = ["fc1", "fc2"] if classes else {"pool": [], "fc1": ["fc1"], "fc2": ["fc1", "fc2"]}[embedding]
        self.dense = nnx.Dict(
            {name: nnx.Linear(*sizes[name], kernel_init=he_normal, dtype=self.dtype, rngs=rngs) for name in wanted}
        )
        self.head = nnx.Linear(_DENSE_UNITS, classes, kernel_init=glorot_uniform, rngs=rngs) if classes else None
        self.stage_names = (*names, *wanted, "logits") if classes else (*names, *wanted)
        self.embedding_size = into if embedding == "pool" else _DENSE_UNITS

    @property
    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {
            "name": self.name,
            "embedding": self.embedding,
            "classes": self.classes,
            "image_size": self.image_size,
            "channels": self.channels,
            "dtype": self.dtype.name,
        }

    def weight_tables(self) -> list[WeightTable]:
        """The names of `keras.applications.VGG16`."""
        layers: dict[str, Path] = {name: ("convolutions", name) for name in self.convolutions}
        layers |= {name: ("dense", name) for name in self.dense}
        if self.classes:
            layers["predictions"] = ("head",)
        roles = ("kernel", "bias")
        slots = {f"{layer}/{role}": Slot((*path, role)) for layer, path in layers.items() for role in roles}
        head = ("fc1/", "fc2/", "predictions/")
        return [WeightTable("Keras", slots, lambda name: name.startswith(head), "block1_conv1/kernel")]

    def __call__(self, images: jax.Array) -> Encoding:
        """See `Backbone.__call__`; images of any size from 32 pixels, of `image_size` with dense layers.

        Stages: "block1_conv1" to "block5_pool", after the rectifier, then "fc1" and "fc2" if there.

        Raises:
          ValueError: dense layers are wanted and the images have another size than `image_size`.
        """
        self._check_images(images)
        size = (self.image_size, self.image_size)
        if len(self.dense) and images.shape[1:3] != size:
            raise ValueError(f"the dense layers of this vgg16 are for {size} images, got {images.shape[1:3]}")
        return map_groups(self._encode, images, 1)

    def padded_maps(self, images: jax.Array, sizes: jax.Array) -> dict[str, jax.Array]:
        """See `Backbone.padded_maps`; without dense layers."""
        self._check_images(images)

        def maps(some: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            return self._maps(some[0], Inside(some[1], images.shape[1:3]))

        return map_groups(maps, (images, sizes), 1)

    def _maps(self, images: jax.Array, inside: Inside | None) -> dict[str, jax.Array]:
        x = self._normalise(images)
        stages = {}
        for name in self.trunk_names:
            x = stages[name] = _halve(x) if name.endswith("pool") else self.convolutions[name](x, inside)
        return stages

    def _encode(self, images: jax.Array) -> Encoding:
        stages = self._maps(images, None)
        x = stages[self.trunk_names[-1]]
        embedding = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        x = x.reshape(x.shape[0], -1)
        for name, layer in self.dense.items():
            x = stages[name] = nnx.relu(layer(x))
        if self.head is not None:
            stages["logits"] = self.head(x.astype(jnp.float32))
        if self.embedding != "pool":
            embedding = stages[self.embedding].astype(jnp.float32)
        return Encoding(embedding, stages)

    def _normalise(self, images: jax.Array) -> jax.Array:
        rgb = jnp.repeat(images, 3, axis=-1) if self.channels == 1 else images
        mean = jnp.asarray(self.normalisation["mean"], jnp.float32)
        bgr = rgb[..., ::-1].astype(jnp.float32)
        return (bgr - per_channel(mean, bgr)).astype(self.dtype)


def _halve(maps: jax.Array) -> jax.Array:
    """The largest of every 2 x 2 places; an odd last row or column is left out."""
    return lax.reduce_window(maps, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
