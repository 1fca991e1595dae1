"""A thumbnail beside the vectors of a trained encoder: classes are learnt, copies are known by their looks.

Training for classes draws together what copies are told by: an encoder that finds classes best finds changed parts of
its own videos worse than cells of standardised pixels do. So both stand side by side, the thumbnail with a share that
costs validation videos at most a twentieth of their mAP by class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from flax import nnx

from jaxret.data.sampling.frames import evenly_spaced
from jaxret.models import Mean
from jaxret.models.backbones.thumbnail import ThumbnailBackbone
from jaxret.models.base import Backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.conv_lstm.clip_table import StepsData, batches_of_clips
from jaxret.recipes.conv_lstm.settings import StepsConfig
from jaxret.recipes.conv_lstm.validation import Vectors, validation_figures, validation_videos

__all__ = ["TRIED_SHARES", "with_thumbnail", "without_thumbnail"]

TRIED_SHARES = (0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
"""Of the squared distance, the largest first; the first that costs little is taken."""
_KEPT = 0.95  # of the mAP by class, which a few validation videos do not tell more finely
_MEASURED_CLIPS = 256  # of which the units are


def with_thumbnail(
    encoder: VideoEncoder, data: StepsData, config: StepsConfig, log: Callable[[str], None]
) -> VideoEncoder:
    """The encoder with a thumbnail beside its vectors, at the share that the settings name or validation chooses.

    Args:
      encoder: trained.
      data: what it was trained on.
      config: resolved settings.
      log: takes a line on what was chosen.

    Returns:
      The same encoder where the share is 0, there is nothing to choose it by, or all clips are embedded alike.
    """
    if config.thumbnail_share == 0:
        return encoder
    assert config.batch_size is not None
    joined = ThumbnailBackbone(encoder.backbone, share=0.5)
    rows = evenly_spaced(len(data.table), _MEASURED_CLIPS)
    batches = batches_of_clips(
        data.dataset,
        data.table.take(rows),
        encoder.preprocessing,
        batch_size=config.batch_size,
        threads=config.threads,
    )
    measured = _on(joined, encoder)
    vectors = np.concatenate([np.asarray(measured.encode_frames(clips))[which] for _, clips, which in batches])
    units = [float(_mean_distance(part)) / 0.5 for part in np.split(vectors, [encoder.frame_embedding_size], axis=1)]
    said = "thumbnails beside the vectors: share"
    for alike, unit in zip(("have one vector", "look alike"), units, strict=True):
        if not 0 < unit < np.inf:
            log(f"{said} 0, since all training clips {alike}: there is no distance to share")
            return encoder

    def beside(share: float) -> ThumbnailBackbone:
        backbone = ThumbnailBackbone(encoder.backbone, share)
        backbone.assign(*units)
        return backbone

    share = config.thumbnail_share
    if share is None:
        videos = validation_videos(data.dataset, data.splits.splits, measured, threads=config.threads)

        def score(share: float) -> float:
            queries, searched = (_scaled(each, beside(share), joined) for each in videos)
            return validation_figures(data.dataset, queries, searched, measured).get("mAP", np.nan)

        alone = score(0.0)
        if not np.isfinite(alone):
            log(f"{said} 0, since no validation video has a training video of its class; thumbnail_share names one")
            return encoder
        found = {share: score(share) for share in TRIED_SHARES}
        share = next((share for share in TRIED_SHARES if found[share] >= _KEPT * alone), 0.0)
        tried = ", ".join(f"{value:.4g} with a share of {share}" for share, value in found.items())
        log(f"{said} {share:g}; validation mAP {alone:.4g} without, {tried}")
    return _on(beside(share), encoder) if share else encoder


def without_thumbnail(encoder: VideoEncoder) -> VideoEncoder:
    """What `with_thumbnail` was given."""
    backbone = encoder.backbone
    return _on(backbone.backbone, encoder) if isinstance(backbone, ThumbnailBackbone) else encoder


def _on(backbone: Backbone, encoder: VideoEncoder) -> VideoEncoder:
    mean = Mean(backbone.embedding_size, rngs=nnx.Rngs(0))  # which draws nothing
    return VideoEncoder(backbone, mean, encoder.preprocessing, encoder.origin)


def _mean_distance(vectors: npt.NDArray[np.float32]) -> float:
    """Of all pairs, squared."""
    return float(2 * vectors.astype(np.float64).var(axis=0).sum())


def _scaled(videos: Vectors, wanted: ThumbnailBackbone, found: ThumbnailBackbone) -> Vectors:
    """Vectors as another share and other units give them."""
    sizes = (found.backbone.embedding_size, found.embedding_size - found.backbone.embedding_size)
    factors = np.repeat(np.asarray(wanted.scales / found.scales), sizes)
    return {n: dataclasses.replace(each, vectors=each.vectors * factors) for n, each in videos.items()}
