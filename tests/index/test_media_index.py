"""An index grows, shrinks, persists, and says clearly what it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from index_results import keys_of
from signed_manifests import resign

from jaxret.errors import ConfigError, EncoderMismatchError, IndexFormatError, JaxretError
from jaxret.index import EncoderRecord, MediaIndex, MediaItem, Rows, Space
from jaxret.preprocessing import Preprocessing


def keys(index):
    return [item.key for item in index.items]


def test_what_is_added_is_there_after_opening_again(make):
    index = make.empty(Space("frame", 3), Space("clip", 2, dtype="float16", metrics=("cosine",)))
    items = [
        MediaItem("a.mp4", "video", "walk", "film", "train", "/media/a.mp4", 12.25),
        MediaItem("b \u00e9\n\udcff.jpg", "image"),
    ]
    rng = np.random.default_rng(0)
    frames, clips = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(2, 2))
    index.add(
        items,
        {
            "frame": Rows(frames, [1, 0, 0, 0, 0], [0, 3, 1, 2, 4], [0, 3, 1, 2, 4]),
            "clip": Rows(clips, [0, 0], [0.0, 10.0], [10.0, 12.25]),
        },
    )
    again = MediaIndex.open(index.folder)
    assert again.items == tuple(items)
    assert again.encoder == make.encoder
    assert again.spaces == index.spaces
    assert again.revision == 2
    stored = again.rows("frame")
    np.testing.assert_array_equal(stored.vectors, frames[[1, 2, 3, 4, 0]])  # by item, order kept
    assert stored.items.tolist() == [0, 0, 0, 0, 1]
    assert stored.starts.tolist() == [3, 1, 2, 4, 0]
    clip = again.rows("clip")
    assert clip.vectors.dtype == np.float16
    np.testing.assert_array_equal(clip.vectors, clips.astype(np.float32).astype(np.float16))
    assert clip.ends.tolist() == [10.0, 12.25]
    assert again.count_rows("frame") == 5
    assert again.id_of("a.mp4") == 0
    assert "a.mp4" in again
    assert "c" not in again
    again.verify()


def test_an_item_without_a_source_is_its_own(make):
    assert MediaItem("x", "image").source == "x"


def test_an_empty_index_finds_nothing(make):
    index = make.empty()
    assert len(index) == 0
    assert index.search("frame", np.zeros(3, np.float32), 2).ids.tolist() == [[-1, -1]]
    assert index.rows("frame").vectors.shape == (0, 3)
    index.compact()
    index.verify()


def test_remove_renumbers_and_compact_changes_nothing_but_size(make):
    index = make.filled()
    assert keys(index) == ["a", "c", "d"]
    query = np.zeros(3, np.float32)
    before = index.search("frame", query, 3)
    assert before.ids.tolist() == [[0, 1, 2]]
    assert before.distances.tolist() == [[0, 2, 3]]
    rows_before = index.rows("frame")
    index.compact()
    after = index.search("frame", query, 3)
    np.testing.assert_array_equal(after.ids, before.ids)
    np.testing.assert_array_equal(index.rows("frame").vectors, rows_before.vectors)
    assert [p.name for p in (index.folder / "segments").iterdir()] == ["000004"]
    assert keys(MediaIndex.open(index.folder)) == ["a", "c", "d"]
    revision = index.revision
    index.compact()  # nothing left to do
    assert index.revision == revision


def test_removing_everything_leaves_a_usable_index(make):
    index = make.filled()
    index.remove(["a", "c", "d"])
    assert len(index) == 0
    assert not list((index.folder / "segments").iterdir())
    index.add([make.item("a")], {"frame": make.rows([[1, 2, 3]])})
    assert keys(MediaIndex.open(index.folder)) == ["a"]


def test_replace_moves_items_to_the_end(make):
    index = make.filled()
    with pytest.raises(ValueError, match="key 'c' is in the index already"):
        index.add([make.item("e"), make.item("c")], {"frame": make.rows([[0, 0, 7]], [[0, 0, 8]])})
    assert keys(index) == ["a", "c", "d"]
    index.add([make.item("e"), make.item("c")], {"frame": make.rows([[0, 0, 7]], [[0, 0, 8]])}, replace=True)
    assert keys(index) == ["a", "d", "e", "c"]
    found = index.search("frame", np.array([0, 0, 8], np.float32), 1)
    assert keys_of(found)[0] == "c"
    index.verify()


def test_a_removed_key_may_come_again(make):
    index = make.filled()
    index.add([make.item("b")], {"frame": make.rows([[1, 1, 1]])})
    assert keys(index) == ["a", "c", "d", "b"]


@pytest.mark.parametrize("wanted", [["zzz"], ["a", "zzz"]])
def test_removing_an_unknown_key_removes_nothing(make, wanted):
    index = make.filled()
    with pytest.raises(ValueError, match="key 'zzz' is not in the index"):
        index.remove(wanted)
    assert keys(MediaIndex.open(index.folder)) == ["a", "c", "d"]
    with pytest.raises(TypeError, match="collection of keys, got the string 'a'"):
        index.remove("a")


GOOD = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("names", "rows", "error", "message"),
    [
        ([], {}, ValueError, "items must hold at least one"),
        (["x", "x"], {"frame": Rows(GOOD, [0, 1])}, ValueError, "items hold the key 'x' 2 times"),
        (["x", "y"], {"frame": Rows(GOOD, [0, 0])}, ValueError, "item 'y' has no row in any space"),
        (["x"], {"clip": Rows(GOOD, [0, 0])}, ValueError, "space among frame, got 'clip'"),
        (["x"], {"frame": Rows(GOOD[:, :2], [0, 0])}, ValueError, "must have dimension 3, got 2"),
        (
            ["x"],
            {"frame": Rows(GOOD[0], [0])},
            ValueError,
            r"vectors of space 'frame' must have the shape",
        ),
        (["x"], {"frame": Rows(GOOD.astype(int), [0, 0])}, TypeError, "must have a float dtype"),
        (
            ["x"],
            {"frame": Rows(np.ma.masked_equal(GOOD * [1, 1, 0], 0), [0, 0])},
            ValueError,
            "vectors of space 'frame' must have a value everywhere, got 2 masked ones",
        ),
        (["x"], {"frame": Rows(GOOD * [[1], [np.nan]], [0, 0])}, ValueError, "row 1 is not"),
        (
            ["x"],
            {"frame": Rows(GOOD.astype(np.float64) * 1e300, [0, 0])},
            ValueError,
            "finite in float32, row 0 is not",
        ),
        (
            ["x"],
            {"frame": Rows(GOOD, [0, 1])},
            ValueError,
            r"items .* must lie in 0 \.\. 0, got 0 \.\. 1",
        ),
        (["x"], {"frame": Rows(GOOD, [0, -1])}, ValueError, r"must lie in 0 \.\. 0, got -1"),
        (
            ["x"],
            {"frame": Rows(GOOD, [0])},
            ValueError,
            "items of space 'frame' must be 2 whole numbers",
        ),
        (["x"], {"frame": Rows(GOOD, [0.0, 0.0])}, ValueError, "must be 2 whole numbers, got float64"),
        (["x"], {"frame": Rows(GOOD, [0, 0], [0])}, ValueError, "starts of space 'frame' must be 2"),
        (["x"], {"frame": Rows(GOOD, [0, 0], [0, -1])}, ValueError, "at least 0"),
        (["x"], {"frame": Rows(GOOD, [0, 0], None, [0, np.inf])}, ValueError, "ends .* finite"),
        (
            ["x"],
            {"frame": Rows(GOOD, [0, 0], [0, 2], [0, 1])},
            ValueError,
            r"row 1 .* ends \(1.0 s\) before",
        ),
    ],
)
def test_add_refuses_and_adds_nothing(make, names, rows, error, message):
    index = make.empty()
    with pytest.raises(error, match=message):
        index.add([make.item(name) for name in names], rows)
    assert len(MediaIndex.open(index.folder)) == 0
    assert not list((index.folder / "segments").iterdir())


def test_float16_overflow_is_refused_not_stored_as_infinity(make):
    index = make.empty(Space("frame", 3, dtype="float16"))
    with pytest.raises(ValueError, match="must be finite in float16, row 1 is not"):
        index.add([make.item("x")], {"frame": Rows(GOOD * [[1], [1e5]], [0, 0])})


def test_add_wants_items(make):
    with pytest.raises(TypeError, match="items must be MediaItem, got str"):
        make.empty().add(["x"], {"frame": Rows(GOOD, [0, 0])})


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"key": ""}, ValueError, "key must not be empty"),
        ({"key": 3}, TypeError, "key must be a string, got 3"),
        ({"kind": "audio"}, ValueError, "kind of item 'x' must be image or video, got 'audio'"),
        ({"label": 7}, TypeError, "label of item 'x' must be a string or None, got 7"),
        ({"source": None}, TypeError, "source must be a string, got None"),
        ({"duration": -1.0}, ValueError, "duration of item 'x' must be finite and at least 0"),
        ({"duration": float("nan")}, ValueError, "duration of item 'x'"),
        ({"duration": "3"}, TypeError, "duration of item 'x' must be seconds or None"),
    ],
)
def test_items_are_checked(fields, error, message):
    with pytest.raises(error, match=message):
        MediaItem(**({"key": "x", "kind": "video"} | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "../x"}, "lower-case letters"),
        ({"name": ""}, "lower-case letters"),
        ({"dimension": 0}, "dimension of space 'frame' must be at least 1, got 0"),
        ({"dimension": True}, "dimension of space 'frame'"),
        ({"dtype": "int8"}, "dtype of space 'frame' must be float32 or float16, got 'int8'"),
        ({"metrics": ()}, "metrics of space 'frame' must name at least one"),
        ({"metrics": ("l1",)}, "must be euclidean or cosine, got 'l1'"),
    ],
)
def test_spaces_are_checked(fields, message):
    with pytest.raises(ValueError, match=message):
        Space(**({"name": "frame", "dimension": 3} | fields))


def test_create_refuses_what_it_could_overwrite_or_not_write(make, tmp_path):
    index = make.filled()
    with pytest.raises(ConfigError, match="holds an index already"):
        MediaIndex.create(index.folder, spaces=[Space("frame", 3)], encoder=make.encoder)
    assert keys(MediaIndex.open(index.folder)) == ["a", "c", "d"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"not empty \(it holds cat.jpg\)"):
        MediaIndex.create(tmp_path / "photos", spaces=[Space("frame", 3)], encoder=make.encoder)
    with pytest.raises(ValueError, match="spaces must be at least one"):
        MediaIndex.create(tmp_path / "new", spaces=[], encoder=make.encoder)
    with pytest.raises(ValueError, match="of different names"):
        MediaIndex.create(tmp_path / "new", spaces=[Space("a", 3), Space("a", 4)], encoder=make.encoder)
    with pytest.raises(IndexFormatError, match="representation 'bag', and this version can create"):
        MediaIndex.create(tmp_path / "new", spaces=[Space("a", 3, "bag")], encoder=make.encoder)


def test_an_encoder_folder_may_be_there_first_and_is_left_alone(make, tmp_path):
    (tmp_path / "index" / "encoder").mkdir(parents=True)
    (tmp_path / "index" / "encoder" / "encoder.json").write_text("{}")
    index = MediaIndex.create(tmp_path / "index", spaces=[Space("frame", 3)], encoder=make.encoder)
    index.add([make.item("a")], {"frame": make.rows([[1, 2, 3]])})
    index.remove(["a"])
    index.compact()
    assert (index.folder / "encoder" / "encoder.json").read_text() == "{}"


def test_an_open_index_does_not_follow_a_folder_to_another_encoder(make):
    index = make.filled()
    items = list(index.items)
    shutil.rmtree(index.folder)
    other = EncoderRecord("sha256:new", Preprocessing())
    anew = MediaIndex.create(index.folder, spaces=index.spaces.values(), encoder=other)
    anew.add([make.item("of another encoder")], {"frame": Rows(np.zeros((1, 3), np.float32), [0])})
    for change in (
        index.refresh,
        lambda: index.add([make.item("z")], {"frame": Rows(np.zeros((1, 3), np.float32), [0])}),
        lambda: index.remove(["a"]),
    ):
        with pytest.raises(EncoderMismatchError, match="encoder sha256:new; it was opened with sha256:abc"):
            change()
    assert list(index.items) == items
    assert keys(MediaIndex.open(index.folder)) == ["of another encoder"]


def test_an_open_index_does_not_follow_a_folder_to_other_preprocessing(make):
    index = make.filled()
    shutil.rmtree(index.folder)
    other = dataclasses.replace(make.encoder, preprocessing=Preprocessing(height=64, width=64))
    MediaIndex.create(index.folder, spaces=index.spaces.values(), encoder=other)
    with pytest.raises(EncoderMismatchError, match="made anew with other preprocessing: open it again"):
        index.refresh()


def test_refresh_tells_of_a_folder_that_was_made_anew_at_the_same_revision(make):
    index = make.empty()
    index.add([make.item("a")], {"frame": Rows(np.zeros((1, 3), np.float32), [0])})
    shutil.rmtree(index.folder)
    anew = MediaIndex.create(index.folder, spaces=index.spaces.values(), encoder=make.encoder)
    anew.add([make.item("b")], {"frame": Rows(np.ones((1, 3), np.float32), [0])})
    assert anew.revision == index.revision
    assert index.refresh()
    assert keys(index) == ["b"]
    assert not index.refresh()


def test_check_encoder_names_both(make):
    index = make.empty()
    index.check_encoder("sha256:abc", Preprocessing())
    with pytest.raises(EncoderMismatchError, match="made by encoder 'sha256:abc', the query by 'sha256:xyz'"):
        index.check_encoder("sha256:xyz", Preprocessing())
    with pytest.raises(EncoderMismatchError, match=r"\(height: index 224, query 112; frames: index 16, query 8\)"):
        index.check_encoder("sha256:abc", Preprocessing(height=112, frames=8))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", Preprocessing()), ValueError),
        (("x", {"height": 3}), TypeError),
        (("x", Preprocessing(), {"a": object()}), ValueError),
        (("x", Preprocessing(), {"a": float("nan")}), ValueError),
    ],
)
def test_encoder_records_are_checked(arguments, error):
    with pytest.raises(error):
        EncoderRecord(*arguments)


def test_an_index_can_be_copied_and_read_from_a_read_only_folder(make, tmp_path):
    index = make.filled()
    copy = tmp_path / "elsewhere"
    shutil.copytree(index.folder, copy)
    shutil.rmtree(index.folder)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        found = MediaIndex.open(copy).search("frame", np.zeros(3, np.float32), 1)
        assert keys_of(found)[0] == "a"
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)


def test_vectors_are_mapped_read_only(make):
    index = make.filled()
    for _, rows in index._snapshot.segment_rows("frame"):
        assert isinstance(rows.vectors, np.memmap)
        assert not rows.vectors.flags.writeable


def test_a_space_of_a_future_kind_is_opened_kept_and_not_searched(make):
    """A later version may add `bag` spaces with arrays of their own; format version 1 carries them along."""
    index = make.filled()
    extra = index.folder / "segments" / "000001" / "words.counts.npy"
    np.save(extra, np.zeros((4, 200), np.uint16))
    words = {"name": "words", "dimension": 200, "representation": "bag", "dtype": "uint16", "metrics": ["idf-cosine"]}
    counts = {
        "file": "segments/000001/words.counts.npy",
        "size": extra.stat().st_size,
        "sha256": hashlib.sha256(extra.read_bytes()).hexdigest(),
        "dtype": "uint16",
        "shape": [4, 200],
    }

    def with_words(body):
        body["spaces"].append(words)
        body["segments"][0]["arrays"]["words"] = {"counts": counts}

    resign(index.folder, with_words)

    index = MediaIndex.open(index.folder)
    assert index.search("frame", np.zeros(3, np.float32), 1).ids.tolist() == [[0]]
    index.add([make.item("e")], {"frame": make.rows([[1, 1, 1]])})
    index.verify()
    assert extra.exists()
    with pytest.raises(IndexFormatError, match="space 'words' has representation 'bag'"):
        index.search("words", np.zeros(200, np.float32), 1)
    with pytest.raises(IndexFormatError, match="can compact spaces of vectors, codes and records only"):
        index.compact()


def test_many_segments_compact_across_block_seams(make, monkeypatch):
    monkeypatch.setattr("jaxret.index.snapshot.BLOCK_ROWS", 3)
    rng = np.random.default_rng(1)
    index = make.empty(Space("frame", 4), Space("clip", 2))
    for s in range(5):
        items = [make.item(f"{s}/{i}") for i in range(4)]
        frames = rng.normal(size=(4, 2, 4)).astype(np.float32)
        clips = rng.normal(size=(2, 1, 2)).astype(np.float32)
        index.add(items, {"frame": make.rows(*frames), "clip": make.rows(*clips)})
    index.remove(["0/0", "0/1", "2/3", "4/0"])
    before = {name: index.rows(name) for name in index.spaces}
    index.compact()
    index.verify()
    for name, rows in before.items():
        after = MediaIndex.open(index.folder).rows(name)
        for field in ("vectors", "items", "starts", "ends"):
            np.testing.assert_array_equal(getattr(after, field), getattr(rows, field))


def test_index_imports_no_jax_pyav_or_grain():
    code = "import sys, jaxret.index; sys.exit(bool({'jax', 'av', 'grain', 'flax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_index_errors_are_jaxret_errors(tmp_path):
    with pytest.raises(JaxretError, match="is not an index"):
        MediaIndex.open(tmp_path)
    with pytest.raises(IndexFormatError, match="is not an index"):
        MediaIndex.open(tmp_path / "nowhere")
