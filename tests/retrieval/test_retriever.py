"""Files in, matches out: clips, images, re-encoded queries, additions in parts, and bad input."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip_encoder import make_encoder

from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.write import write_video
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, EncoderMismatchError, MediaError, WeightsError
from jaxret.retrieval import Retriever, VectorSearch
from jaxret.retrieval.systems.alignment import FrameSequence, align


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of one second by class, one of three seconds, an image, and a broken file."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, size=48)
    digits.write_media_folder(root, indices=range(0, 80, 8))
    next(root.glob("*.csv")).unlink()
    long = np.concatenate([digits.render([number])[0] for number in (1, 2, 3)])
    write_video(root / "0-left" / "long.mp4", long, fps=12)
    image = digits.render([4])[0][5]
    Image.fromarray(image).save(root / "0-left" / "picture.png")
    (root / "0-left" / "broken.mp4").write_bytes(b"not a video at all" * 100)
    return root


@pytest.fixture(scope="module")
def retriever(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    retriever = Retriever.create(tmp_path_factory.mktemp("index") / "index", make_encoder())
    retriever.add(open_dataset(folder))
    return retriever


def test_every_file_finds_itself_first(folder: Path, retriever: Retriever) -> None:
    files = [path for path in folder.rglob("*.*") if path.name != "broken.mp4"]
    assert len(files) == len(retriever.index) == 12
    for path in files:
        first = retriever.search(path, 3)[0]
        assert Path(first.item.path) == path.resolve()
        assert first.distance == pytest.approx(0, abs=1e-3)


def test_a_frame_as_image_finds_its_video_and_the_moment(folder: Path, retriever: Retriever, tmp_path: Path) -> None:
    with open_dataset(folder / "0-left" / "long.mp4").open(0) as reader:
        frame = reader.read_at([1.9])[0]
        time = reader.times[np.searchsorted(reader.times, 1.9, side="right") - 1]
    Image.fromarray(frame).save(tmp_path / "frame.png")
    best = retriever.search(tmp_path / "frame.png", 2)[0]
    assert best.item.key == "0-left/long.mp4"
    # Four frames a second are indexed: the moment is known to a quarter of a second.
    assert best.start == best.end == pytest.approx(time, abs=0.25)


def test_a_part_of_a_long_video_is_found_with_its_span(folder: Path, retriever: Retriever, tmp_path: Path) -> None:
    with open_dataset(folder / "0-left" / "long.mp4").open(0) as reader:
        part = reader.read(range(24, 36))
    write_video(tmp_path / "part.mp4", part, fps=12)
    best = retriever.search(tmp_path / "part.mp4", 1)[0]
    assert best.item.key == "0-left/long.mp4"
    assert (best.start, best.end) == pytest.approx((2.0, 3.0))
    assert best.query_span == pytest.approx((0.0, 1.0))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_video_in_the_frame_space_counts_by_its_aligned_frames(
    folder: Path, retriever: Retriever, metric: str
) -> None:
    query = folder / "0-left" / "long.mp4"
    stored = retriever.index.rows("frame")
    vectors, owners, times = (np.asarray(part) for part in (stored.vectors, stored.items, stored.starts))
    if metric == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    frames = [FrameSequence(vectors[owners == item], times[owners == item]) for item in range(len(retriever.index))]
    asked = frames[retriever.index.id_of("0-left/long.mp4")]
    squared = [align(asked, other).squared_distance for other in frames]
    expected = {
        item.key: value / 2 if metric == "cosine" else value**0.5
        for item, value in zip(retriever.index.items, squared, strict=True)
    }
    found = retriever.search(query, 12, options=VectorSearch(space="frame", metric=metric))
    assert [m.item.key for m in found] == sorted(expected, key=lambda key: expected[key])[:12]
    assert found[0].item.key == "0-left/long.mp4"
    for match in found:
        assert match.distance == pytest.approx(expected[match.item.key], rel=1e-3, abs=2e-3)


def test_par_in_the_frame_space_filters_by_the_cosine_of_aligned_frames(folder: Path, retriever: Retriever) -> None:
    query = folder / "0-left" / "long.mp4"
    plain = retriever.search(query, 5, options=VectorSearch(space="frame"))
    cosines = sorted(match.cosine for match in plain)
    kept = retriever.search(query, 5, options=VectorSearch(space="frame", min_cosine=cosines[2]))
    assert [match.item.key for match in kept] == [m.item.key for m in plain if m.cosine > cosines[2]]
    with pytest.raises(ValueError, match="min_cosine must be a finite number, got nan"):
        retriever.search(query, 5, options=VectorSearch(space="frame", min_cosine=float("nan")))


def test_a_smaller_cropped_copy_is_found_frame_by_frame(folder: Path, retriever: Retriever, tmp_path: Path) -> None:
    for path in sorted(folder.glob("*/*.mp4")):
        if path.name == "broken.mp4":
            continue
        with open_dataset(path).open(0) as reader:
            frames = reader.read()
        small = [Image.fromarray(f[2:46, 2:46]).resize((36, 36), Image.Resampling.BICUBIC) for f in frames]
        write_video(tmp_path / "copy.mp4", np.stack([np.asarray(f) for f in small]), fps=12, options={"crf": "26"})
        best = retriever.search(tmp_path / "copy.mp4", 1, options=VectorSearch(space="frame"))[0]
        assert Path(best.item.path) == path.resolve()


def test_par_keeps_the_near_ones_above_the_threshold(folder: Path, retriever: Retriever) -> None:
    query = folder / "0-left" / "long.mp4"
    nearest = retriever.search(query, 12)
    kept = retriever.search(query, 12, options=VectorSearch(min_cosine=0.9))
    assert 1 <= len(kept) <= len(nearest)
    assert all(match.cosine > 0.9 for match in kept)
    assert retriever.search(query, 12, options=VectorSearch(min_cosine=1.0)) == []


def test_images_and_videos_share_the_frame_space(folder: Path, retriever: Retriever) -> None:
    query = folder / "0-left" / "picture.png"
    assert {match.item.kind for match in retriever.search(query, 12)} == {"image", "video"}
    assert {match.item.kind for match in retriever.search(query, 12, kinds=("video",))} == {"video"}
    video = next((folder / "1-left").glob("*.mp4"), None) or next(folder.glob("*/*.mp4"))
    assert "image" in {match.item.kind for match in retriever.search(video, 12, options=VectorSearch(space="frame"))}
    with pytest.raises(ValueError, match="frame space"):
        retriever.search(query, options=VectorSearch(space="clip"))


def test_a_video_finds_images_by_its_frame_that_is_nearest(folder: Path, retriever: Retriever) -> None:
    video = folder / "0-left" / "long.mp4"
    stored = retriever.index.rows("frame")
    owners, vectors = np.asarray(stored.items), np.asarray(stored.vectors)
    own = owners == retriever.index.id_of("0-left/long.mp4")
    expected = []
    for number, item in enumerate(retriever.index.items):
        if item.kind == "image":
            distances = np.linalg.norm(vectors[own] - vectors[owners == number], axis=1)
            nearest = float(np.asarray(stored.starts)[own][distances.argmin()])
            expected.append((float(distances.min()), item.key, nearest))
    found = retriever.search(video, 9, kinds=("image",))
    assert [match.item.key for match in found] == [key for _, key, _ in sorted(expected)]
    for match, (distance, _, second) in zip(found, sorted(expected), strict=True):
        assert match.distance == pytest.approx(distance, abs=1e-3)
        assert match.query_span == pytest.approx((second, second))


def test_adding_again_adds_nothing_and_what_failed_is_reported(folder: Path, retriever: Retriever) -> None:
    dataset = open_dataset(folder)
    assert [error.path.endswith("broken.mp4") for error in dataset.skipped] == [True]
    report = retriever.add(dataset)
    assert report.added == ()
    assert len(report.present) == 12


def test_a_file_that_breaks_after_probing_is_skipped_with_its_reason(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "media"
    shutil.copytree(folder, copy)
    dataset = open_dataset(copy)
    target = next((copy / "0-left").glob("long.mp4"))
    target.write_bytes(b"gone")
    fresh = Retriever.create(tmp_path / "index", make_encoder())
    report = fresh.add(dataset)
    assert [error.path for error in report.skipped] == [str(target)]
    assert "0-left/long.mp4" not in fresh.index
    assert len(report.added) == 11


def test_an_index_opens_elsewhere_with_its_own_encoder(folder: Path, retriever: Retriever, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(retriever.index.folder, moved)
    query = folder / "0-left" / "long.mp4"
    assert Retriever.open(moved).search(query, 5) == retriever.search(query, 5)


def test_a_foreign_or_damaged_encoder_is_refused(retriever: Retriever, tmp_path: Path) -> None:
    from jaxret.models.store import save_encoder

    foreign = tmp_path / "foreign"
    shutil.copytree(retriever.index.folder, foreign)
    save_encoder(make_encoder(seed=1), foreign / "encoder")
    with pytest.raises(EncoderMismatchError, match="was made by encoder"):
        Retriever.open(foreign)
    weights = foreign / "encoder" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(WeightsError, match=r"weights\.safetensors is damaged"):
        Retriever.open(foreign)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "no such file"),
        ("words.txt", b"words", "neither an image nor a video"),
        ("noise.mp4", b"\0\1\2" * 500, "noise.mp4"),
        ("noise.png", b"\0\1\2" * 500, "noise.png"),
        ("empty.mp4", b"", "empty.mp4"),
    ],
)
def test_a_bad_query_is_one_line(retriever: Retriever, tmp_path: Path, name, content, message) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=message) as caught:
        retriever.search(path)
    assert "\n" not in str(caught.value)


def test_figures_of_an_index_agree_between_its_own_and_outside_queries(
    folder: Path, retriever: Retriever, tmp_path: Path
) -> None:
    other = tmp_path / "media"
    shutil.copytree(folder, other)
    own = retriever.evaluate(ks=(1,)).figures
    # The same files from another place have the same keys, hence sources: they exclude themselves.
    outside = retriever.evaluate(open_dataset(other), ks=(1,)).figures
    assert own == outside
    assert own["all"]["queries"] == 2  # only 0-left has two videos


def test_queries_that_cannot_be_read_are_told(folder: Path, retriever: Retriever, tmp_path: Path, capsys) -> None:
    """Those that were found so when the folder was listed, and those that are found so when they are read."""
    other = tmp_path / "media"
    shutil.copytree(folder, other)
    (other / "0-left" / "broken.mp4").write_bytes(b"no film")
    queries = open_dataset(other)
    whole = retriever.evaluate(open_dataset(folder), ks=(1,))
    report = retriever.evaluate(queries, ks=(1,))
    assert report.figures == whole.figures
    (told,) = report.warnings
    count = len(queries) + 1
    assert re.fullmatch(rf"1 of {count} queries could not be read: first .*broken\.mp4 \(.+\)", told)
    assert str(report).endswith(f"\nwarning: {told}")
    assert report.to_json()["warnings"] == [told]
    gone = queries.items[0].path
    assert gone is not None
    Path(gone).unlink()
    assert f"2 of {count} queries could not be read: first " in retriever.evaluate(queries, ks=(1,)).warnings[0]
    shutil.rmtree(other)
    with pytest.raises(ConfigError, match=rf"nothing to measure: {count} of {count} queries could not be read: first "):
        retriever.evaluate(queries)
