"""What a recipe is, what a run of it leaves, and its settings by name, those of older versions too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxret.errors import ConfigError
from jaxret.evaluation import GroupFigures
from jaxret.recipes import RECIPES, RENAMED_RECIPES, SETTINGS_BEFORE
from jaxret.retrieval import Retriever
from jaxret.training import RunContext, RunFolder, config_from_json, replace_settings

__all__ = [
    "RENAMED_SETTINGS",
    "Recipe",
    "Run",
    "RunContext",
    "name_today",
    "open_config",
    "refuse_renamed",
    "with_settings",
]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished training left.

    Attributes:
      path: the run folder.
      figures: metrics by method, then by group of queries; empty where nothing was measured.
      search_command: a command line that searches the run's index with a file.
    """

    path: Path
    figures: dict[str, GroupFigures]
    search_command: str

    @property
    def retriever(self) -> Retriever:
        """The run's index with its encoder, opened anew at each call."""
        return Retriever.open(self.path)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A system that can be trained by name.

    Attributes:
      name: on the command line and in `config.json`.
      summary: one line for `--help`.
      config: the default settings, a frozen dataclass with the fields `data` and `out`; its fields, and those of the
        dataclasses among them, are the options.
      train: trains in the context's run folder, from its last checkpoint if it has one, then indexes, evaluates and
        reports; None where it was stopped before its end, and in all processes but the first.
    """

    name: str
    summary: str
    config: Any
    train: Callable[[Any, RunContext], Run | None]


RENAMED_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "cell": ("fusion",),
    "frame_side": ("image_size",),
    "frame_size": ("image_size",),
    "photographs": ("screen_photos",),
    "picture_side": ("query_image_size", "image_size"),
    "side": ("image_size",),
    "training_pictures": ("training_images",),
    "trunk_learning_rate": ("backbone_learning_rate",),
}
"""Settings of older versions to their names today, of several the first that a recipe has. The settings of runs made
before open by it; what people type is refused with the new name."""


def name_today(setting: str, config: Any) -> str | None:
    """The new name of a setting that a recipe's settings had under another one; None where it was not renamed.

    Example:
      >>> name_today("frame_size", RECIPES["c3d"].config), name_today("image_size", RECIPES["c3d"].config)
      ('image_size', None)
    """
    if hasattr(config, setting):
        return None
    return next((name for name in RENAMED_SETTINGS.get(setting, ()) if hasattr(config, name)), None)


def refuse_renamed(config: Any, words: Sequence[str]) -> None:
    """Refuse options that have other names today.

    Args:
      config: settings of the recipe.
      words: of the command line.

    Raises:
      ConfigError: one of them has; the message tells the new name.
    """
    for word in words:
        flag = word.partition("=")[0]
        setting = flag.removeprefix("--").replace("-", "_")
        if flag.startswith("--") and (new := name_today(setting, config)):
            raise ConfigError(f"{flag} is called --{new.replace('_', '-')} now")


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Any:
    """The recipe's default settings with some replaced, those of nested dataclasses by their own names.

    Raises:
      ConfigError: a setting is unknown, or a value is refused.
    """
    for name in settings:
        if new := name_today(name, recipe.config):
            raise ConfigError(f"the setting {name} is called {new} now")
    return replace_settings(recipe.config, settings, owner=recipe.name)


def open_config(run: RunFolder) -> tuple[Recipe, Any]:
    """The recipe and the settings of a run, of older versions too.

    Raises:
      ConfigError: the folder holds no run, or one of a recipe or a setting that is unknown.
    """
    name, settings = run.read_config()
    name, more = RENAMED_RECIPES.get(name, (name, {}))
    settings = {**SETTINGS_BEFORE.get(name, {}), **settings, **more}
    if name not in RECIPES:
        raise ConfigError(f"{run.config} names the recipe {name!r}, which is none of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    today = {name_today(setting, recipe.config) or setting: value for setting, value in settings.items()}
    return recipe, config_from_json(type(recipe.config), today)
