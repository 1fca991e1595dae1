"""One recipe a system: model, objective, ranking and protocol of a paper, trained by name.

Example:
  >>> from jaxret.recipes import RECIPES
  >>> "cnn-lstm" in RECIPES
  True
  >>> RECIPES["cnn-lstm"].config.units
  256
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxret.errors import ConfigError, unknown_name_message

if TYPE_CHECKING:
    from jaxret.recipes.recipe import Recipe, Run, RunContext

__all__ = [
    "DEFAULT_RECIPE",
    "RECIPES",
    "RENAMED_RECIPES",
    "SETTINGS_BEFORE",
    "Recipe",
    "Recipes",
    "Run",
    "RunContext",
    "new_run_path",
    "train",
]

# Of each recipe of the library its module and its summary, so that listing them imports none.
_BUILT_IN = {
    "cnn-lstm": ("clips.cnn_lstm", "CNN + LSTM with PAR on your own media (Ravi and Nandakumar, 2021)"),
    "c3d": ("clips.c3d", "a 3D convolutional network on whole chunks, the baseline of cnn-lstm"),
    "conv-lstm": (
        "conv_lstm.recipe",
        "videos as sequences of clips: ConvLSTM autoencoders and Bi-DTW, for RGB and RGB-D (Ma and Klabjan)",
    ),
    "conv-lstm-paper": ("conv_lstm.paper", "conv-lstm with its paper's optimiser, rate and schedule"),
    "deep-hash": ("clips.deep_hash", "binary codes of videos, searched by XOR (Dong and Li, 2017)"),
    "faster-rcnn": (
        "instances.faster_rcnn",
        "a detector trained on boxes, whose regions find instances (Ren et al., 2015; Salvador et al., 2016)",
    ),
    "image-to-video": (
        "image_to_video.recipe",
        "a photograph finds the moment in a film (Garcia and Vogiatzis, 2018)",
    ),
    "instance-search": (
        "instances.recipe",
        "find the thing that is marked on an image, by visual words or R-MAC (Mohedano et al., 2016)",
    ),
    "ndvr-dml": (
        "clips.ndvr_dml",
        "near-duplicate videos by one learned vector each (Kordopatis-Zilos et al., 2017)",
    ),
    "moving-digits": (
        "clips.moving_digits",
        "the same system sized for the embedded moving digits; what runs without arguments",
    ),
}
RENAMED_RECIPES: Mapping[str, tuple[str, Mapping[str, Any]]] = {"open-set": ("cnn-lstm", {"fusion": "open-set"})}
"""Recipes of older versions to what they are today and with which settings. Runs made before open by it; what people
type is refused with the new words."""
SETTINGS_BEFORE: Mapping[str, Mapping[str, Any]] = {"c3d": {"fusion": "mean"}}
"""Settings that recipes had no name for, and what they were then: runs made before, whose `config.json` is without
them, open by it."""
DEFAULT_RECIPE = "moving-digits"
"""The recipe that `python -m jaxret.train` runs without arguments."""


class Recipes(Mapping[str, "Recipe"]):
    """All recipes by name: those of the library, and those that installed packages name in the entry-point group
    `jaxret.recipes`. A recipe is imported when it is looked up.
    """

    def __getitem__(self, name: str) -> Recipe:
        """The recipe of that name.

        Raises:
          KeyError: there is none.
          ConfigError: a package names it, and its module does not import or gives no `Recipe`.
        """
        if name in _BUILT_IN:
            recipe: Recipe = importlib.import_module(f"jaxret.recipes.{_BUILT_IN[name][0]}").RECIPE
            return recipe
        return _loaded(_from_packages()[name])

    def __iter__(self) -> Iterator[str]:
        return iter([*_BUILT_IN, *_from_packages()])

    def __len__(self) -> int:
        return len(_BUILT_IN) + len(_from_packages())

    def named(self, name: str) -> Recipe:
        """As `RECIPES[name]`, for names that people type.

        Raises:
          ConfigError: there is no such recipe; the message names the nearest one.
        """
        if name in RENAMED_RECIPES:
            today, settings = RENAMED_RECIPES[name]
            words = " ".join(f"--{setting.replace('_', '-')} {value}" for setting, value in settings.items())
            raise ConfigError(f"the recipe {name} is called {today} {words} now")
        if name not in self:
            raise ConfigError(unknown_name_message("recipe", name, list(self)))
        return self[name]

    def summaries(self) -> dict[str, str]:
        """A line on each recipe; those of the library are not imported for it."""
        lines = {name: summary for name, (_, summary) in _BUILT_IN.items()}
        for name, point in _from_packages().items():
            try:
                lines[name] = _loaded(point).summary
            except ConfigError as error:
                lines[name] = str(error)
        return lines


RECIPES = Recipes()
"""The recipes by the names of the command line."""


def train(
    name: str,
    *,
    log: Callable[[str], None] | None = None,
    show_progress: bool = False,
    stop_after: int | None = None,
    **settings: Any,
) -> Run | None:
    """Train a recipe, then index, evaluate and report, as `jaxret train NAME` does.

    Args:
      name: of the recipe.
      log: receives a line at a time of what is going on, such as `print`; None: nothing is logged.
      show_progress: draw progress bars.
      stop_after: save and stop after this many training steps.
      settings: of the recipe, by the names of its options, those of nested settings among them, such as `epochs=20`
        and `learning_rate=1e-3`. `out` is the run folder; without it runs/NAME-NUMBER is made.

    Returns:
      The finished run; None where it was stopped before its end.

    Raises:
      ConfigError: the recipe or a setting is unknown (the message names the nearest one), or a value is refused.

    Example:
      >>> train("cnn-lstm", epoch=20)
      Traceback (most recent call last):
      jaxret.errors.ConfigError: cnn-lstm has no setting 'epoch'; did you mean 'epochs'?
    """
    if stop_after is not None and (not isinstance(stop_after, int) or stop_after < 1):
        raise ConfigError(f"stop_after must be a whole number of at least 1 step, or None, got {stop_after!r}")
    recipe = RECIPES.named(name)
    from jaxret.recipes.recipe import RunContext, with_settings  # the recipe has imported JAX by now
    from jaxret.training import RunFolder, refuse_idle

    config = with_settings(recipe, settings)
    refuse_idle(config, recipe.config)
    run = RunFolder.new(new_run_path(name, config))
    context = RunContext(run, name, log or _nothing, show_progress, stop_after, usual=recipe.config)
    with run.held():
        return recipe.train(config, context)


def new_run_path(name: str, config: Any) -> Path:
    """The folder for a new run: `out` of the settings, or else the first of runs/NAME-1, runs/NAME-2, ... that is free.

    Raises:
      ConfigError: several processes train, and `out` is not set.
    """
    import jax

    from jaxret.training import RunFolder

    if config.out is not None:
        return Path(config.out)
    if jax.process_count() > 1:
        raise ConfigError("a distributed training needs --out: all processes share one run folder")
    return RunFolder.next_free(Path("runs"), name)


@functools.cache
def _from_packages() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="jaxret.recipes") if point.name not in _BUILT_IN}


def _loaded(point: EntryPoint) -> Recipe:
    from jaxret.recipes.recipe import Recipe

    try:
        recipe = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the recipe {point.name!r} of another package cannot be imported: {error}") from error
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"the entry point {point.value} of the recipe {point.name!r} is not a Recipe")
    return recipe


def _nothing(line: str) -> None:
    pass


def __getattr__(name: str) -> Any:
    if name in ("Recipe", "Run", "RunContext"):  # with which JAX is imported
        return getattr(importlib.import_module("jaxret.recipes.recipe"), name)
    raise AttributeError(f"module 'jaxret.recipes' has no attribute {name!r}")
