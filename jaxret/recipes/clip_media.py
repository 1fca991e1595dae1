"""What the training of a clip encoder reads and how it is measured.

Three ways, chosen by what there is to train and on what:
- `features`: the backbone is frozen; its frame vectors are computed once and cached, the temporal encoder is trained.
- `clips`: everything is trained, on decoded clips.
- `images`: the data hold no video; the backbone is trained on single frames.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.rows import Rows
from jaxret.data.sampling.reading import read_training_clip
from jaxret.data.sampling.transforms import Augmentation
from jaxret.errors import MediaError
from jaxret.evaluation import GroupFigures, LabelProtocol, Ranking, evaluate_leave_one_out
from jaxret.models.encoder import VideoEncoder
from jaxret.retrieval.encode import FrameEncoder, FrameVectors, clip_rows, code_rows, frame_rows, frame_vectors

__all__ = [
    "Mode",
    "clip_reader",
    "embed_items",
    "evaluate_items",
    "evaluate_rows",
    "ranked_rows",
    "training_mode",
]

Mode = Literal["features", "clips", "images"]


def training_mode(dataset: MediaDataset, *, freeze: bool) -> Mode | None:
    """What to train; None where nothing is: images only, and the backbone frozen."""
    if not any(item.kind == "video" for item in dataset.items):
        return None if freeze else "images"
    return "features" if freeze else "clips"


def clip_reader(
    dataset: MediaDataset,
    encoder: VideoEncoder,
    indices: Sequence[int],
    classes: Sequence[int],
    augment: Augmentation,
    *,
    single_frames: bool = False,
) -> Callable[[int, np.random.Generator], dict[str, Any]]:
    """`read(row, rng)` for `TrainingInput`: one random clip (T, H, W, C) of item `indices[row]` and its class.

    With `single_frames` the items are images and come as (H, W, C).
    """

    def read(row: int, rng: np.random.Generator) -> dict[str, Any]:
        clip = read_training_clip(dataset, indices[row], encoder.preprocessing, rng, augment)
        return {"inputs": clip[0] if single_frames else clip, "labels": np.int32(classes[row])}

    return read


def embed_items(
    dataset: MediaDataset,
    encoder: FrameEncoder,
    indices: Sequence[int],
    *,
    threads: int,
    on_item: Callable[[int], None] | None = None,
) -> tuple[dict[int, FrameVectors], list[MediaError]]:
    """Frame vectors of the items that can be read, by item index, and the reasons for the others."""
    vectors: dict[int, FrameVectors] = {}
    failures: list[MediaError] = []
    for index, result in frame_vectors(dataset, encoder, indices=indices, threads=threads, on_item=on_item):
        if isinstance(result, MediaError):
            failures.append(result)
        else:
            vectors[index] = result
    return vectors, failures


def ranked_rows(media: Mapping[int, FrameVectors], encoder: VideoEncoder) -> tuple[Rows, Ranking]:
    """The rows that embedded items are ranked by, and their ranking.

    Videos are ranked by their codes, or their clip vectors if they have none, images by their frame vectors.

    Where there are videos, images are left out: they live in another space.
    """
    clips = clip_rows(media, encoder)
    if not len(clips.vectors):
        return frame_rows(media), Ranking()
    return (code_rows(clips), Ranking("hamming")) if encoder.code_bits else (clips, Ranking())


def evaluate_items(
    dataset: MediaDataset,
    media: dict[int, FrameVectors],
    encoder: VideoEncoder,
    *,
    groups: Mapping[str, Collection[str]] | None = None,
) -> GroupFigures:
    """Leave-one-out figures of embedded items; see `ranked_rows`."""
    rows, ranking = ranked_rows(media, encoder)
    return evaluate_rows(dataset, rows, ranking=ranking, groups=groups)


def evaluate_rows(
    dataset: MediaDataset,
    rows: Rows,
    *,
    ranking: Ranking = Ranking(),
    groups: Mapping[str, Collection[str]] | None = None,
    ks: Sequence[int] = (1, 5, 10),
) -> GroupFigures:
    """Leave-one-out figures of the items that have rows."""
    indices = np.unique(rows.items)
    rows = rows.of_items(indices)
    return evaluate_leave_one_out(
        rows,
        [dataset.items[index] for index in indices],
        ranking,
        LabelProtocol(ks, groups),
    )
