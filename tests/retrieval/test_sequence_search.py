"""Videos that ask as sequences of clips: by file, by index and by command, against loops over the stored vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from reference import dtw as twin

from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.write import write_video
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.index import EncoderRecord, MediaIndex, Space
from jaxret.models import HashLayer, TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.rank import SequenceRanking, rank_sequences
from jaxret.retrieval import LabelEvaluation, Retriever, SequenceSearch
from jaxret.retrieval.systems.sequences import ClipSequences, sequence_hits

LENGTHS = {"a.mp4": 3, "b.mp4": 1, "c.mp4": 5, "d.mp4": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of some seconds, each second another digit; `part.mp4` is two seconds of c; and an image."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, size=32)
    scenes, number = {}, 0
    for name, seconds in LENGTHS.items():
        scenes[name] = [digits.render([number + i * 7])[0] for i in range(seconds)]
        number += seconds * 7
        write_video(root / name, np.concatenate(scenes[name]), fps=12, options={"crf": "0"})
    (root / "querying").mkdir()
    write_video(root / "querying" / "part.mp4", np.concatenate(scenes["c.mp4"][2:4]), fps=12, options={"crf": "0"})
    Image.fromarray(scenes["a.mp4"][0][0]).save(root / "picture.png")
    return root


def make_retriever(folder: Path, root: Path, bits: int = 0) -> Retriever:
    rngs = nnx.Rngs(0)
    temporal = TemporalEncoder(16, 8, rngs=rngs)
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[4, 8], embedding_size=16, rngs=rngs),
        HashLayer(temporal, bits, rngs=rngs) if bits else temporal,
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0),
    )
    retriever = Retriever.create(root / "index", encoder)
    for name in (*LENGTHS, "picture.png"):
        retriever.add(open_dataset(folder / name))
    return retriever


@pytest.fixture(scope="module")
def retriever(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return make_retriever(folder, tmp_path_factory.mktemp("plain"))


def stored(retriever: Retriever) -> dict[str, np.ndarray]:
    rows = retriever.index.rows("clip")
    return {
        retriever.index.items[number].key: np.asarray(rows.vectors)[np.asarray(rows.items) == number]
        for number in np.unique(rows.items)
    }


def test_whole_videos_in_the_order_of_brute_force(folder: Path, retriever: Retriever) -> None:
    sequences = stored(retriever)
    assert {name: len(rows) for name, rows in sequences.items()} == LENGTHS
    for measure, slow in (("dtw", twin.dtw), ("bi-dtw", twin.bidtw)):
        expected = sorted((slow(sequences["a.mp4"], rows), name) for name, rows in sequences.items())
        found = retriever.search(folder / "a.mp4", 10, options=SequenceSearch(measure))
        assert [match.item.key for match in found] == [name for _, name in expected]
        np.testing.assert_allclose([m.distance for m in found], [d for d, _ in expected], rtol=1e-4, atol=1e-5)
        assert {match.metric for match in found} == {measure}
        assert (found[0].distance, found[0].backwards) == (pytest.approx(0, abs=1e-5), False)
        for match in found:
            seconds = LENGTHS[match.item.key]
            assert (match.start, match.end) == pytest.approx((0, seconds), abs=0.1)
            assert match.query_span == pytest.approx((0, 3), abs=0.1)
        assert retriever.search(folder / "a.mp4", 2, options=SequenceSearch(measure)) == found[:2]


def test_a_part_is_found_where_it_lies_and_a_whole_finds_its_parts(folder: Path, retriever: Retriever) -> None:
    for measure in ("dtw", "bi-dtw"):
        found = retriever.search(folder / "querying" / "part.mp4", 4, options=SequenceSearch(measure, part="query"))[0]
        assert (found.item.key, found.backwards) == ("c.mp4", False)
        assert (found.start, found.end) == pytest.approx((2, 4), abs=0.1)
        assert found.query_span == pytest.approx((0, 2), abs=0.1)
    longer = make_longer(folder)
    found = retriever.search(longer, 4, options=SequenceSearch("bi-dtw", part="item", length_normalised=True))[0]
    assert (found.item.key, found.backwards) == ("d.mp4", False)
    assert (found.start, found.end) == pytest.approx((0, 2), abs=0.1)
    assert found.query_span == pytest.approx((2, 4), abs=0.1)


def make_longer(folder: Path) -> Path:
    """The two seconds of d after two others."""
    path = folder / "querying" / "longer.mp4"
    if not path.exists():
        before, own = (open_dataset(folder / name) for name in ("querying/part.mp4", "d.mp4"))
        frames = []
        for dataset in (before, own):
            with dataset.open(0) as reader:
                frames.append(reader.read_at([i / 12 + 0.01 for i in range(24)]))
        write_video(path, np.concatenate([np.asarray(part) for part in frames]), fps=12, options={"crf": "0"})
    return path


def make_index(root: Path, seed: int = 0, lengths=(3, 6, 2, 4, 5, 1)) -> MediaIndex:
    """Videos of whole numbers, of which ties are many, with images and rows out of order between them."""
    index = MediaIndex.create(root, spaces=[Space("clip", 3)], encoder=EncoderRecord("sha256:0", Preprocessing()))
    rng = np.random.default_rng(seed)
    for number, length in enumerate(lengths):
        starts = rng.permutation(length).astype(float)
        vectors = rng.integers(-1, 2, (length, 3)).astype("f4")
        image = Rows(np.ones((1, 3), np.float32), [0])
        index.add([MediaItem(f"{number}.mp4", "video")], {"clip": Rows(vectors, [0] * length, starts, starts + 1)})
        index.add([MediaItem(f"{number}.png", "image")], {"clip": image})
    index.remove(["2.mp4", "4.png"])
    return index


def in_time(index: MediaIndex) -> dict[int, np.ndarray]:
    rows = index.rows("clip")
    vectors, items, starts = (np.asarray(part) for part in (rows.vectors, rows.items, rows.starts))
    found = {}
    for number, item in enumerate(index.items):
        own = np.flatnonzero(items == number)
        if item.kind == "video":
            found[number] = vectors[own[np.argsort(starts[own])]]
    return found


def test_blocks_change_nothing_and_only_what_fits_is_kept(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index")
    assert index.rows_per_item("clip").tolist() == [3, 1, 6, 1, 1, 4, 1, 5, 1, 1]
    videos = in_time(index)
    rng = np.random.default_rng(1)
    asked = rng.integers(-1, 2, (4, 3)).astype("f4")
    clips = Rows(asked, np.zeros(4, np.int64), np.arange(4.0), np.arange(4.0) + 1)
    for ranking in (SequenceRanking(), SequenceRanking("dtw", "query"), SequenceRanking("bi-dtw", "item", True)):
        slow = rank_sequences(asked, list(videos.values()), 5, ranking)
        for block_bytes, kept_bytes, blocks in ((1, 0, 5), (13 * 12, 9 * 12, 2), (1 << 20, 1 << 20, 1)):
            sequences = ClipSequences(index, block_bytes=block_bytes, kept_bytes=kept_bytes)
            for _ in range(2):
                found = sequence_hits(index, sequences.blocks(), clips, 3, ranking)
                assert [index.id_of(match.item.key) for match in found] == [[*videos][m.id] for m in slow[:3]]
                for match, expected in zip(found, slow, strict=False):
                    assert (match.distance, match.backwards) == (expected.distance, expected.backwards)
                    assert (match.start, match.end) == (expected.start, expected.end)
                    assert match.query_span == (expected.query_start, expected.query_end)
            assert len(list(sequences.blocks())) == blocks
            again = [first is second for first, second in zip(sequences.blocks(), sequences.blocks(), strict=True)]
            assert again == {0: [False] * 5, 9 * 12: [False, False], 1 << 20: [True]}[kept_bytes]


def test_sequences_are_read_once_and_anew_when_the_index_changes(folder: Path, tmp_path: Path) -> None:
    retriever = make_retriever(folder, tmp_path)
    retriever.search(folder / "a.mp4", options=SequenceSearch("dtw"))
    kept = retriever.index.kept(ClipSequences)
    assert retriever.index.kept(ClipSequences) is kept
    retriever.index.remove(["a.mp4"])
    assert "a.mp4" not in {
        match.item.key for match in retriever.search(folder / "a.mp4", options=SequenceSearch("dtw"))
    }
    assert retriever.index.kept(ClipSequences) is not kept
    retriever.index.remove(["b.mp4", "c.mp4", "d.mp4"])
    assert retriever.search(folder / "a.mp4", options=SequenceSearch("bi-dtw")) == []


@pytest.mark.parametrize(
    ("query", "options", "search", "message"),
    [
        ("picture.png", ("dtw",), {}, "an image is no sequence of clips"),
        ("a.mp4", ("edit",), {}, "measure of sequences must be one of bi-dtw, .* got 'edit'"),
        ("a.mp4", ("bi-dtw-printed",), {}, "measure of sequences must be one of .* got 'bi-dtw-printed'"),
        ("a.mp4", ("dtw",), {"kinds": ("image",)}, "kinds must include 'video', got 'image'"),
        ("a.mp4", ("dtw", "both"), {}, "subsequence must be 'query', 'item' or None, got 'both'"),
        ("a.mp4", ("mean-cosine", "item"), {}, "mean-cosine compares whole sequences"),
        ("a.mp4", ("dtw",), {"k": 0}, "k must be at least 1, got 0"),
    ],
)
def test_what_does_not_go_together_is_named(
    folder: Path, retriever: Retriever, query: str, options: tuple[str, ...], search: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        retriever.search(folder / query, options=SequenceSearch(*options), **search)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--sequence dtw --space code",
            "--space belongs to vector search, --sequence to sequence search: give one kind",
        ),
        ("--sequence dtw --metric cosine", "--metric belongs to vector search, --sequence to sequence"),
        ("--sequence dtw --par 0.0", "--par belongs to vector search, --sequence to sequence"),
        ("--sequence dtw --every-clip", "--every-clip belongs to vector search, --sequence to sequence"),
        ("--subsequence", "--subsequence belongs to sequence search: name --sequence, too"),
        ("--length-normalised", "--length-normalised belongs to sequence search: name --sequence, too"),
    ],
)
def test_flags_that_do_not_go_together_are_named(folder: Path, retriever: Retriever, words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dispatch(["search", str(retriever.index.folder), str(folder / "a.mp4"), *words.split()])


def test_an_index_of_codes_compares_its_clip_vectors(folder: Path, tmp_path: Path) -> None:
    retriever = make_retriever(folder, tmp_path, bits=16)
    sequences = stored(retriever)
    expected = sorted((twin.bidtw(sequences["d.mp4"], rows), name) for name, rows in sequences.items())
    found = retriever.search(folder / "d.mp4", options=SequenceSearch("bi-dtw"))
    assert [match.item.key for match in found] == [name for _, name in expected]


def test_the_command_names_the_span(folder: Path, retriever: Retriever, capsys: pytest.CaptureFixture[str]) -> None:
    index, part, longer = str(retriever.index.folder), str(folder / "querying" / "part.mp4"), str(make_longer(folder))
    assert dispatch(["search", index, part, "-k", "1", "--sequence", "bi-dtw", "--subsequence"]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert "where" in heading
    assert "2.0-4.0 s" in line
    assert "c.mp4" in line
    words = ["search", index, longer, "-k", "1", "--sequence", "dtw", "--subsequence", "item", "--length-normalised"]
    assert dispatch(words) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert "in query" in heading
    assert "2.0-4.0 s" in line
    assert "d.mp4" in line
    assert dispatch([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["key"], result["metric"], result["backwards"]) == ("d.mp4", "dtw", False)
    assert (result["query_start"], result["query_end"]) == pytest.approx((2, 4), abs=0.1)


def write_table(folder: Path, name: str, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["path,label,source", *(",".join(row) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def test_figures_by_class_and_by_clip(
    folder: Path, tmp_path: Path, retriever: Retriever, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"a.mp4": "x", "b.mp4": "x", "c.mp4": "y", "d.mp4": "y", "picture.png": "x"}
    table = write_table(folder, "gallery.csv", [(name, label, name) for name, label in labels.items()])
    labelled = Retriever.create(tmp_path / "index", retriever.encoder)
    labelled.add(open_dataset(table))
    sequences = stored(labelled)

    def slow_map(querying: dict[str, np.ndarray], relevant, left_out) -> float:
        scores = []
        for name, query in querying.items():
            order = sorted(
                (n for n in sequences if not left_out(name, n)), key=lambda n: twin.bidtw(query, sequences[n])
            )
            ranks = [place for place, n in enumerate(order, 1) if relevant(name, n)]
            scores.append(np.mean([i / place for i, place in enumerate(ranks, 1)]))
        return float(np.mean(scores))

    def same_class(name: str, other: str) -> bool:
        return labels[name] == labels[other]

    by_class = labelled.evaluate(
        options=SequenceSearch("bi-dtw"), settings=LabelEvaluation(by_class=True), ks=[1]
    ).figures
    assert list(by_class) == ["all", "x", "y"]
    assert by_class["all"]["queries"] == 4  # the image has no part in it
    assert by_class["all"]["mAP"] == pytest.approx(slow_map(sequences, same_class, lambda a, b: a == b))
    querying = write_table(folder, "querying.csv", [("querying/part.mp4", "y", "c.mp4")])
    make_longer(folder)
    by_clip = labelled.evaluate(
        open_dataset(querying),
        options=SequenceSearch("dtw", "query"),
        settings=LabelEvaluation(relevant="source"),
        ks=[1],
    ).figures
    assert by_clip["all"]["mAP"] == 1
    nearest_rows = labelled.evaluate(
        open_dataset(querying), settings=LabelEvaluation(relevant="source"), ks=[1]
    ).figures
    assert nearest_rows["all"]["queries"] == 1
    words = ["evaluate", str(labelled.index.folder), "--sequence", "bi-dtw", "--json", str(tmp_path / "f.json")]
    page = tmp_path / "failures.html"
    assert dispatch([*words, "-k", "1", "--failures", str(page)]) == 0
    told = capsys.readouterr().out
    assert "clip space by bi-dtw" in told
    assert f"failures: {page}" in told
    assert "4 videos are queries for each other" in page.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "f.json").read_text())["all"]["mAP"] == by_class["all"]["mAP"]
    for more, message in (
        (["--metric", "cosine"], "--metric belongs to vector search, --sequence to sequence search"),
        (["--depth", "3"], "sequences are ranked to their end: leave depth out, got 3"),
        (["--relevant", "source"], "indexed items would find themselves"),
        (["--failures", str(page), "--queries", str(querying)], "--failures is of an index's own videos"),
        (["--failures", str(tmp_path / "none" / "page.html")], "cannot be written: there is no folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            dispatch([*words, *more])
    with pytest.raises(ConfigError, match="they are of a search by Bi-DTW"):
        dispatch(["evaluate", str(labelled.index.folder), "--failures", str(page)])
    with pytest.raises(ConfigError, match="name --sequence"):
        dispatch(["evaluate", str(labelled.index.folder), "--subsequence"])
    with pytest.raises(ConfigError, match="has no items of the split 'test': its items are of none"):
        labelled.evaluate(options=SequenceSearch("bi-dtw"), settings=LabelEvaluation(split="test"))
