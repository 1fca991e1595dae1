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
    readings = [(False, query, item), (True, query[::-1], item)][: 1 + (ranking.measure == "bi-dtw")]
    found = []
    for backwards, part, member in readings:
        if ranking.subsequence is None:
            rows = len(part) + len(member)
            entry = (twin.dtw(part, member), (0, len(member)), (0, len(part)))
        elif ranking.subsequence == "query":
            start, end, distance = twin.subsequences(part, member, 1)[0]
            rows, entry = len(part) + end - start, (distance, (start, end), (0, len(part)))
        else:
            start, end, distance = twin.subsequences(member[::-1] if backwards else member, query, 1)[0]
            rows, entry = len(member) + end - start, (distance, (0, len(member)), (start, end))
        distance = np.float32(entry[0]) / np.float32(rows) if ranking.length_normalised else entry[0]
        found.append((float(distance), backwards, *entry[1:]))
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
