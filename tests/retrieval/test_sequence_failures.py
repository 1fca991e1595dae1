"""Where Bi-DTW goes wrong, against loops over the stored vectors; and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reference import dtw as twin

from jaxret.data.decode.write import write_video
from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.index import EncoderRecord, MediaIndex, Space
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import SequenceSearch
from jaxret.retrieval.evaluate.failures.answers import sequence_failures
from jaxret.retrieval.evaluate.failures.page import write_failures

BOTH = SequenceSearch("bi-dtw")


def make_index(root: Path, *, films: Path | None = None, count: int = 24) -> MediaIndex:
    """Videos of three classes, two of a source, each a class's sequence with noise, some of them backwards."""
    index = MediaIndex.create(root, spaces=[Space("clip", 3)], encoder=EncoderRecord("sha256:0", Preprocessing()))
    rng = np.random.default_rng(0)
    ways = rng.normal(size=(3, 5, 3))
    ways[1] = ways[0][::-1] + rng.normal(size=(5, 3)) * 0.5  # nearly the first, backwards
    for number in range(count):
        way = ways[number % 3][:: rng.choice([-1, 1])]
        length = int(rng.integers(1, 6))
        vectors = (way[:length] + rng.normal(size=(length, 3))).astype("f4")
        starts = np.arange(length, dtype=float)
        path = None if films is None else str(films / f"{number}.mp4")
        item = MediaItem(
            f"{number}.mp4", "video", label=f"class {number % 3}", source=f"{number // 6}-{number % 3}",
            split="test" if number % 2 else "train", path=path,
        )  # fmt: skip
        index.add([item], {"clip": Rows(vectors, [0] * length, starts, starts + 1)})
    image = MediaItem("picture.png", "image", label="class 0")
    index.add([image], {"clip": Rows(np.zeros((1, 3), np.float32), [0])})
    index.add([MediaItem("unknown.mp4", "video")], {"clip": Rows(np.zeros((1, 3), np.float32), [0], [0.0], [1.0])})
    return index


def ranked(index: MediaIndex, query: int, distance, numbers: list[int]) -> list[int]:
    rows = index.rows("clip")
    vectors, items = np.asarray(rows.vectors, float), np.asarray(rows.items)
    others = [n for n in numbers if index.items[n].source != index.items[query].source]
    return sorted(others, key=lambda n: (distance(vectors[items == query], vectors[items == n]), n))


def precision(index: MediaIndex, query: int, order: list[int]) -> float:
    right = [index.items[n].label == index.items[query].label for n in order]
    return float(np.mean([(i + 1) / (rank + 1) for i, rank in enumerate(np.flatnonzero(right))]))


@pytest.mark.parametrize("split", [None, "test"])
def test_failures_are_those_of_loops(tmp_path: Path, split: str | None) -> None:
    index = make_index(tmp_path / "index")
    numbers = [
        n for n, item in enumerate(index.items)
        if item.kind == "video" and item.label is not None and split in (None, item.split)
    ]  # fmt: skip
    found = sequence_failures(index, BOTH, split=split, count=100, results=2)
    orders = {n: [ranked(index, n, d, numbers) for d in (twin.bidtw, twin.dtw)] for n in numbers}
    scores = {n: [precision(index, n, order) for order in pair] for n, pair in orders.items()}
    assert found.queries == len(numbers)
    assert found.mean == pytest.approx(np.mean([pair[0] for pair in scores.values()]))
    assert found.forwards_mean == pytest.approx(np.mean([pair[1] for pair in scores.values()]))
    gains = {index.items[n].key: pair[0] - pair[1] for n, pair in scores.items()}
    helped = [key for key, gain in gains.items() if gain > 0]
    harmed = [key for key, gain in gains.items() if gain < 0]
    assert helped
    assert harmed
    assert {answer.query.key for answer in found.most_helped} == set(helped)
    assert {answer.query.key for answer in found.most_harmed} == set(harmed)
    assert (found.helped, found.harmed) == (len(helped), len(harmed))
    for answers, sign in ((found.most_helped, 1), (found.most_harmed, -1)):
        told = [sign * answer.gain for answer in answers]
        assert told == sorted(told, reverse=True)
        assert told == pytest.approx([sign * gains[answer.query.key] for answer in answers])
    wrong = [n for n in numbers if index.items[orders[n][0][0]].label != index.items[n].label]
    assert found.wrong == len(wrong) == sum(times for _, _, times in found.confused)
    by_key = {index.items[n].key: n for n in numbers}
    for answer in (*found.lookalikes, *found.most_helped):
        order = orders[by_key[answer.query.key]]
        assert [result.item.key for result in answer.either] == [index.items[n].key for n in order[0][:2]]
        assert [result.item.key for result in answer.forwards] == [index.items[n].key for n in order[1][:2]]
        assert not any(result.backwards for result in answer.forwards)
    assert any(result.backwards for answer in found.most_helped for result in answer.either)
    doubts = [answer.doubt for answer in found.lookalikes]
    assert doubts == sorted(doubts)
    assert max(doubts) < 1


def test_a_pair_of_lookalikes_is_told_once(tmp_path: Path) -> None:
    index = MediaIndex.create(
        tmp_path / "index", spaces=[Space("clip", 1)], encoder=EncoderRecord("sha256:0", Preprocessing())
    )
    for number, place in enumerate((0.0, 9.0, 0.1, 9.5)):  # 0 and 2, 1 and 3 are near, and of two classes
        item = MediaItem(f"{number}.mp4", "video", label="a" if number < 2 else "b")
        index.add([item], {"clip": Rows(np.array([[place]], np.float32), [0], [0.0], [1.0])})
    found = sequence_failures(index, BOTH)
    assert found.wrong == 4
    assert [answer.query.key for answer in found.lookalikes] == ["2.mp4", "3.mp4"]  # beside whose own class is farther
    assert found.confused == [("a", "b", 2), ("b", "a", 2)]
    assert found.most_helped == found.most_harmed == []


def test_the_page_shows_videos_and_says_where_there_is_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    films = tmp_path / "films"
    films.mkdir()
    for number in range(6):
        write_video(films / f"{number}.mp4", rng.integers(0, 255, (6, 32, 32, 3), np.uint8), fps=6)
    index = make_index(tmp_path / "index", films=films, count=12)  # half of the files are not there
    failures = sequence_failures(index, BOTH, count=3)
    write_failures(tmp_path / "page.html", failures, "Failures of <films>")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Failures of &lt;films&gt;" in page
    assert page.count("data:image/png") == 1 + bool(failures.most_helped) + bool(failures.most_harmed)
    assert f"harmed {failures.harmed}." in page
    assert "could not be drawn" not in page


def test_what_has_no_failures_is_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", count=3)
    with pytest.raises(ConfigError, match="they are of a search by Bi-DTW"):
        sequence_failures(index, SequenceSearch("dtw"))
    with pytest.raises(ConfigError, match="no labelled video has another of its class"):
        sequence_failures(index, BOTH)
