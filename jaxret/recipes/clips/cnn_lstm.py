"""System 1: image and video retrieval with CNN + LSTM, ranked by Euclidean distance or PAR.

Paper: A. Ravi and A. Nandakumar, "A multimodal deep learning framework for scalable content based visual media
retrieval", arXiv:2105.08665 (2021).

- Model: frame backbone -> vector a frame; 16 frames a chunk of about 10 s -> one LSTM layer of 256 units; its
  last hidden state is the clip's embedding. A softmax head exists only to train.
- Objective: cross-entropy; a triplet loss can be added (`--triplet-weight`).
- Training: Adam 1e-3, batch 64, dropout 0.25, random temporal sampling and crops. With pretrained weights the
  backbone is frozen and run once (its features are cached in the run folder); without, all is trained end to end.
- Ranking: an image by its frame vector against images and videos' frames, a video by its clip embeddings.

Run: `python -m jaxret.train cnn-lstm --data FOLDER --weights imagenet`, or, for the embedded moving digits,
`python -m jaxret.train`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from flax import nnx

from jaxret.models import TemporalEncoder
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.base import FrameBackboneConfig
from jaxret.recipes.clip_report import RunSummary
from jaxret.recipes.clips.model import make_clip_encoder, resolve
from jaxret.recipes.clips.train import train_clip_encoder
from jaxret.training import LoopConfig, OptimiserConfig, RunFolder

__all__ = ["MOVING_DIGITS", "CnnLstmConfig", "make_encoder", "train"]


@dataclasses.dataclass(frozen=True)
class CnnLstmConfig(FrameBackboneConfig):
    """Settings of a CNN + LSTM training."""

    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of the temporal encoder."""
    units: int = 256
    """Units of a recurrent layer."""
    layers: int = 1
    """Recurrent layers."""
    bidirectional: bool = False
    """Run each layer in both directions."""
    output: Literal["last", "mean", "hidden+cell"] = "last"
    """What of the recurrent states is the embedding."""


MOVING_DIGITS = CnnLstmConfig(
    frames=12,
    chunk_seconds=1.0,
    units=128,
    triplet_weight=1.0,
    mirror=0.0,  # left and right are classes here
    zoom=1.0,
    batch_size=48,
    optimiser=OptimiserConfig(
        algorithm="adamw",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        weight_decay=1e-4,
        clip_norm=1.0,
    ),
    loop=LoopConfig(epochs=8, evaluate_every=2, patience=0),
)
"""The same system sized for the embedded data: clips of 12 frames of 32 x 32, trained end to end in minutes."""


def make_encoder(config: CnnLstmConfig) -> VideoEncoder:
    """The encoder with its initial weights; `config` is resolved (see `jaxret.recipes.clips.model`)."""

    def make_sequence_encoder(input_size: int, rngs: nnx.Rngs) -> TemporalEncoder:
        return TemporalEncoder(
            input_size,
            config.units,
            cell=config.cell,
            layers=config.layers,
            bidirectional=config.bidirectional,
            output=config.output,
            dropout=config.dropout,
            dtype=config.precision,
            rngs=rngs,
        )

    return make_clip_encoder(config, make_sequence_encoder)


def train(recipe: str, config: CnnLstmConfig, run: RunFolder, **options: Any) -> RunSummary | None:
    """Train, index, evaluate and report; see `jaxret.recipes.clips.train`."""
    return train_clip_encoder(recipe, config, run, resolve=resolve, make_encoder=make_encoder, **options)
