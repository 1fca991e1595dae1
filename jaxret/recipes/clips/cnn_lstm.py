"""System 1: image and video retrieval with CNN + LSTM, ranked by Euclidean distance or PAR.

Paper: A. Ravi and A. Nandakumar, "A multimodal deep learning framework for scalable content based visual media
retrieval", arXiv:2105.08665 (2021).

- Model: frame backbone -> vector a frame; 16 frames a chunk of about 10 s -> one LSTM layer of 256 units; its
  last hidden state is the clip's embedding. A softmax head exists only to train. That is `--fusion lstm`. With a frozen
  pretrained backbone the default is another fusion of the frame vectors, which is fitted and holds classes that were
  not trained on as well (`jaxret.recipes.clips.open_set`).
- Objective: cross-entropy; a triplet loss can be added (`--triplet-weight`).
- Training: Adam 1e-3, batch 64, dropout 0.25, random temporal sampling and crops. With pretrained weights the
  backbone is frozen and run once (its features are cached in the run folder); without, all is trained end to end.
- Ranking: an image by its frame vector against images and videos' frames, a video by its clip embeddings.

Measured (`benchmarks/accuracy_open_set.py`, JHMDB, EfficientNet-Lite0 with ImageNet weights, 2 CPU cores, mean and
spread over draws of classes): mAP of classes trained on and of others 0.477 +- 0.088 and 0.375 +- 0.097 by the default,
0.450 +- 0.058 and 0.227 +- 0.036 by the LSTM, 0.235 +- 0.040 and 0.266 +- 0.079 by the mean of the same frame vectors.

Run: `python -m jaxret.train cnn-lstm --data FOLDER --weights imagenet`, or, for the embedded moving digits,
`python -m jaxret.train`.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from flax import nnx

from jaxret.models import SequenceEncoder, TemporalEncoder
from jaxret.models.encoder import VideoEncoder
from jaxret.ranges import Layers, Units
from jaxret.recipes.clip_settings import FrameBackboneConfig
from jaxret.recipes.clips.model import build_encoder, frame_backbones, resolve
from jaxret.recipes.clips.open_set import OPEN_SET, FusionConfig, open_set_encoder, resolve_fusion, video_classes
from jaxret.recipes.clips.train import train_clip_encoder
from jaxret.recipes.opening import open_labelled_data
from jaxret.recipes.recipe import Recipe, Run, RunContext

__all__ = ["RECIPE", "CnnLstmConfig", "make_encoder", "train"]


@dataclasses.dataclass(frozen=True)
class CnnLstmConfig(FusionConfig, FrameBackboneConfig):
    """Settings of a CNN + LSTM training."""

    fusion: Literal["auto", "open-set", "lstm", "gru"] = "auto"
    """How a clip's frame vectors become one vector. open-set: their mean beside an open-set posterior of the training
    classes, fitted, of two classes the mean alone; lstm (the paper's), gru: the state of a recurrent network, trained.
    auto: open-set with a frozen pretrained backbone and no setting of a training by steps; else lstm."""
    units: Units = 256
    """Units of a recurrent layer."""
    layers: Layers = 1
    """Recurrent layers."""
    bidirectional: bool = False
    """Run each layer in both directions."""
    output: Literal["last", "mean", "hidden+cell"] = "last"
    """What of the recurrent states is the embedding."""

    trained_fusion: ClassVar[str] = "lstm"


def make_encoder(config: CnnLstmConfig, classes: int | None = None) -> VideoEncoder:
    """The encoder with its initial weights.

    Args:
      config: resolved settings (see `jaxret.recipes.clips.model` and `resolve_fusion`); `auto` is lstm here.
      classes: training classes, for open-set.
    """
    rngs = nnx.Rngs(config.seed)
    backbones = frame_backbones(config, rngs)
    if config.fusion == OPEN_SET:
        return build_encoder(config, backbones, [open_set_encoder(backbones, classes, config.bits, rngs)], rngs)
    sequences: list[SequenceEncoder] = [
        TemporalEncoder(
            backbone.embedding_size,
            config.units,
            cell="gru" if config.fusion == "gru" else "lstm",
            layers=config.layers,
            bidirectional=config.bidirectional,
            output=config.output,
            dropout=config.dropout,
            dtype=config.precision,
            rngs=rngs,
        )
        for backbone in backbones
    ]
    return build_encoder(config, backbones, sequences, rngs)


def train(config: CnnLstmConfig, context: RunContext) -> Run | None:
    """Train, index, evaluate and report; see `jaxret.recipes.clips.train`."""
    data = open_labelled_data(config, context)
    config = resolve_fusion(resolve(config, data.dataset), data, context)
    return train_clip_encoder(make_encoder(config, len(video_classes(data))), data, config, context)


RECIPE = Recipe(
    "cnn-lstm",
    "CNN + LSTM with PAR on your own media (Ravi and Nandakumar, 2021)",
    CnnLstmConfig(),
    train,
)
