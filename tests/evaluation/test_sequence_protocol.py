"""Figures of sequences by class and by clip, against rankings by brute force and average precision by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from reference import dtw as twin
from reference import retrieval_metrics as slow

from jaxret.evaluation import LabelProtocol, evaluate_sequences, label_protocol
from jaxret.rank import SequenceRanking, SequenceTable


@dataclasses.dataclass
class Item:
    label: str | None
    source: str


def make(seed: int = 0):
    """Nine gallery sequences of whole numbers, and queries that are rows of four of them, and of none."""
    rng = np.random.default_rng(seed)
    gallery = [rng.integers(-2, 3, (length, 2)).astype("f4") for length in (4, 7, 3, 5, 6, 2, 8, 1, 5)]
    items = [Item("abc"[number % 3], f"s{number}") for number in range(8)] + [Item(None, "s8")]
    chosen = [1, 4, 6, 8]
    queries = [np.delete(gallery[number], [1, 3], axis=0) for number in chosen] + [np.ones((3, 2), np.float32)]
    return queries, [items[number] for number in chosen] + [Item("b", "elsewhere")], gallery, items


def expected_map(queries, query_items, gallery, items, measure, relevant, keep_source) -> float:
    scores = []
    for query, asked in zip(queries, query_items, strict=True):
        if relevant == "source":
            right, junk = {n: 1 for n, item in enumerate(items) if item.source == asked.source}, set()
        else:
            own = {n for n, item in enumerate(items) if item.source == asked.source}
            junk = set() if keep_source else own
            right = {n: 1 for n, item in enumerate(items) if asked.label and item.label == asked.label}
            right = {n: 1 for n in right if n not in junk}
        order = sorted(range(len(gallery)), key=lambda n: (measure(query, gallery[n]), n))
        if right:
            scores.append(slow.average_precision(slow.without_junk(order, junk), right))
    return float(np.mean(scores))


@pytest.mark.parametrize(
    ("relevant", "keep_source", "querying"), [("label", False, 4), ("label", True, 4), ("source", False, 4)]
)
@pytest.mark.parametrize(
    ("ranking", "measure"),
    [
        (SequenceRanking(), twin.bidtw),
        (SequenceRanking("dtw"), twin.dtw),
        (SequenceRanking("bi-dtw-printed"), twin.bidtw_as_printed),
        (
            SequenceRanking("dtw", length_normalised=True),
            lambda a, b: np.float32(twin.dtw(a, b)) / np.float32(len(a) + len(b)),
        ),
        (SequenceRanking("dtw", "query"), lambda a, b: twin.subsequences(a, b, 1)[0][2]),
    ],
)
@pytest.mark.parametrize("table", [False, True])
def test_mean_average_precision(monkeypatch, ranking, measure, relevant, keep_source, querying, table) -> None:
    queries, query_items, gallery, items = make()
    expected = expected_map(queries, query_items, gallery, items, measure, relevant, keep_source)
    given = [SequenceTable.from_sequences(part) if table else part for part in (queries, gallery)]
    for pairs in (1 << 24, 20):  # all queries at once, two at a time
        monkeypatch.setattr(label_protocol, "_BLOCK_PAIRS", pairs)
        found = evaluate_sequences(
            given[0], query_items, given[1], items, ranking, LabelProtocol((1,), None, relevant, keep_source)
        )
        assert found["all"]["mAP"] == pytest.approx(expected)
        assert found["all"]["queries"] == querying


def test_by_clip_a_query_without_a_label_counts_and_groups_are_of_labels() -> None:
    queries, query_items, gallery, items = make()
    figures = evaluate_sequences(
        queries, query_items, gallery, items, protocol=LabelProtocol((), {"b": ["b"]}, "source")
    )
    assert (figures["all"]["queries"], figures["all"]["queries_excluded"]) == (4, 1)
    assert figures["b"]["queries"] == 2


def test_bad_input_is_named() -> None:
    queries, query_items, gallery, items = make()
    with pytest.raises(ValueError, match="gallery must be as many sequences as items, got 9 and 8"):
        evaluate_sequences(queries, query_items, gallery, items[1:])
    with pytest.raises(ValueError, match="relevant must be label or source, got 'clip'"):
        LabelProtocol(relevant="clip")
