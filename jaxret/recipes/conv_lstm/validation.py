"""How well validation videos find training videos of their class, as sequences of clip vectors."""

from __future__ import annotations

from collections.abc import Mapping

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.data.splits import DataSplits
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.conv_lstm.report import sequence_figures
from jaxret.retrieval.encode import FrameVectors

__all__ = ["Vectors", "validation_figures", "validation_videos"]

_SEARCHED_VIDEOS = 1000  # training videos, at most

Vectors = dict[int, FrameVectors]
"""Frame vectors by item index."""


def validation_videos(
    dataset: MediaDataset, splits: DataSplits, encoder: VideoEncoder, *, threads: int
) -> tuple[Vectors, Vectors]:
    """The validation videos, and the training videos that they search, by item index."""
    some = splits.train[evenly_spaced(len(splits.train), _SEARCHED_VIDEOS)]
    queries, searched = (
        embed_items(dataset, encoder, indices.tolist(), threads=threads)[0] for indices in (splits.validation, some)
    )
    return queries, searched


def validation_figures(
    dataset: MediaDataset,
    queries: Mapping[int, FrameVectors],
    searched: Mapping[int, FrameVectors],
    encoder: VideoEncoder,
) -> dict[str, float]:
    """Metrics by class with Bi-DTW of what `validation_videos` gives; none where no video has another of its class."""
    found = sequence_figures(dataset, queries, encoder, gallery=searched, methods=("Bi-DTW",))
    return found["Bi-DTW"].get("all", {})
