"""A recipe: the mean of a clip's frame vectors, with the frame backbone trained end to end."""

from __future__ import annotations

import dataclasses

from flax import nnx

from jaxret.models import Mean
from jaxret.recipes.clip_settings import FrameBackboneConfig
from jaxret.recipes.clips.model import build_encoder, frame_backbones, resolve
from jaxret.recipes.clips.train import train_clip_encoder
from jaxret.recipes.opening import open_labelled_data
from jaxret.recipes.recipe import Recipe, Run, RunContext


@dataclasses.dataclass(frozen=True)
class MeanFramesConfig(FrameBackboneConfig):
    """Settings of a training: those of every frame backbone, with another default."""

    dropout: float = 0.0
    """Dropout of the classifier's input in training."""


def train(config: MeanFramesConfig, context: RunContext) -> Run | None:
    """Train, index, evaluate and report."""
    data = open_labelled_data(config, context)
    config = resolve(config, data.dataset)
    rngs = nnx.Rngs(config.seed)
    backbones = frame_backbones(config, rngs)
    means = [Mean(backbone.embedding_size, rngs=rngs) for backbone in backbones]
    return train_clip_encoder(build_encoder(config, backbones, means, rngs), data, config, context)


RECIPE = Recipe("mean-frames", "the mean of frame vectors, trained end to end", MeanFramesConfig(), train)
