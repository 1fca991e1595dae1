"""The trainings whose indexes accuracy_media_retrieval.py searches with files: made once, and kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from common.paths import JHMDB, MOBILENET_WEIGHTS

from jaxret.recipes.clips import cnn_lstm
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.recipe import RunContext
from jaxret.retrieval import Retriever
from jaxret.training import RunFolder

WEIGHTS = {"mobilenet-v1": str(MOBILENET_WEIGHTS), "efficientnet-lite0": "imagenet"}
"""Backbones and their weights."""
EPOCHS = 60


def trained_index(backbone: str, *, work: Path, cache: Path) -> Retriever:
    """The index of JHMDB that a training of the paper's LSTM on half of its classes leaves.

    Args:
      backbone: one of WEIGHTS.
      work: keeps the run folder.
      cache: keeps the frame vectors.
    """
    config = CnnLstmConfig(
        data=str(JHMDB),
        unseen_fraction=0.5,
        fusion="lstm",
        backbone=backbone,  # type: ignore[arg-type]
        weights=WEIGHTS[backbone],
        cache=cache,
    )
    config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, epochs=EPOCHS, patience=4))
    run = RunFolder(work / f"JHMDB-{backbone}-0")
    if not run.figures.exists():
        cnn_lstm.RECIPE.train(config, RunContext(run, cnn_lstm.RECIPE.name))
    return Retriever.open(run.path)
