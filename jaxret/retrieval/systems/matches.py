"""From the results of a query's rows, one a frame or a chunk, to matches, one an item."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.data.rows import Rows
from jaxret.index import Hit, MediaIndex, MediaSearchResult
from jaxret.retrieval.systems.alignment import FrameSequence, align

__all__ = ["Match", "aligned_matches", "best_per_item", "chunk_matches", "nearest_by_frames", "reranked"]


@dataclasses.dataclass(frozen=True)
class Match(Hit):
    """A result, with the span of the query that it answers.

    Attributes:
      query_start, query_end: seconds in the query; both 0 for a picture.
      metric: what `distance` is: "euclidean", "cosine" (1 - cosine similarity), or "hamming", the bits in which the
        codes differ. Matches of codes that were re-ranked have the Euclidean distance of their clip embeddings. Of
        videos compared as sequences the measure, see `jaxret.rank.SequenceRanking`.
      moment: of a picture that asked for shots, seconds in the video at which the frame of the span stands that is
        nearest to the picture; None where that was not asked, or the index keeps no frames.
      moment_distance: of that frame.
      backwards: of videos compared as sequences by "bi-dtw", whether one was nearer when the other was read backwards.
    """

    query_start: float = 0.0
    query_end: float = 0.0
    metric: str = "euclidean"
    moment: float | None = None
    moment_distance: float | None = None
    backwards: bool = False


def chunk_matches(result: MediaSearchResult, rows: Rows, metric: str) -> list[Match]:
    """Every result of every row of the query as a match."""
    return [
        Match(
            hit.item,
            hit.distance,
            hit.start,
            hit.end,
            hit.cosine,
            query_start=float(rows.starts[row]),
            query_end=float(rows.ends[row]),
            metric=metric,
        )
        for row in range(len(rows.vectors))
        for hit in result.hits(row)
    ]


def best_per_item(matches: Iterable[Match], k: int, index: MediaIndex) -> list[Match]:
    """The k nearest of different items, by (distance, id) and then by the earlier span of the query."""
    best: dict[str, Match] = {}
    for match in sorted(matches, key=lambda m: (m.distance, index.id_of(m.item.key), m.query_start)):
        if match.item.key not in best and len(best) < k:
            best[match.item.key] = match
    return list(best.values())


def nearest_by_frames(result: MediaSearchResult, count: int) -> npt.NDArray[np.int64]:
    """Ids of the `count` nearest items by the mean of their distances to all frames of the query.

    Args:
      result: the whole ranking of every frame, so that all frames rank the same items.
      count: ids wanted.
    """
    # Sorted by id, the columns are the items.
    order = np.argsort(result.ids, axis=1, kind="stable")
    ids = np.take_along_axis(result.ids, order, axis=1)[0]
    distances = np.take_along_axis(result.distances, order, axis=1).mean(axis=0, dtype=np.float64)
    present = ids >= 0
    ids, distances = ids[present], distances[present]
    return ids[np.lexsort((ids, distances))[:count]]


def aligned_matches(
    index: MediaIndex,
    candidates: npt.NDArray[np.int64],
    frames: Rows,
    k: int,
    min_cosine: float | None,
    metric: str,
) -> list[Match]:
    """The k best of the candidates by how well their frames agree with the query's when aligned in time.

    Args:
      index: with a frame space.
      candidates: ids of items.
      frames: the query's.
      k: items wanted.
      min_cosine: of the k, keep those whose mean cosine of aligned frames exceeds this; None for all.
      metric: "euclidean" is the root of `Alignment.squared_distance`; "cosine" half of it, for vectors of length 1.
    """
    stored = index.rows("frame", candidates)
    owners, times = np.asarray(stored.items), np.asarray(stored.starts)
    asked, vectors = frames.vectors, np.asarray(stored.vectors, np.float32)
    if metric == "cosine":
        asked, vectors = _unit(asked), _unit(vectors)
    query = FrameSequence(asked, frames.starts)
    matches = []
    for number in np.unique(owners).tolist():
        own = np.flatnonzero(owners == number)
        own = own[np.argsort(times[own], kind="stable")]
        found = align(query, FrameSequence(vectors[own], times[own]))
        distance = found.squared_distance / 2 if metric == "cosine" else math.sqrt(found.squared_distance)
        matches.append(
            Match(index.items[number], distance, *found.item_span, found.cosine, *found.query_span, metric=metric)
        )
    nearest = best_per_item(matches, k, index)
    return nearest if min_cosine is None else [match for match in nearest if (match.cosine or 0) > min_cosine]


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def reranked(
    index: MediaIndex, candidates: npt.NDArray[np.int64], clips: Rows, k: int, threads: int | None
) -> list[Match]:
    """The k nearest of the candidates by Euclidean distance in the clip space, each at its best pair of chunks.

    With all items as candidates this is the search of the clip space. Only the candidates' vectors are read.

    Args:
      index: with a clip space.
      candidates: ids of items, at least one, each with rows in the clip space.
      clips: clip embeddings of the query's chunks.
      k: items wanted.
      threads: for the ranking kernel.
    """
    stored = index.rows("clip", candidates)
    vectors, owners = np.asarray(stored.vectors), np.asarray(stored.items)
    starts, ends = np.asarray(stored.starts), np.asarray(stored.ends)
    ranked = rank.euclidean_topk(clips.vectors, vectors, len(vectors), threads=threads)
    distances = np.empty_like(ranked.distances)  # (query chunks, rows), rows in the order of their items
    np.put_along_axis(distances, ranked.ids, ranked.distances, axis=1)
    first = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
    matches = []
    for begin, end in zip(first, [*first[1:], len(owners)], strict=True):
        # The first least is that of the earliest chunk of the query and, for it, of the earliest of the item.
        chunk, place = np.divmod(int(distances[:, begin:end].argmin()), end - begin)
        row = begin + place
        matches.append(
            Match(
                index.items[owners[row]],
                float(distances[chunk, row]),
                float(starts[row]),
                float(ends[row]),
                query_start=float(clips.starts[chunk]),
                query_end=float(clips.ends[chunk]),
            )
        )
    return best_per_item(matches, k, index)
