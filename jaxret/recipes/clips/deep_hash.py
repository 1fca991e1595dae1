"""System 3: deep video hashing, binary codes learned end to end and searched by XOR.

Paper: Y. Dong and J. Li, "Video retrieval based on deep convolutional neural network", arXiv:1712.00133 (2017),
with what a review of it misses: other temporal fusions, other modalities, sub-linear search.

- Model: frame backbone -> vector a frame; their weighted average over a clip, weights learned; one linear layer
  with a sigmoid, the hash layer: an activation a bit. A softmax head on the activations exists only to train.
- Objective: alpha * cross-entropy + beta * triplet loss on the activations, positives of the same class and
  negatives of another from the batch (alpha is `--cross-entropy-weight`, beta `--triplet-weight`).
- Codes: a bit is 1 where its activation is at least 0.5.
- With a frozen pretrained backbone the default is another fusion, which is fitted and holds classes that were not
  trained on as well; its codes are the signs of the embedding after a rotation, and codewords of classes that are sure
  (`jaxret.recipes.clips.open_set`). The paper's is `--fusion weighted-average`.
- Ranking: Hamming distance by XOR and popcount (`jaxret.rank.hamming_topk`), or sub-linear by `HammingIndex`;
  the nearest can be put in order again by their activations (`jaxret search --rerank`).

Measured (`benchmarks/accuracy_deep_hashing.py`, JHMDB, MobileNet V1 with ImageNet weights, 2 CPU cores, mean and spread
over seeds): mAP@10 of codes of 64 bits 0.389 +- 0.043 and of 256 bits 0.423 +- 0.041, where random hyperplanes of the
mean frame vectors give 0.104 +- 0.009 and 0.194 +- 0.010; colours and dynamic images together 0.455 +- 0.023 with 64
bits.

Run: `python -m jaxret.train deep-hash --data FOLDER --bits 256`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from flax import nnx

from jaxret.losses import Mining
from jaxret.models import (
    AttentionFusion,
    Backbone,
    Convolution3dFusion,
    ConvolutionFusion,
    MapGrid,
    SequenceEncoder,
    TemporalEncoder,
    WeightedAverage,
    backbone_info,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.ranges import Bits, Count, Units, Weight
from jaxret.recipes.clip_settings import FrameBackboneConfig
from jaxret.recipes.clips.model import build_encoder, frame_backbones, resolve
from jaxret.recipes.clips.open_set import OPEN_SET, FusionConfig, open_set_encoder, resolve_fusion, video_classes
from jaxret.recipes.clips.train import train_clip_encoder
from jaxret.recipes.opening import open_labelled_data
from jaxret.recipes.recipe import Recipe, Run, RunContext

__all__ = ["RECIPE", "DeepHashConfig", "make_encoder", "make_fusion", "train"]

Fusion = Literal["auto", "open-set", "weighted-average", "lstm", "convolution", "convolution-3d", "attention"]


@dataclasses.dataclass(frozen=True)
class DeepHashConfig(FusionConfig, FrameBackboneConfig):
    """Settings of a deep-hashing training."""

    bits: Bits = 64
    """Length of the codes, a multiple of 8. 0: none; the real-valued embedding is trained and searched."""
    fusion: Fusion = "auto"
    """How a clip's frame vectors become one vector. open-set: their mean beside an open-set posterior of the training
    classes, fitted, of two classes the mean alone, and codes by rotation; trained with a hash layer: weighted-average
    (the paper's), lstm, convolution (and pooling over time), attention (a transformer), convolution-3d (convolution and
    pooling over time, height and width of the backbone's last feature map; a frame's vector is then that map). auto:
    open-set with a frozen pretrained backbone and no setting of a training by steps; else weighted-average."""
    map_grid: Count = 4
    """With convolution-3d: the feature map is averaged into this many places a side."""
    units: Units = 256
    """Width of the fusion; the weighted average is as wide as a frame vector."""
    triplet_weight: Weight = 1.0
    """Weight of the triplet loss on the codes' activations (the paper's beta); 0: none."""
    mining: Mining = "all"
    """Triplets that count: of every batch the hardest, the semi-hard, or all that break the margin."""

    trained_fusion: ClassVar[str] = "weighted-average"

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """And those of other fusions."""
        yield from super().idle_settings()
        if self.fusion == "weighted-average":
            yield ("units",), "fusion=weighted-average is as wide as a frame vector"
        if self.fusion not in ("auto", "convolution-3d"):
            yield ("map_grid",), f"it is of fusion=convolution-3d, and this is {self.fusion}"

    @property
    def batches_of_classes(self) -> bool:
        """Always but for a loss of one's own that wants none: the weights of the losses change no batch."""
        return self.loss is None or super().batches_of_classes


def make_fusion(config: DeepHashConfig, input_size: int, rngs: nnx.Rngs) -> SequenceEncoder:
    """The trained fusion that the settings name, from frame vectors of `input_size`; `auto` is the weighted average."""
    if config.fusion in ("auto", "weighted-average"):
        return WeightedAverage(input_size, rngs=rngs)
    shared: Any = {"dropout": config.dropout, "dtype": config.precision, "rngs": rngs}
    if config.fusion == "convolution-3d":
        return Convolution3dFusion(input_size, config.units, grid=config.map_grid, **shared)
    made = {"lstm": TemporalEncoder, "convolution": ConvolutionFusion, "attention": AttentionFusion}[config.fusion]
    return made(input_size, config.units, **shared)


def make_encoder(config: DeepHashConfig, classes: int | None = None) -> VideoEncoder:
    """The encoder with its initial weights.

    Args:
      config: resolved settings (see `jaxret.recipes.clips.model` and `resolve_fusion`); `auto` is the weighted average
        here.
      classes: training classes, for open-set.
    """
    rngs = nnx.Rngs(config.seed)
    backbones: list[Backbone] = frame_backbones(config, rngs)
    if config.fusion == OPEN_SET:
        return build_encoder(config, backbones, [open_set_encoder(backbones, classes, config.bits, rngs)], rngs)
    if config.fusion == "convolution-3d":
        stage = backbone_info(config.backbone).stage("rmac")  # the last map
        # A frozen backbone is one object for all streams, and stays one.
        made = {id(backbone): MapGrid(backbone, stage, grid=config.map_grid) for backbone in backbones}
        backbones = [made[id(backbone)] for backbone in backbones]
    sequences = [make_fusion(config, backbone.embedding_size, rngs) for backbone in backbones]
    return build_encoder(config, backbones, sequences, rngs)


def train(config: DeepHashConfig, context: RunContext) -> Run | None:
    """Train, index, evaluate and report; see `jaxret.recipes.clips.train`."""
    data = open_labelled_data(config, context)
    config = resolve_fusion(resolve(config, data.dataset), data, context)
    return train_clip_encoder(make_encoder(config, len(video_classes(data))), data, config, context)


RECIPE = Recipe("deep-hash", "binary codes of videos, searched by XOR (Dong and Li, 2017)", DeepHashConfig(), train)
