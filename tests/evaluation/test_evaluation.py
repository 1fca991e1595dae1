"""Item rankings and label protocols against loops over all pairs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import retrieval_metrics as slow

from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.evaluation import (
    LabelProtocol,
    Ranking,
    Reranking,
    evaluate_leave_one_out,
    evaluate_queries,
    item_ranking,
    label_protocol,
    rank_items,
    reranked,
)


@dataclasses.dataclass
class Item:
    label: str | None
    source: str


def make_rows(rng: np.random.Generator, items: int, most_rows: int, dimension: int = 4) -> Rows:
    owners = np.repeat(np.arange(items), rng.integers(1, most_rows + 1, size=items))
    return Rows(rng.normal(size=(len(owners), dimension)).astype(np.float32), owners, n_items=items)


def slow_ranking(queries, gallery, ranking, excluded):
    """(ids, distances) per query by explicit loops in float64."""
    answers = []
    for q in range(queries.n_items):
        found = []
        for g in range(gallery.n_items):
            if excluded is not None and excluded[q, g]:
                continue
            pairs = []
            for a in queries.vectors[queries.items == q].astype(np.float64):
                for b in gallery.vectors[gallery.items == g].astype(np.float64):
                    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
                    distance = 1 - cosine if ranking.distance == "cosine" else np.linalg.norm(a - b)
                    pairs.append((distance, cosine))
            if pairs:
                found.append((*min(pairs), g))
        found = sorted((d, g, c) for d, c, g in found)[: ranking.depth]
        if ranking.min_cosine is not None:
            found = [entry for entry in found if entry[2] > ranking.min_cosine]
        answers.append([(g, d) for d, g, _ in found])
    return answers


def make_codes(rng: np.random.Generator, items: int, most_rows: int) -> Rows:
    """Codes of 16 bits of which 4 are ever set: many ties."""
    owners = np.repeat(np.arange(items), rng.integers(1, most_rows + 1, size=items))
    return Rows(rng.integers(0, 2, (len(owners), 2)).astype(np.uint8) * np.uint8(5), owners, n_items=items)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9999),
    depth=st.sampled_from([None, 3]),
    rows=st.integers(1, 3),
    exclude=st.booleans(),
)
def test_rank_items_by_codes_equals_counting_bits(seed, depth, rows, exclude) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = make_codes(rng, 3, rows), make_codes(rng, 7, rows)
    excluded = rng.random((3, 7)) < 0.3 if exclude else np.zeros((3, 7), bool)
    result = rank_items(queries, gallery, Ranking("hamming", depth=depth), excluded=excluded)
    for q in range(3):
        expected = sorted(
            (
                min(
                    sum((int(a) ^ int(b)).bit_count() for a, b in zip(x, y, strict=True))
                    for x in queries.vectors[queries.items == q]
                    for y in gallery.vectors[gallery.items == g]
                ),
                g,
            )
            for g in range(7)
            if not excluded[q, g]
        )[:depth]
        found = result.ids[q] >= 0
        assert list(zip(result.distances[q][found], result.ids[q][found], strict=True)) == expected
        assert np.isinf(result.distances[q][~found]).all()


@pytest.mark.parametrize("denominator", ["min(n_relevant,k)", "relevant", "retrieved"])
def test_figures_of_codes_by_id_and_over_every_order_of_ties(denominator) -> None:
    name = "mAP@3" if denominator == "min(n_relevant,k)" else f"mAP@3 ({denominator})"
    for seed in range(4):
        rng = np.random.default_rng(seed)
        codes = make_codes(rng, 7, 2)
        items = [Item("ab"[rng.integers(2)], f"film{rng.integers(5)}") for _ in range(7)]
        figures = evaluate_leave_one_out(
            codes, items, Ranking("hamming"), LabelProtocol((1, 3), denominator=denominator)
        )["all"]
        sources = np.array([item.source for item in items])
        result = rank_items(codes, codes, Ranking("hamming"), excluded=sources[:, None] == sources)
        by_id, averaged, whole = [], [], []
        for q, item in enumerate(items):
            ids = result.ids[q][result.ids[q] >= 0].tolist()
            relevant = {i: 1 for i in ids if items[i].label == item.label}
            if relevant:
                distances = result.distances[q][: len(ids)].tolist()
                score = lambda order, r=relevant: slow.average_precision(order, r, 3, denominator)  # noqa: E731
                by_id.append(score(ids))
                averaged.append(slow.mean_over_ties(score, ids, distances))
                whole.append(slow.mean_over_ties(lambda o, r=relevant: slow.average_precision(o, r), ids, distances))
        assert figures[name] == pytest.approx(np.mean(by_id))
        assert figures[f"{name} tie-averaged"] == pytest.approx(np.mean(averaged))
        assert figures["mAP tie-averaged"] == pytest.approx(np.mean(whole))
        assert np.ptp(np.subtract(by_id, averaged)) > 0.05, "the ties make no difference: the test proves nothing"


def test_only_whole_rankings_of_codes_have_tie_averaged_figures() -> None:
    rng = np.random.default_rng(0)
    codes, items = make_codes(rng, 7, 2), [Item("a", f"film{i}") for i in range(7)]
    cut = evaluate_leave_one_out(codes, items, Ranking("hamming", depth=3), LabelProtocol((1,)))["all"]
    floats = evaluate_leave_one_out(make_rows(rng, 7, 2), items, protocol=LabelProtocol((1,)))["all"]
    assert not [name for name in (*cut, *floats) if "tie" in name]


def test_codes_and_vectors_are_not_mixed_up() -> None:
    rng = np.random.default_rng(0)
    codes, floats = make_codes(rng, 3, 2), make_rows(rng, 3, 2)
    with pytest.raises(TypeError, match=r"must have the dtype uint8 \(codes from pack_bits\), got float32"):
        rank_items(floats, floats, Ranking("hamming"))
    with pytest.raises(TypeError, match="must have a float dtype, got uint8"):
        rank_items(codes, codes, Ranking())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9999),
    ranking=st.sampled_from(
        [
            Ranking(),
            Ranking("cosine"),
            Ranking("cosine", depth=3),
            Ranking("euclidean", 0.1),
            Ranking("euclidean", 0.2, depth=4),
        ]
    ),
    rows=st.integers(1, 3),
    exclude=st.booleans(),
)
def test_rank_items_equals_loops(seed, ranking, rows, exclude) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = make_rows(rng, 3, rows), make_rows(rng, 7, rows)
    excluded = rng.random((3, 7)) < 0.3 if exclude else None
    result = rank_items(queries, gallery, ranking, excluded=excluded)
    for q, expected in enumerate(slow_ranking(queries, gallery, ranking, excluded)):
        found = result.ids[q][result.ids[q] >= 0]
        assert found.tolist() == [g for g, _ in expected]
        np.testing.assert_allclose(result.distances[q][: len(found)], [d for _, d in expected], rtol=1e-5, atol=1e-6)
        assert np.isinf(result.distances[q][len(found) :]).all()


def test_an_item_never_finds_its_own_source_and_groups_keep_the_whole_gallery() -> None:
    vectors = np.array([[0.0], [0.1], [1.0], [5.0], [5.2], [1.1]], np.float32)
    items = [
        Item("a", "film1"),
        Item("a", "film1"),
        Item("b", "film2"),
        Item("b", "film3"),
        Item("a", "film4"),
        Item(None, "film5"),
    ]
    rows = Rows(vectors, np.arange(6))
    figures = evaluate_leave_one_out(rows, items, protocol=LabelProtocol((1,), {"a": ["a"], "none": ["zzz"]}))
    assert set(figures) == {"all", "a"}
    # Items 0 and 1 may not find each other: their only relevant item is 4, the last of four. Item 4 has 3, 5
    # and 2 before it meets 1 and 0: relevant at ranks 4 and 5.
    expected = np.mean([1 / 4, 1 / 4, (1 / 4 + 2 / 5) / 2])
    assert figures["a"]["mAP"] == pytest.approx(expected)
    assert figures["a"]["queries"] == 3
    assert figures["all"]["queries"] == 5


def test_par_precision_counts_over_the_nearest_of_other_sources() -> None:
    vectors = np.array([[1, 0], [1, 0.01], [1.1, 0], [0, 1.0], [1.3, 0]], np.float32)
    items = [Item("a", "x"), Item("a", "x"), Item("a", "y"), Item("b", "z"), Item("b", "w")]
    query = Rows(vectors[:1], np.zeros(1, np.int64))
    gallery = Rows(vectors[1:], np.arange(4))
    figures = evaluate_queries(query, items[:1], gallery, items[1:], Ranking("euclidean", 0.5, 2), LabelProtocol((2,)))
    # Without its own source the two nearest are y (right) and w (wrong); both pass the threshold.
    assert figures["all"]["P@2"] == 0.5
    strict = evaluate_queries(query, items[:1], gallery, items[1:], Ranking("euclidean", 1.0, 2), LabelProtocol((2,)))
    assert strict["all"]["empty_share"] == 1.0


@pytest.mark.parametrize(
    "ranking",
    [Ranking(), Ranking("cosine", depth=9), Ranking("euclidean", 0.4), Ranking("hamming")],
    ids=lambda r: r.distance,
)
@pytest.mark.parametrize("pairs", [1, 150, 1000])
def test_figures_do_not_depend_on_the_blocks_that_queries_are_ranked_in(monkeypatch, ranking, pairs) -> None:
    rng = np.random.default_rng(0)
    count = 37
    make = make_codes if ranking.distance == "hamming" else make_rows
    rows = make(rng, count, 2)
    # "only" is asked for by one item, which has nothing relevant; some have no label.
    labels = ["only", *rng.choice(["a", "b", "c", None], count - 1)]
    items = [Item(label, f"s{number // 2}") for number, label in enumerate(labels)]
    groups = {"a and only": ["a", "only"], "only": ["only"]}
    whole = evaluate_leave_one_out(rows, items, ranking, LabelProtocol((1, 3), groups))
    monkeypatch.setattr(label_protocol, "_BLOCK_PAIRS", pairs)
    in_blocks = evaluate_leave_one_out(rows, items, ranking, LabelProtocol((1, 3), groups))
    assert list(in_blocks) == list(whole) == ["all", "a and only"]
    for name, figures in whole.items():
        assert in_blocks[name] == pytest.approx(figures, abs=1e-12)
    assert ("mAP" in whole["all"]) == (ranking.depth is None and ranking.min_cosine is None)


@pytest.mark.parametrize(
    "ranking", [Ranking(), Ranking("euclidean", 0.4), Ranking("hamming")], ids=lambda r: r.distance
)
def test_rows_of_queries_are_ranked_some_at_a_time(monkeypatch, ranking) -> None:
    rng = np.random.default_rng(4)
    make = make_codes if ranking.distance == "hamming" else make_rows
    queries, gallery = make(rng, 9, 3), make(rng, 12, 2)
    whole = item_ranking._ranked(queries, gallery, ranking, None, None)
    ranked, fill = [], item_ranking._fill_part
    monkeypatch.setattr(item_ranking, "_fill_part", lambda *given: ranked.append(len(given[2])) or fill(*given))
    monkeypatch.setattr(item_ranking, "_PAIRS_AT_ONCE", 4 * len(gallery.vectors))
    parts = item_ranking._ranked(queries, gallery, ranking, None, None)
    np.testing.assert_array_equal(parts[0].ids, whole[0].ids)
    np.testing.assert_array_equal(parts[0].distances, whole[0].distances)
    np.testing.assert_array_equal(parts[1], whole[1])
    assert max(ranked) == 4
    assert sum(ranked) == len(queries.vectors)


@pytest.mark.parametrize("count", [1, 5, 13, 40])
def test_only_the_first_results_are_measured_and_put_in_order_again(monkeypatch, count) -> None:
    rng = np.random.default_rng(count)

    def rows(items: int) -> Rows:
        owners = rng.permutation(np.repeat(np.arange(items), rng.integers(0, 4, items)))  # some have no row
        return Rows(rng.integers(0, 2, (len(owners), 3)).astype(np.float32), owners, n_items=items)  # many tie

    queries, gallery, first = rows(30), rows(25), make_codes(rng, 30, 1)
    excluded = rng.random((30, 25)) < 0.4
    ranked = rank_items(first, make_codes(rng, 25, 1), Ranking("hamming", depth=20), excluded=excluded)
    measured, fill = [], item_ranking._fill_part
    monkeypatch.setattr(item_ranking, "_fill_part", lambda *given: measured.append(len(given[4])) or fill(*given))
    again = reranked(ranked, Reranking(count, queries, gallery))
    monkeypatch.undo()
    assert max(measured) <= 3 * (count if count * 4 < gallery.n_items else gallery.n_items)
    every = rank_items(queries, gallery, Ranking())
    for query, found in enumerate(ranked.ids):
        distance_of = dict(zip(every.ids[query].tolist(), every.distances[query].tolist(), strict=True))
        head = [one for one in found[:count].tolist() if one >= 0]
        expected = sorted((distance_of.get(one, np.inf), one) for one in head)
        assert again.ids[query].tolist() == [one for _, one in expected] + found[len(head) :].tolist()
        rest = [np.inf] * (len(found) - len(head))
        assert again.distances[query].tolist() == [distance for distance, _ in expected] + rest


def test_nothing_relevant_gives_no_figures() -> None:
    rows = Rows(np.eye(2, dtype=np.float32), np.arange(2))
    assert evaluate_leave_one_out(rows, [Item("a", "1"), Item("b", "2")]) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance": "manhattan"}, "got 'manhattan'"),
        ({"distance": "par"}, "distance must be one of euclidean, cosine, hamming, got 'par'"),
        ({"distance": "cosine", "min_cosine": 0.5}, "got 0.5 for cosine"),
        ({"depth": 0}, "depth must be at least 1 or none, got 0"),
    ],
)
def test_bad_rankings_are_named(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Ranking(**arguments)
