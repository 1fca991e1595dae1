"""Every metric against its slow twin, over random rankings with junk, grades, short answers and ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import retrieval_metrics as slow

from jaxret.metrics import (
    accuracy_at,
    average_precision,
    average_precision_at,
    f1_at,
    hit_rate_at,
    mean_average_precision,
    ndcg,
    precision_at,
    precision_recall_curve,
    recall_at,
    relevance_by_lists,
)


@st.composite
def searches(draw, complete=False, max_items=9):
    """(result rows, relevant grades, junk, gallery size); rows end by themselves unless complete."""
    n = draw(st.integers(1, max_items))
    rows, relevant, junk = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        roles = draw(st.lists(st.sampled_from("rrnj"), min_size=n, max_size=n))
        grades = {i: draw(st.sampled_from([1.0, 2.0, 0.5])) for i in range(n) if roles[i] == "r"}
        row = draw(st.permutations(range(n)))
        if not complete:
            row = row[: draw(st.integers(0, n))]
        rows.append(list(row) + [-1] * (n + 1 - len(row)))
        relevant.append(grades)
        junk.append({i for i in range(n) if roles[i] == "j"})
    assume(any(relevant))
    return rows, relevant, junk, n


def judge(search, **options):
    rows, relevant, junk, n = search
    relevance = relevance_by_lists(rows, relevant, n, junk=junk, **options)
    rankings = [slow.without_junk(row, bad) for row, bad in zip(rows, junk, strict=True)]
    return relevance, rankings


def expect(scores, twin, relevant):
    """Each query with relevant items scores what the twin says; the others are left out and hold 0."""
    assert scores.counted.tolist() == [bool(r) for r in relevant]
    wanted = [twin(q) if relevant[q] else 0.0 for q in range(len(relevant))]
    np.testing.assert_allclose(scores.values, wanted, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(scores.mean, np.mean([w for w, r in zip(wanted, relevant, strict=True) if r]))


@given(searches(complete=True))
def test_average_precision(search):
    relevance, rankings = judge(search)
    relevant = search[1]
    expect(average_precision(relevance), lambda q: slow.average_precision(rankings[q], relevant[q]), relevant)
    assert mean_average_precision(relevance) == average_precision(relevance).mean


@given(searches(), st.integers(1, 11), st.sampled_from(["min(n_relevant,k)", "relevant", "retrieved"]))
def test_average_precision_at(search, k, denominator):
    relevance, rankings = judge(search)
    relevant = search[1]
    expect(
        average_precision_at(relevance, k, denominator=denominator),
        lambda q: slow.average_precision(rankings[q], relevant[q], k, denominator),
        relevant,
    )


@given(searches(), st.integers(1, 11))
def test_precision_recall_f1_accuracy_and_hit_rate(search, k):
    relevance, rankings = judge(search)
    relevant = search[1]
    n_gallery = [search[3] - len(j) for j in search[2]]

    def counts(q):
        return slow.confusion(rankings[q], relevant[q], n_gallery[q], k)

    def precision(q):
        tp, fp, _, _ = counts(q)
        return tp / (tp + fp) if tp + fp else 0.0

    def recall(q):
        tp, _, fn, _ = counts(q)
        return tp / (tp + fn)

    def f1(q):
        p, r = precision(q), recall(q)
        return 2 * p * r / (p + r) if p + r else 0.0

    def accuracy(q):
        tp, _, _, tn = counts(q)
        return (tp + tn) / n_gallery[q]

    expect(precision_at(relevance, k), precision, relevant)
    expect(precision_at(relevance, k, denominator="k"), lambda q: counts(q)[0] / k, relevant)
    expect(precision_at(relevance, k, empty="one"), lambda q: precision(q) if rankings[q] else 1.0, relevant)
    expect(recall_at(relevance, k), recall, relevant)
    expect(
        recall_at(relevance, k, denominator="min(n_relevant,k)"),
        lambda q: counts(q)[0] / min(len(relevant[q]), k),
        relevant,
    )
    expect(f1_at(relevance, k), f1, relevant)
    expect(accuracy_at(relevance, k), accuracy, relevant)
    expect(hit_rate_at(relevance, k), lambda q: float(counts(q)[0] > 0), relevant)


@given(searches(), st.integers(1, 11), st.booleans())
def test_ndcg_at(search, k, exponential):
    relevance, rankings = judge(search)
    relevant = search[1]
    gain = "exponential" if exponential else "linear"
    expect(ndcg(relevance, k, gain=gain), lambda q: slow.ndcg(rankings[q], relevant[q], k, exponential), relevant)


@given(searches(complete=True))
def test_full_ndcg(search):
    relevance, rankings = judge(search)
    expect(ndcg(relevance), lambda q: slow.ndcg(rankings[q], search[1][q]), search[1])


@given(searches(complete=True), st.lists(st.floats(0, 1), max_size=4))
def test_precision_recall_curve(search, levels):
    relevance, rankings = judge(search)
    queries = [q for q, r in enumerate(search[1]) if r]
    levels = [*levels, 0.0, 0.1, 0.5, 1.0]
    at, precision = precision_recall_curve(relevance, levels)
    wanted = [
        np.mean([slow.interpolated_precision(rankings[q], search[1][q], level) for q in queries]) for level in levels
    ]
    # Levels within rounding of an attained recall may fall on either side of it.
    attained = np.array([i / len(search[1][q]) for q in queries for i in range(len(search[1][q]) + 1)])
    clear = [level in (0.0, 0.1, 0.5, 1.0) or np.abs(attained - level).min() > 1e-6 for level in levels]
    np.testing.assert_allclose(precision[clear], np.array(wanted)[clear], rtol=1e-12)
    assert at.tolist() == levels


@st.composite
def tied_searches(draw):
    rows, relevant, junk, n = draw(searches(complete=False, max_items=6))
    steps = [draw(st.lists(st.sampled_from([0.0, 0.0, 1.0]), min_size=len(r), max_size=len(r))) for r in rows]
    distances = np.cumsum(steps, axis=1)
    return (rows, relevant, junk, n), distances


def tied_twin(search, distances, score):
    rows, _, junk, _ = search

    def twin(q):
        pairs = [(i, d) for i, d in zip(rows[q], distances[q], strict=True) if i >= 0 and i not in junk[q]]
        return slow.mean_over_ties(lambda order: score(q, order), [i for i, _ in pairs], [d for _, d in pairs])

    return twin


@settings(deadline=None)
@given(tied_searches(), st.integers(1, 7), st.sampled_from(["min(n_relevant,k)", "relevant", "retrieved"]))
def test_average_precision_over_tie_orders_equals_every_order_tried(tied, k, denominator):
    search, distances = tied
    relevance, _ = judge(search, distances=distances)
    relevant = search[1]
    twin = tied_twin(search, distances, lambda q, order: slow.average_precision(order, relevant[q], k, denominator))
    expect(average_precision_at(relevance, k, denominator=denominator, ties="average"), twin, relevant)


@settings(deadline=None)
@given(tied_searches(), st.integers(1, 7), st.booleans())
def test_ndcg_over_tie_orders_equals_every_order_tried(tied, k, exponential):
    search, distances = tied
    relevance, _ = judge(search, distances=distances)
    relevant = search[1]
    twin = tied_twin(search, distances, lambda q, order: slow.ndcg(order, relevant[q], k, exponential))
    gain = "exponential" if exponential else "linear"
    expect(ndcg(relevance, k, gain=gain, ties="average"), twin, relevant)


def test_without_ties_the_average_over_orders_is_the_order_itself():
    rng = np.random.default_rng(0)
    rows = [rng.permutation(50) for _ in range(3)]
    relevant = [set(rng.choice(50, 12, replace=False).tolist()) for _ in range(3)]
    relevance = relevance_by_lists(rows, relevant, 50, distances=np.sort(rng.random((3, 50)), axis=1))
    np.testing.assert_allclose(
        average_precision(relevance, ties="average").values, average_precision(relevance).values, rtol=1e-12
    )
    np.testing.assert_allclose(ndcg(relevance, 7, ties="average").values, ndcg(relevance, 7).values, rtol=1e-12)


def test_hash_codes_that_all_tie_score_the_mean_of_all_orders():
    # 2 of 4 relevant, all at one distance: mean over the 6 patterns of AP = 0.6805...; by id it would be 1.
    relevance = relevance_by_lists([[0, 1, 2, 3]], [{0, 1}], 4, distances=[[3.0] * 4])
    patterns = [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    wanted = np.mean([(1 / a + 2 / b) / 2 for a, b in patterns])
    assert average_precision(relevance).mean == 1.0
    assert average_precision(relevance, ties="average").mean == pytest.approx(wanted, rel=1e-12)


def test_ties_need_distances_and_a_whole_group():
    relevance = relevance_by_lists([[0, 1, 2, -1]], [{0}], 3)
    with pytest.raises(ValueError, match="needs relevance with distances"):
        average_precision(relevance, ties="average")
    with pytest.raises(ValueError, match="needs relevance with distances"):
        ndcg(relevance, 2, ties="average")
    cut = relevance_by_lists([[0, 1, 2]], [{0}], 9, distances=[[0.0, 1.0, 1.0]])
    with pytest.raises(ValueError, match=r"query 0 was cut after 3 results, within a group"):
        average_precision_at(cut, 2, ties="average")
    assert average_precision_at(cut, 1, ties="average").mean == 1.0
    with pytest.raises(ValueError, match="ties must be one of id, average, got 'random'"):
        average_precision_at(cut, 1, ties="random")
