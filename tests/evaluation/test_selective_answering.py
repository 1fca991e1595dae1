"""PAR as selective answering, against loops and scikit-learn."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from jaxret.data.rows import Rows
from jaxret.evaluation import LabelProtocol, Ranking, label_protocol, nearest_answers, rank_items, selective_curve
from jaxret.metrics import chance_of_vote, vote_at

metrics = pytest.importorskip("sklearn.metrics")


@dataclasses.dataclass
class Item:
    label: str | None
    source: str


@pytest.fixture(scope="module")
def data() -> tuple[Rows, list[Item]]:
    """Three noisy classes; the last items have no label, and one class a single source."""
    rng = np.random.default_rng(1)
    labels = [*"a" * 14, *"b" * 20, *"c" * 12, "lone", None, None]
    items = [Item(label, f"s{n // 2}") for n, label in enumerate(labels)]
    centres = {"a": (2.0, 0.2), "b": (0.5, 1.5), "c": (1.5, 1.4)}
    points = np.array([centres.get(str(label), (0.0, 0.0)) for label in labels])
    return Rows((points + rng.normal(size=points.shape)).astype(np.float32), np.arange(len(labels))), items


def slow(rows: Rows, items: list[Item], k: int, threshold: float) -> tuple[list[str], list[str | None]]:
    """True and voted label of every query that counts, None where it is not answered: loops in float64."""
    vectors = rows.vectors.astype(np.float64)
    truth, voted = [], []
    for q, query in enumerate(items):
        others = [n for n, item in enumerate(items) if item.source != query.source]
        if query.label is None or not any(items[n].label == query.label for n in others):
            continue
        others.sort(key=lambda n: (np.linalg.norm(vectors[n] - vectors[q]), n))
        votes: list[str] = []
        for n in others[:k]:
            cosine = vectors[n] @ vectors[q] / (np.linalg.norm(vectors[n]) * np.linalg.norm(vectors[q]))
            label = items[n].label
            if cosine > threshold:
                votes.append(str(label))
        truth.append(query.label)
        real = [vote for vote in votes if vote != "None"]
        voted.append(max(real, key=lambda v: (real.count(v), -real.index(v))) if real else ("None" if votes else None))
    return truth, voted


@pytest.mark.parametrize("threshold", [-math.inf, 0.0, 0.7, 0.95, 0.999])
@pytest.mark.parametrize("k", [1, 5])
def test_votes_equal_loops_and_scikit_learn(data, k: int, threshold: float) -> None:
    rows, items = data
    answers = nearest_answers(rows, items, rows, items, k)
    truth, voted = slow(rows, items, k, threshold)
    assert answers.query_labels.tolist() == truth
    wrong, answered = answers.votes(threshold), answers.votes(threshold, empty="skip")
    silent = [vote is None for vote in voted]
    assert wrong.unanswered == answered.unanswered == sum(silent)
    assert wrong.coverage == 1 - sum(silent) / len(truth)
    assert wrong.accuracy == pytest.approx(metrics.accuracy_score(truth, [str(vote) for vote in voted]))
    kept = [(label, str(vote)) for label, vote in zip(truth, voted, strict=True) if vote is not None]
    if not kept:
        assert answered.accuracy == answered.f1 == 0
        return
    for scores, pairs in ((wrong, list(zip(truth, map(str, voted), strict=True))), (answered, kept)):
        own, given = zip(*pairs, strict=True)
        expected = metrics.precision_recall_fscore_support(
            own, given, labels=sorted(set(own)), average="macro", zero_division=0
        )
        assert (scores.precision, scores.recall, scores.f1) == pytest.approx(expected[:3])


def test_the_vote_is_that_of_par(data) -> None:
    rows, items = data
    answers = nearest_answers(rows, items, rows, items, 5)
    sources = np.array([item.source for item in items])
    counted = [n for n, item in enumerate(items) if item.label in ("a", "b", "c")]
    par = rank_items(rows, rows, Ranking("euclidean", 0.9, 5), excluded=sources[:, None] == sources)
    labels = [item.label for item in items]
    assert answers.votes(0.9) == vote_at(par.ids[counted], [labels[n] for n in counted], labels, 5)


def test_thresholds_give_the_coverage_that_is_wanted(data) -> None:
    rows, items = data
    answers = nearest_answers(rows, items, rows, items, 5)
    assert answers.threshold_for(1) == -math.inf
    for coverage in (0.9, 0.5, 0.1, 1 / len(answers)):
        threshold = answers.threshold_for(coverage)
        found = answers.votes(threshold).coverage
        assert found >= coverage - 1e-9
        assert answers.votes(float(np.nextafter(np.float32(threshold), np.float32(2)))).coverage < found
    for bad in (0, 1.1, -0.5, math.nan):
        with pytest.raises(ValueError, match=f"coverage must be above 0 and at most 1, got {bad}"):
            answers.threshold_for(bad)
    nothing = answers.of([])
    with pytest.raises(ValueError, match="there is no query to choose a threshold by"):
        nothing.threshold_for(0.5)


def test_the_curve_pays_coverage_for_accuracy_and_only_one_rule_shows_it(data) -> None:
    rows, items = data
    answers = nearest_answers(rows, items, rows, items, 5)
    points = selective_curve(answers)
    coverage = [point.coverage for point in points]
    assert coverage[0] == 1
    assert coverage == sorted(coverage, reverse=True)
    assert coverage[-1] < 0.1
    assert points[0].wrong.accuracy == points[0].answered.accuracy
    for point in points:
        assert point.wrong.accuracy == pytest.approx(point.answered.accuracy * point.coverage)
    assert "threshold" not in points[0].figures()
    assert points[5].figures()["threshold"] == answers.threshold_for(0.75)
    assert points[5].figures()["accuracy"] == points[5].wrong.accuracy
    assert points[5].figures("skip")["F1"] == points[5].answered.f1
    assert points[5].figures()["chance"] == pytest.approx(answers.chance.mean())


def test_the_best_threshold_is_the_most_accurate_of_all(data) -> None:
    rows, items = data
    answers = nearest_answers(rows, items, rows, items, 5)
    best = answers.votes(answers.best_threshold()).accuracy
    assert best == max(answers.votes(t).accuracy for t in [-math.inf, *np.unique(answers.cosines).tolist()])


def test_groups_and_galleries_of_equal_classes(data) -> None:
    rows, items = data
    answers = nearest_answers(rows, items, rows, items, 3, LabelProtocol(relevant_items=4))
    assert len(answers) == 46
    assert answers.chance == pytest.approx(np.full(46, chance_of_vote([4, 4, 4, 1], 0, 3)), abs=0.01)
    of_a = answers.of(["a"])
    assert set(of_a.query_labels) == {"a"}
    assert of_a.votes().accuracy == pytest.approx(np.mean([answers.of([label]).votes().accuracy for label in "a"]))
    with pytest.raises(ValueError, match="a vote is for a label: relevant must be label, got 'source'"):
        nearest_answers(rows, items, rows, items, 3, LabelProtocol(relevant="source"))


@pytest.mark.parametrize("pairs", [1, 100])
def test_answers_do_not_depend_on_the_blocks_that_queries_are_ranked_in(data, monkeypatch, pairs: int) -> None:
    rows, items = data
    whole = nearest_answers(rows, items, rows, items, 3, LabelProtocol(relevant_items=4))
    monkeypatch.setattr(label_protocol, "_BLOCK_PAIRS", pairs)
    parts = nearest_answers(rows, items, rows, items, 3, LabelProtocol(relevant_items=4))
    for name in ("cosines", "query_labels", "chance"):
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist()
    assert parts.nearest.ids.tolist() == whole.nearest.ids.tolist()
    nothing = nearest_answers(rows.of_items(np.zeros(0, np.int64)), [], rows, items)
    assert len(nothing) == 0


def test_unknown_rules_are_named(data) -> None:
    rows, items = data
    with pytest.raises(ValueError, match="empty must be one of wrong, skip, got 'zero'"):
        nearest_answers(rows, items, rows, items).votes(empty="zero")  # type: ignore[arg-type]
