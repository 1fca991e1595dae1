"""The training of system 2, read top to bottom: the steps one after the other, index, evaluation, report."""

from __future__ import annotations

import jax
from flax import nnx

from jaxret.models import Mean
from jaxret.models.conv_lstm.autoencoder import ConvLstmAutoencoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import parameter_count, save_encoder
from jaxret.recipes.clip_report import embed_run, finish_run
from jaxret.recipes.conv_lstm.clip_table import StepsData
from jaxret.recipes.conv_lstm.initial import InitialEncoder
from jaxret.recipes.conv_lstm.report import steps_extras
from jaxret.recipes.conv_lstm.settings import STEP_NAMES, StepsConfig
from jaxret.recipes.conv_lstm.steps import AutoencoderSteps
from jaxret.recipes.conv_lstm.thumbnail import with_thumbnail
from jaxret.recipes.opening import LabelledData
from jaxret.recipes.recipe import Run
from jaxret.training import RunContext, RunFolder

__all__ = ["encoder_of", "train_in_steps"]


def train_in_steps(
    model: ConvLstmAutoencoder,
    data: StepsData,
    config: StepsConfig,
    context: RunContext,
    initial: InitialEncoder | None = None,
) -> Run | None:
    """Take the settings' steps in the run folder, from where it stands, then index, evaluate and report.

    Each step has a folder of its own in the run's. One that has come to its end is not run again, also where a resumed
    run has another number of epochs: that holds for what is still to be done.

    Args:
      model: the autoencoder with its initial weights; it is left as it was trained.
      data: what it is trained and evaluated on.
      config: resolved settings; they are written to the run folder.
      context: where to train and log; `stop_after` counts the steps of all steps of the training, and of the ranking a
        batch of embedded clips as one.
      initial: what the first step begins with, in the place of the model's initial weights; the run keeps a copy.

    Returns:
      What came out; None if training was stopped before its end, and in all processes but the first.

    Raises:
      ConfigError: the data do not have what the steps need, or the run was made with other settings.
    """
    encoder, untrained = encoder_of(model, config), encoder_of(nnx.clone(model), config)
    context.log(
        f"encoder: {encoder.summary}; {parameter_count(model.backbone):,} parameters, and"
        f" {parameter_count(model.decoder):,} of the decoder; {len(data.table)} training clips"
    )
    if initial is not None:
        initial.give(model.backbone)
        context.log(f"the first step begins with the encoder of {initial.run}")
    steps = AutoencoderSteps(data, model, encoder, config, context)  # what cannot be trained on leaves no run
    context.write_config(config, data.dataset)
    if initial is not None and jax.process_index() == 0:
        save_encoder(initial.encoder, RunFolder(context.run.initial).encoder)
    # ---- the steps
    for position, step in enumerate(config.steps, start=1):
        bar = "#" * position + "." * (len(config.steps) - position)
        context.log(f"[{bar}] step {position} of {len(config.steps)}, {step}: {STEP_NAMES[step]}")
        if not steps.take(step):
            context.log_stopped()
            return None
    # ---- index, evaluation, report
    if jax.process_index() != 0:
        return None
    encoder = with_thumbnail(encoder, data, config, context.log)
    save_encoder(encoder, context.run.encoder)
    embedded = embed_run(
        LabelledData(data.dataset, data.splits.splits),
        encoder,
        untrained,
        threads=config.threads,
        show_progress=context.show_progress,
    )
    extras = steps_extras(embedded, steps.records, config, context.run)
    return finish_run(embedded, config, context, extras=extras)


def encoder_of(model: ConvLstmAutoencoder, config: StepsConfig) -> VideoEncoder:
    """The encoder of videos whose backbone is the autoencoder's own."""
    mean = Mean(model.backbone.embedding_size, rngs=nnx.Rngs(config.seed))
    return VideoEncoder(model.backbone, mean, config.preprocessing())
