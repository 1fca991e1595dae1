"""From frame vectors to the rows of an index, one table a space.

The `frame` space holds one row a sampled frame (images have one); an image is a query there. The `clip`
space holds one row a chunk of a video, and the `code` space the packed binary code of each of these. An encoder of
shots has one space for images and shots: there the `clip` space holds one row a shot, and one an image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.data.rows import Rows
from jaxret.preprocessing import Preprocessing, ShotSampling
from jaxret.retrieval.encode.frame_vectors import FrameVectors
from jaxret.retrieval.encode.shot_rows import ShotEncoder, encode_shots, shots_of

__all__ = ["ClipEncoder", "clip_rows", "code_rows", "frame_rows", "mean_frame_rows", "mean_rows_of_chunks"]

_CLIPS_AT_ONCE = 64


class ClipEncoder(ShotEncoder, Protocol):
    """An encoder that turns the frame vectors of a chunk, or of a shot, into one vector."""

    preprocessing: Preprocessing


def frame_rows(media: Mapping[int, FrameVectors]) -> Rows:
    """One row a frame: the `frame` space. Frames repeated to fill a short clip give one row."""
    vectors, items, times = [], [], []
    for index, frames in sorted(media.items()):
        flat = frames.times.reshape(-1)
        unique, first = np.unique(flat, return_index=True)
        vectors.append(frames.vectors.reshape(len(flat), -1)[first])
        times.append(unique)
        items.append(np.full(len(unique), index, np.int64))
    return _rows(vectors, items, times, times)


def clip_rows(media: Mapping[int, FrameVectors], encoder: ClipEncoder) -> Rows:
    """One row a chunk of a video, or a shot: the `clip` space.

    Images (span 0 to 0) have no row there, but for an encoder of shots, whose images and shots are compared.

    Args:
      media: frame vectors by item number.
      encoder: the second half of the encoder.
    """
    if encoder.preprocessing.shots is not None:
        return _shot_rows(media, encoder, encoder.preprocessing.shots)
    videos = {index: item for index, item in sorted(media.items()) if item.spans.max() > 0}
    if not videos:
        return _rows([], [], [], [])
    sequences = np.concatenate([item.vectors for item in videos.values()])  # (N, T, D)
    encoded = []
    for start in range(0, len(sequences), _CLIPS_AT_ONCE):
        block = sequences[start : start + _CLIPS_AT_ONCE]
        padded = np.pad(block, [(0, _CLIPS_AT_ONCE - len(block)), (0, 0), (0, 0)])
        encoded.append(np.asarray(encoder.encode_clips_from_frame_vectors(padded))[: len(block)])
    return _chunk_rows(videos, np.concatenate(encoded))


def _shot_rows(media: Mapping[int, FrameVectors], encoder: ClipEncoder, sampling: ShotSampling) -> Rows:
    """One row a shot; an image is one of its own, as its frame vector."""
    videos = {index: item for index, item in media.items() if item.spans.max() > 0}
    images = {index: item.vectors[0] for index, item in media.items() if index not in videos}
    owned = [(index, shot) for index, item in videos.items() for shot in shots_of(item, sampling)]
    # All at once: the shots of many short videos fill a batch.
    encoded = encode_shots([shot for _, shot in owned], encoder, sampling.max_frames)
    spans = np.array([(shot.start, shot.end) for _, shot in owned] + [(0.0, 0.0)] * len(images)).reshape(-1, 2)
    items = np.array([index for index, _ in owned] + list(images), np.int64)
    order = np.argsort(items, kind="stable")
    vectors = np.concatenate([encoded, *images.values()])
    return Rows(vectors[order], items[order], spans[order, 0], spans[order, 1])


def code_rows(clips: Rows) -> Rows:
    """The `code` space: each clip row's embedding, numbers in 0..1, as a packed code.

    Args:
      clips: rows of `clip_rows` of an encoder with `code_bits`, (N, code_bits) in 0..1.

    Returns:
      The same rows with codes uint8 (N, code_bits / 8): 1 where a number is at least 0.5.
    """
    if not len(clips.vectors):
        return dataclasses.replace(clips, vectors=np.zeros((0, clips.vectors.shape[1] // 8), np.uint8))
    return dataclasses.replace(clips, vectors=rank.pack_bits(clips.vectors, 0.5))


def mean_frame_rows(media: Mapping[int, FrameVectors]) -> Rows:
    """One row a chunk: the mean of its frame vectors, the baseline that does not see the order of frames."""
    means = [item.vectors.mean(axis=1) for _, item in sorted(media.items())]
    return _chunk_rows(dict(sorted(media.items())), np.concatenate(means))


def mean_rows_of_chunks(frames: Rows, chunks: Rows) -> Rows:
    """The same baseline from rows of the frame space: one row a chunk, the mean of the frames shown in it.

    A frame that overlapping chunks share counts for the last of them; a chunk without a frame has no row.

    Args:
      frames: rows of the frame space, items ascending.
      chunks: rows of the clip or code space of the same items, in order of item and time.
    """
    longest = 1.0 + max(frames.starts.max(initial=0.0), chunks.starts.max(initial=0.0))
    chunk_of = np.searchsorted(
        chunks.items * longest + chunks.starts, frames.items * longest + frames.starts, side="right"
    ) - 1  # fmt: skip
    shown = chunk_of >= 0
    shown[shown] = chunks.items[chunk_of[shown]] == frames.items[shown]
    owners, counts = np.unique(chunk_of[shown], return_counts=True)
    order = np.argsort(chunk_of[shown], kind="stable")
    vectors = frames.vectors[shown][order].astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    means = np.add.reduceat(vectors, starts, axis=0) / counts[:, None] if len(owners) else vectors
    return dataclasses.replace(chunks.take(owners), vectors=means.astype(np.float32))


def _chunk_rows(media: Mapping[int, FrameVectors], vectors: npt.NDArray[np.float32]) -> Rows:
    items = [np.full(len(item.spans), index, np.int64) for index, item in media.items()]
    starts = [item.spans[:, 0] for item in media.values()]
    ends = [item.spans[:, 1] for item in media.values()]
    return _rows([vectors], items, starts, ends)


def _rows(
    vectors: list[npt.NDArray[Any]],
    items: list[npt.NDArray[np.int64]],
    starts: list[npt.NDArray[np.float64]],
    ends: list[npt.NDArray[np.float64]],
) -> Rows:
    if not vectors:
        return Rows(np.zeros((0, 0), np.float32), [])
    joined = np.concatenate(vectors)
    return Rows(
        joined if joined.dtype.kind in "iu" else joined.astype(np.float32, copy=False),
        np.concatenate(items),
        np.concatenate(starts),
        np.concatenate(ends),
    )
