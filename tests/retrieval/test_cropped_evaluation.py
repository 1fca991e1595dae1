"""Queries cropped from indexed videos and changed: against loops over the stored vectors, by file and by command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from reference import dtw as twin

from jaxret.__main__ import dispatch
from jaxret.data.dataset import MediaDataset, MediaSubset
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.ground_truth.cropped import CroppedQueries
from jaxret.data.merge import RelistedDataset
from jaxret.data.open import open_dataset
from jaxret.data.readers import MediaInfo, MediaReader
from jaxret.errors import ConfigError, MediaError
from jaxret.retrieval import CroppedEvaluation, CroppedVideos, LabelEvaluation, Retriever, SequenceSearch
from jaxret.retrieval.encode import clip_rows, frame_vectors

MADE_BEFORE = Path(__file__).parents[1] / "compatibility" / "made_before"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """Media of two classes; half of the videos of each share a source, and some are the split test."""
    folder = tmp_path_factory.mktemp("index") / "index"
    retriever = Retriever.create(folder, Retriever.open(MADE_BEFORE / "runs" / "clips" / "index").encoder)
    media = open_dataset(MADE_BEFORE / "media")
    items = [
        dataclasses.replace(item, source=f"{item.label}-{number % 2}", split="test" if number % 3 else "train")
        for number, item in enumerate(media.items)
    ]
    retriever.add(RelistedDataset([media], items))
    return retriever


def test_figures_are_those_of_loops(index: Retriever) -> None:
    settings = CroppedEvaluation(strengths=(0.0, 0.5), query_seed=3)
    report = index.evaluate(CroppedVideos(4), options=SequenceSearch("bi-dtw"), settings=settings)
    items = index.index.items
    videos = [number for number, item in enumerate(items) if item.kind == "video"]
    rows = index.index.rows("clip")
    stored = {number: rows.vectors[rows.items == number] for number in videos}
    media = open_dataset(MADE_BEFORE / "media")
    numbers = {item.key: number for number, item in enumerate(media.items)}
    tested = [number for number in videos if items[number].split == "test"]
    chosen = [tested[round(place)] for place in np.linspace(0, len(tested) - 1, 4)]
    crops = CroppedQueries(media, videos=[numbers[items[n].key] for n in chosen], crops=2, share=0.5, seed=3)
    found = dict(frame_vectors(crops, index.encoder))
    queries = clip_rows(found, index.encoder)
    by_clip, by_class = [], []
    for place, own in enumerate(chosen):
        vectors = queries.vectors[queries.items == place]
        order = sorted(videos, key=lambda n: (twin.bidtw(vectors, stored[n]), n))
        by_clip.append(1 / (1 + order.index(own)))
        others = [n for n in order if items[n].source != items[own].source]
        ranks = [rank for rank, n in enumerate(others, 1) if items[n].label == items[own].label]
        by_class.append(np.mean([number / rank for number, rank in enumerate(ranks, 1)]))
    assert list(report.figures) == ["strength 0", "strength 0.5"]
    row = report.figures["strength 0"]
    assert row["mAP by clip"] == pytest.approx(np.mean(by_clip), abs=1e-6)
    assert row["P@1 by clip"] == pytest.approx(np.mean(np.array(by_clip) == 1), abs=1e-6)
    assert row["mAP by class"] == pytest.approx(np.mean(by_class), abs=1e-6)
    assert row["queries"] == 4
    assert report.figures["strength 0.5"] != row
    assert report.baselines["chance"]["strength 0"]["P@1 by clip"] == pytest.approx(1 / len(videos))


def test_the_command_measures_each_strength(index: Retriever, tmp_path: Path, capsys) -> None:
    folder, written = str(index.index.folder), tmp_path / "figures.json"
    words = ["evaluate", folder, "--cropped", "3", "--strengths", "0", "1", "--changes", "colour", "encode"]
    assert dispatch([*words, "--json", str(written)]) == 0
    shown = capsys.readouterr().out
    assert "changed: colour, encode" in shown
    assert "2 runs of frames of a video with gaps between, together 50% of its frames" in shown
    figures = json.loads(written.read_text())
    assert list(figures) == ["strength 0", "strength 0: chance", "strength 1", "strength 1: chance"]
    assert figures["strength 0"]["queries"] == 3


def test_fewer_queries_than_wanted_are_told(index: Retriever) -> None:
    settings = CroppedEvaluation(strengths=(0.0,))
    tested = sum(item.kind == "video" and item.split == "test" for item in index.index.items)
    told = [index.evaluate(CroppedVideos(count), settings=settings).measured for count in (tested, tested + 1)]
    assert "were to be queries" not in told[0]
    assert f"; {tested + 1} were wanted as queries, and the split test has {tested}" in told[1]


def test_what_is_no_file_is_named_by_its_data(tmp_path: Path, index: Retriever) -> None:
    digits = MovingDigits(0, 0, 1, size=32)
    retriever = Retriever.create(tmp_path / "index", index.encoder)
    retriever.add(digits.subset(range(3)))
    with pytest.raises(ConfigError, match=r"holds no videos that are files.*\(--queries DATA\)"):
        retriever.evaluate(CroppedVideos(2))
    report = retriever.evaluate(CroppedVideos(2, digits), settings=CroppedEvaluation(strengths=(0.0,)))
    assert report.figures["strength 0"]["queries"] == 2
    assert "mAP by class" not in report.figures["strength 0"], "no two are of a class"


def test_videos_that_are_too_short_are_told(index: Retriever) -> None:
    settings = CroppedEvaluation(runs=500, strengths=(0.0,))
    with pytest.raises(ConfigError, match=r"none of 2 videos gives a query: .* too few for 500 runs"):
        index.evaluate(CroppedVideos(2), settings=settings)


class Unread(MediaSubset):
    """Media of which some are gone when they are read for a second time: their lengths are known by then."""

    def __init__(self, parent: MediaDataset, lost: int):
        super().__init__(parent, range(len(parent)))
        self.known = [parent.info(number) for number in range(len(parent))]
        self.lost = lost

    def info(self, index: int) -> MediaInfo:
        return self.known[index]

    def open(self, index: int) -> MediaReader:
        if index < self.lost:
            raise MediaError(self.items[index].key, "it is gone")
        return super().open(index)


def test_queries_that_cannot_be_read_are_told(tmp_path: Path, index: Retriever) -> None:
    digits = MovingDigits(0, 0, 1, size=32)
    some = digits.subset(range(3))
    retriever = Retriever.create(tmp_path / "index", index.encoder)
    retriever.add(some)
    settings = CroppedEvaluation(strengths=(0.0, 0.5))
    report = retriever.evaluate(CroppedVideos(3, Unread(some, 1)), settings=settings)
    assert report.figures["strength 0"]["queries"] == 2
    key = some.items[0].key
    assert report.warnings[0] == f"1 of 3 queries could not be read: first {key} (it is gone)"
    assert sum("could not be read" in line for line in report.warnings) == 1
    with pytest.raises(ConfigError, match=r"3 of 3 queries could not be read: first .* \(it is gone\)"):
        retriever.evaluate(CroppedVideos(3, Unread(some, 3)), settings=settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runs": 0}, "runs must be at least 1, got 0"),
        ({"share": 1.0}, "share must be above 0 and below 1, got 1.0"),
        ({"changes": ()}, "changes must name each once, and one at least"),
        ({"changes": ("sepia",)}, "changes must be of colour, .* got 'sepia'"),
        ({"changes": ("blur",), "strengths": (0.0,)}, "changes=.'blur'. have no effect: strengths are 0 alone"),
        ({"strengths": (0.5, 0.5)}, "strengths must name each once"),
        ({"strengths": (1.5,)}, "strengths must be 0 to 1, got 1.5"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CroppedEvaluation(**settings)


def test_what_does_not_go_together_is_named(index: Retriever) -> None:
    with pytest.raises(ConfigError, match="cropped must be at least 1 video, got 0"):
        CroppedVideos(0)
    with pytest.raises(ConfigError, match="evaluated with CroppedEvaluation, got LabelEvaluation"):
        index.evaluate(CroppedVideos(1), settings=LabelEvaluation())
    folder = str(index.index.folder)
    for words, message in (
        (["--cropped", "2", "--photographs", "a.csv"], "--cropped and --photographs are both queries: give one"),
        (["--strengths", "0.5"], "--strengths belongs to cropped evaluation"),
        (["--cropped", "2", "--by-class"], "--by-class belongs to label evaluation, and the queries are cropped"),
    ):
        with pytest.raises(ConfigError, match=message):
            dispatch(["evaluate", folder, *words])
