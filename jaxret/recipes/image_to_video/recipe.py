"""System 5: a photograph finds the moment in a film.

Paper: N. Garcia and G. Vogiatzis, "Asymmetric spatio-temporal embeddings for large-scale image-to-video retrieval",
BMVC 2018.

- Frames at 3 a second, aspect ratio kept, longer side at most 1,024 pixels (960 for images that are queries).
- Spatial encoder, frozen: R-MAC of the backbone's last map, PCA-whitened; the whitening is fitted on training frames.
- Shots: cut where the cosine distance of consecutive frame vectors is above 0.5.
- Temporal encoder: LSTM or GRU of 256 units (the paper: 512) over at most 50 frames, dense, tanh, unit length, into the
  space of the images. Sum and max pooling, which need no training, are the baselines. The residual, which is not the
  paper's, is the sum and a learned linear map of it, zero at first.
- Objective: cosine loss with margin 0.1 on pairs of a frame and a shot, 20 % of them its own.
- Ranking: cosine of image and shot; a video counts by its best shot.

Decisions: videos are dealt to training, validation and test by source (80, 10 and 10 %); the epoch is chosen by how
well held-out moments find their own shots among those of the validation split, and so is, by default, what makes the
vector of a shot. Queries in training are synthetic screen photos of the training shots: with frames of the shots
themselves (`--screen-photos 0`, the paper's way) nothing that is learned beats the sum
(benchmarks/accuracy_image_to_video.py). Adam starts at 1e-3 and follows a cosine, with batches of 128, where the paper
has 1e-4 and 512: some hundred shots are few batches. A clip file is cut like a film; for data whose files are shots
already, `--cut-threshold 2` cuts nothing.

Measured: docs/systems/image_to_video.md.

Run: `python -m jaxret.train image-to-video --data FILMS`, then `python -m jaxret search RUN photo.jpg`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone, backbone_info, pretrained_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.frozen import weights_origin
from jaxret.preprocessing import Preprocessing, ShotSampling
from jaxret.ranges import Count, CountOrZero, Positive, Share, Threads, Units, at_least, check_ranges
from jaxret.recipes.backbone_names import BackboneNameOrAuto, check_backbone, chosen_backbone
from jaxret.recipes.image_to_video.shot_encoders import FIXED, Temporal, shot_encoder
from jaxret.recipes.image_to_video.train import open_films, train_shot_encoder
from jaxret.recipes.recipe import Recipe, Run, RunContext
from jaxret.training import CosineMarginObjective, LoopConfig, OptimiserConfig, refuse_unused

__all__ = ["RECIPE", "ImageToVideoConfig", "make_encoder", "train"]

_WHITENED = 128
_OF_TRAINING = ("clean", "units", "dropout", "margin", "positive_share", "batch_size", "optimiser", "loop")


@dataclasses.dataclass(frozen=True)
class ImageToVideoConfig:
    """Settings of image-to-video retrieval."""

    data: str = ""
    """A folder of films or clips, a CSV with the column path and optionally source and split, or tfds:NAME."""
    split_column: str = "split"
    """For a CSV: the column that names each item's split (train, validation or test)."""
    download: bool = False
    """For tfds: fetch the data set if it is not on this machine yet."""
    out: Path | None = None
    """The run folder to make; none: runs/image-to-video-<number>."""
    backbone: BackboneNameOrAuto = "auto"
    """Network whose feature map is pooled; the paper's is vgg16. auto: efficientnet-lite0 for imagenet and none,
    mobilenet-v1 for a file, what the files are of for a folder of a published encoder."""
    weights: str = "imagenet"
    """Its weights: imagenet (with the extra `weights`), a file (Keras .h5, .safetensors, .pth), a folder of a published
    encoder (`jaxret weights`), or none for random ones."""
    stage: str = ""
    """The map's name; empty: the last one, of efficientnet-lite0 block_8, which found validation films better."""
    pooling: Literal["rmac", "mac", "spoc", "gem"] = "rmac"
    """How the map becomes a vector."""
    whitened_size: Annotated[int | None, at_least(0)] = None
    """Numbers of a vector after PCA-whitening. none: 128, or the channels of a map that has fewer; the paper's is 512,
    but from some hundred shots the recurrent layers did not learn more than 128. 0: no whitening; consecutive frames
    are then so alike that the cut threshold must be far lower."""
    whitening_frames: Count = 1400
    """Training frames that the whitening is fitted on."""
    image_size: Count = 1024
    """Longer side of a frame in pixels, at most; a multiple of 32."""
    query_image_size: Annotated[int, at_least(32)] = 960
    """Longer side of an image that is a query, in pixels, at most; a multiple of 32."""
    rate: Positive = 3.0
    """Frames a second."""
    cut_threshold: Annotated[float, at_least(0, most=2)] = 0.5
    """Cosine distance of consecutive frames above which there is a cut."""
    max_frames: Count = 50
    """Frames that stand for a shot, at most."""
    clean: bool = False
    """Keep of every training shot the frames that match each other by SIFT (extra `opencv`; hours for many clips)."""
    screen_photos: CountOrZero = 4
    """Synthetic screen photos (from the side, blurred, over- or underexposed, with moire) of each training shot; they
    are the queries in training, and others in validation and test. 0: frames of the shots are, as in the paper."""
    temporal: Temporal | Literal["auto"] = "auto"
    """What makes one vector of a shot: the sum or the maximum of its frames, which need no training; an lstm or gru, as
    in the paper; the sum and a learned residual. auto: all are tried, and the one that finds the validation films best
    is taken, but none that does not find them better than the sum by more than its standard error."""
    units: Units = 256
    """Units of the recurrent layer."""
    dropout: Annotated[float, at_least(0, below=1)] = 0.0
    """Share of the inputs of the recurrent layer that are set to zero in training."""
    margin: Annotated[float, at_least(-1, most=1)] = 0.1
    """Cosine of an image and another shot above which the loss counts."""
    positive_share: Share = 0.2
    """Share of the pairs whose image belongs to the shot."""
    batch_size: Count = 128
    """Pairs a step, over all devices and processes."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Compute precision of the models; parameters stay float32."""
    cache: Path | None = None
    """Folder that keeps frame vectors; runs may share it. none: cache/ in the run folder."""
    threads: Threads = 2
    """Media files decoded at once."""
    seed: CountOrZero = 0
    """Everything random follows from it."""
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-3, schedule="cosine", clip_norm=5.0)
    """How gradients become updates."""
    loop: LoopConfig = LoopConfig(epochs=200, evaluate_every=20)
    """How long to train."""

    def __post_init__(self) -> None:
        check_backbone(self.backbone, auto=True)
        check_ranges(self)
        if self.query_image_size % 32:
            raise ConfigError(f"query_image_size must be a multiple of 32 pixels, got {self.query_image_size}")
        if self.temporal in FIXED:
            refuse_unused(self, _OF_TRAINING, f"shots by their {self.temporal} need no training")
        CosineMarginObjective(self.margin)  # refuses what is out of range
        self.preprocessing()

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Settings that do nothing as the others stand, with the reason; see `jaxret.training.refuse_idle`."""
        if self.temporal == "residual":
            yield ("units", "dropout"), "it is of a recurrent layer, and temporal=residual has none"
        if self.whitened_size == 0:
            yield ("whitening_frames",), "whitened_size=0 whitens nothing"

    def preprocessing(self) -> Preprocessing:
        """How videos are sampled and cut.

        Raises:
          ConfigError: a setting is out of range.
        """
        shots = ShotSampling(self.rate, self.cut_threshold, self.max_frames, self.query_image_size)
        return Preprocessing(height=self.image_size, width=self.image_size, resize="limit", shots=shots)


def make_encoder(config: ImageToVideoConfig, temporal: Temporal) -> VideoEncoder:
    """The encoder with its initial weights; the whitening does nothing yet.

    Args:
      config: settings.
      temporal: what makes one vector of a shot.

    Raises:
      ConfigError: the stage is unknown. WeightsError: the weights do not fit the backbone.
    """
    rngs = nnx.Rngs(config.seed)
    name = chosen_backbone(config.backbone, config.weights)
    backbone = pretrained_backbone(name, config.weights, dtype=config.precision, rngs=rngs)
    stage = config.stage or backbone_info(name).stage("rmac")
    pooled = PooledBackbone(backbone, stage, pooling=config.pooling)
    whitened = min(_WHITENED, pooled.map_channels) if config.whitened_size is None else config.whitened_size
    if whitened:
        pooled = PooledBackbone(backbone, stage, pooling=config.pooling, whitened_size=whitened)
    origin = None if config.weights == "none" else weights_origin(config.weights, name)
    return VideoEncoder(pooled, shot_encoder(temporal, pooled.embedding_size, config), config.preprocessing(), origin)


def train(config: ImageToVideoConfig, context: RunContext) -> Run | None:
    """Fit the whitening, cut, train, index, measure and report; see `jaxret.recipes.image_to_video.train`."""
    films = open_films(config, context)
    first: Temporal = "sum" if config.temporal == "auto" else config.temporal
    return train_shot_encoder(make_encoder(config, first), films, config, context)


RECIPE = Recipe(
    "image-to-video",
    "a photograph finds the moment in a film (Garcia and Vogiatzis, 2018)",
    ImageToVideoConfig(),
    train,
)
