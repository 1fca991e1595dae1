"""How well two videos agree frame by frame when one is laid over the other: the measure that finds copies.

An edit (cropping, scaling, bars, a change of colours, another encoding) moves the vectors of all frames of a
video in much the same way; what happens in the video from frame to frame stays. So the two are aligned in time
and the common shift counts for little, which tells a copy's source even from other clips of the same scene.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from jaxret.data.rows import Rows
from jaxret.index import MediaIndex
from jaxret.retrieval.hit import Hit

__all__ = ["Alignment", "FrameSequence", "align", "aligned_hits"]

_SHIFT_WEIGHT = 0.25  # of the squared mean difference; 1 would be the plain mean of squared distances
_UNMET_WEIGHT = 1.5  # how far frames of the query that meet nothing are taken to be, beside those that meet
_OFFSETS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class FrameSequence:
    """The frames of one item.

    Attributes:
      vectors: (T, D) float32.
      times: (T,) float64, seconds, ascending.
    """

    vectors: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The best way to lay the shorter of two sequences over the longer.

    Attributes:
      squared_distance: mean of the squared distances of frames that meet, in which the square of their mean
        difference counts only a quarter. Where the item is the shorter, frames of the query that meet none of its
        frames count as one and a half times as far: else a few frames of a short item would agree too easily.
      cosine: mean cosine similarity of the frames that meet.
      query_span, item_span: first and last second of the frames that meet, in each of the two.
    """

    squared_distance: float
    cosine: float
    query_span: tuple[float, float]
    item_span: tuple[float, float]


def align(query: FrameSequence, item: FrameSequence) -> Alignment:
    """Lay the shorter sequence over the longer at every offset at which it lies inside, and keep the best.

    Frames meet by time: each frame of the shorter one the frame of the longer one that is nearest in time. The
    playing speed is taken to be the same. O(offsets * T * D), with the offsets at which the first frame of the
    shorter meets a frame of the longer.

    Args:
      query, item: of one D, each of at least one frame.
    """
    swapped = _length(query) > _length(item)
    short, long = (item, query) if swapped else (query, item)
    products = short.vectors @ long.vectors.T  # (S, L)
    short_squares, long_squares = (np.einsum("td,td->t", s.vectors, s.vectors) for s in (short, long))
    squares = np.maximum(short_squares[:, None] + long_squares - 2 * products, 0)
    steps = np.arange(len(short.times))
    short_mean = short.vectors.mean(axis=0)
    best, best_meeting = np.inf, steps
    for offsets in _blocks(_offsets(short.times, long.times)):
        meeting = _nearest(long.times, short.times + offsets[:, None])  # (O, S), frames of the longer one
        shift = short_mean - _mean_vectors(long.vectors, meeting)
        costs = squares[steps, meeting].mean(axis=1) - (1 - _SHIFT_WEIGHT) * np.einsum("od,od->o", shift, shift)
        place = int(np.argmin(costs))
        if costs[place] < best:
            best, best_meeting = float(costs[place]), meeting[place]
    lengths = np.sqrt(np.maximum(short_squares * long_squares[best_meeting], np.finfo(np.float32).tiny))
    short_span = (float(short.times[0]), float(short.times[-1]))
    long_span = (float(long.times[best_meeting[0]]), float(long.times[best_meeting[-1]]))
    unmet = 1 - _share_within(query.times, long.times[best_meeting]) if swapped else 0.0
    return Alignment(
        max(best, 0.0) * (1 + (_UNMET_WEIGHT - 1) * unmet),
        float((products[steps, best_meeting] / lengths).mean()),
        long_span if swapped else short_span,
        short_span if swapped else long_span,
    )


def aligned_hits(
    index: MediaIndex, candidates: npt.NDArray[np.int64], frames: Rows, metric: str = "euclidean"
) -> list[Hit]:
    """The candidates with how well their frames agree with the query's when aligned in time, in order of ids.

    Args:
      index: with a frame space.
      candidates: ids of items.
      frames: of the query.
      metric: "euclidean" is the root of `Alignment.squared_distance`; "cosine" half of it, for vectors of length 1.
    """
    stored = index.rows("frame", candidates)
    query_vectors, vectors = frames.vectors, np.asarray(stored.vectors, np.float32)
    if metric == "cosine":
        query_vectors, vectors = _unit(query_vectors), _unit(vectors)
    query = FrameSequence(query_vectors, frames.starts)
    hits = []
    for number in np.unique(stored.items).tolist():
        own = np.flatnonzero(stored.items == number)
        own = own[np.argsort(stored.starts[own], kind="stable")]
        found = align(query, FrameSequence(vectors[own], stored.starts[own]))
        distance = found.squared_distance / 2 if metric == "cosine" else math.sqrt(found.squared_distance)
        hits.append(Hit(index.items[number], distance, metric, found.item_span, found.query_span, found.cosine))
    return hits


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _length(sequence: FrameSequence) -> tuple[float, int]:
    return float(sequence.times[-1] - sequence.times[0]), len(sequence.times)


def _share_within(times: npt.NDArray[np.float64], met: npt.NDArray[np.float64]) -> float:
    """The share of `times` from the first of the times that were met to the last."""
    return float(np.mean((times >= met.min()) & (times <= met.max())))


def _offsets(short: npt.NDArray[np.float64], long: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Seconds to add to the shorter one's times: its start on a frame of the longer, and its end on the last."""
    last = long[-1] - short[-1]
    starts = long - short[0]
    return np.append(starts[starts < last], max(last, long[0] - short[0]))


def _blocks(offsets: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    return [offsets[start : start + _OFFSETS_AT_ONCE] for start in range(0, len(offsets), _OFFSETS_AT_ONCE)]


def _nearest(times: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """For each wanted time the frame nearest to it, the earlier of two equally near."""
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    if len(times) == 1:
        return np.zeros(wanted.shape, np.int64)
    return after - (wanted - times[after - 1] <= times[after] - wanted)


def _mean_vectors(vectors: npt.NDArray[np.float32], chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(O, D), the mean of the vectors chosen in each row of (O, S), without an (O, S, D) array."""
    total = np.zeros((len(chosen), vectors.shape[1]), np.float32)
    for column in chosen.T:
        total += vectors[column]
    return total / chosen.shape[1]
