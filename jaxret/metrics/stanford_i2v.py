"""The two scores of Stanford I2V (Araujo, Chaves, Chen, Angst and Girod, MMSys 2015): scenes, and seconds in them.

Rules are those of the data set's published scoring programs. They score the queries that a result file holds; here
every query counts, and one without results scores 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.metrics.average_precision import average_precision_at
from jaxret.metrics.precision_recall import hit_rate_at
from jaxret.metrics.ranked_relevance import QueryScores
from jaxret.metrics.relevance import relevance_by_lists

__all__ = ["SceneRetrievalScores", "scene_retrieval_scores", "temporal_refinement_jaccard"]


@dataclasses.dataclass(frozen=True)
class SceneRetrievalScores:
    """Scores of ranked videos.

    Attributes:
      average_precision: sum of the precisions at the ranks of relevant videos among the first k, divided by the
        number of *all* relevant videos; its mean is the mAP.
      precision_at_1: whether the first video is relevant.
    """

    average_precision: QueryScores
    precision_at_1: QueryScores


def scene_retrieval_scores(
    results: Sequence[Sequence[Hashable]], relevant: Sequence[Collection[Hashable]], *, k: int = 100
) -> SceneRetrievalScores:
    """Score ranked videos, by name.

    Args:
      results: for each query the videos found, best first, each once; those after the first k do not count, and a
        shorter list is scored as it is (as the published program does with `--force`).
      relevant: for each query the videos that show it, at least one.
      k: results that count, at least 1; 100 in the data set's papers.

    Raises:
      ValueError: numbers of queries differ, a query has no relevant video, or a video is ranked twice.

    Example:
      >>> scores = scene_retrieval_scores([["b", "x", "a"], []], [{"a", "b", "c"}, {"d"}])
      >>> scores.average_precision.values.round(3).tolist()  # (1/1 + 2/3) / 3
      [0.556, 0.0]
      >>> scores.precision_at_1.mean
      0.5
    """
    if len(results) != len(relevant):
        raise ValueError(f"results are of {len(results)} queries, relevant of {len(relevant)}")
    for q, videos in enumerate(relevant):
        if not len(videos):
            raise ValueError(f"query {q} has no relevant video")
    numbers: dict[Hashable, int] = {}
    lists = [[numbers.setdefault(name, len(numbers)) for name in videos] for videos in results]
    truth = [{numbers.setdefault(name, len(numbers)) for name in videos} for videos in relevant]
    longest = max(map(len, lists), default=0)
    # One place more than the longest list has: each then ends by itself instead of being cut.
    ids = np.full((len(lists), longest + 1), -1, np.int64)
    for q, row in enumerate(lists):
        ids[q, : len(row)] = row
    relevance = relevance_by_lists(ids, truth, len(numbers))
    return SceneRetrievalScores(average_precision_at(relevance, k, denominator="relevant"), hit_rate_at(relevance, 1))


def temporal_refinement_jaccard(
    found: Sequence[Mapping[Any, Sequence[tuple[float, float]]]],
    true: Sequence[Mapping[Any, Sequence[tuple[float, float]]]],
    *,
    tolerance: int = 1,
) -> NDArray[np.float64]:
    """How well the seconds found in the videos of each query agree with the true ones: mean Jaccard index.

    Of each video that shows the query: seconds in both / seconds in either, where a span holds every whole second
    from its start to its end, both included and cut to whole seconds, and each true span is first made longer by
    `tolerance` at both ends. The sum over the videos found is divided by the number of videos that show the query.
    The mean over the queries is the published figure.

    Args:
      found: for each query, spans (start, end) in seconds by video; only videos that show the query (which they are,
        is given in this task), each of which may be missing.
      true: for each query, the true spans by video, at least one video.
      tolerance: whole seconds; 1 as published, for video players differ by that much.

    Returns:
      float64 (Q,), 0 to 1.

    Raises:
      ValueError: numbers of queries differ, a video does not show its query, a query or video has no true span, or a
        span is malformed.

    Example:
      >>> found, true = [{"a": [(3, 6)]}], [{"a": [(5, 7)], "b": [(0, 1)]}]
      >>> temporal_refinement_jaccard(found, true).tolist()  # seconds 4, 5, 6 of 3 to 8, in one of two videos
      [0.25]
    """
    if len(found) != len(true):
        raise ValueError(f"found is of {len(found)} queries, true of {len(true)}")
    if tolerance < 0:
        raise ValueError(f"tolerance must be at least 0 seconds, got {tolerance!r}")
    scores = np.zeros(len(true))
    for q, (ours, truth) in enumerate(zip(found, true, strict=True)):
        if not truth or not all(len(spans) for spans in truth.values()):
            raise ValueError(f"query {q} must have at least one video, each with a true span")
        for video, spans in ours.items():
            if video not in truth:
                raise ValueError(f"query {q}: spans are given for {video!r}, which does not show it")
            here, there = _seconds(spans, 0), _seconds(truth[video], tolerance)
            scores[q] += len(here & there) / len(here | there)
        scores[q] /= len(truth)
    return scores


def _seconds(spans: Sequence[tuple[float, float]], longer: int) -> set[int]:
    """The whole seconds, from 0 on, that spans hold."""
    held: set[int] = set()
    for start, end in spans:
        if not 0 <= start <= end < math.inf:
            raise ValueError(f"a span must be a start and an end in seconds, 0 <= start <= end, got {(start, end)}")
        held |= set(range(max(int(start) - longer, 0), int(end) + longer + 1))
    return held
