"""Galleries with as many relevant items for every query, and the chance rate beside them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxret.data.rows import Rows
from jaxret.evaluation import LabelProtocol, Ranking, chance_figures, evaluate_leave_one_out, label_protocol
from jaxret.metrics import average_precision, relevance_by_label, relevance_by_lists


@dataclasses.dataclass
class Item:
    label: str | None
    source: str


@pytest.fixture
def data() -> tuple[Rows, list[Item]]:
    rng = np.random.default_rng(0)
    labels = [*"aaaaaa", *"b" * 14, *"c" * 3, None, None]
    items = [Item(label, f"s{number // 2}") for number, label in enumerate(labels)]
    vectors = rng.normal(size=(len(labels), 3)) + np.array([("abc".find(str(label))) for label in labels])[:, None]
    return Rows(vectors.astype(np.float32), np.arange(len(labels))), items


@pytest.mark.parametrize("pairs", [1, 90, 10_000])
def test_every_query_has_as_many_relevant_items_among_as_many_others(data, monkeypatch, pairs) -> None:
    rows, items = data
    monkeypatch.setattr(label_protocol, "_BLOCK_PAIRS", pairs)
    groups = {"small": ["a"], "large": ["b"], "too small": ["c"]}
    protocol = LabelProtocol((2,), groups, relevant_items=3)
    figures = evaluate_leave_one_out(rows, items, protocol=protocol)
    assert list(figures) == ["all", "small", "large"]  # two of three at most are of another source than a c's own
    for row in figures.values():
        assert row["relevant items"] == 3
    assert figures["all"]["queries"] == 20
    assert figures["all"]["queries_excluded"] == 3
    chance = chance_figures(items, items, protocol)
    assert list(chance) == list(figures)
    # 3 of each of the classes a and b, and of c the 3 that there are: each query has a chance of one in three.
    assert chance["small"]["P@2"] == pytest.approx(1 / 3)
    assert chance["large"]["P@2"] == pytest.approx(1 / 3)
    assert chance["small"]["mAP"] == pytest.approx(chance["large"]["mAP"])
    unequal = chance_figures(items, items, LabelProtocol((2,), groups))
    assert unequal["small"]["P@2"] < unequal["large"]["P@2"] / 2


def test_figures_of_drawn_galleries_equal_loops(data) -> None:
    rows, items = data
    found = evaluate_leave_one_out(rows, items, protocol=LabelProtocol((1,), relevant_items=2, seed=5))["all"]["mAP"]
    order = np.random.default_rng(5).permutation(len(items)).tolist()
    expected = []
    for q, query in enumerate(items):
        if query.label is None:
            continue
        gallery = [
            n
            for label in "abc"
            for n in [n for n in order if items[n].label == label and items[n].source != query.source][:2]
        ]
        relevant = {n for n in gallery if items[n].label == query.label}
        if len(relevant) < 2:
            continue
        distances = np.linalg.norm(rows.vectors[gallery].astype(float) - rows.vectors[q], axis=1)
        ranking = [gallery[n] for n in np.argsort(distances)]
        junk = set(range(len(items))) - set(gallery)
        expected.append(average_precision(relevance_by_lists([ranking], [relevant], len(items), junk=[junk])).mean)
    assert found == pytest.approx(np.mean(expected))


def test_par_and_cosine_rank_within_the_drawn_gallery(data) -> None:
    rows, items = data
    for ranking in (Ranking("cosine"), Ranking("euclidean", -1.0, 2)):
        figures = evaluate_leave_one_out(rows, items, ranking, LabelProtocol((2,), relevant_items=2))["all"]
        assert figures["relevant items"] == 2
        assert figures["empty_share"] == 0


def test_galleries_of_their_own_count_what_is_in_them() -> None:
    labels, sources = ["a", "a", "b", "a", None], ["x", "y", "x", "z", "w"]
    searched = np.array([[1, 1, 1, 0, 1], [0, 1, 0, 1, 0]], bool)
    relevance = relevance_by_label(
        [[1, 4], [3, -1]],
        ["a", "a"],
        labels,
        query_sources=["x", "q"],
        gallery_sources=sources,
        query_ids=[-1, 1],
        in_gallery=searched,
    )
    assert relevance.n_relevant.tolist() == [1, 1]
    assert relevance.n_gallery.tolist() == [2, 1]
    assert relevance.complete
    with pytest.raises(ValueError, match="hold an item that is not in_gallery"):
        relevance_by_label([[3], [3]], ["a", "a"], labels, in_gallery=searched)
    with pytest.raises(ValueError, match=r"in_gallery must have shape \(5,\) or \(2, 5\), got \(3, 5\)"):
        relevance_by_label([[1], [1]], ["a", "a"], labels, in_gallery=np.ones((3, 5), bool))


def test_bad_protocols_are_named() -> None:
    with pytest.raises(ValueError, match="relevant_items must be at least 1 or none, got 0"):
        LabelProtocol(relevant_items=0)
    with pytest.raises(ValueError, match="leave it out where relevance is by source"):
        LabelProtocol(relevant_items=1, relevant="source")
