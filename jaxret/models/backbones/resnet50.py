"""ResNet-50 (He et al. 2016, "Deep residual learning for image recognition", arXiv:1512.03385), for images of any size.

Layers, names, padding and normalisation are those of torchvision's `resnet50`, whose state dicts it reads: a bottleneck
takes its stride in the 3 x 3 convolution, and zeros stand on all sides of a map.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from jaxret.models.base import Backbone, Encoding, check_backbone_settings, compute_dtype
from jaxret.models.layers.conv import ConvBatchNorm
from jaxret.models.layers.dispatch import map_groups
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.padded import Inside
from jaxret.models.registry import register_backbone
from jaxret.models.weights.names import TORCH_CONVOLUTION, TORCH_DENSE, Path, Slot, WeightTable

__all__ = ["Bottleneck", "ResNet50", "torch_slots"]

_FIRST_CHANNELS = 64
# Table 1 of the paper: bottlenecks, their inner channels, and the stride of the first.
_LAYERS = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
_EXPANSION = 4
_MOMENTUM = 0.9  # PyTorch's 0.1, which is the share of the new
_GROUP = 4


class Bottleneck(nnx.Module):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1, beside the input or its projection.

    Args:
      in_channels: of the input.
      channels: of the inner convolutions; the output has four times as many.
      stride: of the 3 x 3 convolution.
      epsilon: of the batch norms.
      dtype: compute dtype.
      rngs: source of the initial weights.
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int, epsilon: float, dtype: jnp.dtype, rngs: nnx.Rngs
    ):
        out = _EXPANSION * channels
        layer = functools.partial(ConvBatchNorm, epsilon=epsilon, momentum=_MOMENTUM, dtype=dtype, rngs=rngs)
        strides = (stride, stride)
        self.conv1 = layer(in_channels, channels, window=(1, 1))
        self.conv2 = layer(channels, channels, window=(3, 3), strides=strides, padding=((1, 1), (1, 1)))
        self.conv3 = layer(channels, out, window=(1, 1), activation="linear")
        projected = stride > 1 or in_channels != out
        shortcut = functools.partial(layer, in_channels, out, window=(1, 1), strides=strides, padding="VALID")
        self.shortcut = shortcut(activation="linear") if projected else None

    def __call__(self, inputs: jax.Array, inside: Inside | None = None) -> jax.Array:
        """(B, H, W, C_in) to (B, ceil(H / stride), ceil(W / stride), 4 channels); `inside`: of padded images."""
        x = self.conv3(self.conv2(self.conv1(inputs), inside))
        return nnx.relu(x + (inputs if self.shortcut is None else self.shortcut(inputs)))


@register_backbone(
    image_size=224,
    stages={"rmac": "layer4", "words": "layer3", "detector": "layer3", "convolutions": "layer*"},
)
class ResNet50(Backbone):
    """ResNet-50; the embedding is the global average of the last map.

    Args:
      classes: 0, or the number of scores of a classification head, stage "logits".
      epsilon: added to the variances of batch norms; 0 for detectors that were trained so.
      channels: 3 for RGB; 1 for grey, which is repeated as R, G and B.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Raises:
      ConfigError: a setting is out of range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from flax import nnx
      >>> net = nnx.eval_shape(lambda: ResNet50(rngs=nnx.Rngs(0)))
      >>> encoding = nnx.eval_shape(lambda net, x: net(x), net, jax.ShapeDtypeStruct((1, 64, 96, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["layer3"].shape
      ((1, 2048), (1, 4, 6, 1024))
    """

    name: ClassVar[str] = "resnet50"
    normalisation: ClassVar[dict[str, Any]] = {
        "mean": [123.675, 116.28, 103.53],
        "scale": [1 / 58.395, 1 / 57.12, 1 / 57.375],
    }
    takes_sizes: ClassVar[bool] = True

    def __init__(
        self, *, classes: int = 0, epsilon: float = 1e-5, channels: int = 3, dtype: str = "float32", rngs: nnx.Rngs
    ):
        check_backbone_settings(channels=channels, classes=classes)
        self.classes, self.epsilon, self.channels = classes, epsilon, channels
        self.dtype = compute_dtype(dtype)
        self.stem = ConvBatchNorm(
            3,
            _FIRST_CHANNELS,
            window=(7, 7),
            strides=(2, 2),
            padding=((3, 3), (3, 3)),
            epsilon=epsilon,
            momentum=_MOMENTUM,
            dtype=self.dtype,
            rngs=rngs,
        )
        into, layers = _FIRST_CHANNELS, {}
        for number, (count, inner, stride) in enumerate(_LAYERS, start=1):
            blocks = []
            for block in range(count):
                blocks.append(
                    Bottleneck(into, inner, stride=1 if block else stride, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
                )
                into = _EXPANSION * inner
            layers[f"layer{number}"] = nnx.List(blocks)
        self.layers = nnx.Dict(layers)
        self.head = nnx.Linear(into, classes, kernel_init=glorot_uniform, rngs=rngs) if classes else None
        names = ("stem", *layers)
        self.stage_names = (*names, "logits") if classes else names
        self.embedding_size = into

    @property
    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {
            "name": self.name,
            "classes": self.classes,
            "epsilon": self.epsilon,
            "channels": self.channels,
            "dtype": self.dtype.name,
        }

    def weight_tables(self) -> list[WeightTable]:
        """The names of `torchvision.models.resnet50`."""
        slots = torch_slots(self)
        if self.classes:
            slots["fc.weight"] = Slot(("head", "kernel"), *TORCH_DENSE)
            slots["fc.bias"] = Slot(("head", "bias"))

        def unused(name: str) -> bool:
            return name.startswith("fc.") or name.endswith(".num_batches_tracked")

        return [WeightTable("PyTorch", slots, unused, "conv1.weight")]

    def __call__(self, images: jax.Array) -> Encoding:
        """See `Backbone.__call__`; images of any size from 32 pixels.

        Stages: "stem" before its max pooling, "layer1" to "layer4".
        """
        self._check_images(images)
        if self.stem.training:
            return self._encode(images)  # batch statistics are over the whole batch
        return map_groups(self._encode, images, _GROUP)

    def padded_maps(self, images: jax.Array, sizes: jax.Array) -> dict[str, jax.Array]:
        """See `Backbone.padded_maps`."""
        self._check_images(images)
        return map_groups(lambda some: self._maps(some[0], Inside(some[1], images.shape[1:3])), (images, sizes), _GROUP)

    def _encode(self, images: jax.Array) -> Encoding:
        stages = self._maps(images, None)
        embedding = jnp.mean(stages[f"layer{len(_LAYERS)}"], axis=(1, 2), dtype=jnp.float32)
        if self.head is not None:
            stages["logits"] = self.head(embedding)
        return Encoding(embedding, stages)

    def _maps(self, images: jax.Array, inside: Inside | None) -> dict[str, jax.Array]:
        x = self.stem(self._normalise(images), inside)  # (B, H/2, W/2, 64)
        stages = {"stem": x}
        # What is padded is 0 there as well, below which no place of a rectified map lies.
        x = _pooled(x if inside is None else inside(x))  # (B, H/4, W/4, 64)
        for name, blocks in self.layers.items():
            for block in blocks:
                x = block(x, inside)
            stages[name] = x
        return stages

    def _normalise(self, images: jax.Array) -> jax.Array:
        rgb = (jnp.repeat(images, 3, axis=-1) if self.channels == 1 else images).astype(jnp.float32)
        mean, scale = (jnp.asarray(self.normalisation[name], jnp.float32) for name in ("mean", "scale"))
        return ((rgb - per_channel(mean, rgb)) * per_channel(scale, rgb)).astype(self.dtype)


def torch_slots(backbone: ResNet50, ours: Path = (), theirs: str = "") -> dict[str, Slot]:
    """The slots of the convolutions and batch norms by their names in torchvision's state dicts.

    Args:
      backbone: of these.
      ours: where it stands in a module that holds it.
      theirs: what the names begin with there.
    """
    norms = (("weight", "scale"), ("bias", "bias"), ("running_mean", "mean"), ("running_var", "var"))
    slots = {}
    for layer, norm, path in _torch_layers(backbone):
        slots[f"{theirs}{layer}.weight"] = Slot((*ours, *path, "kernel"), *TORCH_CONVOLUTION)
        for name, own in norms:
            slots[f"{theirs}{norm}.{name}"] = Slot((*ours, *path, "norm", own))
    return slots


def _torch_layers(backbone: ResNet50) -> Iterator[tuple[str, str, Path]]:
    """Of each convolution its name there, that of its batch norm, and its path here."""
    yield "conv1", "bn1", ("stem",)
    for layer, blocks in backbone.layers.items():
        for number, block in enumerate(blocks):
            place: Path = ("layers", layer, number)
            for part in (1, 2, 3):
                yield f"{layer}.{number}.conv{part}", f"{layer}.{number}.bn{part}", (*place, f"conv{part}")
            if block.shortcut is not None:
                yield f"{layer}.{number}.downsample.0", f"{layer}.{number}.downsample.1", (*place, "shortcut")


def _pooled(maps: jax.Array) -> jax.Array:
    """The largest of every 3 x 3 places, at every other place."""
    around = [(0, 0), (1, 1), (1, 1), (0, 0)]
    return lax.reduce_window(maps, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around)
