"""Binary codes beside embeddings: stored, searched, re-ranked and evaluated, against loops over all pairs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jaxret.__main__ import dispatch
from jaxret.cli.run import run_command
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.write import write_video
from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.evaluation import Reranking
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.temporal.heads import HashLayer
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import CroppedEvaluation, CroppedVideos, LabelEvaluation, Report, Retriever, VectorSearch
from jaxret.retrieval.encode import code_rows

BITS = 16


def make_encoder(bits: int = BITS) -> VideoEncoder:
    rngs = nnx.Rngs(0)
    temporal = TemporalEncoder(32, 16, rngs=rngs)
    return VideoEncoder(
        create_backbone("small-convnet", widths=[8, 8], embedding_size=32, rngs=rngs),
        HashLayer(temporal, bits, rngs=rngs) if bits else temporal,
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of four videos of one second, one of three seconds, and an image."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=4, validation_clips=0, test_clips=0, size=48)
    labels = ("0-up", "1-left", "2-right")
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in labels])
    next(root.glob("*.csv")).unlink()
    long = np.concatenate([digits.render([number])[0] for number in (1, 2, 3)])
    write_video(root / "0-up" / "long.mp4", long, fps=12)
    Image.fromarray(digits.render([4])[0][5]).save(root / "0-up" / "picture.png")
    return root


@pytest.fixture(scope="module")
def retriever(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    retriever = Retriever.create(tmp_path_factory.mktemp("index") / "index", make_encoder())
    retriever.add(open_dataset(folder))
    return retriever


def slow_search(retriever: Retriever, key: str, space: str) -> list[tuple[float, int, float, float]]:
    """(distance, id, query start, start) of every item with rows, for an item that asks: all pairs of its chunks."""
    stored = retriever.index.rows("clip")
    vectors, owners = np.asarray(stored.vectors, np.float64), np.asarray(stored.items)
    own = retriever.index.id_of(key)
    best = {}
    for q in np.flatnonzero(owners == own):
        for g, item in enumerate(owners.tolist()):
            if space == "code":
                distance = float(sum((vectors[q] >= 0.5) != (vectors[g] >= 0.5)))
            else:
                distance = float(np.linalg.norm(vectors[q] - vectors[g]))
            found = (distance, item, float(np.asarray(stored.starts)[q]), float(np.asarray(stored.starts)[g]))
            best[item] = min(best.get(item, found), found)
    return sorted(best.values())


def test_the_codes_of_an_index_are_its_clip_embeddings_rounded(folder: Path, retriever: Retriever) -> None:
    clips, codes = retriever.index.rows("clip"), retriever.index.rows("code")
    activations = np.asarray(clips.vectors)
    assert activations.shape == (15, BITS)
    assert np.asarray(codes.vectors).dtype == np.uint8
    for row, code in zip(activations, np.asarray(codes.vectors), strict=True):
        assert [code[bit // 8] >> (bit % 8) & 1 for bit in range(BITS)] == [int(value >= 0.5) for value in row]
    for field in ("items", "starts", "ends"):
        np.testing.assert_array_equal(getattr(codes, field), getattr(clips, field))
    assert len(np.unique(np.asarray(codes.vectors), axis=0)) > 3, "the codes tell nothing apart"
    assert retriever.index.searchable("code").sum() == 13  # not the image
    assert retriever.bytes_a_video("code") == pytest.approx(15 * BITS / 8 / 13)
    assert retriever.bytes_a_video("clip") == pytest.approx(15 * BITS * 4 / 13)


def test_code_rows_of_nothing_are_nothing() -> None:
    nothing = np.zeros(0)
    rows = code_rows(Rows(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), nothing, nothing))
    assert rows.vectors.shape == (0, 0)
    assert rows.vectors.dtype == np.uint8


def test_a_video_searches_by_its_codes_and_each_item_counts_by_its_best_chunk(
    folder: Path, retriever: Retriever
) -> None:
    for path in sorted(folder.rglob("*.mp4")):
        key = path.relative_to(folder).as_posix()
        found = retriever.search(path, 20)
        assert found == retriever.search(path, 20, options=VectorSearch(space="code"))
        wanted = slow_search(retriever, key, "code")
        assert [
            (m.distance, retriever.index.id_of(m.item.key), m.query_span[0], m.start) for m in found
        ] == wanted  # ties and all
        assert {m.metric for m in found} == {"hamming"}
        assert retriever.search(path, 3) == found[:3]


def test_reranking_everything_is_the_search_of_the_clip_space(folder: Path, retriever: Retriever) -> None:
    for path in sorted(folder.rglob("*.mp4")):
        whole = retriever.search(path, 13, options=VectorSearch(space="clip"))
        assert retriever.search(path, 13, options=VectorSearch(rerank=13)) == whole
        assert retriever.search(path, 4, options=VectorSearch(rerank=100)) == whole[:4]


def test_reranking_orders_the_nearest_codes_by_their_embeddings(folder: Path, retriever: Retriever) -> None:
    changed = 0
    for path in sorted(folder.rglob("*.mp4")):
        nearest = retriever.search(path, 5)
        found = retriever.search(path, 4, options=VectorSearch(rerank=5))
        candidates = [m.item.key for m in nearest]
        by_clip = [
            m for m in retriever.search(path, 13, options=VectorSearch(space="clip")) if m.item.key in candidates
        ]
        assert found == by_clip[:4]
        assert {m.metric for m in found} == {"euclidean"}
        changed += [m.item.key for m in found] != candidates[:4]
    assert changed, "re-ranking changed nothing anywhere: the test proves nothing"


def test_the_space_follows_the_query_and_the_options(folder: Path, retriever: Retriever) -> None:
    video, image = folder / "0-up" / "long.mp4", folder / "0-up" / "picture.png"
    assert retriever.search(video, 2, options=VectorSearch(metric="hamming")) == retriever.search(
        video, 2, options=VectorSearch(space="code")
    )
    for asked in ({"metric": "euclidean"}, {"metric": "cosine"}, {"min_cosine": 0.5}):
        assert retriever.search(video, 2, options=VectorSearch(**asked)) == retriever.search(
            video, 2, options=VectorSearch(space="clip", **asked)
        )
    assert retriever.search(image, 2) == retriever.search(image, 2, options=VectorSearch(space="frame"))
    assert retriever.search(video, 20, options=VectorSearch(space="code"), kinds=("image",)) == []
    assert retriever.search(video, 2, options=VectorSearch(space="code", rerank=5), kinds=("image",)) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("picture.png", {"space": "code"}, "an image has no clip embedding and no code"),
        ("picture.png", {"rerank": 20}, "rerank .* needs the code space, got 'frame'"),
        ("long.mp4", {"rerank": 20, "space": "clip"}, "rerank .* needs the code space, got 'clip'"),
        ("long.mp4", {"rerank": 9}, "rerank must be at least k = 10, got 9"),
        ("long.mp4", {"rerank": 0}, "rerank must be at least 1, got 0"),
        ("long.mp4", {"k": 0, "rerank": 5}, "k must be at least 1, got 0"),
        ("long.mp4", {"space": "code", "metric": "cosine"}, "metric must be one of hamming, got 'cosine'"),
        ("long.mp4", {"space": "code", "min_cosine": 0.5}, "min_cosine needs a space of vectors"),
        ("long.mp4", {"space": "clip", "metric": "hamming"}, "metric must be one of euclidean, cosine, got 'hamming'"),
    ],
)
def test_what_does_not_fit_together_is_named(folder: Path, retriever: Retriever, name, options, message) -> None:
    k = options.pop("k", 10)
    with pytest.raises(ValueError, match=message):
        retriever.search(folder / "0-up" / name, k, options=VectorSearch(**options))


def test_an_index_without_codes_says_so(folder: Path, tmp_path: Path) -> None:
    plain = Retriever.create(tmp_path / "index", make_encoder(bits=0))
    plain.add(open_dataset(folder / "1-left"))
    assert set(plain.index.spaces) == {"frame", "clip"}
    video = next((folder / "1-left").glob("*.mp4"))
    assert plain.search(video, 1)[0].metric == "euclidean"
    for options in ({"space": "code"}, {"space": "code", "rerank": 20}):
        with pytest.raises(ValueError, match="the index has no codes"):
            plain.search(video, options=VectorSearch(**options))
    with pytest.raises(ConfigError, match="the index has no codes"):
        plain.evaluate(options=VectorSearch("code"))


def test_an_index_with_codes_opens_elsewhere(folder: Path, retriever: Retriever, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(retriever.index.folder, moved)
    query = folder / "0-up" / "long.mp4"
    assert Retriever.open(moved).search(query, 5, options=VectorSearch(rerank=8)) == retriever.search(
        query, 5, options=VectorSearch(rerank=8)
    )


def test_figures_of_codes(folder: Path, retriever: Retriever, tmp_path: Path) -> None:
    settings = LabelEvaluation(by_class=True)
    figures = retriever.evaluate(settings=settings, ks=(1, 10)).figures
    by_bits = VectorSearch("code", "hamming")
    assert figures == retriever.evaluate(options=by_bits, settings=settings, ks=(1, 10)).figures
    assert set(figures) == {"all", "0-up", "1-left", "2-right"}
    assert figures["all"]["queries"] == 13
    # Item by item: the other items in the order of (bits, id), each of its own source.
    precisions = []
    for item in retriever.index.items:
        if item.kind == "video":
            ranked = [entry[1] for entry in slow_search(retriever, item.key, "code")]
            ranked.remove(retriever.index.id_of(item.key))
            right = [retriever.index.items[i].label == item.label for i in ranked[:10]]
            precision = sum(sum(right[: r + 1]) / (r + 1) for r in range(10) if right[r])
            precisions.append(precision / min(sum(retriever.index.items[i].label == item.label for i in ranked), 10))
    assert figures["all"]["mAP@10"] == pytest.approx(np.mean(precisions))
    assert 0 < figures["all"]["mAP@10 tie-averaged"] < 1
    assert figures["all"]["mAP@10 tie-averaged"] != figures["all"]["mAP@10"]
    other = tmp_path / "media"
    shutil.copytree(folder, other)
    # The same files from another place have the same keys, hence sources: they exclude themselves.
    assert retriever.evaluate(open_dataset(other), settings=settings, ks=(1, 10)).figures == figures
    retrieved = retriever.evaluate(settings=LabelEvaluation(denominator="retrieved"), ks=(10,)).figures["all"]
    assert {"mAP@10 (retrieved)", "mAP@10 (retrieved) tie-averaged"} <= set(retrieved)


def test_figures_of_reranked_codes(folder: Path, retriever: Retriever, tmp_path: Path) -> None:
    def figures(depth: int | None = None, **options: object) -> dict[str, float]:
        searched = VectorSearch(**options)  # type: ignore[arg-type]
        return retriever.evaluate(options=searched, settings=LabelEvaluation(depth=depth), ks=(1, 4)).figures["all"]

    assert figures(rerank=13) == figures(space="clip")
    assert figures(space="code", rerank=10**6, depth=4) == figures(space="clip", depth=4)
    # Item by item: of the others the nearest five codes by their vectors, the rest behind in the order of (bits, id).
    precisions, first = [], []
    for item in retriever.index.items:
        if item.kind == "video":
            own = retriever.index.id_of(item.key)
            ranked = [entry[1] for entry in slow_search(retriever, item.key, "code") if entry[1] != own]
            by_vectors = [entry[1] for entry in slow_search(retriever, item.key, "clip")]
            ranked = sorted(ranked[:5], key=by_vectors.index) + ranked[5:]
            right = [retriever.index.items[i].label == item.label for i in ranked]
            precisions.append(sum(sum(right[: r + 1]) / (r + 1) for r in range(12) if right[r]) / sum(right))
            first.append(right[0])
    found = figures(rerank=5)
    assert found["mAP"] == pytest.approx(np.mean(precisions))
    assert found["P@1"] == pytest.approx(np.mean(first))
    assert figures(rerank=5, depth=4)["P@4"] == found["P@4"]
    assert "mAP tie-averaged" not in found
    other = tmp_path / "media"
    shutil.copytree(folder, other)
    report = retriever.evaluate(open_dataset(other), options=VectorSearch(rerank=5), ks=(1, 4))
    assert report.figures["all"] == found
    assert report.measured.startswith(
        "code space by hamming, of which the nearest 5 are ordered by the Euclidean distance of their clip vectors;"
    )
    for space in ("clip", "frame"):
        with pytest.raises(ConfigError, match=f"rerank .* needs the code space, got '{space}'"):
            figures(space=space, rerank=5)
    with pytest.raises(ConfigError, match="count of a reranking must be at least 1, got 0"):
        Reranking(0, retriever.index.rows("clip"), retriever.index.rows("clip"))


def test_cropped_videos_find_theirs_by_reranked_codes_as_by_vectors(folder: Path, retriever: Retriever) -> None:
    settings, queries = CroppedEvaluation(strengths=(0.0,)), CroppedVideos(6, open_dataset(folder))

    def report(**options: object) -> Report:
        return retriever.evaluate(queries, options=VectorSearch(**options), settings=settings)  # type: ignore[arg-type]

    assert report(rerank=100).figures == report(space="clip").figures
    assert "code space by hamming, of which the nearest 2 are ordered by" in report(rerank=2).measured


def test_figures_of_vectors_of_the_same_index(retriever: Retriever) -> None:
    by_clip = retriever.evaluate(options=VectorSearch("clip"), ks=(1,)).figures
    assert by_clip == retriever.evaluate(options=VectorSearch(metric="euclidean"), ks=(1,)).figures
    assert "mAP@1 tie-averaged" not in by_clip["all"]
    for space, distance in (("code", "euclidean"), ("clip", "hamming"), ("frame", "hamming")):
        with pytest.raises(ConfigError, match=f"go together, got {distance} in space {space}"):
            retriever.evaluate(options=VectorSearch(space, distance))


def test_huge_counts_are_cut_to_the_index(folder: Path, retriever: Retriever) -> None:
    query = next(folder.glob("1-left/*.mp4"))
    for settings in ({"space": "code"}, {"space": "clip"}, {"space": "frame"}, {"space": "clip", "every_clip": True}):
        options = VectorSearch(**settings)
        hits = retriever.search(query, 10**12, options=options)
        assert hits == retriever.search(query, retriever.index.count_rows("frame"), options=options)
    whole = retriever.search(query, 3, options=VectorSearch("code", rerank=len(retriever.index)))
    assert retriever.search(query, 3, options=VectorSearch("code", rerank=2**31 - 1)) == whole
    with pytest.raises(ValueError, match="rerank must be at most 2147483647"):
        VectorSearch("code", rerank=2**31)


def test_a_huge_k_of_an_index_is_refused_before_memory_is_taken(retriever: Retriever) -> None:
    vector = retriever.index.rows("clip").vectors[0]
    assert len(retriever.index.search("clip", vector, 10_000).ids[0]) == 10_000
    with pytest.raises(ValueError, match="k must be near the 14 items of the index or below, got 100000000"):
        retriever.index.search("clip", vector, 100_000_000)


@pytest.mark.parametrize("threads", ["0", "-1", "1025", "1000000000"])
def test_threads_out_of_range_leave_nothing_behind(folder, retriever, tmp_path: Path, capsys, threads: str) -> None:
    made = tmp_path / "made"
    words = ["index", str(folder), str(made), "--encoder", str(retriever.index.folder), "--threads", threads]
    assert run_command(dispatch, words) == 2
    assert f"threads must be 1 to 1024, got {threads}" in capsys.readouterr().err
    assert not made.exists()
    assert run_command(dispatch, ["search", str(retriever.index.folder), "x.mp4", "--threads", threads]) == 2
    assert run_command(dispatch, ["evaluate", str(retriever.index.folder), "--threads", threads]) == 2
