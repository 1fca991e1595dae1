"""The training of a clip encoder, read top to bottom: data, encoder, batches, fit, index, figures, report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
from flax import nnx

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.sampling.transforms import Augmentation
from jaxret.data.splits import DataSplits, split_dataset
from jaxret.errors import ConfigError
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import parameter_count, save_encoder
from jaxret.recipes.base import ClipTrainingConfig, FrameBackboneConfig
from jaxret.recipes.clip_media import (
    Mode,
    clip_reader,
    embed_items,
    evaluate_items,
    training_mode,
)
from jaxret.recipes.clip_report import RunSummary, finish_run
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.fit import fit_classifier
from jaxret.recipes.clips.projection import project_clips
from jaxret.retrieval.encode import FrameVectors
from jaxret.training import FitResult, RunFolder

__all__ = ["train_clip_encoder"]

Say = Callable[[str], None]
Config = TypeVar("Config", bound=ClipTrainingConfig)


def train_clip_encoder(
    recipe: str,
    config: Config,
    run: RunFolder,
    *,
    make_encoder: Callable[[Config], VideoEncoder],
    resolve: Callable[[Config, MediaDataset], Config] = lambda config, _: config,
    stop_after: int | None = None,
    say: Say = print,
    show_progress: bool = True,
) -> RunSummary | None:
    """Train in `run` (from its last checkpoint, if it has one), then index, evaluate and report.

    Args:
      recipe: the recipe's name, for `config.json`.
      config: settings, `auto` ones included; the resolved ones are written to the run folder.
      run: a new run folder, or one to go on with.
      make_encoder: the encoder with its initial weights, a pure function of the settings.
      resolve: replaces the settings that stand for a choice by what is chosen for this data set.
      stop_after: stop and save after this many steps of this call.
      say: gets one line at a time of what is going on.
      show_progress: draw bars.

    Returns:
      What came out, or None if training was asked to stop before its end.
    """
    # ---- data
    dataset = open_dataset(config.data, split_column=config.split_column, download=config.download)
    skipped = len(dataset.skipped)
    config = resolve(config, dataset)
    splits = split_dataset(dataset, unseen_fraction=config.unseen_fraction, seed=config.seed)
    say(
        f"{config.data}: {len(dataset)} items ({skipped} unreadable), {len(splits.seen)} classes to train on"
        f" and {len(splits.unseen)} unseen; {len(splits.train)} train, {len(splits.validation)} validation,"
        f" {len(splits.test)} test"
    )
    # ---- encoder
    encoder = make_encoder(config)
    mode = training_mode(dataset, freeze=config.frozen)
    if encoder.unit == "chunk" and mode == "images":
        raise ConfigError(f"{encoder.backbone.name} takes chunks of video, and {config.data} holds pictures only")
    if config.bits and mode not in ("features", "clips"):
        raise ConfigError(f"bits={config.bits}: codes are learned for videos, and {config.data} holds pictures only")
    if config.pca and mode not in ("features", "clips"):
        raise ConfigError(
            f"pca={config.pca}: it is of the clip vectors of videos, and {config.data} holds pictures only"
        )
    if config.rate_scales and mode == "images":
        raise ConfigError(
            f"a learning rate of its own for the {', '.join(config.rate_scales)}: {config.data} holds pictures only, "
            "and nothing else is trained on those. Set learning_rate instead"
        )
    say(
        f"encoder: {encoder.summary}, {'backbone frozen' if config.frozen else 'trained end to end'};"
        f" {parameter_count(encoder):,} parameters"
    )
    if jax.process_index() == 0:
        run.write_config(recipe, config)
    # ---- train
    features = None
    if mode is None:
        say("pictures only, and a frozen backbone: there is nothing to train")
    else:
        if isinstance(config, FrameBackboneConfig) and mode == "features":
            features = FrozenFeatures.of_run(dataset, encoder, config, run, show=show_progress)
        result = _train(dataset, splits, encoder, features, config, run, mode, stop_after, say, show_progress)
        if not result.finished:
            say(f"stopped and saved. To go on: {command_line_of('train', '--resume', run.path)}")
            return None
    # ---- index, figures, report
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
        say(kept)
    save_encoder(encoder, run.encoder)
    return finish_run(
        run,
        dataset,
        splits,
        encoder,
        untrained=make_encoder(config),
        known=known,
        embedded=embedded,
        config=config,
        say=say,
        show=show_progress,
    )


def _train(
    dataset: MediaDataset,
    splits: DataSplits,
    encoder: VideoEncoder,
    features: FrozenFeatures | None,
    config: ClipTrainingConfig,
    run: RunFolder,
    mode: Mode,
    stop_after: int | None,
    say: Say,
    show_progress: bool,
) -> FitResult:
    """Fit, and leave the best weights in `encoder`."""
    class_of = {label: number for number, label in enumerate(splits.seen)}
    # Pictures among videos are indexed, not trained on; videos that do not read are left out.
    numbers = [
        int(n)
        for n in splits.train
        if mode == "images" or (dataset.items[n].kind == "video" and (features is None or int(n) in features))
    ]
    labels = [class_of[str(dataset.items[n].label)] for n in numbers]
    if features is not None:
        read = features.reader(numbers, labels)
    else:
        augment = Augmentation(zoom=config.zoom, mirror=config.mirror)
        read = clip_reader(dataset, encoder, numbers, labels, augment, single_frames=mode == "images")

    def evaluate() -> dict[str, float]:
        media = (
            features.frame_vectors(splits.validation)
            if features is not None
            else embed_items(dataset, encoder, splits.validation.tolist(), threads=config.threads)[0]
        )
        figures = evaluate_items(dataset, media, encoder).get("all", {}) if media else {}
        return {f"validation {name}": figures[name] for name in ("mAP", "P@1") if name in figures}

    part: nnx.Module = {"features": encoder.temporal, "clips": encoder, "images": encoder.backbone}[mode]
    return fit_classifier(
        part,
        encoder.frame_embedding_size if mode == "images" else encoder.clip_embedding_size,
        read,
        labels,
        config,
        run,
        evaluate=evaluate,
        decoding=features is None,
        name_of=lambda row: dataset.items[numbers[row]].key,
        stop_after=stop_after,
        say=say,
        show_progress=show_progress,
    )
