"""Rankings of sequences against loops over all spans and both directions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dtw as twin

from jaxret.rank import SequenceRanking, SequenceTable, dtw, rank_sequences, sequence_distances

WHOLE = {"dtw": twin.dtw, "bi-dtw": twin.bidtw, "bi-dtw-printed": twin.bidtw_as_printed}
MEASURES = (*WHOLE, "mean-cosine")


def make(seed: int, lengths, dimensions: int = 2, *, ties: bool = True) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    if ties:
        return [rng.integers(-2, 3, (length, dimensions)).astype("f4") for length in lengths]
    return [rng.normal(size=(length, dimensions)).astype("f4") for length in lengths]


def slow_entry(query, item, ranking: SequenceRanking):
    """(distance, item span, query span, backwards): readings and spans tried one after the other."""
    if ranking.unit_vectors:
        query, item = (
            np.array([row / (np.linalg.norm(row) or 1) for row in rows.astype("f8")]) for rows in (query, item)
        )
    readings = [(False, query, item), (True, query[::-1], item)][: 1 + (ranking.measure == "bi-dtw")]
    found = []
    for backwards, part, member in readings:
        if ranking.subsequence is None:
            rows = len(part) + len(member)
            entry = (twin.dtw(part, member, ranking.window), (0, len(member)), (0, len(part)))
        elif ranking.subsequence == "query":
            start, end, distance = twin.subsequences(part, member, 1)[0]
            rows, entry = len(part) + end - start, (distance, (start, end), (0, len(part)))
        else:
            start, end, distance = twin.subsequences(member[::-1] if backwards else member, query, 1)[0]
            rows, entry = len(member) + end - start, (distance, (0, len(member)), (start, end))
        distance = np.float32(entry[0]) / np.float32(rows) if ranking.length_normalised else entry[0]
        found.append((float(distance) * (1 + backwards * ranking.reversal_penalty), backwards, *entry[1:]))
    distance, backwards, item_span, query_span = min(found, key=lambda entry: entry[:2])
    return distance, item_span, query_span, backwards


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    measure=st.sampled_from(list(WHOLE)),
    subsequence=st.sampled_from([None, "query", "item"]),
    normalised=st.booleans(),
    table=st.booleans(),
)
def test_integers_against_loops(seed, measure, subsequence, normalised, table) -> None:
    """Small whole numbers: distances are exact, ties everywhere."""
    rng = np.random.default_rng(seed)
    query, *members = make(seed, rng.integers(1, 7, size=6))
    ranking = SequenceRanking(measure, subsequence, normalised)
    slow = [slow_entry(query, member, ranking) for member in members]
    gallery = SequenceTable.from_sequences(members) if table else members
    np.testing.assert_array_equal(sequence_distances([query], gallery, ranking)[0], np.float32([e[0] for e in slow]))
    order = sorted(range(5), key=lambda number: (slow[number][0], number))
    for k in (2, 5):
        found = rank_sequences(query, gallery, k, ranking)
        assert [match.id for match in found] == order[:k]
        for match in found:
            spans = (match.start, match.end), (match.query_start, match.query_end)
            assert (match.distance, *spans, match.backwards) == (pytest.approx(slow[match.id][0]), *slow[match.id][1:])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    subsequence=st.sampled_from([None, "query", "item"]),
    normalised=st.booleans(),
    unit=st.booleans(),
    penalty=st.sampled_from([0.0, 0.25, 2.0]),
    window=st.sampled_from([None, 0, 1]),
    table=st.booleans(),
)
def test_directions_penalty_and_window_against_loops(
    seed, subsequence, normalised, unit, penalty, window, table
) -> None:
    rng = np.random.default_rng(seed)
    query, *members = make(seed, rng.integers(1, 7, size=6), ties=not unit)
    members[0][:] = 0  # which has no direction
    window = None if subsequence else window
    ranking = SequenceRanking("bi-dtw", subsequence, normalised, unit, penalty, window)
    slow = [slow_entry(query, member, ranking) for member in members]
    gallery = SequenceTable.from_sequences(members) if table else members
    distances = sequence_distances([query], gallery, ranking)[0]
    np.testing.assert_allclose(distances, [entry[0] for entry in slow], rtol=1e-4, atol=1e-5)
    for match in rank_sequences(query, gallery, 3, ranking):
        assert match.distance == pytest.approx(slow[match.id][0], rel=1e-4, abs=1e-5)
        if not unit:
            assert match.backwards == slow[match.id][3]
    found = [match.distance for match in rank_sequences(query, gallery, 3, ranking)]
    np.testing.assert_allclose(found, np.sort(distances)[:3], rtol=1e-5)


def test_a_penalty_keeps_a_reversed_look_alike_behind() -> None:
    """The reversed copy is nearest without a penalty; with one that exceeds its lead, the forward one is."""
    query = np.array([[0.0], [1.0], [2.0], [3.0]])
    members = [query + 0.5, query[::-1] + 0.49]
    for penalty, expected in ((0.0, [(1, True), (0, False)]), (0.1, [(0, False), (1, True)])):
        found = rank_sequences(query, members, 2, SequenceRanking("bi-dtw", reversal_penalty=penalty))
        assert [(match.id, match.backwards) for match in found] == expected


def test_directions_alone_count_where_vectors_are_scaled_and_a_table_keeps_them() -> None:
    query, other = make(8, [5, 5], dimensions=4, ties=False)
    table = SequenceTable.from_sequences([other, query * np.float32(1e20)])  # whose squares overflow
    ranking = SequenceRanking("dtw", unit_vectors=True)
    (match,) = rank_sequences(query, table, 1, ranking)
    assert (match.id, match.distance) == (1, pytest.approx(0, abs=1e-6))
    assert table.unit_vectors() is table.unit_vectors()
    mean = SequenceRanking("mean-cosine", unit_vectors=True)
    rows = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (query, other)]
    a, b = (each.mean(axis=0) for each in rows)
    expected = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert sequence_distances([query], table, mean)[0, 0] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="finite"):
        rank_sequences(query, [np.full((2, 4), np.inf)], 1, ranking)


def test_the_distance_is_that_of_the_rows_that_it_names() -> None:
    query, *members = make(5, [6, 9, 4, 12, 3], dimensions=7, ties=False)
    for measure, subsequence in itertools.product(WHOLE, (None, "query", "item")):
        for match in rank_sequences(query, members, 4, SequenceRanking(measure, subsequence)):
            part = query[match.query_start : match.query_end]
            found = members[match.id][match.start : match.end]
            if match.backwards:
                assert measure == "bi-dtw"
                found = found[::-1]
            assert match.distance == pytest.approx(dtw(part, found), rel=1e-6)


def test_what_was_planted_backwards_is_found_by_bi_dtw_alone() -> None:
    query, *members = make(9, [8, 20, 20], dimensions=5, ties=False)
    members[1][7:15] = query[::-1]
    first = {m: rank_sequences(query, members, 1, SequenceRanking(m, "query"))[0] for m in WHOLE}
    assert (first["bi-dtw"].id, first["bi-dtw"].start, first["bi-dtw"].end) == (1, 7, 15)
    assert first["bi-dtw"].distance == 0
    assert first["bi-dtw"].backwards
    assert first["dtw"] == first["bi-dtw-printed"]
    assert first["dtw"].distance > 1
    (item,) = rank_sequences(members[1], [query], 1, SequenceRanking("bi-dtw", "item"))
    assert (item.query_start, item.query_end, item.backwards) == (7, 15, True)
    palindrome = np.concatenate([query, query[::-1]])
    assert not rank_sequences(palindrome, [palindrome], 1)[0].backwards


def test_a_single_row_has_no_direction() -> None:
    query, *members = make(3, [9, *[1] * 40], dimensions=50, ties=False)
    for subsequence in (None, "query", "item"):
        found = rank_sequences(query, members, 40, SequenceRanking("bi-dtw", subsequence))
        assert not any(match.backwards for match in found)


def test_normalised_by_length_a_long_copy_is_nearer_than_a_short_stranger() -> None:
    """As the publication has it, the sum along the path grows with the path."""
    (query,) = make(2, [40], dimensions=4, ties=False)
    long_near = np.repeat(query, 3, axis=0) + 0.5
    short_far = query[:1] + 0.85
    plain, normalised = (
        [m.id for m in rank_sequences(query[:1], [long_near[:3], short_far], 2, SequenceRanking("dtw", None, flag))]
        for flag in (False, True)
    )
    assert plain == [1, 0]
    assert normalised == [0, 1]


def test_mean_cosine_sees_no_order() -> None:
    query, *members = make(4, [5, 6, 1, 9], dimensions=3, ties=False)
    members.append(query[::-1] * 3)
    ranking = SequenceRanking("mean-cosine")
    means = [m.astype("f8").mean(axis=0) for m in (query, *members)]
    expected = [1 - means[0] @ m / np.linalg.norm(means[0]) / np.linalg.norm(m) for m in means[1:]]
    np.testing.assert_allclose(sequence_distances([query], members, ranking)[0], expected, atol=1e-6)
    found = rank_sequences(query, members, 4, ranking)
    assert [match.id for match in found] == np.argsort(expected).tolist()
    assert (found[0].id, found[0].distance) == (3, pytest.approx(0, abs=1e-6))
    assert (found[0].end, found[0].query_end, found[0].backwards) == (5, 5, False)


def test_several_queries_are_ranked_as_one_by_one() -> None:
    queries, members = make(1, [3, 5]), make(2, [4, 2, 6])
    for measure in MEASURES:
        ranking = SequenceRanking(measure)
        each = [sequence_distances([query], members, ranking)[0] for query in queries]
        table = SequenceTable.from_sequences(queries)
        np.testing.assert_array_equal(sequence_distances(table, members, ranking), np.stack(each))


@pytest.mark.parametrize(
    ("settings_of_ranking", "message"),
    [
        ({"measure": "edit"}, "measure of sequences must be one of dtw, bi-dtw, .* got 'edit'"),
        ({"subsequence": "both"}, "subsequence must be 'query', 'item' or None, got 'both'"),
        ({"measure": "mean-cosine", "subsequence": "query"}, "mean-cosine compares whole sequences"),
        ({"measure": "mean-cosine", "length_normalised": True}, "length_normalised has nothing to divide"),
        ({"measure": "mean-cosine", "window": 3}, "mean-cosine aligns nothing"),
        ({"window": -1}, "window must be .*got -1"),
        ({"window": 2, "subsequence": "item"}, "window is of whole sequences"),
        ({"reversal_penalty": -0.1}, "reversal_penalty must be a number of at least 0, got -0.1"),
        ({"reversal_penalty": float("nan")}, "reversal_penalty must be a number of at least 0, got nan"),
        ({"measure": "dtw", "reversal_penalty": 0.1}, "reversal_penalty is of bi-dtw: dtw reads nothing backwards"),
    ],
)
def test_what_does_not_go_together_is_named(settings_of_ranking, message) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceRanking(**settings_of_ranking)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"k must .*got 3"):
        rank_sequences(np.ones((2, 2)), [np.ones((1, 2))], 3)
    with pytest.raises(ValueError, match="same number of dimensions, got 3 and 2"):
        rank_sequences(np.ones((2, 3)), [np.ones((1, 2))], 1, SequenceRanking("mean-cosine"))
