"""Where definitions agree, the figures equal scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.metrics import average_precision, ndcg, relevance_by_lists

sklearn_metrics = pytest.importorskip("sklearn.metrics")


@pytest.fixture(params=range(5))
def ranked(request):
    """Scores without ties, grades, and the ranking by descending score."""
    rng = np.random.default_rng(request.param)
    n = int(rng.integers(5, 200))
    scores = rng.permutation(n).astype(float)
    grades = rng.choice([0.0, 0.0, 0.0, 1.0, 2.0, 3.0], n)
    grades[rng.integers(n)] = 1.0
    return scores, grades, np.argsort(-scores)[None, :]


def relevant_of(grades):
    return [{i: float(g) for i, g in enumerate(grades) if g > 0}]


def test_average_precision(ranked):
    scores, grades, ranking = ranked
    relevance = relevance_by_lists(ranking, relevant_of(grades), len(grades))
    wanted = sklearn_metrics.average_precision_score(grades > 0, scores)
    assert average_precision(relevance).mean == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("k", [None, 1, 5, 1000])
def test_ndcg(ranked, k):
    scores, grades, ranking = ranked
    relevance = relevance_by_lists(ranking, relevant_of(grades), len(grades))
    wanted = sklearn_metrics.ndcg_score(grades[None], scores[None], k=k)
    assert ndcg(relevance, k).mean == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("k", [None, 3])
def test_ndcg_with_ties_averages_like_scikit_learn(ranked, k):
    _, grades, _ = ranked
    scores = np.floor(np.arange(len(grades)) / 4)
    order = np.argsort(-scores, kind="stable")
    relevance = relevance_by_lists(order[None], relevant_of(grades), len(grades), distances=-scores[order][None])
    wanted = sklearn_metrics.ndcg_score(grades[None], scores[None], k=k)
    assert ndcg(relevance, k, ties="average").mean == pytest.approx(wanted, rel=1e-9)
    assert ndcg(relevance, k).mean != pytest.approx(wanted, rel=1e-3)
