"""Queries that some of the gallery is annotated for: figures against loops after the definition."""

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


GroundTruth = dict[str, dict[str, bool]]


@pytest.fixture
def data() -> tuple[np.ndarray, list[Item], GroundTruth]:
    """Forty items, of which three are queries; one is relevant to all of them."""
    rng = np.random.default_rng(3)
    items = [Item(f"q{n}" if n < 4 else None, f"v{n}") for n in range(40)]
    ground_truth = {
        f"v{q}": {f"v{n}": bool(n % 3 == 0 or n == 20) for n in rng.permutation(np.arange(4, 36))[:15].tolist()}
        for q in range(3)
    }
    for annotated in ground_truth.values():
        annotated["v20"] = True
    ground_truth["v0"]["gone"] = True  # which the gallery does not hold
    return rng.normal(size=(40, 5)).astype(np.float32), items, ground_truth


def mean_average_precision(
    distances: np.ndarray, items: list[Item], ground_truth: GroundTruth, *, unannotated: str
) -> float:
    """Each query: walk down its ranking, pass over itself and, where it is left out, what is not annotated for it; at
    every relevant result add hits / rank."""
    total = 0.0
    for query, annotated in ground_truth.items():
        order = sorted(range(len(items)), key=lambda n: (distances[int(query[1:])][n], n))
        rank = hits = 0
        precisions = 0.0
        for n in order:
            source = items[n].source
            if source == query or (unannotated == "left-out" and source not in annotated):
                continue
            rank += 1
            if annotated.get(source, False):
                hits += 1
                precisions += hits / rank
        total += precisions / hits
    return total / len(ground_truth)


@pytest.mark.parametrize("unannotated", ["left-out", "wrong"])
@pytest.mark.parametrize("pairs", [1, 90, 10_000])
def test_mean_average_precision_equals_a_loop(data, monkeypatch, unannotated, pairs) -> None:
    vectors, items, ground_truth = data
    monkeypatch.setattr(label_protocol, "_BLOCK_PAIRS", pairs)
    distances = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    expected = mean_average_precision(distances, items, ground_truth, unannotated=unannotated)
    protocol = LabelProtocol(
        (1, 5), {"one": ["q1"], "none": ["q3"]}, ground_truth=ground_truth, unannotated=unannotated
    )
    rows = Rows(vectors, np.arange(40))
    figures = evaluate_queries(rows, items, rows, items, Ranking(), protocol)
    assert figures["all"]["mAP"] == pytest.approx(expected)
    assert figures["all"]["queries"] == 3
    assert list(figures) == ["all", "one"]  # the fourth label is of an item without ground_truth
    one = mean_average_precision(distances, items, {"v1": ground_truth["v1"]}, unannotated=unannotated)
    assert figures["one"]["mAP"] == pytest.approx(one)
    films = [vector[None] for vector in vectors]
    of_sequences = evaluate_sequences(films, items, films, items, protocol=protocol)
    assert of_sequences["all"]["mAP"] == pytest.approx(expected)
    # What is left out is so before a ranking is cut.
    cut = evaluate_queries(rows, items, rows, items, Ranking(depth=5), protocol)
    assert cut["all"]["P@5"] == pytest.approx(figures["all"]["P@5"])


def test_chance_is_that_of_the_annotated(data) -> None:
    _, items, ground_truth = data
    among = chance_figures(items, items, LabelProtocol((1,), ground_truth=ground_truth))["all"]
    whole = chance_figures(items, items, LabelProtocol((1,), ground_truth=ground_truth, unannotated="wrong"))["all"]
    held = {
        query: {name: found for name, found in annotated.items() if name != "gone"}
        for query, annotated in ground_truth.items()
    }
    shares = [sum(annotated.values()) / len(annotated) for annotated in held.values()]
    assert among["P@1"] == pytest.approx(np.mean(shares))
    assert whole["P@1"] == pytest.approx(np.mean([sum(annotated.values()) / 39 for annotated in held.values()]))


def test_what_says_nothing_beside_ground_truth_is_refused() -> None:
    for wrong in ({"relevant_items": 2}, {"relevant": "source"}):
        with pytest.raises(ValueError, match="ground_truth says what is relevant: leave"):
            LabelProtocol(ground_truth={}, **wrong)
    with pytest.raises(ValueError, match="unannotated must be left-out or wrong, got 'right'"):
        LabelProtocol(unannotated="right")  # type: ignore[arg-type]
