"""The trainings behind accuracy_media_retrieval.py: made once, kept, and opened with all their vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common.paths import MOBILENET_WEIGHTS

from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.data.splits import DataSplits, split_dataset
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder
from jaxret.recipes.base import ClipTrainingConfig, open_config
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.clips import c3d, cnn_lstm
from jaxret.recipes.clips.c3d import C3dConfig
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.retrieval.encode import FrameVectors, clip_rows, mean_frame_rows
from jaxret.training import RunContext, RunFolder

WEIGHTS = {"mobilenet-v1": str(MOBILENET_WEIGHTS), "efficientnet-lite0": "imagenet"}
MODELS = (*WEIGHTS, "c3d")
# A narrow C3D on small frames is what two cores train in minutes.
C3D_WIDTH, C3D_FRAME_SIZE = 0.25, 64
EPOCHS = {"mobilenet-v1": 60, "efficientnet-lite0": 60, "c3d": 30}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished training and what it makes of its validation and test clips.

    Attributes:
      name: of the method, as the paper calls it.
      setting: what sets it apart from others of that name.
      seed: of the split and the training.
      run: its folder.
      dataset, splits: what it was trained on.
      encoder: trained.
      vectors: item numbers to frame vectors of those that can be read.
      make_untrained: the encoder before its training.
    """

    name: str
    setting: str
    seed: int
    run: RunFolder
    dataset: MediaDataset
    splits: DataSplits
    encoder: VideoEncoder
    vectors: Callable[[np.ndarray], dict[int, FrameVectors]]
    make_untrained: Callable[[], VideoEncoder]

    def baselines(self) -> dict[str, Callable[[np.ndarray], Rows]]:
        """What the training is to beat: item numbers to rows, by name."""
        untrained = self.make_untrained()
        if self.encoder.unit == "chunk":
            return {
                "untrained C3D": lambda numbers: clip_rows(
                    embed_items(self.dataset, untrained, numbers.tolist(), threads=2)[0], untrained
                )
            }
        return {
            "mean of frame vectors": lambda numbers: mean_frame_rows(self.vectors(numbers)),
            "untrained LSTM": lambda numbers: clip_rows(self.vectors(numbers), untrained),
        }

    def rows(self, numbers: np.ndarray) -> Rows:
        """The clip vectors of items."""
        return clip_rows(self.vectors(numbers), self.encoder)


def trained(model: str, data: str, name: str, seed: int, *, work: Path, cache: Path) -> Trained:
    """The training of one model with one seed, done first if it is not there yet.

    Args:
      model: one of MODELS.
      data: labelled videos.
      name: what the data are called in the run folder.
      seed: of split and training.
      work: folder of the run folders.
      cache: folder of the frame vectors of frozen backbones.
    """
    shared: dict[str, Any] = {"data": data, "unseen_fraction": 0.5, "seed": seed}
    config: ClipTrainingConfig
    if model == "c3d":
        config = C3dConfig(**shared, image_size=C3D_FRAME_SIZE, width=C3D_WIDTH)
    else:
        config = CnnLstmConfig(**shared, fusion="lstm", backbone=model, weights=WEIGHTS[model], cache=cache)  # type: ignore[arg-type]
    loop = dataclasses.replace(config.loop, epochs=EPOCHS[model], evaluate_every=5, patience=4)
    config = dataclasses.replace(config, loop=loop)
    run = RunFolder(work / f"{name}-{model}-{seed}")
    if not run.figures.exists():
        recipe = (c3d if model == "c3d" else cnn_lstm).RECIPE
        recipe.train(config, RunContext(run, recipe.name))
    return opened(run, model, seed)


def opened(run: RunFolder, model: str, seed: int) -> Trained:
    """A finished run with its data and encoder."""
    _, config = open_config(run)
    dataset = open_dataset(config.data)
    splits = split_dataset(dataset, unseen_fraction=config.unseen_fraction, seed=config.seed)
    encoder = load_encoder(run.encoder)
    if isinstance(config, C3dConfig):
        wanted = np.sort(np.concatenate([splits.train, splits.validation, splits.test]))
        embedded = embed_items(dataset, encoder, wanted.tolist(), threads=config.threads)[0]
        setting = f"width {config.width:g}, {config.image_size} pixels"
        return Trained(
            "C3D",
            setting,
            seed,
            run,
            dataset,
            splits,
            encoder,
            lambda numbers: {int(n): embedded[int(n)] for n in numbers if int(n) in embedded},
            lambda: c3d.make_encoder(config),
        )
    features = FrozenFeatures.of_run(dataset, encoder, config, RunContext(run))
    return Trained(
        "CNN + LSTM",
        config.backbone,
        seed,
        run,
        dataset,
        splits,
        encoder,
        features.frame_vectors,
        lambda: cnn_lstm.make_encoder(config),
    )
