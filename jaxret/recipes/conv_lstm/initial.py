"""A training that begins with the encoder of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder
from jaxret.training import RunFolder

__all__ = ["begin_with", "first_encoder", "kept_or_first", "pixels_of"]

_FREE = ("dtype", "remat", "pixel_mean", "pixel_deviation")  # settings of a backbone that are no shapes


def first_encoder(run: Path) -> VideoEncoder:
    """The encoder that a run, or one of its steps, has left.

    Raises:
      ConfigError: there is none, or it is not of clips.
      WeightsError: it is damaged.
    """
    folder = RunFolder(run).encoder
    if not folder.is_dir():
        raise ConfigError(
            f"{run} holds no encoder to begin with: name a finished run or the folder of one of its steps"
        )
    encoder: VideoEncoder = load_encoder(folder)
    if (name := getattr(encoder.backbone, "name", "another")) != "conv-lstm":
        raise ConfigError(f"{run} is no run of conv-lstm: its backbone is {name}")
    return encoder


def kept_or_first(run: Path, own: Path) -> VideoEncoder:
    """The encoder that a training begins with: its own copy, so that it resumes without the other run, if there is one.

    Args:
      run: the other run, or one of its steps.
      own: where the training keeps its copy.

    Raises:
      ConfigError, WeightsError: as `first_encoder`.
    """
    kept = (RunFolder(own).encoder / "encoder.json").is_file()  # what is written last
    return first_encoder(own if kept else run)


def pixels_of(encoder: VideoEncoder) -> tuple[float, float]:
    """Mean and deviation by which an encoder standardises pixels."""
    backbone: Any = encoder.backbone
    return float(backbone.pixel_mean), float(backbone.pixel_deviation)


def begin_with(backbone: Backbone, encoder: VideoEncoder, run: Path) -> None:
    """Give a backbone the weights of the encoder of a run.

    Raises:
      ConfigError: their sizes differ; the first one that does is named.
    """
    ours, theirs = (dict(part.config) for part in (backbone, encoder.backbone))
    for name, value in theirs.items():
        if name not in _FREE and ours.get(name) != value:
            raise ConfigError(
                f"{run} was trained with {name} {value}, and this training has {ours.get(name)}: sizes must agree"
            )
    nnx.update(backbone, nnx.state(encoder.backbone))
