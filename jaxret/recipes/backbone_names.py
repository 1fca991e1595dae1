"""Which backbones a recipe can be given: those that are registered when its command line is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tyro

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models import known_backbones
from jaxret.models.pretrained import backbone_of_weights

__all__ = ["BackboneName", "BackboneNameOrAuto", "check_backbone", "chosen_backbone"]


def _frame_backbones() -> Any:
    return Literal[*known_backbones("frame")]


def _frame_backbones_or_auto() -> Any:
    return Literal["auto", *known_backbones("frame")]


def _plain(default: str) -> str:
    """Of a constructor's default, which tyro shows as a list, its one word."""
    return f"(default: {default.strip('[]').strip(repr(''))})"


BackboneName = Annotated[str, tyro.conf.arg(constructor_factory=_frame_backbones, help_behavior_hint=_plain)]
"""The name of a registered backbone that takes single frames; `--help` lists them."""
BackboneNameOrAuto = Annotated[
    str, tyro.conf.arg(constructor_factory=_frame_backbones_or_auto, help_behavior_hint=_plain)
]
"""And `auto`, which leaves the choice to the recipe."""


def check_backbone(name: str, *, auto: bool = False) -> None:
    """Refuse the name of what is no backbone of single frames.

    Args:
      name: of a backbone.
      auto: whether "auto" will do as well.

    Raises:
      ConfigError: it is unknown, or takes chunks or wraps another backbone.

    Example:
      >>> check_backbone("vgg16")
    """
    known = known_backbones("frame")
    if name not in known and not (auto and name == "auto"):
        raise ConfigError(unknown_name_message("backbone", name, known))


def chosen_backbone(name: str, weights: str) -> str:
    """The backbone that a recipe uses: the one that is named, and for `auto` the one that the weights are of.

    Args:
      name: of a backbone, or auto.
      weights: as recipes take them; of "none" it is that of imagenet.

    Example:
      >>> chosen_backbone("auto", "none"), chosen_backbone("vgg16", "none")
      ('efficientnet-lite0', 'vgg16')
    """
    return name if name != "auto" else backbone_of_weights("imagenet" if weights == "none" else weights)
