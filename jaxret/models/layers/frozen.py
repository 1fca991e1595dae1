"""Arrays that belong to a model and that training leaves alone."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.interpreters import partial_eval

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.base import Backbone

__all__ = ["FixedArray", "fix_parameters", "parameters_before"]

Array = TypeVar("Array")
Paths = set[tuple[Any, ...]]


class FixedArray(nnx.Variable[Array], Generic[Array]):
    """An array that is stored with the weights and is no `nnx.Param`: no optimiser sees it."""


def fix_parameters(module: nnx.Module, paths: Paths) -> None:
    """Turn parameters into `FixedArray`s of the same numbers and names: they are stored, and no optimiser sees them.

    Args:
      module: changed in place.
      paths: of its parameters, as in `nnx.to_flat_state(nnx.state(module, nnx.Param))`.

    Example:
      >>> layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
      >>> fix_parameters(layer, {("bias",)})
      >>> [path for path, _ in nnx.to_flat_state(nnx.state(layer, nnx.Param))]
      [('kernel',)]
    """
    for *parents, name in paths:
        place: Any = module
        for parent in parents:
            place = place[parent] if isinstance(parent, int) or not hasattr(place, parent) else getattr(place, parent)
        setattr(place, name, FixedArray(getattr(place, name)[...]))


def parameters_before(backbone: Backbone, stage: str) -> Paths:
    """The parameters that one of a backbone's stages is computed from, learnt from its computation graph.

    Raises:
      ConfigError: the stage is unknown.

    Example:
      >>> from jaxret.models.backbones.small_convnet import SmallConvNet
      >>> net = SmallConvNet(rngs=nnx.Rngs(0))
      >>> sorted({path[1] for path in parameters_before(net, "conv_2")})
      [0, 1]
    """
    if stage not in backbone.stage_names:
        raise ConfigError(unknown_name_message(f"stage of {backbone.name}", stage, backbone.stage_names))
    parts: Any = nnx.split(backbone, nnx.Param, ...)
    graph, parameters, rest = parts
    flat = list(nnx.to_flat_state(parameters))
    # As many pixels a side as every backbone takes.
    images = jnp.zeros((1, 64, 64, backbone.channels), jnp.uint8)

    def stage_of(values: list[jax.Array]) -> jax.Array:
        state = nnx.from_flat_state([(path, old.replace(new)) for (path, old), new in zip(flat, values, strict=True)])
        return nnx.merge(graph, state, rest)(images).stages[stage]

    closed = jax.make_jaxpr(stage_of)([variable[...] for _, variable in flat])
    _, used = partial_eval.dce_jaxpr(closed.jaxpr, [True])
    return {path for (path, _), counts in zip(flat, used, strict=True) if counts}
