"""The rules that papers leave open, each pinned by a hand-computed case; spans, votes and the summary."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from jaxret.metrics import (
    average_precision_at,
    best_span_iou,
    f1_at,
    ndcg,
    precision_at,
    precision_recall_curve,
    recall_at,
    relevance_by_label,
    relevance_by_lists,
    retrieval_summary,
    span_iou,
    span_overlap,
    vote_at,
)

# Query 0 answered half right, query 1 unanswered, query 2 has nothing to find.
PAR_LIKE = relevance_by_lists([[0, 4, -1], [-1, -1, -1], [3, -1, -1]], [{0, 1}, {2}, set()], 5)


def test_queries_without_relevant_items_are_left_out_and_counted():
    scores = precision_at(PAR_LIKE, 3)
    assert scores.counted.tolist() == [True, True, False]
    assert scores.excluded == 1
    assert np.isfinite(scores.values).all()


def test_empty_result_rules():
    assert precision_at(PAR_LIKE, 3).mean == 0.25
    assert precision_at(PAR_LIKE, 3, empty="one").mean == 0.75
    assert precision_at(PAR_LIKE, 3, empty="skip").mean == 0.5
    assert recall_at(PAR_LIKE, 3).mean == 0.25
    assert recall_at(PAR_LIKE, 3, empty="skip").mean == 0.5
    assert f1_at(PAR_LIKE, 3).mean == 0.25
    assert f1_at(PAR_LIKE, 3, empty="skip").mean == 0.5
    assert precision_at(PAR_LIKE, 3, empty="skip").excluded == 2


def test_mean_f1_is_not_the_f1_of_means():
    relevance = relevance_by_lists([[0, 1], [2, 3]], [{0, 1}, {0, 1, 2, 4}], 5)
    p, r = precision_at(relevance, 2).mean, recall_at(relevance, 2).mean
    assert f1_at(relevance, 2).mean == pytest.approx((1 + 2 * 0.5 * 0.25 / 0.75) / 2)
    assert f1_at(relevance, 2).mean != pytest.approx(2 * p * r / (p + r))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_precision_at(PAR_LIKE, 1, denominator="k"), "denominator must be one of"),
        (lambda: precision_at(PAR_LIKE, 1, denominator="min"), "denominator must be one of returned, k"),
        (lambda: precision_at(PAR_LIKE, 1, empty="nan"), "empty must be one of zero, one, skip, got 'nan'"),
        (lambda: recall_at(PAR_LIKE, 1, empty="one"), "empty must be one of zero, skip"),
        (lambda: recall_at(PAR_LIKE, 1, denominator="k"), "denominator must be one of relevant"),
        (lambda: ndcg(PAR_LIKE, 1, gain="square"), "gain must be one of linear, exponential"),
        (lambda: ndcg(PAR_LIKE), "NDCG needs the ranking of the whole gallery"),
        (lambda: precision_recall_curve(PAR_LIKE), "curve needs the ranking of the whole gallery"),
        (lambda: precision_recall_curve(relevance_by_lists([[0]], [{0}], 1), [1.5]), "between 0 and 1"),
        (lambda: precision_recall_curve(relevance_by_lists([[0]], [()], 1)), "no query has a relevant item"),
    ],
)
def test_unknown_choices_and_short_lists_are_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_spans():
    a = np.array([[0.0, 4.0], [0.0, 1.0], [3.0, 3.0], [3.0, 3.0], [3.0, 3.0]])
    b = np.array([[2.0, 6.0], [1.0, 2.0], [3.0, 3.0], [4.0, 4.0], [2.0, 4.0]])
    assert span_overlap(a, b).tolist() == [2, 0, 0, 0, 0]
    np.testing.assert_allclose(span_iou(a, b), [1 / 3, 0, 1, 0, 0])
    np.testing.assert_allclose(span_iou(b, a), span_iou(a, b))
    assert span_iou([0, 2], [0, 2]) == 1.0


def test_best_span_takes_the_best_of_several_and_0_where_nothing_was_found():
    got = best_span_iou([[0.0, 4.0], [np.nan, np.nan], [9.0, 10.0]], [[[8, 9], [2, 6]], [[0, 1]], [[0.0, 1.0]]])
    np.testing.assert_allclose(got, [1 / 3, 0, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: span_iou([0, 1, 2], [0, 1]), r"a must have start and end"),
        (lambda: span_iou([0, 1], [2, 1]), r"b has a span that ends before it starts: 2.0 .. 1.0"),
        (lambda: span_iou([0, np.inf], [0, 1]), "a must be finite seconds, got inf"),
        (lambda: best_span_iou([[0, 1]], []), r"found must have shape \(0, 2\)"),
        (lambda: best_span_iou([[0, 1]], [np.zeros((0, 2))]), r"true_spans\[0\] must have shape"),
        (lambda: best_span_iou([[np.nan, 1]], [[[0, 1]]]), r"found\[0\] must be finite"),
    ],
)
def test_malformed_spans_are_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_vote_counts_ties_by_rank_and_unanswered_as_wrong():
    labels = ["run", "jump", "run", "jump", None]
    #        jump leads a tie    run 2:1        nobody votes      unanswered
    ids = [[1, 0, 4], [0, 1, 2], [4, -1, -1], [-1, -1, -1]]
    scores = vote_at(ids, ["jump", "jump", "run", "run"], labels, 3)
    assert scores.accuracy == 0.25
    assert scores.recall == (0.5 + 0.0) / 2
    assert scores.precision == (1.0 + 0.0) / 2
    assert scores.f1 == pytest.approx((2 * 1.0 * 0.5 / 1.5 + 0) / 2)
    assert scores.unanswered == 1
    assert vote_at(ids, ["jump", "jump", "run", "run"], labels, 1).accuracy == 0.25


def test_vote_equals_scikit_learn_macro_averages():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    gallery = rng.integers(0, 4, 60).tolist()
    truth = rng.integers(0, 4, 40).tolist()
    ids = np.stack([rng.permutation(60)[:5] for _ in range(40)])
    voted = []
    for row in ids:
        votes = [gallery[i] for i in row]
        voted.append(max(votes, key=lambda v: (votes.count(v), -votes.index(v))))
    scores = vote_at(ids, truth, gallery, 5)
    p, r, f, _ = metrics.precision_recall_fscore_support(truth, voted, average="macro", zero_division=0)
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(truth, voted))
    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((p, r, f))


@pytest.mark.parametrize(
    ("ids", "labels", "k", "message"),
    [
        ([[0, 1]], ["a"], 3, "k must be at least 1 and lists at least k long, got k = 3"),
        ([[0, 1]], ["a"], 0, "k must be at least 1"),
        ([[0, 5]], ["a"], 1, r"result_ids must lie in -1 \.\. 2"),
        ([[0, 1]], ["a", "b"], 1, "2 queries"),
        ([[0, 1]], [None], 1, "query_labels must not hold None"),
    ],
)
def test_vote_refuses(ids, labels, k, message):
    with pytest.raises(ValueError, match=message):
        vote_at(ids, labels, ["a", "b", "b"], k)


def test_summary_of_a_whole_ranking_and_of_a_filtered_one():
    whole = relevance_by_label([[0, 1, 2], [2, 1, 0]], ["a", "b"], ["a", "b", "a"])
    summary = retrieval_summary(whole, ks=(1, 2))
    assert summary["mAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert summary["R@1"] == summary["P@1"] == 0.5
    assert summary["recall@2"] == 0.75
    assert summary["queries"] == 2.0
    assert set(summary) == {
        *("mAP", "NDCG", "relevant items", "queries", "queries_excluded", "empty_share"),
        *(f"{m}@{k}" for m in ("mAP", "P", "recall", "F1", "accuracy", "R", "NDCG") for k in (1, 2)),
    }
    filtered = retrieval_summary(PAR_LIKE)
    assert "mAP" not in filtered
    assert "NDCG" not in filtered
    assert filtered["queries_excluded"] == 1.0
    assert filtered["empty_share"] == pytest.approx(1 / 3)
    assert all(np.isfinite(v) for v in filtered.values())


def test_summary_names_the_denominator_and_averages_over_ties_where_it_can():
    # At ranks 2 and 3 a relevant and a wrong item are equally far.
    relevance = relevance_by_lists([[0, 1, 2]], [{0, 2}], 3, distances=[[0.0, 4.0, 4.0]])
    summary = retrieval_summary(relevance, ks=(2,), tie_averaged=True)
    assert summary["mAP"] == pytest.approx((1 + 2 / 3) / 2)
    assert summary["mAP tie-averaged"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert summary["mAP@2"] == 0.5
    assert summary["mAP@2 tie-averaged"] == 0.75
    other = retrieval_summary(relevance, ks=(2,), denominator="retrieved", tie_averaged=True)
    assert other["mAP@2 (retrieved)"] == other["mAP@2 (retrieved) tie-averaged"] == 1.0
    assert "mAP@2" not in other
    cut = relevance_by_lists([[0, 1, 2]], [{0, 2}], 9, distances=[[0.0, 4.0, 4.0]])
    assert not [name for name in retrieval_summary(cut, ks=(2,), tie_averaged=True) if "tie" in name]
    with pytest.raises(ValueError, match="ties='average' needs relevance with distances"):
        retrieval_summary(relevance_by_lists([[0, 1, 2]], [{0, 2}], 3), ks=(2,), tie_averaged=True)
    with pytest.raises(ValueError, match="denominator must be one of"):
        retrieval_summary(relevance, ks=(2,), denominator="k")


def test_summary_refuses_a_cut_list_and_a_run_without_relevant_items():
    with pytest.raises(ValueError, match="needs 5 results"):
        retrieval_summary(relevance_by_label([[0, 1]], ["a"], ["a"] * 9), ks=(5,))
    with pytest.raises(ValueError, match="none of the 1 queries"):
        retrieval_summary(relevance_by_label([[0, 1]], ["z"], ["a", "b"]))


def test_metrics_do_not_import_jax():
    code = "import sys, jaxret.metrics; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
