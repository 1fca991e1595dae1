"""NDVR-DML: near-duplicate videos by one learned vector a video; a baseline of system 2.

Paper: G. Kordopatis-Zilos, S. Papadopoulos, I. Patras and I. Kompatsiaris, "Near-Duplicate Video Retrieval with Deep
Metric Learning", ICCV Workshops 2017.

- Model: of several convolution layers the largest activation of each channel, each layer's scaled to length 1, side by
  side: a frame vector. Their mean over the video, less its own mean, of length 1; three dense layers with tanh; length
  1. The backbone stays as it was trained.
- Objective: triplet loss on squared Euclidean distances, margin 1. The paper takes triplets of near-duplicates found
  beforehand; here they come from the batch, positives of the same class and negatives of another.
- Ranking: Euclidean distance of the videos' vectors.

The authors sample one frame a second and average whole videos; here `frames` are sampled evenly from the whole video,
for a video shorter than `chunk_seconds` (a day) is one chunk. With shorter chunks each is a vector, and videos can be
compared as sequences (`jaxret search --sequence`).

Measured (`benchmarks/accuracy_convlstm.py`, JHMDB, six classes, MobileNet V1 with ImageNet weights, 2 CPU cores, the
three splits): mAP by class 0.719 +- 0.090 by the cosine of the videos' vectors, and of parts changed at strength 0.25
mAP by clip 0.430 +- 0.124; SIFT words 0.280 +- 0.033 and 0.627 +- 0.072.

Run: `python -m jaxret.train ndvr-dml --data FOLDER --weights imagenet`.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Annotated

from flax import nnx

from jaxret.losses import Mining
from jaxret.models import Backbone, DenseEmbedding, MaxPooledLayers, backbone_info
from jaxret.models.encoder import VideoEncoder
from jaxret.ranges import MOST_UNITS, Count, Positive, Weight, at_least
from jaxret.recipes.clip_settings import FrameBackboneConfig
from jaxret.recipes.clips.model import build_encoder, frame_backbones, resolve
from jaxret.recipes.clips.train import train_clip_encoder
from jaxret.recipes.opening import open_labelled_data
from jaxret.recipes.recipe import Recipe, Run, RunContext
from jaxret.training import OptimiserConfig

__all__ = ["RECIPE", "NdvrDmlConfig", "default_layers", "make_encoder", "train"]


@dataclasses.dataclass(frozen=True)
class NdvrDmlConfig(FrameBackboneConfig):
    """Settings of a training of NDVR-DML."""

    layers: tuple[str, ...] = ()
    """Feature maps of the backbone that are max-pooled, by name. None given: all its convolutions (of
    mobilenet-v1 the pointwise ones, of efficientnet-lite0 the last of each block)."""
    widths: Annotated[tuple[int, ...], at_least(1, most=MOST_UNITS)] = (2000, 1000, 500)
    """Units of the dense layers; the last is the length of a video's vector."""
    frames: Count = 32
    """Frames sampled from each chunk of a video."""
    chunk_seconds: Positive = 86_400.0
    """A video is cut into equal chunks of about this length; a day leaves it whole."""
    cross_entropy_weight: Weight = 0.0
    """Weight of a classification loss; the paper has none."""
    triplet_weight: Weight = 1.0
    """Weight of the triplet loss."""
    margin: Weight = 1.0
    """Margin of the triplet loss, in squared Euclidean distance of vectors of length 1."""
    mining: Mining = "all"
    """Triplets that count."""
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-4, clip_norm=5.0)
    """How gradients become updates."""


def default_layers(backbone: Backbone) -> tuple[str, ...]:
    """Names of the convolutions of a backbone, of blocks of convolutions the last one; first layer first.

    Raises:
      ConfigError: the backbone does not say which stages they are.
    """
    return tuple(fnmatch.filter(backbone.stage_names, backbone_info(backbone.name).stage("convolutions")))


def make_encoder(config: NdvrDmlConfig) -> VideoEncoder:
    """The encoder with its initial weights; `config` is resolved (see `jaxret.recipes.clips.model`)."""
    rngs = nnx.Rngs(config.seed)
    networks = frame_backbones(config, rngs)
    pooled = {id(one): MaxPooledLayers(one, config.layers or default_layers(one)) for one in networks}
    backbones = [pooled[id(one)] for one in networks]  # a shared network stays shared
    sequences = [DenseEmbedding(backbone.embedding_size, config.widths, rngs=rngs) for backbone in backbones]
    return build_encoder(config, backbones, sequences, rngs)


def train(config: NdvrDmlConfig, context: RunContext) -> Run | None:
    """Train, index, evaluate and report; see `jaxret.recipes.clips.train`."""
    data = open_labelled_data(config, context)
    config = resolve(config, data.dataset)
    return train_clip_encoder(make_encoder(config), data, config, context)


RECIPE = Recipe(
    "ndvr-dml",
    "near-duplicate videos by one learned vector each (Kordopatis-Zilos et al., 2017)",
    NdvrDmlConfig(),
    train,
)
