"""The training of system 2, read top to bottom: data, autoencoder, the steps one after the other, index, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from flax import nnx

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.splits import split_for_autoencoder
from jaxret.models import Mean
from jaxret.models.conv_lstm.autoencoder import ConvLstmAutoencoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import parameter_count, save_encoder
from jaxret.recipes.clip_report import RunSummary, finish_run
from jaxret.recipes.conv_lstm.clip_table import clip_table, pixel_statistics
from jaxret.recipes.conv_lstm.report import steps_extras
from jaxret.recipes.conv_lstm.settings import STEP_NAMES, StepsConfig
from jaxret.recipes.conv_lstm.steps import AutoencoderSteps
from jaxret.training import RunFolder

__all__ = ["train_in_steps"]

Config = TypeVar("Config", bound=StepsConfig)


def train_in_steps(
    recipe: str,
    config: Config,
    run: RunFolder,
    *,
    make_autoencoder: Callable[[Config], ConvLstmAutoencoder],
    resolve: Callable[[Config, MediaDataset], Config],
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> RunSummary | None:
    """Take the steps that are asked for in `run`, from where it stands, then index, evaluate and report.

    Each step has a folder of its own in the run's. One that has come to its end is not run again, also where a resumed
    run has another number of epochs: that holds for what is still to be done.

    Args:
      recipe: the recipe's name, for `config.json`.
      config: settings; the resolved ones are written to the run folder.
      run: a new run folder, or one to go on with.
      make_autoencoder: the autoencoder with its initial weights, a pure function of the resolved settings.
      resolve: replaces the settings that stand for a choice by what is chosen for this data set.
      stop_after: stop and save after this many steps of this call, over all steps of the training; of the ranking a
        batch of embedded clips counts as one.
      say: gets one line at a time of what is going on.
      show_progress: draw bars.

    Returns:
      What came out; None if training was asked to stop before its end, and in all processes but the first.

    Raises:
      ConfigError: the data do not have what the steps need, or the run was made with other settings.
    """
    # ---- data
    dataset = open_dataset(config.data, split_column=config.split_column, download=config.download)
    config = resolve(config, dataset)
    data = split_for_autoencoder(
        dataset, steps_with_labels=config.needs_labels, unseen_fraction=config.unseen_fraction, seed=config.seed
    )
    splits = data.splits
    say(
        f"{config.data}: {len(dataset)} items ({len(dataset.skipped)} unreadable), {len(splits.seen)}"
        f" classes to train on and {len(splits.unseen)} unseen; {len(splits.train)} train, {len(data.unlabelled)} more"
        f" without a label, {len(splits.validation)} validation, {len(splits.test)} test"
    )
    # Sizes that do not fit are refused before all videos are read.
    nnx.eval_shape(lambda: make_autoencoder(dataclasses.replace(config, pixel_mean=0.0, pixel_deviation=1.0)))
    preprocessing = config.preprocessing(depth=config.depth)
    numbers = np.union1d(splits.train, data.unlabelled)
    table, broken = clip_table(dataset, numbers, preprocessing, threads=config.threads)
    for number, error in broken.items():
        say(f"left out of the training: {dataset.items[number].key}: {error.reason}")
    if config.pixel_mean is None:
        mean, deviation = pixel_statistics(dataset, table, preprocessing, threads=config.threads)
        config = dataclasses.replace(config, pixel_mean=mean, pixel_deviation=max(deviation, 1.0))
    # ---- autoencoder
    model, encoder = _encoder_of(make_autoencoder, config)
    say(
        f"encoder: {encoder.summary}; {parameter_count(model.backbone):,} parameters, and"
        f" {parameter_count(model.decoder):,} of the decoder; {len(table)} training clips"
    )
    if jax.process_index() == 0:
        run.write_config(recipe, config)
    # ---- the steps
    steps = AutoencoderSteps(
        dataset, data, table, model, encoder, config, run, say=say, show=show_progress, stop_after=stop_after
    )
    for place, step in enumerate(config.steps, start=1):
        bar = "#" * place + "." * (len(config.steps) - place)
        say(f"[{bar}] step {place} of {len(config.steps)}, {step}: {STEP_NAMES[step]}")
        if not steps.take(step):
            say(f"stopped and saved. To go on: {command_line_of('train', '--resume', run.path)}")
            return None
    # ---- index, figures, report
    if jax.process_index() != 0:
        return None
    save_encoder(encoder, run.encoder)
    untrained = _encoder_of(make_autoencoder, config)[1]
    return finish_run(
        run,
        dataset,
        splits,
        encoder,
        untrained=untrained,
        known={},
        embedded={},
        config=config,
        extras=lambda test, before: steps_extras(
            run, dataset, splits, steps.records, encoder, untrained, test, before, config
        ),
        say=say,
        show=show_progress,
    )


def _encoder_of(
    make_autoencoder: Callable[[Config], ConvLstmAutoencoder], config: Config
) -> tuple[ConvLstmAutoencoder, VideoEncoder]:
    """An autoencoder, and the encoder of videos whose backbone is its own."""
    model = make_autoencoder(config)
    mean = Mean(model.backbone.embedding_size, rngs=nnx.Rngs(config.seed))
    return model, VideoEncoder(model.backbone, mean, config.preprocessing(depth=config.depth))
