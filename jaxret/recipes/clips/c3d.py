"""System 1's baseline: a 3D convolutional network over whole chunks of video, with a 256-d feature.

Paper: A. Ravi and A. Nandakumar, "A multimodal deep learning framework for scalable content based visual media
retrieval", arXiv:2105.08665 (2021); the network is C3D (Tran et al. 2015, arXiv:1412.0767), see
`jaxret.models.backbones.c3d`.

- Model: 16 frames of 112 x 112 pixels (or 224 x 224) at once -> one vector a chunk. An image is a chunk that stands
  still, so images and videos share a space. A softmax head exists only to train.
- Objective, codes and ranking: as in `jaxret.recipes.clips.cnn_lstm`. That is `--fusion mean`. The default puts
  statistics of pixels, which no training knows, beside an open-set posterior of the training classes that the network's
  feature gives; what it takes of both is chosen in rounds in which classes are held out and networks of their own
  trained (`jaxret.recipes.clips.learners`).
- Training: end to end, Adam, batch 4, dropout 0.25. The paper's learning rate of 5e-3 is not kept: from scratch on a
  few hundred clips the network stays at guessing with it for a dozen epochs, and learns from the third on with 1e-4.
  Narrower networks learn with more: 3e-4 at a width of 1/8. Small validation parts say little about the first epochs,
  in which the network is still guessing: give it some thousand updates before it may stop early.

Measured on six classes (`benchmarks/accuracy_c3d.py`, JHMDB, width 1/8, 8 frames of 48 pixels, 2 CPU cores, three deals
of classes): training accuracy 0.27 to 0.62 in 25 epochs; mAP of classes trained on and of six others 0.411 and 0.316 by
the default, 0.304 and 0.239 by the network alone, 0.262 and 0.283 by the mean frame. At its full size, with the
learning rate of 1e-4, the training accuracy of twelve clips of three classes goes from 0.33 to 0.83 in 42 steps.

Run: `python -m jaxret.train c3d --data FOLDER`; `--width 0.25` is a sixteenth of the work.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from flax import nnx

from jaxret.models import Mean, WithPixelStatistics, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.ranges import Count, Positive, Units
from jaxret.recipes.clips.model import build_encoder
from jaxret.recipes.clips.open_set import OPEN_SET, FusionConfig, open_set_encoder, resolve_fusion, video_classes
from jaxret.recipes.clips.train import train_clip_encoder
from jaxret.recipes.opening import open_labelled_data
from jaxret.recipes.recipe import Recipe, Run, RunContext
from jaxret.training import LoopConfig, OptimiserConfig

__all__ = ["RECIPE", "C3dConfig", "make_encoder", "train"]


@dataclasses.dataclass(frozen=True)
class C3dConfig(FusionConfig):
    """Settings of a C3D training."""

    fusion: Literal["auto", "open-set", "mean"] = "auto"
    """What a video is searched by. mean (the paper's): the network's feature, or codes of it that are trained along;
    open-set: statistics of pixels beside an open-set posterior of the training classes, which the feature gives, fitted
    by rounds in which classes are held out. auto: open-set with videos of three training classes or more, else mean."""
    rounds: Count = 2
    """With fusion=open-set: in how many rounds training classes are held out. In each a network is trained."""

    image_size: Count = 112
    """Height and width of a frame in pixels."""
    embedding_size: Units = 256
    """Length of the feature."""
    width: Positive = 1.0
    """Multiplier of all channels and units; work grows with its square."""
    batch_size: Count = 4
    """Clips a step, over all devices and processes."""
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-4, clip_norm=5.0)
    """How gradients become updates."""
    loop: LoopConfig = LoopConfig(epochs=75, evaluate_every=5, patience=6, average_over=3)
    """How long to train."""

    trained_fusion: ClassVar[str] = "mean"
    learns_network: ClassVar[bool] = True


def make_encoder(config: C3dConfig, classes: int | None = None) -> VideoEncoder:
    """The encoder with its initial weights.

    Args:
      config: settings; with the fusion `auto` it is mean here.
      classes: training classes, for open-set.
    """
    rngs = nnx.Rngs(config.seed)
    backbone = create_backbone(
        "c3d",
        embedding_size=config.embedding_size,
        width=config.width,
        dropout=config.dropout,
        channels=config.channels,
        dtype=config.precision,
        rngs=rngs,
    )
    if config.fusion == OPEN_SET:
        beside = WithPixelStatistics(backbone)
        sequence = open_set_encoder([beside], classes, config.bits, rngs, learned=beside.learned)
        return build_encoder(config, [beside], [sequence], rngs)
    return build_encoder(config, [backbone], [Mean(config.embedding_size, rngs=rngs)], rngs)


def train(config: C3dConfig, context: RunContext) -> Run | None:
    """Train, index, evaluate and report; see `jaxret.recipes.clips.train`."""
    data = open_labelled_data(config, context)
    config = resolve_fusion(config, data, context)
    return train_clip_encoder(make_encoder(config, len(video_classes(data))), data, config, context)


RECIPE = Recipe("c3d", "a 3D convolutional network on whole chunks, the baseline of cnn-lstm", C3dConfig(), train)
