"""Pictures that ask for shots: what is stored, found and ranked, against loops over all frames and shots."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from film_making import make_film
from flax import nnx
from PIL import Image

from jaxret.__main__ import dispatch
from jaxret.data.ground_truth.stanford_i2v import read_refinement_results, read_scene_results
from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import read_at_rate
from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone, Sum, TemporalEncoder, UnitLength, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.preprocessing import Preprocessing, ShotSampling
from jaxret.retrieval import Retriever, VectorSearch

RATE, MOST = 5.0, 3
LENGTHS = {"a.mp4": (6, 14, 9), "b.mp4": (20,), "c.mp4": (8, 12)}


def make_encoder() -> VideoEncoder:
    """Random weights; distances are small, so the threshold is one that the films' own cuts show."""
    net = create_backbone("small-convnet", widths=[8, 16], rngs=nnx.Rngs(0))
    pooled = PooledBackbone(net, "conv_2", pooling="spoc")
    sampling = ShotSampling(rate=RATE, cut_threshold=5e-4, max_frames=MOST, image_side=96)
    settings = Preprocessing(height=96, width=96, resize="limit", shots=sampling)
    return VideoEncoder(pooled, UnitLength(Sum(16, rngs=nnx.Rngs(0))), settings)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films of scenes, and the image of a moment of one."""
    root = tmp_path_factory.mktemp("films")
    for seed, (name, lengths) in enumerate(LENGTHS.items()):
        make_film(root / name, seed, lengths)
    with open_dataset(root).open(0) as reader:
        Image.fromarray(reader.read_at([1.0])[0]).save(root / "moment.png")
    return root


@pytest.fixture(scope="module")
def retriever(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    retriever = Retriever.create(tmp_path_factory.mktemp("index") / "index", make_encoder())
    retriever.add(open_dataset(films))
    return retriever


def slow_shots(films: Path) -> dict[str, list[tuple[float, float, np.ndarray, np.ndarray, np.ndarray]]]:
    """Of each film its shots: start, end, vector, and the times and vectors of their frames."""
    encoder, found = make_encoder(), {}
    for name, lengths in LENGTHS.items():
        with open_dataset(films / name).open(0) as reader:
            times, frames = zip(*read_at_rate(reader, RATE, encoder.preprocessing), strict=True)
        times = np.concatenate(times)
        vectors = np.asarray(encoder.encode_frames(np.concatenate(frames)))
        edges = np.concatenate([[0], np.cumsum(lengths)]) / 10
        shots = []
        for start, end in itertools.pairwise(edges):
            inside = np.flatnonzero((times >= start - 1e-9) & (times < end - 1e-9))
            first = float(times[inside[0]])  # a cut is seen at the first frame sampled after it
            count = len(inside)
            kept = inside if count <= MOST else inside[[(2 * i + 1) * count // (2 * MOST) for i in range(MOST)]]
            mean = vectors[kept].sum(axis=0)
            shots.append([first, float(end), mean / np.linalg.norm(mean), times[inside], vectors[inside]])
        for before, after in itertools.pairwise(shots):
            before[1] = after[0]
        found[name] = [tuple(shot) for shot in shots]
    return found


def test_the_index_holds_the_shots_of_the_films_and_the_image(films: Path, retriever: Retriever) -> None:
    rows = retriever.index.rows("clip")
    owners = [retriever.index.items[number].key for number in np.asarray(rows.items)]
    expected = slow_shots(films)
    for name, shots in expected.items():
        own = [place for place, owner in enumerate(owners) if owner == name]
        assert len(own) == len(LENGTHS[name])
        for place, (start, end, vector, _, _) in zip(own, shots, strict=True):
            assert (rows.starts[place], rows.ends[place]) == pytest.approx((start, end), abs=1e-6)
            np.testing.assert_allclose(rows.vectors[place], vector, atol=1e-5)
    image = owners.index("moment.png")
    assert (rows.starts[image], rows.ends[image]) == (0, 0)
    frames = retriever.index.rows("frame")
    assert frames.vectors.dtype == np.float16
    assert len(frames.vectors) == 1 + sum(len(shot[3]) for shots in expected.values() for shot in shots)


def test_an_image_finds_the_film_the_shot_and_the_moment(films: Path, retriever: Retriever) -> None:
    asked = np.asarray(make_encoder().encode_frames(np.asarray(Image.open(films / "moment.png"))[None]))[0]
    expected = []
    for name, shots in slow_shots(films).items():
        start, end, vector, times, vectors = min(shots, key=lambda shot: np.linalg.norm(shot[2] - asked))
        distances = np.linalg.norm(vectors - asked, axis=1)
        expected.append((np.linalg.norm(vector - asked), name, start, end, times[distances.argmin()], distances.min()))
    found = retriever.search(films / "moment.png", 4, kinds=("video",))
    assert [match.item.key for match in found] == [entry[1] for entry in sorted(expected)]
    for match, (distance, _, start, end, moment, nearest) in zip(found, sorted(expected), strict=True):
        assert match.distance == pytest.approx(distance, abs=1e-3)
        assert (match.start, match.end) == pytest.approx((start, end), abs=1e-6)
        assert match.moment == pytest.approx(moment, abs=1e-6)
        assert match.moment_distance == pytest.approx(nearest, abs=2e-3)  # frames are stored in half precision
    best = found[0]
    assert (best.item.key, best.start, best.end, best.moment) == ("a.mp4", 0.6, 2.0, pytest.approx(1.0))
    itself = retriever.search(films / "moment.png", 1)[0]
    assert (itself.item.key, itself.distance, itself.moment) == ("moment.png", pytest.approx(0, abs=1e-3), None)


def test_every_shot_is_a_result_of_its_own(films: Path, retriever: Retriever) -> None:
    asked = np.asarray(make_encoder().encode_frames(np.asarray(Image.open(films / "moment.png"))[None]))[0]
    shots = [(np.linalg.norm(s[2] - asked), name, s[0]) for name, all_of in slow_shots(films).items() for s in all_of]
    found = retriever.search(films / "moment.png", 5, options=VectorSearch(every_clip=True), kinds=("video",))
    assert [(m.item.key, pytest.approx(m.start, abs=1e-6)) for m in found] == [(n, s) for _, n, s in sorted(shots)[:5]]
    cosine = retriever.search(
        films / "moment.png", 5, options=VectorSearch(every_clip=True, metric="cosine"), kinds=("video",)
    )
    assert [match.start for match in cosine] == [match.start for match in found]  # all vectors are of length 1
    assert cosine[0].distance == pytest.approx(found[0].distance ** 2 / 2, abs=1e-4)
    # Of a film the nearest of its shots, so that several of its shots ask for the same ones.
    video = retriever.search(films / "a.mp4", 3, options=VectorSearch(every_clip=True))
    assert [match.distance for match in video] == pytest.approx([0, 0, 0], abs=2e-3)
    assert [match.start for match in video] == pytest.approx([match.query_span[0] for match in video])


def test_shots_are_put_in_order_by_their_frames(films: Path, retriever: Retriever) -> None:
    asked = np.asarray(make_encoder().encode_frames(np.asarray(Image.open(films / "moment.png"))[None]))[0]
    frames = [
        (np.linalg.norm(shot[4] - asked, axis=1).min(), name, shot[0])
        for name, all_of in slow_shots(films).items()
        for shot in all_of
    ]
    found = retriever.search(films / "moment.png", 3, options=VectorSearch(rerank=7, every_clip=True), kinds=("video",))
    assert [match.item.key for match in found] == [name for _, name, _ in sorted(frames)[:3]]
    assert [match.distance for match in found] == [match.moment_distance for match in found]
    assert sorted(match.distance for match in found) == [match.distance for match in found]


def test_an_index_of_shots_alone_is_smaller_and_has_no_moments(films: Path, retriever: Retriever, tmp_path) -> None:
    small = Retriever.create(tmp_path / "index", make_encoder(), frames=False)
    small.add(open_dataset(films))
    found, whole = (each.search(films / "moment.png", 3, kinds=("video",)) for each in (small, retriever))
    assert [(m.item.key, m.start, m.end) for m in found] == [(m.item.key, m.start, m.end) for m in whole]
    assert [match.moment for match in found] == [None] * 3
    hours = sum(item.duration for item in retriever.index.items) / 3600
    assert retriever.bytes_an_hour("clip") == pytest.approx(7 * 16 * 4 / hours)
    assert retriever.bytes_an_hour("frame") == pytest.approx(retriever.index.count_rows("frame") * 16 * 2 / hours)
    for options, message in (
        ({"space": "frame"}, "keeps no single frames: search its shots"),
        ({"rerank": 5}, "rerank puts shots in order by their frames, and the index keeps no single frames"),
    ):
        with pytest.raises(ValueError, match=message):
            small.search(films / "moment.png", 1, options=VectorSearch(**options))
    with pytest.raises(ConfigError, match="nothing to measure: no query has a relevant item of another source"):
        small.evaluate(options=VectorSearch(metric="cosine"))  # nothing has a label


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("moment.png", {"rerank": 2}, "rerank must be at least k = 3, got 2"),
        ("a.mp4", {"rerank": 5}, "it needs the code space, got 'clip'"),
        ("moment.png", {"space": "code"}, "the index has no codes"),
        ("moment.png", {"every_clip": True, "space": "frame"}, "needs the clip space"),
        ("moment.png", {"every_clip": True, "min_cosine": 0.5}, "without min_cosine, probes and device"),
    ],
)
def test_what_does_not_fit_is_named(films: Path, retriever: Retriever, name, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        retriever.search(films / name, 3, options=VectorSearch(**options))


def test_parts_that_make_no_encoder_of_shots_are_named(tmp_path: Path) -> None:
    shots = make_encoder()
    with pytest.raises(ConfigError, match="both need vectors of one size, but pooled gives 16 and the temporal enc"):
        VideoEncoder(shots.backbone, TemporalEncoder(16, 8, rngs=nnx.Rngs(0)), shots.preprocessing)
    whole = create_backbone("c3d", width=1 / 64, embedding_size=16, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="shots are found between frames, and c3d takes chunks"):
        VideoEncoder(whole, Sum(16, rngs=nnx.Rngs(0)), shots.preprocessing)
    chunks = VideoEncoder(shots.backbone, Sum(16, rngs=nnx.Rngs(0)), Preprocessing(height=96, width=96))
    with pytest.raises(ConfigError, match="keep them"):
        Retriever.create(tmp_path / "index", chunks, frames=False)
    assert not (tmp_path / "index").exists()


def test_photographs_are_scored_by_film_shot_and_moment(films: Path, tmp_path: Path, capsys) -> None:
    save_encoder(make_encoder(), tmp_path / "encoder")
    index = tmp_path / "index"
    assert dispatch(["index", str(films), str(index), "--encoder", str(tmp_path / "encoder"), "--quiet"]) == 0
    lines = ["path,film,start,end"]
    # Right: a moment of a long shot; of the right film, but said to be elsewhere in it; and said to be another film's.
    for number, (film, second, said, claimed) in enumerate(
        [("a.mp4", 1.0, 1.0, "a.mp4"), ("c.mp4", 1.4, 0.2, "c.mp4"), ("b.mp4", 1.0, 1.0, "c.mp4")]
    ):
        with open_dataset(films / film).open(0) as reader:
            Image.fromarray(reader.read_at([second])[0]).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{films / claimed},{said},")
    table = tmp_path / "photographs.csv"
    table.write_text("\n".join(lines))
    capsys.readouterr()
    written = tmp_path / "figures.json"
    command = ["evaluate", str(index), "--photographs", str(table), "--tolerance", "0.3", "--json", str(written)]
    assert dispatch(command) == 0
    found = json.loads(written.read_text())
    of_third = Retriever.open(index).search(tmp_path / "2.png", 9, kinds=("video",))
    third = 1 + [match.item.key for match in of_third].index("c.mp4")
    assert set(found) == {"all"}
    assert found["all"] == {
        "mAP": pytest.approx((2 + 1 / third) / 3),
        "R@1": pytest.approx(2 / 3),
        "shot R@1": pytest.approx(1 / 3),
        "moment R@1": pytest.approx(1 / 3),
        "queries": 3,
    }
    first, header, row = capsys.readouterr().out.splitlines()
    assert first == "films by their best shots; a shot or moment may miss the time by 0.3 s"
    assert re.split(r"\s{2,}", header.strip()) == ["mAP", "R@1", "shot R@1", "moment R@1", "queries"]
    assert row.split() == ["all", f"{(2 + 1 / third) / 3:.4f}", f"{2 / 3:.4f}", f"{1 / 3:.4f}", f"{1 / 3:.4f}", "3"]
    for more, message in (
        (["--split", "test"], r"--split belongs to label evaluation, and the queries are screen photos \(--photogr"),
        (["--by-class", "--denominator", "relevant"], "--denominator, --by-class belongs to label evaluation"),
        (["--par", "0.5"], "screen photos rank films by their best shots: leave the options of a search out"),
        (["-k", "3"], r"cut-offs \(ks, -k\) are of an evaluation by labels: leave them out, got \[3\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            dispatch([*command, *more])
    with pytest.raises(ConfigError, match="--tolerance belongs to film evaluation, and the queries are labelled media"):
        dispatch(["evaluate", str(index), "--tolerance", "2"])
    shutil.copy(films / "b.mp4", tmp_path / "other.mp4")
    table.write_text("path,film,start\n0.png,other.mp4,1")
    with pytest.raises(ConfigError, match=r"the film .*other\.mp4 is not in the index"):
        dispatch(command)


def test_stanford_i2v_is_scored_and_its_result_files_are_written(films: Path, tmp_path: Path, capsys) -> None:
    save_encoder(make_encoder(), tmp_path / "encoder")
    index, results = tmp_path / "index", tmp_path / "results"
    assert dispatch(["index", str(films), str(index), "--encoder", str(tmp_path / "encoder"), "--quiet"]) == 0
    for number, (film, second) in {4: ("a.mp4", 1.0), 12: ("c.mp4", 1.4)}.items():
        with open_dataset(films / film).open(0) as reader:
            Image.fromarray(reader.read_at([second])[0]).save(tmp_path / f"{number:03}.png")
    folder = films.name  # names of videos are the ends of their paths
    truth = tmp_path / "light_dataset_public.txt"
    truth.write_text(f"4 {folder}/a.mp4 0:00 0:01 {folder}/b.mp4 0:01 0:01\n12 c.mp4 0:03 0:04 c.mp4 0:09 0:09\n")
    command = ["evaluate", str(index), "--stanford-i2v", str(truth)]
    written = tmp_path / "figures.json"
    assert dispatch([*command, "--results", str(results), "--json", str(written)]) == 0
    assert "the first 100 count" in capsys.readouterr().out
    # The same by searches, and by sets of seconds: true ones are longer by a second on both sides.
    retriever = Retriever.open(index)
    ranked = {n: retriever.search(tmp_path / f"{n:03}.png", 9, kinds=("video",)) for n in (4, 12)}
    order = {n: [hit.item.key for hit in hits] for n, hits in ranked.items()}
    places = sorted(1 + order[4].index(name) for name in ("a.mp4", "b.mp4"))
    precisions = [(1 / places[0] + 2 / places[1]) / 2, 1 / (1 + order[12].index("c.mp4"))]
    seconds = {
        (n, hit.item.key): {s for s in range(9) if hit.start < s + 1 and s < hit.end}
        for n, hits in ranked.items()
        for hit in hits
    }
    true = {(4, "a.mp4"): {0, 1, 2}, (4, "b.mp4"): {0, 1, 2}, (12, "c.mp4"): {2, 3, 4, 5, 8, 9, 10}}
    overlap = {key: len(own & seconds[key]) / len(own | seconds[key]) for key, own in true.items()}
    assert json.loads(written.read_text())["all"] == {
        "mAP": pytest.approx(np.mean(precisions)),
        "P@1": pytest.approx(np.mean([order[4][0] in ("a.mp4", "b.mp4"), order[12][0] == "c.mp4"])),
        "Jaccard": pytest.approx(np.mean([(overlap[4, "a.mp4"] + overlap[4, "b.mp4"]) / 2, overlap[12, "c.mp4"]])),
        "queries": 2,
    }
    scenes = read_scene_results(results / "scene_retrieval.txt")
    own_names = {"a.mp4": f"{folder}/a.mp4", "b.mp4": f"{folder}/b.mp4", "c.mp4": "c.mp4"}
    assert scenes == {n: tuple(own_names[key] for key in keys) for n, keys in order.items()}
    spans = read_refinement_results(results / "temporal_refinement.txt")
    assert {n: set(videos) for n, videos in spans.items()} == {
        4: {f"{folder}/a.mp4", f"{folder}/b.mp4"},
        12: {"c.mp4"},
    }
    assert spans[12]["c.mp4"] == ((min(seconds[12, "c.mp4"]), max(seconds[12, "c.mp4"])),)


def test_what_does_not_fit_stanford_i2v_is_named(films: Path, tmp_path: Path, retriever: Retriever) -> None:
    index, truth = str(retriever.index.folder), tmp_path / "truth.txt"
    truth.write_text("4 d/nowhere.mp4 0:00 0:01\n")
    command = ["evaluate", index, "--stanford-i2v", str(truth)]
    with pytest.raises(ConfigError, match=r"query 4 must have one image in .*, named by its number, got none"):
        dispatch(command)
    for name in ("4.png", "04.jpg"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    with pytest.raises(ConfigError, match=r"got 04\.jpg, 4\.png"):
        dispatch(command)
    (tmp_path / "04.jpg").unlink()
    with pytest.raises(ConfigError, match=r"the video d/nowhere\.mp4 of the ground truth is not in the index"):
        dispatch(command)
    with pytest.raises(ConfigError, match=r"/none is no folder of query images: name it with --query-folder"):
        dispatch([*command, "--query-folder", str(tmp_path / "none")])
    truth.write_text("4 a.mp4 0:00 0:01\n")
    with pytest.raises(ConfigError, match=r"results: .*4\.png/x cannot be made: Not a directory"):
        dispatch([*command, "--results", str(tmp_path / "4.png" / "x")])
    with pytest.raises(ConfigError, match="Stanford I2V ranks videos by their best shots: leave the options"):
        dispatch([*command, "--par", "0.5"])
    with pytest.raises(ConfigError, match="--photographs and --stanford-i2v are both queries: give one"):
        dispatch([*command, "--photographs", str(truth)])
    with pytest.raises(ConfigError, match="--query-folder is of queries that it holds the images of"):
        dispatch(["evaluate", index, "--query-folder", str(tmp_path)])
    with pytest.raises(ConfigError, match="--results belongs to scene evaluation, and the queries are labelled"):
        dispatch(["evaluate", index, "--results", str(tmp_path)])


def test_the_commands_print_sizes_and_moments(films: Path, tmp_path: Path, capsys) -> None:
    save_encoder(make_encoder(), tmp_path / "encoder")
    for name, options in (("whole", []), ("small", ["--without-frames"])):
        command = ["index", str(films), str(tmp_path / name), "--encoder", str(tmp_path / "encoder"), "--quiet"]
        assert dispatch([*command, *options]) == 0
        assert ("frames" in capsys.readouterr().out.split("an hour of video takes")[1]) == (name == "whole")
    image = str(films / "moment.png")
    assert dispatch(["search", str(tmp_path / "whole"), image, "--kind", "video", "-k", "2", "--rerank", "3"]) == 0
    header, first, _ = capsys.readouterr().out.splitlines()
    assert "best frame" in header
    assert "0.6-2.0 s" in first
    assert " 1.0 s" in first
    assert dispatch(["search", str(tmp_path / "small"), image, "--kind", "video", "--every-clip", "-k", "9"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert "best frame" not in header
    assert len(lines) == sum(map(len, LENGTHS.values()))
    with pytest.raises(ConfigError, match="leave --without-frames out"):
        dispatch(["index", str(films), str(tmp_path / "whole"), "--without-frames", "--quiet"])
