"""Pruned search, all distances, and the table of sequences, against the slow twins and measuring everything."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dtw as twin
from reference.kernel_levels import at_every_level, forced

from jaxret.errors import IndexFormatError
from jaxret.rank import SequenceTable, available_simd_levels, dtw, dtw_cdist, dtw_topk

TWINS = {None: twin.dtw, "both": twin.bidtw_as_printed, "query": twin.bidtw}


def clustered(seed: int, count: int, dimensions: int, *, longest: int = 30, spread: float = 3.0):
    """Sequences around some centres, as embeddings of videos are, so that bounds can prune."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, dimensions)) * spread
    return [
        (centres[rng.integers(6)] + rng.normal(size=(int(rng.integers(1, longest + 1)), dimensions))).astype(np.float32)
        for _ in range(count)
    ]


def by_distance_and_id(distances, k):
    ids = np.broadcast_to(np.arange(distances.shape[1]), distances.shape)
    order = np.lexsort((ids, distances), axis=1)[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


def assert_equal_results(found, ids, distances):
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.distances, distances)


@at_every_level
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_integers_with_ties(level, data):
    """Exact sums and many equal distances: ids decide the order."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    size, dimensions = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    gallery = [rng.integers(-1, 2, (int(rng.integers(1, 8)), dimensions)).astype("f4") for _ in range(size)]
    query = rng.integers(-1, 2, (int(rng.integers(1, 8)), dimensions)).astype("f2")
    k, threads = data.draw(st.integers(1, size)), data.draw(st.integers(1, 3))
    reverse, window = data.draw(st.sampled_from([None, "query", "both"])), data.draw(st.sampled_from([None, 0, 2]))
    ids, distances = twin.topk([TWINS[reverse](query, member, window) for member in gallery], k)
    with forced(level):
        for prune in (True, False):
            found = dtw_topk(query, gallery, k, reverse=reverse, window=window, threads=threads, prune=prune)
            assert_equal_results(found, ids[None], distances[None])
            assert found.ids.dtype == np.int64
            assert found.distances.dtype == np.float32


@at_every_level
@pytest.mark.parametrize("reverse", [None, "query"])
@pytest.mark.parametrize(("dimensions", "window", "k"), [(1, None, 5), (20, None, 1), (20, 4, 17), (140, None, 300)])
def test_pruned_equals_all_distances(level, reverse, dimensions, window, k):
    gallery, queries = clustered(1, 300, dimensions), clustered(1, 5, dimensions, longest=50)
    with forced(level):
        distances = dtw_cdist(queries, gallery, reverse=reverse, window=window)
        results = [
            dtw_topk(queries, SequenceTable.from_sequences(gallery), k, reverse=reverse, window=window, threads=threads)
            for threads in (1, 2, 3)
        ]
    for found in results:
        assert_equal_results(found, *by_distance_and_id(distances, k))
        for name, counts in vars(found.pruning).items():
            np.testing.assert_array_equal(counts, getattr(results[0].pruning, name))
        total = sum(vars(found.pruning).values())
        np.testing.assert_array_equal(total, 300)
    sample = [(0, 7), (4, 250), (2, 100)]
    for q, i in sample:
        slow = TWINS[reverse](queries[q], gallery[i], window)
        assert distances[q, i] == pytest.approx(slow, rel=3e-6)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_every_bound_prunes_and_none_errs(offset):
    gallery = [member + np.float32(offset) for member in clustered(2, 1500, 24, spread=4.0)]
    # Two scenes in one video: the mean of the whole says little, the means of segments much.
    gallery += [np.concatenate([a[:16], b[:16]]) for a, b in zip(gallery[:400], gallery[400:800], strict=True)]
    queries = [member + np.float32(1e-2) for member in gallery[5:1900:190]]
    found = dtw_topk(queries, gallery, 3, reverse=None)
    assert_equal_results(found, *by_distance_and_id(dtw_cdist(queries, gallery), 3))
    shares = found.pruning.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["by_mean"] > 0.3
    assert shares["by_segments"] > 0.005
    assert shares["abandoned"] > 0.005
    assert shares["measured"] < 0.4


@at_every_level
def test_what_later_additions_round_away_is_not_counted(level):
    """A million plus 0.03, 800 times, stays a million in float32, nearer than the others; the segments say 24 more."""
    near = np.concatenate([[[1000.0]], np.full((800, 1), np.sqrt(0.03))]).astype(np.float32)
    pair = np.float32(np.sqrt(500_005.0))
    others = [sign * np.array([[pair], [-pair]], np.float32) for sign in (1, -1) * 8]
    query, gallery = np.zeros((1, 1), np.float32), [*others, near]
    with forced(level):
        distances = dtw_cdist([query], gallery)
        assert distances[0].argmin() == 16
        for form in (gallery, SequenceTable.from_sequences(gallery)):
            assert_equal_results(dtw_topk(query, form, 1), *by_distance_and_id(distances, 1))


def test_a_longer_query_is_pruned_too():
    """Ten times longer than what it is compared with: its own frames are counted."""
    gallery = clustered(3, 800, 16, longest=3, spread=20.0)
    query = np.repeat(gallery[10], 30, axis=0)
    found = dtw_topk(query, gallery, 2, prune=True)
    assert_equal_results(found, *by_distance_and_id(dtw_cdist([query], gallery), 2))
    assert found.ids[0, 0] == 10
    assert found.pruning.shares()["by_mean"] > 0.5


def test_nothing_to_prune_in_noise_and_all_measured_on_demand():
    rng = np.random.default_rng(4)
    gallery = rng.normal(size=(200, 6, 64))
    queries = rng.normal(size=(3, 6, 64))
    distances = dtw_cdist(queries, gallery)
    assert_equal_results(dtw_topk(queries, gallery, 9, reverse=None), *by_distance_and_id(distances, 9))
    plain = dtw_topk(queries, gallery, 9, reverse=None, prune=False)
    assert_equal_results(plain, *by_distance_and_id(distances, 9))
    assert plain.pruning.measured.tolist() == [200, 200, 200]
    assert plain.pruning.by_mean.sum() == plain.pruning.by_segments.sum() == plain.pruning.abandoned.sum() == 0


@pytest.mark.parametrize("level", available_simd_levels()[1:])
def test_pruning_is_the_same_at_every_level(level):
    gallery, queries = clustered(5, 400, 33), clustered(6, 4, 33)
    with forced(available_simd_levels()[0]):
        expected = dtw_topk(queries, gallery, 4)
    with forced(level):
        found = dtw_topk(queries, gallery, 4)
    assert_equal_results(found, expected.ids, expected.distances)


def test_one_distance_whatever_the_gallery():
    """The same bits from `dtw`, from any gallery, block and shard; so results of shards can be merged."""
    gallery, query = clustered(7, 90, 50), clustered(8, 1, 50)[0]
    alone = np.array([dtw(query, member) for member in gallery], np.float32)
    np.testing.assert_array_equal(dtw_cdist(query, gallery)[0], alone)
    np.testing.assert_array_equal(dtw_cdist(gallery, [query])[:, 0], alone)
    np.testing.assert_array_equal(dtw_cdist(query, gallery[37:61])[0], alone[37:61])


def test_equal_sequences_by_id():
    rng = np.random.default_rng(9)
    member = rng.normal(size=(5, 8))
    found = dtw_topk(member, [member + 1, *[member] * 70, member], 71)
    assert found.ids[0].tolist() == list(range(1, 72))
    assert not found.distances.any()


def test_forms_of_queries_and_galleries():
    gallery, queries = clustered(10, 20, 4), clustered(11, 3, 4)
    expected = dtw_topk(queries, gallery, 5)
    table = SequenceTable.from_sequences(gallery)
    for form in (tuple(gallery), table, [member.astype(">f8") for member in gallery], list(table)):
        assert_equal_results(dtw_topk(queries, form, 5), expected.ids, expected.distances)
    for i, query in enumerate(queries):
        single = dtw_topk(query, table, 5)
        assert_equal_results(single, expected.ids[i : i + 1], expected.distances[i : i + 1])
        assert_equal_results(dtw_topk(query.tolist(), table, 5), single.ids, single.distances)
    batch = dtw_topk(SequenceTable.from_sequences(queries), gallery, 5)
    assert_equal_results(batch, expected.ids, expected.distances)
    cube = np.random.default_rng(1).normal(size=(7, 3, 4)).astype("f4")
    assert_equal_results(dtw_topk(cube, cube, 1), np.arange(7)[:, None], np.zeros((7, 1)))


def test_progress_is_told_and_can_stop():
    gallery, queries = clustered(12, 60, 4), clustered(13, 4, 4)
    calls: list[tuple[int, int]] = []
    dtw_topk(queries, gallery, 3, progress=lambda done, total: calls.append((done, total)))
    dtw_cdist(queries, gallery, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (240, 240)
    assert (240, 240) in calls[:-1]

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        dtw_topk(queries, gallery, 3, progress=stop)


def test_table_from_disk(tmp_path):
    sequences = clustered(14, 30, 6)
    table = SequenceTable.from_sequences(sequences)
    table.save(tmp_path / "deep" / "table")
    for mmap in (True, False):
        loaded = SequenceTable.load(tmp_path / "deep" / "table", mmap=mmap)
        assert isinstance(loaded.values.base, np.memmap) == mmap
        assert len(loaded) == 30
        assert loaded.dimensions == 6
        np.testing.assert_array_equal(loaded.lengths, [len(s) for s in sequences])
        for mine, given_ in zip(loaded, sequences, strict=True):
            np.testing.assert_array_equal(mine, given_)
        np.testing.assert_array_equal(loaded[-1], sequences[-1])
        assert [len(s) for s in loaded[3:9:2]] == [len(s) for s in sequences[3:9:2]]
        found, expected = dtw_topk(sequences[3], loaded, 4), dtw_topk(sequences[3], sequences, 4)
        assert_equal_results(found, expected.ids, expected.distances)
    with pytest.raises(IndexError):
        table[30]
    assert {path.name for path in (tmp_path / "deep" / "table").iterdir()} == {"values.npy", "offsets.npy"}


def test_damaged_tables_are_refused(tmp_path):
    table = SequenceTable.from_sequences(clustered(15, 5, 3))
    with pytest.raises(FileNotFoundError):
        SequenceTable.load(tmp_path)
    values, offsets = tmp_path / "values.npy", tmp_path / "offsets.npy"
    table.save(tmp_path)
    whole = values.read_bytes()
    for content in (whole[:-40], whole[:20], b"", b"garbage" * 50):
        values.write_bytes(content)
        for mmap in (True, False):
            with pytest.raises(IndexFormatError, match="holds no sequence table"):
                SequenceTable.load(tmp_path, mmap=mmap)
    np.save(values, table.values.astype(np.float64))
    with pytest.raises(IndexFormatError, match="float32"):
        SequenceTable.load(tmp_path)
    np.save(values, table.values)
    np.save(offsets, table.offsets + 1)
    with pytest.raises(IndexFormatError, match="offsets must run from 0"):
        SequenceTable.load(tmp_path)
    np.save(offsets, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(IndexFormatError, match="pickle"):
        SequenceTable.load(tmp_path)


def test_one_table_searched_by_several_threads_at_once():
    table, queries = SequenceTable.from_sequences(clustered(16, 200, 8)), clustered(17, 6, 8)
    expected = dtw_topk(queries, list(table), 5)
    found: dict[int, object] = {}
    workers = [threading.Thread(target=lambda i=i: found.update({i: dtw_topk(queries[i], table, 5)})) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(6):
        np.testing.assert_array_equal(found[i].ids[0], expected.ids[i])


@pytest.mark.slow
def test_real_sequences(shared_media):
    """UCF101 features, every 20th test video against the training videos."""
    with np.load(shared_media / "data" / "ucf101_15_vgg16.npz") as data:
        features, split = data["features"], data["split"]
    table = SequenceTable.from_sequences(features[split == "train"])
    queries = features[split == "test"][::20]
    for reverse in (None, "query"):
        found = dtw_topk(queries, table, 10, reverse=reverse)
        assert_equal_results(found, *by_distance_and_id(dtw_cdist(queries, table, reverse=reverse), 10))
        assert found.pruning.shares()["measured"] < 0.1
