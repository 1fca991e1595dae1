"""Queries that a ground truth judges some of the gallery for: figures against loops after the definition."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxret.data.rows import Rows
from jaxret.evaluation import (
    LabelProtocol,
    Ranking,
    chance_figures,
    evaluate_queries,
    evaluate_sequences,
    label_protocol,
)


@dataclasses.dataclass
class Item:
    label: str | None
    source: str


Judgements = dict[str, dict[str, bool]]


@pytest.fixture
def data() -> tuple[np.ndarray, list[Item], Judgements]:
    """Forty items, of which three are queries, one of them judged by nobody; an item relevant to two queries."""
    rng = np.random.default_rng(3)
    items = [Item(f"q{n}" if n < 4 else None, f"v{n}") for n in range(40)]
    judgements = {
        f"v{q}": {f"v{n}": bool(n % 3 == 0 or n == 20) for n in rng.permutation(np.arange(4, 36))[:15].tolist()}
        for q in range(3)
    }
    for judged in judgements.values():
        judged["v20"] = True
    judgements["v0"]["gone"] = True  # which the gallery does not hold
    return rng.normal(size=(40, 5)).astype(np.float32), items, judgements


def mean_average_precision(distances: np.ndarray, items: list[Item], judgements: Judgements, *, unjudged: str) -> float:
    """Each query: walk down its ranking, pass over itself and, where they are left out, what is not judged for it; at
    every relevant result add hits / rank."""
    total = 0.0
    for query, judged in judgements.items():
        order = sorted(range(len(items)), key=lambda n: (distances[int(query[1:])][n], n))
        rank = hits = 0
        precisions = 0.0
        for n in order:
            source = items[n].source
            if source == query or (unjudged == "left-out" and source not in judged):
                continue
            rank += 1
            if judged.get(source, False):
                hits += 1
                precisions += hits / rank
        total += precisions / hits
    return total / len(judgements)


@pytest.mark.parametrize("unjudged", ["left-out", "wrong"])
@pytest.mark.parametrize("pairs", [1, 90, 10_000])
def test_mean_average_precision_equals_a_loop(data, monkeypatch, unjudged, pairs) -> None:
    vectors, items, judgements = data
    monkeypatch.setattr(label_protocol, "_BLOCK_PAIRS", pairs)
    distances = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    expected = mean_average_precision(distances, items, judgements, unjudged=unjudged)
    protocol = LabelProtocol((1, 5), {"one": ["q1"], "none": ["q3"]}, judgements=judgements, unjudged=unjudged)
    rows = Rows(vectors, np.arange(40))
    figures = evaluate_queries(rows, items, rows, items, Ranking(), protocol)
    assert figures["all"]["mAP"] == pytest.approx(expected)
    assert figures["all"]["queries"] == 3
    assert list(figures) == ["all", "one"]  # the fourth label is of an item without judgements
    one = mean_average_precision(distances, items, {"v1": judgements["v1"]}, unjudged=unjudged)
    assert figures["one"]["mAP"] == pytest.approx(one)
    films = [vector[None] for vector in vectors]
    of_sequences = evaluate_sequences(films, items, films, items, protocol=protocol)
    assert of_sequences["all"]["mAP"] == pytest.approx(expected)
    # What is left out is so before a ranking is cut.
    cut = evaluate_queries(rows, items, rows, items, Ranking(depth=5), protocol)
    assert cut["all"]["P@5"] == pytest.approx(figures["all"]["P@5"])


def test_chance_is_that_of_the_judged(data) -> None:
    _, items, judgements = data
    among = chance_figures(items, items, LabelProtocol((1,), judgements=judgements))["all"]
    whole = chance_figures(items, items, LabelProtocol((1,), judgements=judgements, unjudged="wrong"))["all"]
    held = {
        query: {name: found for name, found in judged.items() if name != "gone"} for query, judged in judgements.items()
    }
    shares = [sum(judged.values()) / len(judged) for judged in held.values()]
    assert among["P@1"] == pytest.approx(np.mean(shares))
    assert whole["P@1"] == pytest.approx(np.mean([sum(judged.values()) / 39 for judged in held.values()]))


def test_what_says_nothing_beside_judgements_is_refused() -> None:
    for wrong in ({"relevant_items": 2}, {"relevant": "source"}):
        with pytest.raises(ValueError, match="judgements say what is relevant: leave"):
            LabelProtocol(judgements={}, **wrong)
    with pytest.raises(ValueError, match="unjudged must be left-out or wrong, got 'right'"):
        LabelProtocol(unjudged="right")  # type: ignore[arg-type]
