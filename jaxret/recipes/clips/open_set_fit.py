"""The fit of the open-set encoder of clips, on every chunk of the training videos."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np

from jaxret.errors import ConfigError
from jaxret.models.encoder import VideoEncoder
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.learners import embed_learners, fit_learners
from jaxret.recipes.clips.open_set import FusionConfig, video_classes
from jaxret.recipes.opening import LabelledData
from jaxret.retrieval.encode import FrameVectors
from jaxret.training import RunContext
from jaxret.training.open_set import LearnedWithout, OpenSetFit, fit_open_set

__all__ = ["fit_open_set_encoder"]


def fit_open_set_encoder(
    encoder: VideoEncoder,
    data: LabelledData,
    features: FrozenFeatures | None,
    config: FusionConfig,
    context: RunContext,
) -> str | None:
    """Fit the sequence encoder, and its hash layer where it has one; a network that is learned is trained before.

    Args:
      encoder: changed in place.
      data: the media and their classes.
      features: frame vectors of the videos by a frozen backbone; None: the network is learned.
      config: resolved settings.
      context: the run.

    Returns:
      A line for people: what was chosen, and what it gains; empty in all processes but the first. None where a training
      was stopped before its end.

    Raises:
      ConfigError: a class has no training video that can be read.
    """
    learners = fit_learners(encoder, data, config, context) if features is None else []
    if learners is None:
        return None
    if jax.process_index() != 0:
        return ""
    if features is None:
        media, of_rounds = embed_learners(encoder, learners, data, threads=config.threads)
    else:
        media, of_rounds = features.frame_vectors(data.splits.train), []
    items, classes = data.dataset.items, video_classes(data)
    if unread := set(classes) - {str(items[index].label) for index in media}:
        raise ConfigError(f"no training video of the class {min(unread)!r} can be read: mend them, or leave it out")
    chunks = {index: len(vectors.vectors) for index, vectors in media.items()}
    owners = np.repeat(list(chunks), list(chunks.values()))
    class_of = {label: number for number, label in enumerate(classes)}
    sequence = encoder.temporal
    assert isinstance(sequence, OpenSetEncoder | OpenSetHash)
    fit = fit_open_set(
        sequence,
        _stacked(media),
        [class_of[str(items[index].label)] for index in owners],
        [items[index].source for index in owners],
        config.open_set_settings(),
        [LearnedWithout(held_out, _stacked(vectors)) for held_out, vectors in of_rounds],
    )
    if not config.open_set_settings().holds_out(len(classes)):
        found = "the mean of their frame vectors" if not config.bits else "codes of the mean of their frame vectors"
        return f"open set: of two training classes none can be held out, and clips are found by {found} alone"
    return _in_words(fit, "statistics of pixels" if config.learns_network else "the mean of their frame vectors")


def _stacked(media: Mapping[int, FrameVectors]) -> np.ndarray:
    """All chunks, (N, T, D)."""
    return np.concatenate([vectors.vectors for vectors in media.values()])


def _in_words(fit: OpenSetFit, plain: str) -> str:
    strength = "none" if fit.strength is None else f"{fit.strength:g}"
    before = plain if fit.doubt is None else f"codes of {plain}"
    doubt = "" if fit.doubt is None else f", doubt {fit.doubt:g}, {fit.marks:.1%} of the bits marks"
    posterior = f"C {fit.inverse_regularisation:g}, weight {fit.weight:g}" if fit.weight else "no posterior"
    return (
        f"open set: nuisances shortened by {strength}, {posterior}{doubt};"
        f" held-out training classes gain {fit.held_out_gain:+.3f} mAP over {before}, the others {fit.kept_gain:+.3f}"
    )
