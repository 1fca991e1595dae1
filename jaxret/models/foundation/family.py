"""What a family of published encoders is, and the words of their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxret.errors import WeightsError
from jaxret.models.foundation.files import Arrays, WeightFiles
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.text.tokens import Cleaning, TokenizerFiles
from jaxret.models.transformer.block import ActivationName
from jaxret.models.weights.patterns import Patterns

__all__ = ["IMAGENET_COLOURS", "Family", "TextFamily", "activation_name", "settings_with", "square"]

Settings = dict[str, Any]

IMAGENET_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

_ACTIVATIONS: dict[str, ActivationName] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu-tanh",
    "gelu_new": "gelu-tanh",
    "quick_gelu": "quick-gelu",
    "silu": "silu",
    "relu": "relu",
}


@dataclasses.dataclass(frozen=True)
class TextFamily:
    """The tower of words of a family.

    Attributes:
      settings: of the tower, learnt from the files; None: they have none.
      patterns: what the arrays of a tower with these settings are called.
      tokenizer: the files that its tokenizer may lie in.
      cleaning: how text is cleaned before it becomes tokens, see `jaxret.models.text.Tokenizer`.
      unused: a regular expression of the names of arrays that are not the tower's.
      marked: whether a text gets the tokens that the tokenizer's file puts around it.
    """

    settings: Callable[[WeightFiles], Settings | None]
    patterns: Callable[[Settings], Patterns]
    tokenizer: TokenizerFiles
    cleaning: Callable[[Settings], Cleaning]
    unused: str
    marked: bool = True


@dataclasses.dataclass(frozen=True)
class Family:
    """One layout of files, and the backbone that they are for.

    Attributes:
      name: of the family, for messages and manifests.
      recognises: whether files are of it.
      settings: of the backbone, learnt from the files.
      prepare: arrays as they are stored to those that `patterns` names.
      patterns: what the arrays of a backbone with these settings are called.
      sizing: how images are prepared for a backbone with these settings, where no `preprocessor_config.json` tells it.
      unused: a regular expression of the names of arrays that may be there and are left out.
      torch: whether arrays lie as in PyTorch; else as in Flax.
      backbone: the name of its class.
      text: its tower of words; None: it has none.
    """

    name: str
    recognises: Callable[[WeightFiles], bool]
    settings: Callable[[WeightFiles], Settings]
    prepare: Callable[[Arrays], Arrays]
    patterns: Callable[[Settings], Patterns]
    sizing: Callable[[Settings], Sizing]
    unused: str = r"(?!)"
    torch: bool = True
    backbone: str = "vision-transformer"
    text: TextFamily | None = None


def settings_with(defaults: Mapping[str, Any], files: WeightFiles, *, part: str = "") -> dict[str, Any]:
    """The settings of `config.json`, or of a part of it, over the defaults of its format.

    Raises:
      WeightsError: a setting is of another type than its default, or the part holds no settings.
    """
    config = files.config or {}
    given = config.get(part, config) if part else config
    if not isinstance(given, Mapping):
        raise WeightsError(f"{files.path / 'config.json'}: {part} must hold settings, got {given!r}")
    settings = dict(defaults)
    for name, default in defaults.items():
        value = given.get(name, default)
        whole = isinstance(default, int) and not isinstance(default, bool)
        if isinstance(value, list) and whole and len(set(value)) == 1:
            value = value[0]  # a side for height and width
        fits = isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int))
        if not fits:
            raise WeightsError(f"{files.path / 'config.json'}: {name} must be like {default!r}, got {value!r}")
        settings[name] = value
    return settings


def activation_name(hidden_act: str, files: WeightFiles) -> ActivationName:
    """Our name of an activation.

    Raises:
      WeightsError: it is not known.
    """
    if hidden_act not in _ACTIVATIONS:
        raise WeightsError(
            f"{files.path / 'config.json'}: hidden_act must be one of {', '.join(_ACTIVATIONS)}, got {hidden_act!r}"
        )
    return _ACTIVATIONS[hidden_act]


def square(positions: int, files: WeightFiles) -> int:
    """The side of a square grid of so many positions.

    Raises:
      WeightsError: they are no square.
    """
    side = round(positions**0.5)
    if side * side != positions:
        raise WeightsError(f"{files.path}: {positions} positions of patches are no square grid")
    return side
