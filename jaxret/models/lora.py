"""A vision transformer that is trained by adapters of low rank alone (LoRA, Hu et al. 2022, arXiv:2106.09685).

Queries and values of every block get a product of two narrow matrices added, which is 0 at first: the encoder begins as
it was published, and some hundredth of its numbers are trained.
"""

from __future__ import annotations

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.backbones.vision_transformer import VisionTransformer
from jaxret.models.base import Backbone
from jaxret.models.layers.frozen import fix_parameters
from jaxret.models.registry import create_backbone

__all__ = ["with_adapters"]

_ADAPTERS = ("query_adapter", "value_adapter")


def with_adapters(backbone: Backbone, rank: int, *, rngs: nnx.Rngs) -> Backbone:
    """The backbone with adapters; all of its own arrays stay as they are in training.

    Args:
      backbone: a vision transformer without adapters; it is left as it is.
      rank: of the adapters, at least 1.
      rngs: source of their initial weights.

    Raises:
      ConfigError: the backbone is none, or has adapters; or the rank is below 1.

    Example:
      >>> net = create_backbone("vision-transformer", units=8, heads=2, depth=1, rngs=nnx.Rngs(0))
      >>> adapted = with_adapters(net, 2, rngs=nnx.Rngs(0))
      >>> sorted({path[-2] for path, _ in nnx.to_flat_state(nnx.state(adapted, nnx.Param))})
      ['query_adapter', 'value_adapter']
    """
    if not isinstance(backbone, VisionTransformer) or backbone.config["lora_rank"]:
        raise ConfigError(
            f"lora_rank={rank} adds adapters to a vision-transformer that has none, got a {backbone.name}"
        )
    if rank < 1:
        raise ConfigError(f"lora_rank must be at least 1, got {rank}")
    adapted = create_backbone(**{**backbone.config, "lora_rank": rank}, rngs=rngs)
    nnx.update(adapted, nnx.state(backbone))
    parameters = nnx.to_flat_state(nnx.state(adapted, nnx.Param))
    fix_parameters(adapted, {path for path, _ in parameters if not set(_ADAPTERS) & set(path)})
    return adapted
