"""Sequences ranked by what they are to a query: as a whole, as a part of each other, or by their means alone.

Y. Ma and D. Klabjan, "Semi-supervised 3D Video Information Retrieval with Deep Neural Network and Bi-directional
Dynamic-time Warping Algorithm", where a video is the sequence of its clips' embeddings: DTW, Bi-DTW as meant (one of
the two is also read backwards) and Bi-DTW as printed, which is DTW; and, for comparison, the cosine of the mean
embeddings, which knows nothing of order.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank.dtw_search import Collection, as_collection, as_queries, dtw_cdist, dtw_topk
from jaxret.rank.dtw_subsequence import dtw_subsequence, dtw_subsequence_topk
from jaxret.rank.on_device import device_sequences
from jaxret.rank.sequence_table import SequenceTable, unit_rows
from jaxret.rank.sequence_validation import as_frames, check_window
from jaxret.rank.topk import cosine_topk
from jaxret.rank.validation import check_k

SequenceMeasure = Literal["dtw", "bi-dtw", "bi-dtw-printed", "mean-cosine"]
Subsequence = Literal["query", "item"]

_REVERSE = {"dtw": None, "bi-dtw": "query", "bi-dtw-printed": "both"}


@dataclasses.dataclass(frozen=True)
class SequenceRanking:
    """How sequences of vectors are ranked.

    Attributes:
        measure: "dtw"; "bi-dtw", min(DTW(a, b), DTW(a, reversed b)), the one for retrieval; "bi-dtw-printed",
            min(DTW(a, b), DTW(reversed a, reversed b)), which equals DTW; or "mean-cosine", 1 - the cosine of the two
            means, the baseline that does not see order.
        subsequence: None compares whole sequences. "query": the query is to lie somewhere in each gallery sequence
            (subsequence DTW, see `dtw_subsequence`). "item": each gallery sequence is to lie somewhere in the query.
        length_normalised: divide each distance by the number of rows of both sequences that are aligned: of the whole
            ones, or of the subsequence and the span where it lies (the span is the nearest by DTW before the
            division). A path of DTW has at least as many steps as the longer sequence has rows, so that without it
            long sequences are far from everything; the publication does without. With "item" it is what makes
            gallery sequences of different lengths comparable.
        unit_vectors: scale every vector to length 1 first, so that its direction alone counts; one of zeros stays.
        reversal_penalty: of "bi-dtw": a distance with one sequence read backwards counts this share more, at least 0.
            0.1 takes a reversed alignment only where it is more than 10 % nearer. (The publication names constraints
            against false reversed alignments as future work.)
        window: how many rows a path may stray from the diagonal (Sakoe-Chiba, see `dtw`); None: any number. Whole
            sequences alone.

    Raises:
        TypeError: window is no whole number.
        ValueError: a value is unknown or out of range, or options do not go together: "mean-cosine" with a subsequence,
            a length, a penalty or a window; a penalty with a measure that reads nothing backwards; a window with a
            subsequence.

    >>> SequenceRanking("bi-dtw", subsequence="query").measure
    'bi-dtw'
    """

    measure: SequenceMeasure = "bi-dtw"
    subsequence: Subsequence | None = None
    length_normalised: bool = False
    unit_vectors: bool = False
    reversal_penalty: float = 0.0
    window: int | None = None

    def __post_init__(self) -> None:
        if self.measure not in get_args(SequenceMeasure):
            raise ValueError(
                f"measure of sequences must be one of {', '.join(get_args(SequenceMeasure))}, got {self.measure!r}"
            )
        if self.subsequence not in (None, *get_args(Subsequence)):
            raise ValueError(f"subsequence must be 'query', 'item' or None, got {self.subsequence!r}")
        object.__setattr__(self, "window", check_window(self.window))  # no wider than sequences can be long
        if not 0 <= self.reversal_penalty < math.inf:
            raise ValueError(f"reversal_penalty must be a number of at least 0, got {self.reversal_penalty!r}")
        if self.reversal_penalty and self.measure != "bi-dtw":
            raise ValueError(f"reversal_penalty is of bi-dtw: {self.measure} reads nothing backwards")
        if self.window is not None and self.subsequence is not None:
            raise ValueError("window is of whole sequences: the path of a subsequence has no diagonal to stay near")
        if self.measure != "mean-cosine":
            return
        if self.subsequence is not None:
            raise ValueError("mean-cosine compares whole sequences: it finds no subsequence")
        if self.length_normalised:
            raise ValueError("mean-cosine does not grow with length: length_normalised has nothing to divide")
        if self.window is not None:
            raise ValueError("mean-cosine aligns nothing: window has no path to keep near the diagonal")


@dataclasses.dataclass(frozen=True)
class SequenceMatch:
    """A gallery sequence, and what of it and of the query was aligned.

    Attributes:
        id: its number in the gallery.
        distance: by the ranking's measure.
        start, end: rows [start, end) of the gallery sequence.
        query_start, query_end: rows [query_start, query_end) of the query.
        backwards: whether one of the two was read backwards; only "bi-dtw" does, where that is nearer. A single row
            has no direction.
    """

    id: int
    distance: float
    start: int
    end: int
    query_start: int
    query_end: int
    backwards: bool


def rank_sequences(
    query: ArrayLike,
    gallery: Any,
    k: int,
    ranking: SequenceRanking = SequenceRanking(),
    *,
    threads: int | None = None,
) -> list[SequenceMatch]:
    """The k gallery sequences nearest to a query, each with the rows that were aligned, by (distance, id).

    Exact. Whole sequences without length normalisation are found by `dtw_topk`, which rules most of them out by
    bounds; everything else is measured in full.

    Args:
        query: (T, D) of any float dtype.
        gallery: a `SequenceTable`, or a sequence of N arrays (T_i, D); a `DeviceSequences` is searched where it lies.
        k: in [1, N].
        ranking: how; of a `DeviceSequences` by DTW or Bi-DTW of whole sequences, without `unit_vectors`.
        threads: None uses what affinity and container limits leave.

    Raises:
        TypeError, ValueError: as `dtw_topk`.

    >>> gallery = [np.array([[5.0], [2.0], [1.0], [9.0]]), np.array([[1.0], [1.5]])]
    >>> for match in rank_sequences(np.array([[1.0], [2.0]]), gallery, 2, SequenceRanking(subsequence="query")):
    ...     print(match.id, match.distance, (match.start, match.end), match.backwards)
    0 0.0 (1, 3) True
    1 0.25 (0, 2) False
    """
    on_devices = device_sequences(gallery)
    if on_devices is not None:
        from jaxret.rank.device.sequence_search import nearest_sequences_on_devices  # brings JAX

        frames = as_frames(query, "query")
        result = nearest_sequences_on_devices([frames], on_devices, k, ranking, threads=threads)
        ids, distances = result.ids[0], result.distances[0]
        return _matches(frames, ids, distances, on_devices.read_back(ids), ranking, threads)
    frames, members = _directions(as_frames(query, "query"), as_collection(gallery, "gallery"), ranking)
    k = check_k(k, len(members))
    if ranking.subsequence is not None:
        found = _subsequences(frames, members, ranking, threads)
        return [found.match(number) for number in _nearest(found.distances, k).tolist()]
    if ranking.measure == "mean-cosine" or ranking.length_normalised:
        distances = _distances([frames], members, ranking, threads)[0]
        ids = _nearest(distances, k)
        distances = distances[ids]
    elif ranking.reversal_penalty:
        ids, distances = _nearest_of_both_readings(frames, members, k, ranking, threads)
    else:
        reverse = _REVERSE[ranking.measure]
        result = dtw_topk(frames, members, k, reverse=reverse, window=ranking.window, threads=threads)
        ids, distances = result.ids[0], result.distances[0]
    return _matches(frames, ids, distances, [members[number] for number in ids.tolist()], ranking, threads)


def _matches(
    frames: NDArray[np.float32],
    ids: NDArray[np.int64],
    distances: NDArray[np.float32],
    chosen: list[NDArray[np.float32]],
    ranking: SequenceRanking,
    threads: int | None,
) -> list[SequenceMatch]:
    """Whole sequences that were found, with the direction in which each is nearer."""
    flipped = np.zeros(len(ids), bool)
    if ranking.measure == "bi-dtw":
        forwards = dataclasses.replace(ranking, measure="dtw", reversal_penalty=0.0)
        flipped = _distances([frames], chosen, forwards, threads)[0] > distances
    return [
        _match(number, distance, 0, len(member), 0, len(frames), backwards)
        for number, distance, member, backwards in zip(
            ids.tolist(), distances.tolist(), chosen, flipped.tolist(), strict=True
        )
    ]


def _directions(
    frames: NDArray[np.float32], members: Collection, ranking: SequenceRanking
) -> tuple[NDArray[np.float32], Collection]:
    """Query and gallery as the ranking compares them: as they are, or all vectors scaled to length 1."""
    if not ranking.unit_vectors:
        return frames, members
    return unit_rows(frames), _unit(members)


def _unit(members: Collection) -> Collection:
    return members.unit_vectors() if isinstance(members, SequenceTable) else [unit_rows(member) for member in members]


def _nearest_of_both_readings(
    frames: NDArray[np.float32], members: Collection, k: int, ranking: SequenceRanking, threads: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest where reading backwards costs more: they are among the k nearest of either reading."""
    lesser: dict[int, float] = {}
    for directed, factor in ((frames, 1.0), (frames[::-1], 1 + ranking.reversal_penalty)):
        found = dtw_topk(directed, members, k, reverse=None, window=ranking.window, threads=threads)
        distances = found.distances[0] * np.float32(factor)
        for number, distance in zip(found.ids[0].tolist(), distances.tolist(), strict=True):
            lesser[number] = min(distance, lesser.get(number, math.inf))
    order = sorted(lesser, key=lambda number: (lesser[number], number))[:k]
    return np.array(order, np.int64), np.array([lesser[number] for number in order], np.float32)


def _match(
    number: int, distance: float, start: int, end: int, query_start: int, query_end: int, backwards: bool
) -> SequenceMatch:
    # Of a single row both directions are one sum, whose rounding may differ.
    directed = backwards and end - start > 1 and query_end - query_start > 1
    return SequenceMatch(number, distance, start, end, query_start, query_end, directed)


def sequence_distances(
    queries: Any,
    gallery: Any,
    ranking: SequenceRanking = SequenceRanking(),
    *,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """All distances between two sets of sequences, float32 (Q, N).

    Args:
        queries: a `SequenceTable`, or a sequence of Q arrays (T_i, D).
        gallery: likewise, of N.
        ranking: how.
        threads: None uses what affinity and container limits leave.

    Raises:
        TypeError, ValueError: as `dtw_topk`.

    >>> up, down = np.array([[0.0], [1.0]]), np.array([[1.0], [0.0], [0.0]])
    >>> sequence_distances([up], [up, down]), sequence_distances([up], [up, down], SequenceRanking("dtw"))
    (array([[0., 0.]], dtype=float32), array([[0., 2.]], dtype=float32))
    """
    rows, members = as_queries(queries, "queries"), as_collection(gallery, "gallery")
    if ranking.unit_vectors:
        rows, members = _unit(rows), _unit(members)
    return _distances(rows, members, ranking, threads)


def _distances(
    rows: Collection, members: Collection, ranking: SequenceRanking, threads: int | None
) -> NDArray[np.float32]:
    """`sequence_distances` of vectors that are scaled, if they are to be."""
    if ranking.subsequence is not None:
        return np.stack([_subsequences(query, members, ranking, threads).distances for query in rows])
    if ranking.measure == "mean-cosine":
        ranked = cosine_topk(_means(rows), _means(members), len(members), threads=threads)
        distances = np.empty_like(ranked.distances)
        np.put_along_axis(distances, ranked.ids, ranked.distances, axis=1)
        return distances
    reverse = None if ranking.reversal_penalty else _REVERSE[ranking.measure]
    distances = dtw_cdist(rows, members, reverse=reverse, window=ranking.window, threads=threads)
    if ranking.reversal_penalty:
        backwards = dtw_cdist([row[::-1] for row in rows], members, window=ranking.window, threads=threads)
        distances = np.minimum(distances, backwards * np.float32(1 + ranking.reversal_penalty))
    if ranking.length_normalised:
        distances /= (_lengths(rows)[:, None] + _lengths(members)).astype(np.float32)
    return distances


@dataclasses.dataclass(frozen=True)
class _Subsequences:
    """For each of N gallery sequences what was aligned; fields as those of `SequenceMatch`, each (N,)."""

    distances: NDArray[np.float32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    query_starts: NDArray[np.int64]
    query_ends: NDArray[np.int64]
    backwards: NDArray[np.bool_]

    def match(self, number: int) -> SequenceMatch:
        columns = (self.distances, self.starts, self.ends, self.query_starts, self.query_ends, self.backwards)
        return _match(number, *(column[number].item() for column in columns))


def _subsequences(
    query: NDArray[np.float32], members: Collection, ranking: SequenceRanking, threads: int | None
) -> _Subsequences:
    """The nearest span of each gallery sequence to the query, or of the query to each gallery sequence.

    Bi-DTW as printed reverses both: each span becomes one at the same distance, so the plain search finds it.
    """
    search = _query_in_items if ranking.subsequence == "query" else _items_in_query
    found = search(query, members, ranking.length_normalised, threads, backwards=False)
    if ranking.measure != "bi-dtw":
        return found
    flipped = search(query, members, ranking.length_normalised, threads, backwards=True)
    penalty = np.float32(1 + ranking.reversal_penalty)
    flipped = dataclasses.replace(flipped, distances=flipped.distances * penalty)
    nearer = flipped.distances < found.distances
    names = [field.name for field in dataclasses.fields(_Subsequences)]
    return _Subsequences(*(np.where(nearer, getattr(flipped, name), getattr(found, name)) for name in names))


def _query_in_items(
    query: NDArray[np.float32], members: Collection, normalised: bool, threads: int | None, *, backwards: bool
) -> _Subsequences:
    directed = query[::-1] if backwards else query
    found = dtw_subsequence_topk(directed, members, len(members), threads=threads)
    in_order = np.argsort(found.ids[0])
    starts, ends, distances = (part[0][in_order] for part in (found.starts, found.ends, found.distances))
    if normalised:
        distances /= (len(query) + ends - starts).astype(np.float32)
    whole = np.full(len(members), len(query), np.int64)
    return _Subsequences(
        distances, starts, ends, np.zeros_like(whole), whole, np.full(len(members), backwards, dtype=bool)
    )


def _items_in_query(
    query: NDArray[np.float32], members: Collection, normalised: bool, threads: int | None, *, backwards: bool
) -> _Subsequences:
    del threads  # one pair at a time, each too short to share
    spans = [dtw_subsequence(member[::-1] if backwards else member, query)[0] for member in members]
    distances = np.array([span.distance for span in spans], np.float32)
    starts, ends = (np.array([getattr(span, name) for span in spans], np.int64) for name in ("start", "end"))
    lengths = _lengths(members)
    if normalised:
        distances /= (lengths + ends - starts).astype(np.float32)
    return _Subsequences(
        distances, np.zeros_like(lengths), lengths, starts, ends, np.full(len(members), backwards, dtype=bool)
    )


def _nearest(distances: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Numbers of the k smallest; a stable sort leaves ties in order of number."""
    return np.argsort(distances, kind="stable")[:k]


def _lengths(sequences: Collection) -> NDArray[np.int64]:
    return np.fromiter(map(len, sequences), np.int64, len(sequences))


def _means(sequences: Collection) -> NDArray[np.float32]:
    if isinstance(sequences, SequenceTable):
        sums = np.add.reduceat(sequences.values, sequences.offsets[:-1], axis=0, dtype=np.float64)
        return np.asarray(sums / sequences.lengths[:, None], np.float32)
    return np.stack([member.mean(axis=0, dtype=np.float64) for member in sequences]).astype(np.float32)
