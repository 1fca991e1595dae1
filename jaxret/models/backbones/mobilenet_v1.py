"""MobileNet V1 (Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", arXiv:1704.04861), of any width and for images of any size.

Layers, names, padding and normalisation are those of Keras' `keras.applications.MobileNet`, whose weight
files it reads: at stride 2 the zeros stand below and to the right of the image.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, Encoding, check_backbone_settings, compute_dtype
from jaxret.models.layers.conv import ConvBatchNorm
from jaxret.models.layers.dispatch import map_groups
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.padded import Inside
from jaxret.models.registry import register_backbone
from jaxret.models.weights.names import KERAS_DEPTHWISE, KERAS_POINTWISE, Slot, WeightTable

__all__ = ["MobileNetV1"]

# Table 1 of the paper: output channels and stride of the 13 depthwise-separable blocks, after a first
# convolution to 32 channels at stride 2.
_FIRST_CHANNELS = 32
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
# On a CPU the layers up to conv_pw_5 have maps that fill the cache one image at a time; those after it are
# matrix products that want several images at once.
_LARGE_MAP_LAYERS = 11
_GROUP = 4


@register_backbone(
    image_size=224,
    stages={"rmac": "conv_pw_13", "words": "conv_pw_11", "detector": "conv_pw_11", "convolutions": "conv_pw_*"},
)
class MobileNetV1(Backbone):
    """MobileNet V1; the embedding is the global average of the last map, as in the paper.

    Args:
      width: the width multiplier alpha of the paper; every layer has int(alpha * channels) channels.
      classes: 0, or the number of scores of a classification head, stage "logits".
      channels: 3 for RGB, 1 for grey (the kernels of colour weights are then summed over R, G and B).
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Raises:
      ConfigError: a setting is out of range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from flax import nnx
      >>> net = MobileNetV1(width=0.25, rngs=nnx.Rngs(0))
      >>> encoding = jax.eval_shape(net, jnp.zeros((1, 64, 64, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["conv_pw_5"].shape
      ((1, 256), (1, 8, 8, 64))
    """

    name: ClassVar[str] = "mobilenet-v1"
    normalisation: ClassVar[dict[str, Any]] = {"mean": 127.5, "scale": 1 / 127.5}
    takes_sizes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        width: float = 1.0,
        classes: int = 0,
        channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        if not int(_FIRST_CHANNELS * width) >= 1:
            raise ConfigError(f"width must be at least {1 / _FIRST_CHANNELS}, got {width!r}")
        check_backbone_settings(channels=channels, classes=classes)
        self.width = width
        self.classes = classes
        self.channels = channels
        self.dtype = compute_dtype(dtype)

        def layer(into: int, out: int, window: int, stride: int, padding: Any, depthwise: bool) -> ConvBatchNorm:
            return ConvBatchNorm(
                into,
                out,
                window=(window, window),
                strides=(stride, stride),
                padding=padding,
                depthwise=depthwise,
                activation="relu6",
                dtype=self.dtype,
                rngs=rngs,
            )

        into = int(_FIRST_CHANNELS * width)
        layers = {"conv1": layer(channels, into, 3, 2, "SAME", False)}
        for number, (out, stride) in enumerate(_BLOCKS, start=1):
            # Keras pads 0 before and 1 after at stride 2 whatever the size, which is "SAME" for even sizes only.
            padding = "SAME" if stride == 1 else ((0, 1), (0, 1))
            layers[f"conv_dw_{number}"] = layer(into, into, 3, stride, padding, True)
            layers[f"conv_pw_{number}"] = layer(into, int(out * width), 1, 1, "SAME", False)
            into = int(out * width)
        self.layers = nnx.Dict(layers)
        self.layer_names = tuple(layers)
        self.head = nnx.Linear(into, classes, kernel_init=glorot_uniform, rngs=rngs) if classes else None
        self.stage_names = (*layers, "logits") if classes else tuple(layers)
        self.embedding_size = into

    @property
    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {
            "name": self.name,
            "width": self.width,
            "classes": self.classes,
            "channels": self.channels,
            "dtype": self.dtype.name,
        }

    def weight_tables(self) -> list[WeightTable]:
        """The names of `keras.applications.MobileNet`."""
        slots = {}
        norms = (("gamma", "scale"), ("beta", "bias"), ("moving_mean", "mean"), ("moving_variance", "var"))
        for layer in self.layer_names:
            changes = KERAS_DEPTHWISE if layer.startswith("conv_dw") else ()
            slots[f"{layer}/kernel"] = Slot(("layers", layer, "kernel"), *changes)
            for theirs, ours in norms:
                slots[f"{layer}_bn/{theirs}"] = Slot(("layers", layer, "norm", ours))
        if self.classes:
            slots["conv_preds/kernel"] = Slot(("head", "kernel"), *KERAS_POINTWISE)
            slots["conv_preds/bias"] = Slot(("head", "bias"))
        return [WeightTable("Keras", slots, lambda name: name.startswith("conv_preds/"), "conv1/kernel")]

    def __call__(self, images: jax.Array) -> Encoding:
        """See `Backbone.__call__`; images of any size from 32 pixels.

        A stage is the map after batch norm and activation, Keras' `<name>_relu`.
        """
        self._check_images(images)
        if self.layers["conv1"].training:
            return self._encode(images)  # batch statistics are over the whole batch
        return map_groups(self._encode, images, _GROUP)

    def padded_maps(self, images: jax.Array, sizes: jax.Array) -> dict[str, jax.Array]:
        """See `Backbone.padded_maps`."""
        self._check_images(images)
        return map_groups(lambda some: self._maps(*some), (images, sizes), _GROUP)

    def _encode(self, images: jax.Array) -> Encoding:
        stages = self._maps(images, None)
        x = stages[self.layer_names[-1]]  # (B, H/32, W/32, D)
        embedding = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        if self.head is not None:
            stages["logits"] = self.head(embedding)
        return Encoding(embedding, stages)

    def _maps(self, images: jax.Array, sizes: jax.Array | None) -> dict[str, jax.Array]:
        large, small = self.layer_names[:_LARGE_MAP_LAYERS], self.layer_names[_LARGE_MAP_LAYERS:]

        def run(names: tuple[str, ...], x: jax.Array, sizes: jax.Array | None) -> dict[str, jax.Array]:
            inside = None if sizes is None else Inside(sizes, images.shape[1:3])
            stages = {}
            for name in names:
                x = stages[name] = self.layers[name](x, inside)
            return stages

        def first(some: tuple[jax.Array, jax.Array | None]) -> dict[str, jax.Array]:
            return run(large, self._normalise(some[0]), some[1])

        given = (images, sizes)
        stages = first(given) if self.layers["conv1"].training else map_groups(first, given, 1)
        return stages | run(small, stages[large[-1]], sizes)
