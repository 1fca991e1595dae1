"""Classes that were trained on are found better, and those that were not are no harder to find than without training.

Nothing published: an answer to what the trainings of `jaxret.recipes.clips.cnn_lstm` do to classes that they never saw.

- Model: a pretrained frame backbone, frozen; a clip's embedding is the mean of its frame vectors beside an open-set
  posterior of the training classes (`jaxret.models.temporal.open_set`).
- Fitting: logistic regressions, no steps. What tells known classes from others, the regularisation and the weight are
  chosen on training classes that are held out in turn (`jaxret.training.open_set`).
- Ranking: Euclidean distance, which here ranks as the cosine does.

Run: `python -m jaxret.train open-set --data FOLDER --weights imagenet`.

Measured (`python benchmarks/accuracy_open_set.py`, five draws, benchmarks/results/accuracy_open_set.json): mAP of
classes trained on and of others 0.903 and 0.818 on UCF101's first 15 (the mean vector: 0.711 and 0.748), 0.433 and
0.302 on JHMDB with MobileNet V1 (the mean vector: 0.204 and 0.241).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from jaxret.data.sampling.transforms import Augmentation
from jaxret.errors import ConfigError
from jaxret.models import backbone_info, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.weights.load import load_pretrained
from jaxret.recipes.backbone_names import BackboneName, check_backbone
from jaxret.recipes.base import ClipConfig, Recipe, Run, RunContext
from jaxret.recipes.clip_report import embed_run, finish_run
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.opening import LabelledData, open_labelled_data
from jaxret.training.open_set import OpenSetFit, OpenSetSettings, fit_open_set

__all__ = ["RECIPE", "OpenSetConfig", "make_encoder", "train"]


@dataclasses.dataclass(frozen=True)
class OpenSetConfig(ClipConfig):
    """Settings of an open-set encoder."""

    data: str = ""
    """A folder (one sub-folder a class) of videos, a CSV with the columns path, label and optionally source and split,
    or tfds:NAME."""
    backbone: BackboneName = "efficientnet-lite0"
    """Frame encoder, which stays as it is."""
    weights: str = "imagenet"
    """Its weights: imagenet (efficientnet-lite0, with the extra `weights`), or a file (Keras .h5, .safetensors,
    .pth)."""
    rounds: int = 5
    """In which training classes are held out."""
    held_out: float = 0.3
    """Share of the training classes that each round holds out."""
    cache: Path | None = None
    """Folder that keeps frame vectors; runs may share it. none: cache/ in the run folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_backbone(self.backbone)
        if self.weights == "none":
            raise ConfigError("weights=none: a random backbone would stay random, for it is frozen. Name its weights")
        self.fitting()  # refuses what is out of range

    def fitting(self) -> OpenSetSettings:
        """How the encoder is fitted.

        Raises:
          ConfigError: a setting is out of range.
        """
        return OpenSetSettings(rounds=self.rounds, held_out=self.held_out, seed=self.seed)


def make_encoder(config: OpenSetConfig, classes: int) -> VideoEncoder:
    """The encoder before it is fitted: it ranks as the mean of the frame vectors does.

    Args:
      config: settings.
      classes: K, training classes.

    Raises:
      WeightsError: the weights do not fit the backbone.
    """
    rngs = nnx.Rngs(config.seed)
    backbone = create_backbone(config.backbone, channels=config.channels, rngs=rngs, dtype=config.precision)
    load_pretrained(backbone, config.weights)
    sequence = OpenSetEncoder(backbone.embedding_size, classes, rngs=rngs)
    return VideoEncoder(backbone, sequence, config.preprocessing())


def train(config: OpenSetConfig, context: RunContext) -> Run | None:
    """Fit, index, evaluate and report.

    Raises:
      ConfigError: the data have too few classes or no videos; or steps are counted, or processes share the work, where
        there are no steps.
    """
    if context.stop_after is not None or jax.process_count() > 1:
        raise ConfigError(f"{context.recipe} trains no steps: run it in one process, without --stop-after")
    data = open_labelled_data(config, context)
    if config.image_size is None:
        config = dataclasses.replace(config, image_size=backbone_info(config.backbone).image_size)
    encoder = make_encoder(config, len(data.splits.seen))
    untrained = VideoEncoder(encoder.backbone, nnx.clone(encoder.temporal), encoder.preprocessing)
    context.log(f"encoder: {encoder.summary}, backbone frozen")
    context.write_config(config)
    # ---- frame vectors
    features = FrozenFeatures(
        data.dataset, encoder, config.cache or context.run.cache, views=1, augment=Augmentation(), seed=config.seed
    )
    features.prepare(threads=config.threads, show=context.show_progress)
    # ---- fit
    fit = _fit(encoder, data, features, config)
    context.log(
        f"open set: weight {fit.weight:g}, C {fit.inverse_regularisation:g}; held-out training classes gain"
        f" {fit.held_out_gain:+.3f} mAP over the mean of their frame vectors, the others {fit.kept_gain:+.3f}"
    )
    save_encoder(encoder, context.run.encoder)
    # ---- index, evaluation, report
    known = features.frame_vectors(range(len(data.dataset)))
    everything = embed_run(
        data,
        encoder,
        untrained,
        known=known,
        embedded={},
        threads=config.threads,
        show_progress=context.show_progress,
    )
    return finish_run(everything, config, context, panels={})


def _fit(encoder: VideoEncoder, data: LabelledData, features: FrozenFeatures, config: OpenSetConfig) -> OpenSetFit:
    """Fit on every chunk of the training videos."""
    items = data.dataset.items
    media = features.frame_vectors(data.splits.train)
    if not media:
        raise ConfigError(f"{config.data} holds no training video that can be read")
    chunks = {index: len(vectors.vectors) for index, vectors in media.items()}
    owners = np.repeat(list(chunks), list(chunks.values()))
    class_of = {label: number for number, label in enumerate(data.splits.seen)}
    temporal = encoder.temporal
    assert isinstance(temporal, OpenSetEncoder)
    return fit_open_set(
        temporal,
        np.concatenate([vectors.vectors for vectors in media.values()]),
        [class_of[str(items[index].label)] for index in owners],
        [items[index].source for index in owners],
        config.fitting(),
    )


RECIPE = Recipe(
    "open-set",
    "an encoder for classes trained on and for others: mean frame vectors beside an open-set posterior",
    OpenSetConfig(),
    train,
)
