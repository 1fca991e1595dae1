"""A backbone with the weights that the settings of a recipe name."""

from __future__ import annotations

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone
from jaxret.models.foundation import is_published, open_published, published_kind
from jaxret.models.layers.conv import ConvBatchNorm
from jaxret.models.registry import create_backbone
from jaxret.models.weights.load import load_pretrained

__all__ = ["backbone_of_weights", "pretrained_backbone"]

_OF_IMAGENET = "efficientnet-lite0"


def backbone_of_weights(weights: str) -> str:
    """The backbone that weights are of, where it is not named: of published encoders what their files tell, of imagenet
    efficientnet-lite0, of any other file mobilenet-v1.

    Args:
      weights: "imagenet", or a file or folder.

    Example:
      >>> backbone_of_weights("imagenet"), backbone_of_weights("mobilenet_1_0_224_tf_no_top.h5")
      ('efficientnet-lite0', 'mobilenet-v1')
    """
    if weights == "imagenet":
        return _OF_IMAGENET
    return published_kind(weights).backbone if is_published(weights) else "mobilenet-v1"


def pretrained_backbone(
    name: str, weights: str, *, channels: int = 3, dtype: str = "float32", rngs: nnx.Rngs
) -> Backbone:
    """A backbone of frames or chunks, in evaluation mode.

    The batch norms of pretrained weights keep their statistics where they are trained on: those of one batch, whose
    frames are of few clips, are other ones, by which a network that finds clips finds them no more.

    Args:
      name: of the backbone.
      weights: "none" for random ones; "imagenet"; a file of weights of that backbone; or a folder of a published
        encoder, whose files tell sizes and normalisation.
      channels: 3 for RGB, 1 for grey.
      dtype: compute dtype.
      rngs: source of random weights.

    Raises:
      ConfigError: the name is unknown, or the folder is of another backbone.
      WeightsError: the weights are not installed, damaged, or do not fit.
    """
    if is_published(weights):
        backbone = open_published(weights, dtype=dtype, channels=channels).backbone
        if backbone.name != name:
            raise ConfigError(
                f"{weights} holds the weights of a {backbone.name}: name it as the backbone, got {name!r}"
            )
        return backbone
    backbone = create_backbone(name, channels=channels, dtype=dtype, rngs=rngs)
    if weights != "none":
        load_pretrained(backbone, weights)
        for _, module in nnx.iter_graph(backbone):
            if isinstance(module, ConvBatchNorm):
                module.keeps_statistics = True
    return backbone
