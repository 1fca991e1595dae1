"""The networks behind an open-set encoder whose vectors are learned: the final one, and one a round.

What a network gives for clips that it was trained on says nothing of what it gives for others: it has learned them by
heart. So in each round a network of its own is trained, from the same initial weights, without the classes and sources
that the round holds out, and the encoder is fitted on what these show (`jaxret.training.open_set`). That takes about
half of a training a round.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from flax import nnx

from jaxret.models import Backbone, Mean, WithPixelStatistics
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.clips.open_set import FusionConfig
from jaxret.recipes.clips.steps import fit_by_steps
from jaxret.recipes.in_turn import Fit, fit_in_turn
from jaxret.recipes.opening import LabelledData
from jaxret.retrieval.encode import FrameVectors
from jaxret.training import FitResult, RunContext, RunFolder
from jaxret.training.open_set import Deal, HeldOut, hold_out

__all__ = ["Learner", "embed_learners", "fit_learners"]


@dataclasses.dataclass(frozen=True)
class Learner:
    """A network that was trained without what a round holds out."""

    held_out: HeldOut
    network: Backbone


def fit_learners(
    encoder: VideoEncoder, data: LabelledData, config: FusionConfig, context: RunContext
) -> list[Learner] | None:
    """Train the encoder's network on all training videos, and a copy in each round on those that the round keeps.

    Args:
      encoder: on a `WithPixelStatistics`, whose network is left as it was trained.
      data: the media and their classes.
      config: resolved settings.
      context: the run; rounds are trained in folders of their own in it.

    Returns:
      A network a round; None where the training was stopped before its end.
    """
    beside = encoder.backbone
    assert isinstance(beside, WithPixelStatistics)
    items = data.dataset.items
    videos = [int(n) for n in data.splits.train if items[n].kind == "video"]
    class_of = {label: number for number, label in enumerate(sorted({str(items[n].label) for n in videos}))}
    labels, sources = [class_of[str(items[n].label)] for n in videos], [items[n].source for n in videos]
    learners = [
        Learner(held_out, nnx.clone(beside.network))
        for held_out in hold_out(labels, sources, config.open_set_settings())
    ]
    fits = [_fit_of("training", context.run, beside.network, encoder, data, config)]
    for number, learner in enumerate(learners, start=1):
        kept = np.array(videos)[Deal.of(learner.held_out, labels, sources).fitted]
        folder = RunFolder(context.run.path / "rounds" / str(number))
        part = _part(data, kept)
        fits.append(_fit_of(f"round {number}", folder, learner.network, encoder, part, config))
    return learners if fit_in_turn(fits, context) else None


def embed_learners(
    encoder: VideoEncoder, learners: Sequence[Learner], data: LabelledData, *, threads: int
) -> tuple[dict[int, FrameVectors], list[tuple[HeldOut, dict[int, FrameVectors]]]]:
    """Frame vectors of the training videos by the final network, and by that of each round, with statistics of pixels.

    Args:
      encoder: trained.
      learners: of the rounds.
      data: the media.
      threads: files decoded at once.
    """
    videos = [int(n) for n in data.splits.train if data.dataset.items[n].kind == "video"]

    def embedded(backbone: Backbone) -> dict[int, FrameVectors]:
        by_it = encoder.with_temporal(encoder.temporal, backbone)
        return embed_items(data.dataset, by_it, videos, threads=threads)[0]

    beside = encoder.backbone
    assert isinstance(beside, WithPixelStatistics)
    final = embedded(beside)
    rounds = [(one.held_out, embedded(WithPixelStatistics(one.network, grid=beside.grid))) for one in learners]
    return final, rounds


def _fit_of(
    description: str,
    run: RunFolder,
    network: Backbone,
    encoder: VideoEncoder,
    data: LabelledData,
    config: FusionConfig,
) -> Fit:
    """Training of a network alone; the codes of the settings are fitted later."""
    alone = VideoEncoder(network, Mean(network.embedding_size, rngs=nnx.Rngs(0)), encoder.preprocessing)
    settings = dataclasses.replace(config, bits=0)

    def fit(context: RunContext) -> FitResult:
        return fit_by_steps(alone, data, None, "clips", settings, context)

    return Fit(description, run, fit)


def _part(data: LabelledData, train: np.ndarray) -> LabelledData:
    """The data with these training items alone, and validation items of their classes."""
    items = data.dataset.items
    classes = tuple(sorted({str(items[n].label) for n in train}))
    validation = np.array([n for n in data.splits.validation if str(items[n].label) in classes], np.int64)
    splits = dataclasses.replace(data.splits, train=train, validation=validation, seen=classes)
    return LabelledData(data.dataset, splits)
