"""The training of a clip encoder, read top to bottom: fit or steps, projection, index, evaluation, report."""

from __future__ import annotations

import jax
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import parameter_count, save_encoder
from jaxret.recipes.clip_media import Mode, embed_items, training_mode
from jaxret.recipes.clip_report import embed_run, finish_run
from jaxret.recipes.clip_settings import ClipTrainingConfig, FrameBackboneConfig
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.open_set import MAY_HARM, OPEN_SET, FusionConfig, video_classes
from jaxret.recipes.clips.open_set_fit import fit_open_set_encoder
from jaxret.recipes.clips.projection import project_clips
from jaxret.recipes.clips.steps import fit_by_steps
from jaxret.recipes.finish import RunExtras
from jaxret.recipes.opening import LabelledData
from jaxret.recipes.recipe import Run
from jaxret.reporting import paragraph
from jaxret.retrieval.encode import FrameVectors
from jaxret.training import RunContext, check_pixels, refuse_idle

__all__ = ["train_clip_encoder"]


def train_clip_encoder(
    encoder: VideoEncoder, data: LabelledData, config: ClipTrainingConfig, context: RunContext
) -> Run | None:
    """Train in the context's run folder, from its last checkpoint if it has one, then index, evaluate and report.

    Args:
      encoder: with its initial weights; it is left as it was trained.
      data: what it is trained and evaluated on.
      config: resolved settings; they are written to the run folder.
      context: where to train and log.

    Returns:
      What came out; None if training was stopped before its end, and in all processes but the first.

    Raises:
      ConfigError: the settings do not fit the data, or do nothing, or the run was made with other ones.
    """
    dataset, splits = data.dataset, data.splits
    mode = training_mode(dataset, freeze=config.frozen)
    _check_mode(encoder, data, mode, config)
    clips = 1 if config.frozen or mode is None else min(config.batch_size // jax.process_count(), len(splits.train))
    check_pixels(encoder.preprocessing, clips, images=mode == "images")
    if not context.run.config.exists():  # one that was made before goes on as it is
        refuse_idle(config, context.usual)
    context.log(f"encoder: {encoder.summary}, {_trained(config)}; {parameter_count(encoder):,} parameters")
    context.write_config(config, dataset)
    untrained = _with_initial_weights(encoder, config)
    # ---- train
    features, fitted = None, ""
    if mode is None:
        context.log("images only, and a frozen backbone: there is nothing to train")
    else:
        if isinstance(config, FrameBackboneConfig) and mode == "features":
            features = FrozenFeatures.of_run(dataset, encoder, config, context)
        if isinstance(config, FusionConfig) and config.fusion == OPEN_SET:
            found = fit_open_set_encoder(encoder, data, features, config, context)
            if found is None:
                context.log_stopped()
                return None
            if found:
                context.log(found)
            fitted = found
        elif not fit_by_steps(encoder, data, features, mode, config, context).finished:
            context.log_stopped()
            return None
    # ---- index, evaluation, report
    if jax.process_index() != 0:
        return None
    known = {} if features is None else features.frame_vectors(range(len(dataset)))
    embedded: dict[int, FrameVectors] = {}
    if config.pca:
        train = splits.train.tolist()
        if features is not None:
            embedded = features.frame_vectors(train)
        else:
            embedded = embed_items(dataset, encoder, train, threads=config.threads)[0]
        encoder, kept = project_clips(encoder, embedded, variance=config.pca, whiten=config.whiten)
        context.log(kept)
    save_encoder(encoder, context.run.encoder)
    everything = embed_run(
        data,
        encoder,
        untrained,
        known=known,
        embedded=embedded,
        threads=config.threads,
        show_progress=context.show_progress,
    )
    curves = config.objective().curves
    panels = {"loss": curves["loss"], "retrieval": ("validation mAP", "validation P@1"), **curves}
    return finish_run(everything, config, context, panels=panels, extras=_extras(fitted, features, mode, config))


def _extras(fitted: str, features: FrozenFeatures | None, mode: Mode | None, config: ClipTrainingConfig) -> RunExtras:
    """What the report says of an encoder that was fitted, or trained by steps alone."""
    if fitted and features is not None:
        return RunExtras(curves=[paragraph(f"Nothing was trained by steps. {fitted}.")])
    if fitted:
        return RunExtras(note=f"{fitted}.")
    if mode is None or not isinstance(config, FusionConfig):
        return RunExtras()
    return RunExtras(
        note=f"The encoder of clips was trained by steps (fusion={config.fusion}): {MAY_HARM}. The rows of unseen "
        "classes, where there are some, tell whether they are."
    )


def _trained(config: ClipTrainingConfig) -> str:
    """Which of the encoder's weights the training changes, in words."""
    if config.frozen:
        return "backbone frozen"
    if not isinstance(config, FrameBackboneConfig):
        return "trained end to end"
    if config.lora_rank:
        return f"backbone trained by adapters of rank {config.lora_rank} alone"
    return f"trained end to end, from {'random' if config.weights == 'none' else 'pretrained'} weights"


def _check_mode(encoder: VideoEncoder, data: LabelledData, mode: Mode | None, config: ClipTrainingConfig) -> None:
    """Refuse videos that cannot train, and settings that images alone cannot follow."""
    if mode in ("features", "clips"):
        if (classes := len(video_classes(data))) < 2:
            found = "no training video" if not classes else "training videos of one class only"
            raise ConfigError(f"{found}: images among videos are not trained on. Training needs videos of two classes")
        return
    images_only = f"{config.data} holds images only"
    if encoder.unit == "chunk" and mode == "images":
        raise ConfigError(f"{encoder.backbone.name} takes chunks of video, and {images_only}")
    if config.bits:
        raise ConfigError(f"bits={config.bits}: codes are learned for videos, and {images_only}")
    if config.pca:
        raise ConfigError(f"pca={config.pca}: it is fitted on the clip vectors of videos, and {images_only}")
    if config.rate_scales and mode == "images":
        raise ConfigError(
            f"a learning rate of its own for the {', '.join(config.rate_scales)}: {images_only}, and nothing else is "
            "trained on those. Set learning_rate instead"
        )


def _with_initial_weights(encoder: VideoEncoder, config: ClipTrainingConfig) -> VideoEncoder:
    """A copy that training leaves alone; a backbone that is not trained is shared."""
    backbone = encoder.backbone if config.frozen else nnx.clone(encoder.backbone)
    return encoder.with_temporal(nnx.clone(encoder.temporal), backbone)
