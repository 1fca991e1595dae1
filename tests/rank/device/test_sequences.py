"""`DeviceSequences` against the kernels of the CPU and a slow twin, on the CPU as XLA's device."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from reference import dtw as slow

from jaxret import rank
from jaxret.rank import DeviceSequences, SequenceRanking, SequenceTable
from jaxret.rank.device.sequence_bounds import mean_bounds, prepared_query, warping_bounds, warping_bytes
from jaxret.rank.device.sequences import filled_length
from jaxret.rank.device.warping import warped

SMALL = 1 << 20


def walks(seed: int, count: int, longest: int, dimensions: int = 3) -> list[np.ndarray]:
    """Random walks of different lengths, from different places."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, count)
    return [
        (rng.normal(size=(n, dimensions)).cumsum(0) + 4 * rng.normal(size=dimensions)).astype("f4") for n in lengths
    ]


@pytest.fixture(scope="module")
def gallery() -> list[np.ndarray]:
    """With equal sequences, and one that another reads backwards."""
    members = walks(0, 120, 24)
    members[7::20] = [members[3]] * len(members[7::20])
    members[50] = members[4][::-1]
    return members


@pytest.fixture(scope="module")
def on_device(gallery) -> DeviceSequences:
    return DeviceSequences(gallery, "cpu", working_bytes=SMALL)


def assert_equal(found: rank.DtwResult, expected: rank.DtwResult, size: int) -> None:
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert (sum(vars(found.pruning).values()) == size).all()


@pytest.mark.parametrize("reverse", ["query", "both", None])
@pytest.mark.parametrize("window", [None, 0, 3])
def test_ids_and_distances_are_those_of_the_kernels(gallery, on_device, reverse, window) -> None:
    queries = [*walks(1, 3, 12), gallery[3], gallery[4]]
    settings = {"reverse": reverse, "window": window}
    found = rank.dtw_topk(queries, on_device, 7, **settings)
    assert_equal(found, rank.dtw_topk(queries, gallery, 7, **settings), len(gallery))
    assert found.pruning.measured.max() < len(gallery)


def test_subnormal_numbers_and_negative_zeros(gallery, on_device) -> None:
    members = list(gallery)
    tiny = np.float32(1e-40)
    members[::3] = [member * tiny for member in members[::3]]
    members[1::30] = [np.copysign(member * 0, -member) for member in members[1::30]]
    members[5] = np.concatenate([members[5], members[6] * tiny])[: len(members[5])]
    queries = [*walks(1, 2, 12), members[3], members[1][:12], gallery[9][:12] * tiny]
    tiny_ones = DeviceSequences(members, "cpu", working_bytes=SMALL)
    assert_equal(rank.dtw_topk(queries, tiny_ones, 7), rank.dtw_topk(queries, members, 7), len(members))
    for back, member in zip(tiny_ones[:], members, strict=True):
        np.testing.assert_array_equal(back.view(np.uint32), member.view(np.uint32))


@pytest.mark.parametrize("prune", [True, False])
def test_a_pair_that_does_not_fit_is_measured_by_the_kernels(gallery, on_device, monkeypatch, prune) -> None:
    """384 frames of a query take over 1 MiB with any sequence; no program is made for them."""
    query = walks(5, 1, 1, 3)[0] + np.zeros((300, 1), np.float32)
    monkeypatch.setattr(
        "jaxret.rank.device.sequence_search.warping_bounds", lambda *_, **__: pytest.fail("on a device")
    )
    found = rank.dtw_topk(query, on_device, 7, prune=prune)
    assert_equal(found, rank.dtw_topk(query, gallery, 7), len(gallery))


def test_memory_that_programs_take() -> None:
    """As XLA says it, within what the search counts on; of long queries and few frames as of others."""
    rng = np.random.default_rng(6)
    frames = 96
    for length, dimensions in ((8, 2), (8, 1024)):
        gallery = DeviceSequences([rng.normal(size=(length, dimensions)) for _ in range(64)], "cpu")
        query = prepared_query(np.ones((frames, dimensions), np.float32), frames, gallery.centre, gallery.mesh)
        group, places = gallery.groups[0], jnp.zeros((1, 64), jnp.int32)
        settings = {"mesh": gallery.mesh, "window": None, "reverse": True}
        program = warping_bounds.lower(query, group.frames, group.lengths, places, **settings).compile()
        assert program.memory_analysis().temp_size_in_bytes < 1.1 * 64 * warping_bytes(frames, length, dimensions)


def test_against_the_slow_twin(gallery, on_device) -> None:
    query = walks(2, 1, 12)[0]
    distances = np.array([slow.dtw(query, member) for member in gallery])
    found = rank.dtw_topk(query, on_device, 5, reverse=None)
    np.testing.assert_allclose(found.distances[0], np.sort(distances)[:5], rtol=1e-5)


def test_pruning_and_its_absence_find_the_same(gallery, on_device) -> None:
    query = gallery[11] + np.float32(0.1)
    pruned, unpruned = (rank.dtw_topk(query, on_device, 3, prune=prune) for prune in (True, False))
    np.testing.assert_array_equal(pruned.ids, unpruned.ids)
    np.testing.assert_array_equal(pruned.distances, unpruned.distances)
    assert pruned.pruning.by_mean[0] > 20
    assert unpruned.pruning.by_mean[0] == 0
    assert unpruned.pruning.abandoned[0] > 20
    assert rank.dtw_topk(query, on_device, len(gallery)).ids.shape == (1, len(gallery))


@pytest.mark.parametrize(
    "ranking",
    [
        SequenceRanking("bi-dtw"),
        SequenceRanking("dtw", length_normalised=True),
        SequenceRanking("bi-dtw", length_normalised=True, reversal_penalty=0.5),
        SequenceRanking("bi-dtw", reversal_penalty=3.0),
        SequenceRanking("bi-dtw-printed", window=2),
        SequenceRanking("dtw", window=2**31 - 1),
        SequenceRanking("bi-dtw", window=2**40),
    ],
    ids=str,
)
def test_rankings(gallery, on_device, ranking) -> None:
    for query in (gallery[4], walks(3, 1, 12)[0]):
        assert rank.rank_sequences(query, on_device, 6, ranking) == rank.rank_sequences(query, gallery, 6, ranking)


def test_bounds_lie_below_the_distances_and_those_of_frames_near_them(gallery, on_device) -> None:
    for query in walks(4, 4, 12):
        prepared = prepared_query(query, 12, on_device.centre, on_device.mesh)
        found = mean_bounds(prepared, on_device.summaries, mesh=on_device.mesh, chunk=50)
        of_means = on_device.by_id(np.asarray(found))
        exact = np.array([slow.bidtw(query, member) for member in gallery])
        assert (of_means <= exact * (1 + 1e-12)).all()
        assert of_means.mean() > 0.1 * exact.mean()
        for group in on_device.groups:
            places = jnp.arange(group.rows, dtype=jnp.int32)[None]
            settings = {"mesh": on_device.mesh, "window": None, "reverse": True}
            bounds = np.asarray(warping_bounds(prepared, group.frames, group.lengths, places, **settings))[0]
            of_group = exact[group.ids]
            assert (bounds[: len(of_group)] <= of_group * (1 + 1e-12)).all()
            np.testing.assert_allclose(bounds[: len(of_group)], of_group, rtol=1e-3, atol=1e-4)


def test_warped() -> None:
    rng = np.random.default_rng(5)
    costs = rng.random((40, 6, 9)).astype("f4")
    lengths = rng.integers(1, 10, 40).astype("i4")
    found = np.asarray(warped(jnp.asarray(costs), jnp.int32(5), jnp.asarray(lengths)))
    for cost, length, distance in zip(costs, lengths, found, strict=True):
        assert distance == pytest.approx(slow.accumulated(cost[:5, :length])[-1, -1], rel=1e-6)


def test_a_table_and_single_frames() -> None:
    members = [np.array([[float(n)]], np.float32) for n in (3, 1, 2)]
    found = DeviceSequences(SequenceTable.from_sequences(members), "cpu")
    assert rank.dtw_topk(np.array([[1.9]]), found, 2).ids.tolist() == [[2, 1]]
    assert len(found) == 3
    assert found[-1].tolist() == [[2.0]]
    assert [row.tolist() for row in found[:2]] == [[[3.0]], [[1.0]]]
    assert repr(found) == "DeviceSequences(3 of dimension 1 on 1 x cpu)"


def test_lengths_that_sequences_are_filled_up_to() -> None:
    assert [filled_length(n) for n in (1, 8, 9, 12, 13, 16, 17, 24, 25, 32, 33, 49)] == [
        8, 8, 12, 12, 16, 16, 24, 24, 32, 32, 48, 64,
    ]  # fmt: skip


def test_refusals(gallery, on_device) -> None:
    with pytest.raises(ValueError, match=r"sequences\[1\] must be finite in float32, got nan"):
        DeviceSequences([np.ones((2, 2)), np.array([[1, np.nan]])])
    with pytest.raises(ValueError, match="sequences must not be empty"):
        DeviceSequences([])
    with pytest.raises(ValueError, match="working_bytes must be at least"):
        DeviceSequences(gallery, working_bytes=5)
    with pytest.raises(ValueError, match="k must be at most the 120 gallery items, got 121"):
        rank.dtw_topk(gallery[0], on_device, 121)
    with pytest.raises(ValueError, match="query and gallery must have the same number of dimensions, got 2 and 3"):
        rank.dtw_topk(np.ones((4, 2)), on_device, 1)
    with pytest.raises(ValueError, match="query must be finite in float32, got inf"):
        rank.dtw_topk(np.full((4, 3), np.inf), on_device, 1)
    for search in (
        lambda: rank.dtw_cdist(gallery[:1], on_device),
        lambda: rank.dtw_cdist(on_device, gallery[:1]),
        lambda: rank.dtw_subsequence_topk(gallery[0], on_device, 1),
        lambda: rank.dtw_topk(on_device, gallery, 1),
    ):
        with pytest.raises(
            TypeError, match=r"must be sequences in this machine's memory, got a DeviceSequences: .* \[:\]"
        ):
            search()
    for ranking, name in (
        (SequenceRanking("mean-cosine"), "mean-cosine"),
        (SequenceRanking(subsequence="item"), "subsequence='item'"),
        (SequenceRanking(unit_vectors=True), "unit_vectors"),
    ):
        with pytest.raises(ValueError, match=f"ranked by DTW of whole sequences as they are, got {name}"):
            rank.rank_sequences(gallery[0], on_device, 1, ranking)
