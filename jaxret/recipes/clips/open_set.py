"""Clips fused by an open-set encoder: when that is the choice, and what it is made of.

Nothing published: an answer to what trainings do to classes that they never saw. An encoder that is trained to tell
the training classes apart maps everything onto those. The open-set encoder keeps the mean of the frame vectors and puts
an open-set posterior of the training classes beside it (`jaxret.models.temporal.open_set`). It is fitted, without
steps, and what it chooses it chooses on training classes that are held out (`jaxret.training.open_set`); of two none
can be, and it is the mean alone. Its codes are the signs of the embedding after a rotation, and a codeword where the
class is sure (`jaxret.models.temporal.open_set_hash`).

A network that is itself trained by steps, from random weights, is joined with what needs no training in the same way:
statistics of pixels are its mean vectors, and the network's vectors are what the classifier sees beside them
(`jaxret.recipes.clips.learners`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, TypeVar

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import Backbone, SequenceEncoder
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.ranges import above, at_least
from jaxret.recipes.clip_settings import ClipConfig, ClipTrainingConfig
from jaxret.recipes.opening import LabelledData
from jaxret.training import RunContext, changed_settings, refuse_unused
from jaxret.training.open_set import OpenSetSettings

__all__ = ["MAY_HARM", "OPEN_SET", "FusionConfig", "open_set_encoder", "resolve_fusion", "video_classes"]

OPEN_SET = "open-set"
MAY_HARM = "classes that are not trained on may be found worse than without any training"
"""What is to be said where an encoder is trained by steps alone."""

Config = TypeVar("Config", bound="FusionConfig")


@dataclasses.dataclass(frozen=True)
class FusionConfig(ClipTrainingConfig):
    """And those of recipes whose clips are fused by an open-set encoder or by one that is trained."""

    fusion: str = "auto"
    """How a clip's frame vectors become one vector; recipes name their ways."""
    rounds: Annotated[int, at_least(2)] = 5
    """With fusion=open-set: in how many rounds training classes are held out."""
    held_out: Annotated[float, above(0, below=1)] = 0.3
    """With fusion=open-set: share of the training classes that each round holds out."""

    trained_fusion: ClassVar[str]
    """The way of the recipe's paper, which `auto` takes where open-set does not go."""
    learns_network: ClassVar[bool] = False
    """Whether open-set joins a network that is trained by steps with statistics of pixels; else frame vectors of a
    frozen one are fused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.open_set_settings()  # refuses what is out of range

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """And those of open-set, where clips are fused by another."""
        yield from super().idle_settings()
        if self.fusion not in ("auto", OPEN_SET):
            yield ("rounds", "held_out"), f"fusion={self.fusion} holds no classes out"

    def open_set_settings(self) -> OpenSetSettings:
        """How the open-set encoder is fitted.

        Raises:
          ConfigError: a setting is out of range.
        """
        return OpenSetSettings(rounds=self.rounds, held_out=self.held_out, seed=self.seed)


def resolve_fusion(config: Config, data: LabelledData, context: RunContext) -> Config:
    """The settings with `fusion=auto` replaced by what was chosen, which is logged, with a warning where that may harm.

    Args:
      config: resolved but for the fusion (see `jaxret.recipes.clips.model`).
      data: the media and their classes.
      context: told what was chosen and why.

    Raises:
      ConfigError: the fusion is open-set, and settings or data do not fit it.
    """
    obstacles = list(_obstacles(config, data, context))
    if config.fusion == OPEN_SET and obstacles:
        why = obstacles[0].why
        raise ConfigError(f"fusion=open-set does not go here: {why}. --fusion {config.trained_fusion} trains")
    if config.fusion == "auto":
        chosen = config.trained_fusion if obstacles else OPEN_SET
        context.log(f"fusion: {chosen} ({obstacles[0].why if obstacles else _reason(config, data)})")
        if obstacles and (_has_videos(data) or not config.frozen):  # else nothing is trained
            changes = ", ".join(obstacle.change for obstacle in obstacles)
            context.log(f"warning: {MAY_HARM}; {changes} open-set is taken, which holds them as well")
        config = dataclasses.replace(config, fusion=chosen)
    if config.fusion == OPEN_SET and not _holds_out(config, data):
        refuse_unused(config, ("rounds", "held_out"), "of two training classes none can be held out")
    return config


def _reason(config: FusionConfig, data: LabelledData) -> str:
    """Why open-set is taken where it can be."""
    if not _holds_out(config, data):
        return (
            "the means of the frame vectors alone, as of two training classes none can be held out to fit more by;"
            f" --fusion {config.trained_fusion} trains"
        )
    if not config.learns_network:
        return f"fitted, holds classes that are not trained on as well; --fusion {config.trained_fusion} trains"
    return (
        f"holds classes that are not trained on as well; trains once, and again in each of {config.rounds} rounds"
        f" without some classes; --fusion {config.trained_fusion} trains the network alone"
    )


@dataclasses.dataclass(frozen=True)
class _Obstacle:
    """Why clips cannot be fused by an open-set encoder, and the change with which they can."""

    why: str
    change: str


def _obstacles(config: FusionConfig, data: LabelledData, context: RunContext) -> Iterator[_Obstacle]:
    """All that stands against an open-set encoder."""
    if not config.learns_network and not config.frozen:
        yield _Obstacle(
            "the backbone is trained as well, as it has no pretrained weights or freeze=False",
            "with a frozen pretrained backbone (such as --weights imagenet, without --freeze False)",
        )
    least = 3 if config.learns_network else 2  # of two the means alone, which a network that learns has not
    if not _has_videos(data):
        yield _Obstacle("the data hold images only", "with videos")
    elif (classes := len(video_classes(data))) < least:
        why = f"open-set needs training videos of {least} classes, and there are {classes}"
        yield _Obstacle(why, f"with training videos of {least} classes")
    if not config.learns_network and context.stop_after is not None:
        yield _Obstacle("stop_after counts training steps", "without --stop-after")
    of_codes = ("quantisation_weight", "balance_weight")
    what = "codes that are trained by steps" if config.learns_network else "a training by steps"
    for name, value in changed_settings(config, of_codes if config.learns_network else _of_steps(config)):
        yield _Obstacle(f"{name}={value!r} is a setting of {what}", f"without --{name.replace('_', '-')}")


def _has_videos(data: LabelledData) -> bool:
    return any(item.kind == "video" for item in data.dataset.items)


def _holds_out(config: FusionConfig, data: LabelledData) -> bool:
    """Whether there are classes enough to hold some out."""
    return config.open_set_settings().holds_out(len(video_classes(data)))


def _of_steps(config: FusionConfig) -> list[str]:
    """The settings that only a training by steps has."""
    of_media = {field.name for field in dataclasses.fields(ClipConfig)}
    of_any_encoder = {"weights", "backbone", "modalities", "freeze", "cache", "bits", "pca", "whiten"}
    of_fusion = {"fusion", "rounds", "held_out"}
    shared = of_media | of_any_encoder | of_fusion
    return [field.name for field in dataclasses.fields(config) if field.name not in shared]


def video_classes(data: LabelledData) -> tuple[str, ...]:
    """The classes that training videos have, sorted: what an open-set encoder is fitted on."""
    items = [data.dataset.items[number] for number in data.splits.train.tolist()]
    return tuple(sorted({str(item.label) for item in items if item.kind == "video"}))


def open_set_encoder(
    backbones: Sequence[Backbone], classes: int | None, bits: int, rngs: nnx.Rngs, *, learned: int = 0
) -> SequenceEncoder:
    """The encoder before it is fitted: it ranks as the mean of the frame vectors does.

    Args:
      backbones: one a modality; their frame vectors stand side by side.
      learned: numbers at the beginning of a vector that are learned from the classes.
      classes: K, training classes.
      bits: of the codes that are made of its embeddings, 0 for none. For codes mean vectors stay as they are:
        shortened, they gave codes that found held-out training classes worse.
      rngs: not drawn from.

    Raises:
      ConfigError: the number of classes is not given.
    """
    if classes is None:
        raise ConfigError("an open-set encoder is made for a number of classes: give classes")
    size = sum(backbone.embedding_size for backbone in backbones)
    if bits:
        return OpenSetEncoder(size, classes, learned=learned, rngs=rngs)
    return OpenSetEncoder.to_fit(size, classes, learned=learned, rngs=rngs)
