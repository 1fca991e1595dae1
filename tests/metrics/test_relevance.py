"""Judging: what is relevant, what is junk, and which lists are too short to be scored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxret.metrics import (
    QueryScores,
    RankedRelevance,
    average_precision,
    precision_at,
    relevance_by_label,
    relevance_by_lists,
)


@st.composite
def labelled_search(draw):
    n, q = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    labels = st.sampled_from(["run", "jump", "swim", None])
    sources = st.sampled_from(["a", "b", "c", None])
    gallery_labels = draw(st.lists(labels, min_size=n, max_size=n))
    gallery_sources = draw(st.lists(sources, min_size=n, max_size=n))
    searched = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    k = draw(st.integers(1, n + 2))
    rows, own = [], []
    for _ in range(q):
        row = draw(st.permutations([i for i in range(n) if searched[i]]))
        row = row[: draw(st.integers(0, k))][:k]
        rows.append(row + [-1] * (k - len(row)))
        own.append(draw(st.integers(-1, n - 1)))
    query_labels = [gallery_labels[i] if i >= 0 else draw(labels) for i in own]
    query_sources = [gallery_sources[i] if i >= 0 else draw(sources) for i in own]
    return rows, query_labels, gallery_labels, query_sources, gallery_sources, own, searched


@given(labelled_search())
def test_judge_by_label_equals_the_definition(search):
    rows, query_labels, gallery_labels, query_sources, gallery_sources, own, searched = search
    relevance = relevance_by_label(
        rows,
        query_labels,
        gallery_labels,
        query_sources=query_sources,
        gallery_sources=gallery_sources,
        query_ids=own,
        in_gallery=searched,
    )
    n = len(gallery_labels)
    for q, row in enumerate(rows):
        junk = {
            i
            for i in range(n)
            if i == own[q] or (query_sources[q] is not None and gallery_sources[i] == query_sources[q])
        }
        gallery = [i for i in range(n) if searched[i] and i not in junk]
        right = {i for i in gallery if query_labels[q] is not None and gallery_labels[i] == query_labels[q]}
        left = [i for i in row if i >= 0 and i not in junk]
        assert relevance.n_gallery[q] == len(gallery)
        assert relevance.n_relevant[q] == len(right)
        assert relevance.n_returned[q] == len(left)
        assert relevance.returned[q].tolist() == [True] * len(left) + [False] * (len(row) - len(left))
        assert relevance.gains[q, : len(left)].tolist() == [float(i in right) for i in left]
        assert not relevance.gains[q, len(left) :].any()
        assert relevance.cut[q] == (-1 not in row and len(left) < len(gallery))


def test_labels_may_be_numpy_arrays_or_numbers():
    relevance = relevance_by_label(np.array([[1, 0]]), np.array([7]), np.array([7, 3]))
    assert relevance.gains.tolist() == [[0.0, 1.0]]
    assert relevance.n_relevant.tolist() == [1]


def test_lists_with_grades_junk_and_the_oxford_protocol():
    relevance = relevance_by_lists(
        [[5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5]], [{0: 2.0, 3: 1.0, 4: 0.0}, {5}], 6, junk=[{5, 2}, ()]
    )
    assert relevance.gains.tolist() == [[0, 1, 0, 2, 0, 0], [0, 0, 0, 0, 0, 1]]
    assert relevance.returned.sum(axis=1).tolist() == [4, 6]
    assert relevance.n_relevant.tolist() == [2, 1]
    assert relevance.n_gallery.tolist() == [4, 6]
    assert relevance.ideal_gains is not None
    assert relevance.ideal_gains.tolist() == [[2, 1], [1, 0]]
    # Junk neither helps nor harms: it is as if it were never in the ranking.
    assert average_precision(relevance).values.tolist() == [(1 / 2 + 2 / 4) / 2, 1 / 6]


def test_distances_are_packed_with_their_results():
    relevance = relevance_by_lists([[2, 0, 1, -1]], [{1}], 3, junk=[{0}], distances=[[0.5, 1.0, 2.0, np.inf]])
    assert relevance.distances is not None
    assert relevance.distances.tolist() == [[0.5, 2.0, np.inf, np.inf]]


def test_a_query_left_in_its_own_gallery_would_flatter_and_is_removed():
    labels = ["a", "b", "b", "a"]
    ranking = [[0, 1, 2, 3]]  # itself first, the only true match last
    assert average_precision(relevance_by_label(ranking, ["a"], labels)).mean == (1 + 2 / 4) / 2
    assert average_precision(relevance_by_label(ranking, ["a"], labels, query_ids=[0])).mean == 1 / 3


def test_full_ap_refuses_a_cut_list_and_names_the_query():
    relevance = relevance_by_label([[0, 1, 2], [0, 1, -1]], ["a", "a"], ["a", "b", "a"])
    with pytest.raises(ValueError, match=r"average precision.*query 1 returned 2 of 3 items"):
        average_precision(relevance)
    assert not relevance.complete


def test_junk_that_takes_places_of_a_short_list_is_an_error_at_k():
    # Three results asked for, one of them is junk: there is no third result to take P@3 over.
    relevance = relevance_by_label(
        [[0, 1, 2]],
        ["a"],
        ["a", "b", "a", "a"],
        query_sources=["s"],
        gallery_sources=["s", "t", "t", "t"],
    )
    assert precision_at(relevance, 2).mean == 0.5
    with pytest.raises(ValueError, match=r"precision at 3 needs 3 results.*query 0 was cut after 2"):
        precision_at(relevance, 3)


def test_a_list_that_ended_by_itself_is_scored_at_any_k():
    relevance = relevance_by_label([[0, 1, -1]], ["a"], ["a", "b", "a", "a"])
    assert not relevance.cut.any()
    assert precision_at(relevance, 3).mean == 0.5


@pytest.mark.parametrize("k", [0, -1, 2.0, True, None])
def test_k_is_checked(k):
    relevance = relevance_by_label([[0]], ["a"], ["a"])
    with pytest.raises(ValueError, match=r"k must be a whole number of at least 1"):
        precision_at(relevance, k)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"result_ids": [[0, 3]]}, r"result_ids must lie in -1 \.\. 2, got 0 \.\. 3"),
        ({"result_ids": [[-2, 1]]}, r"result_ids must lie in -1 \.\. 2, got -2 \.\. 1"),
        ({"result_ids": [[1, 1]]}, "query 0 hold item 1 twice"),
        ({"result_ids": [[0.0, 1.0]]}, "whole numbers of shape"),
        ({"result_ids": [0, 1]}, "whole numbers of shape"),
        ({"result_ids": [[0], [1]]}, "2 rows for 1 queries"),
        ({"query_sources": ["s"]}, "must be given together"),
        ({"query_sources": ["s"], "gallery_sources": ["s"]}, "gallery_sources 1 for 3"),
        ({"query_ids": [3]}, r"query_ids must be 1 ids from -1 to 2"),
        ({"in_gallery": [True]}, r"in_gallery must have shape \(3,\)"),
        ({"in_gallery": [True, False, True]}, "not in_gallery"),
        ({"distances": [[0.0]]}, r"distances must have the shape"),
        ({"distances": [[1.0, 0.5]]}, "must not decrease"),
        ({"distances": [[np.nan, 0.5]]}, "must not be NaN"),
    ],
)
def test_judge_by_label_refuses(change, message):
    arguments = {"result_ids": [[0, 1]], "query_labels": ["a"], "gallery_labels": ["a", "b", "a"]} | change
    with pytest.raises(ValueError, match=message):
        relevance_by_label(**arguments)


@pytest.mark.parametrize(
    ("relevant", "junk", "message"),
    [
        ([{3}], None, r"relevant of query 0 names item 3, outside the gallery of 3"),
        ([{0}], [{-1}], r"junk of query 0 names item -1"),
        ([{0: -1.0}], None, "item 0 has grade -1.0"),
        ([{0: float("nan")}], None, "item 0 has grade nan"),
        ([{0, 1}], [{1}], "item 1 is both relevant and junk for query 0"),
        ([{0}], [], "0 lists for 1 queries"),
        ([], None, "1 rows for 0 queries"),
    ],
)
def test_judge_by_lists_refuses(relevant, junk, message):
    with pytest.raises(ValueError, match=message):
        relevance_by_lists([[0, 1, 2]], relevant, 3, junk=junk)


def test_a_mean_over_no_query_is_an_error_not_nan():
    scores = QueryScores(np.zeros(2), np.zeros(2, bool))
    assert scores.excluded == 2
    with pytest.raises(ValueError, match="none of the 2 queries"):
        _ = scores.mean


def test_empty_share_counts_queries_whose_results_were_all_junk():
    relevance = relevance_by_lists([[0, -1], [1, 0]], [{1}, {1}], 2, junk=[{0}, set()])
    assert relevance.empty_share == 0.5
    assert isinstance(relevance, RankedRelevance)
