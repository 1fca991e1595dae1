"""Stanford I2V's scores against time lines drawn second by second, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.metrics import scene_retrieval_scores, temporal_refinement_jaccard

names = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True)
spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), min_size=1, max_size=4).map(
    lambda pairs: [(start, start + length) for start, length in pairs]
)


@settings(max_examples=150)
@given(st.lists(st.tuples(names, names.filter(len)), min_size=1, max_size=4), st.integers(1, 9))
def test_scene_retrieval_equals_counting_down_the_list(queries, k):
    scores = scene_retrieval_scores([found for found, _ in queries], [set(true) for _, true in queries], k=k)
    for q, (found, true) in enumerate(queries):
        total, hits = 0.0, 0
        for rank, name in enumerate(found[:k], start=1):
            if name in true:
                hits += 1
                total += hits / rank
        assert scores.average_precision.values[q] == pytest.approx(total / len(true))
        assert scores.precision_at_1.values[q] == bool(found and found[0] in true)
    assert scores.average_precision.counted.all()


def test_more_relevant_videos_than_count_cannot_score_1():
    videos = [f"{number}.mp4" for number in range(150)]
    scores = scene_retrieval_scores([videos], [videos])
    assert scores.average_precision.mean == pytest.approx(100 / 150)


def time_line(pieces, longer: int) -> np.ndarray:
    line = np.zeros(100, bool)
    for second in range(100):
        line[second] = any(start - longer <= second <= end + longer for start, end in pieces)
    return line


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from("abc"), spans, min_size=1),
    st.dictionaries(st.sampled_from("abc"), spans),
    st.integers(0, 2),
)
def test_refinement_equals_time_lines(true, found, tolerance):
    found = {video: pieces for video, pieces in found.items() if video in true}
    expected = 0.0
    for video, pieces in found.items():
        ours, truth = time_line(pieces, 0), time_line(true[video], tolerance)
        expected += (ours & truth).sum() / (ours | truth).sum()
    (score,) = temporal_refinement_jaccard([found], [true], tolerance=tolerance)
    assert score == pytest.approx(expected / len(true))


def test_refinement_by_hand():
    """The first lines of the published example: 1:40-1:44 and 1:50-2:00 for what is seen 1:37-1:44 and 1:50-1:59."""
    found, true = [{"a": [(100, 104), (110, 120)]}], [{"a": [(97, 104), (110, 119)]}]
    # True with a second more at both ends: 96..105 and 109..120, 22 seconds, of which 5 + 11 were found.
    assert temporal_refinement_jaccard(found, true).tolist() == [16 / 22]
    assert temporal_refinement_jaccard([{"a": [(100.9, 104.2)]}], [{"a": [(100, 104)]}], tolerance=0).tolist() == [1]
    assert temporal_refinement_jaccard([{}], true).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scene_retrieval_scores([[]], []), "results are of 1 queries, relevant of 0"),
        (lambda: scene_retrieval_scores([["a"]], [[]]), "query 0 has no relevant video"),
        (lambda: scene_retrieval_scores([["a", "a"]], [["a"]]), "twice"),
        (lambda: scene_retrieval_scores([["a"]], [["a"]], k=0), "k must be a whole number of at least 1, got 0"),
        (lambda: temporal_refinement_jaccard([{}], []), "found is of 1 queries, true of 0"),
        (lambda: temporal_refinement_jaccard([{}], [{}]), "query 0 must have at least one video"),
        (lambda: temporal_refinement_jaccard([{"b": [(0, 1)]}], [{"a": [(0, 1)]}]), "'b', which does not show it"),
        (lambda: temporal_refinement_jaccard([{"a": [(2, 1)]}], [{"a": [(0, 1)]}]), r"got \(2, 1\)"),
        (lambda: temporal_refinement_jaccard([{}], [{"a": [(0, 1)]}], tolerance=-1), "tolerance .* got -1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
