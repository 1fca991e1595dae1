"""One retriever opens the indexes of all five systems, and of one from outside the package."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import jaxret
from jaxret import Hit, Region, RegionSearch, Retriever, SequenceSearch, VectorSearch
from jaxret.__main__ import dispatch
from jaxret.data.ground_truth.films import FilmQueries
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import (
    EvaluationRequest,
    FilmEvaluation,
    LabelEvaluation,
    RegionEvaluation,
    Report,
    single_file,
)

MADE_BEFORE = Path(__file__).parents[1] / "compatibility" / "made_before"
EXAMPLE = Path(__file__).parents[2] / "docs" / "extending" / "mean_colour.py"
RUNS = {"clips": VectorSearch, "codes": VectorSearch, "sequences": VectorSearch, "films": VectorSearch}
RUNS |= {"things": RegionSearch}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(MADE_BEFORE, tmp_path_factory.mktemp("made") / "made"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clips", VectorSearch()),
        ("clips", VectorSearch(space="frame")),
        ("clips", VectorSearch(min_cosine=0.0)),
        ("clips", VectorSearch(every_clip=True)),
        ("codes", VectorSearch()),
        ("sequences", SequenceSearch("bi-dtw")),
        ("sequences", SequenceSearch("dtw", part="query")),
        ("films", VectorSearch()),
        ("things", RegionSearch()),
        ("things", RegionSearch(candidates=0)),
    ],
    ids=str,
)
def test_a_filter_finds_the_nearest_of_what_passes(name: str, options: Any, made: Path) -> None:
    query = made / "pictures" / "p0.png" if name == "things" else made / "query.mp4"
    retriever = Retriever.open(made / "runs" / name)
    passing = [hit for hit in retriever.search(query, 100, options=options) if set(hit.item.key) & set("035")]
    assert 2 < len(passing) < 100
    for kinds in (None, (passing[0].item.kind,)):
        where = "key LIKE '%0%' OR key LIKE '%3%' OR key LIKE '%5%'"
        assert retriever.search(query, 3, options=options, kinds=kinds, where=where) == passing[:3]
    assert retriever.search(query, 3, options=options, where="key = 'none'") == []
    with pytest.raises(ValueError, match="character 1: no column keys, there are key, kind"):
        retriever.search("no such file.mp4", options=options, where="keys = 'none'")


def test_a_filter_on_the_command_line(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["search", str(made / "runs" / "clips"), str(made / "query.mp4"), "--json", "--where"]
    assert dispatch([*words, "label = 'left' AND duration > 0"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 6
    assert {hit["label"] for hit in found} == {"left"}
    with pytest.raises(ValueError, match=r"filter 'label ~ 3', character 7: unexpected '~'"):
        dispatch([*words, "label ~ 3"])


@pytest.mark.parametrize("name", RUNS)
def test_a_run_and_its_index_open_and_give_hits_of_one_shape(name: str, made: Path) -> None:
    query = made / "pictures" / "p0.png" if name == "things" else made / "query.mp4"
    by_run, by_index = Retriever.open(made / "runs" / name), Retriever.open(str(made / "runs" / name / "index"))
    assert type(by_run.system) is type(by_index.system)
    assert type(by_run.system.default_options()) is RUNS[name]
    hits = by_run.search(query, 3)
    assert hits == by_index.search(single_file(query), 3, options=RUNS[name]())
    assert len(hits) == 3
    for hit in hits:
        assert isinstance(hit, Hit)
        found = json.loads(json.dumps(hit.to_json()))
        assert {"key", "kind", "label", "path", "distance", "start", "end", "box"} <= found.keys()
        assert {"query_start", "query_end", "metric", "cosine", "moment", "moment_distance"} <= found.keys()
        assert (found["key"], found["start"], found["end"]) == (hit.item.key, *hit.span)
        assert (hit.start, hit.end) == hit.span
        assert found["box"] == (None if hit.box is None else list(hit.box))
        assert (found["size"] is not None) == (name == "things")


def test_options_settings_and_queries_of_another_system_are_refused(made: Path) -> None:
    clips, things = (Retriever.open(made / "runs" / name) for name in ("clips", "things"))
    with pytest.raises(
        ConfigError,
        match=r"clips/index is an index of whole images and clips, which is searched with VectorSearch or "
        "SequenceSearch: RegionSearch does not fit it",
    ):
        clips.search(made / "query.mp4", options=RegionSearch(Region(0, 0, 9, 9)))
    for options in (VectorSearch(), SequenceSearch("dtw")):
        with pytest.raises(ConfigError, match=rf"things/index is an index of regions .* {type(options).__name__} does"):
            things.search(made / "frame.png", options=options)
        with pytest.raises(
            ConfigError, match=r"things/index is an index of regions .* is evaluated with RegionQueries"
        ):
            things.evaluate(options=options)
    films = FilmQueries(*[open_dataset(made / "query.mp4")] * 2, np.zeros(1, np.int64), np.zeros((1, 2)))
    with pytest.raises(ConfigError, match="is evaluated with RegionQueries: FilmQueries will not do"):
        things.evaluate(films)
    with pytest.raises(ConfigError, match="screen photos are queries for shots, and this index was made by an encoder"):
        clips.evaluate(films)
    for settings in (FilmEvaluation(), RegionEvaluation()):
        message = f"these queries are evaluated with LabelEvaluation, got {type(settings).__name__}"
        with pytest.raises(ConfigError, match=message):
            clips.evaluate(settings=settings)
    with pytest.raises(ConfigError, match="these queries are evaluated with FilmEvaluation, got LabelEvaluation"):
        clips.evaluate(films, settings=LabelEvaluation())
    for options, message in (
        (VectorSearch(rerank=20), "rerank puts in order what codes have found: it needs the code space, got 'clip'"),
        (VectorSearch(every_clip=True), "an evaluation ranks the whole gallery: leave every_clip out, got True"),
        (VectorSearch(probes=2), "leave probes out, got 2"),
        (VectorSearch(metric="cosine", min_cosine=0.5), r"min_cosine \(--par\) ranks by Euclidean distance: leave cos"),
    ):
        with pytest.raises(ConfigError, match=message):
            clips.evaluate(options=options)
    for values, message in (
        ({"relevant": "clip"}, "relevant must be one of label, source, got 'clip'"),
        ({"denominator": "k"}, "denominator must be one of .*, got 'k'"),
        ({"depth": 0}, "depth must be at least 1 or none, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            LabelEvaluation(**values)
    with pytest.raises(ConfigError, match="tolerance must be at least 0, got -1"):
        FilmEvaluation(-1)


def test_an_evaluation_says_what_it_measured(made: Path) -> None:
    report = Retriever.open(made / "runs" / "clips").evaluate(
        options=VectorSearch(min_cosine=0.5), settings=LabelEvaluation(by_class=True), ks=[1]
    )
    assert report.measured == (
        "clip space by par; mAP@k divides by min(n_relevant,k); equal distances in order of id; "
        "mean of frames: their mean vectors, without order, by cosine"
    )
    assert (report.options, report.settings) == (VectorSearch(min_cosine=0.5), LabelEvaluation(by_class=True))
    assert list(report.figures) == ["all", "left", "right"]
    assert list(report.baselines) == ["chance", "mean of frames"]
    assert json.loads(json.dumps(report.to_json()))["all"] == report.figures["all"]
    header, rows = report.tables()[0]
    assert [row[0] for row in rows[:3]] == ["all", "all: chance", "all: mean of frames"]
    assert rows[0][header.index("queries")] == "12"
    assert "queries_excluded" not in header
    lines = str(report).splitlines()
    assert lines[0] == report.measured
    assert [line.split() for line in lines[2 : 2 + len(rows)]] == [" ".join(row).split() for row in rows]


def test_a_wide_table_is_cut_at_the_cut_offs_and_a_narrow_one_is_not() -> None:
    metrics = ("mAP", "P", "recall", "F1", "accuracy", "R", "NDCG")
    wide = {"mAP": 0.5, **{f"{name}@{k}": k / 20 for k in (1, 5, 10) for name in metrics}, "queries": 12.0}
    report = Report({"all": wide, "a class": wide}, "words", None, None, {"chance": {"all": {"mAP": 0.1, "P@5": 0.2}}})
    tables = report.tables()
    assert [header[1:] for header, _ in tables] == [
        ["mAP", "queries"],
        *[[f"{name}@{k}" for name in metrics] for k in (1, 5, 10)],
    ]
    assert [row[0] for row in tables[0][1]] == ["all", "all: chance", "a class"]
    assert tables[2][1][1] == ["all: chance", "", "0.2000", "", "", "", "", ""]
    assert [row[0] for row in tables[1][1]] == ["all", "a class"]  # a baseline without figures there has no line
    assert max(map(len, str(report).splitlines())) <= 100
    assert list(report.to_json()) == ["all", "all: chance", "a class"]
    films = dict.fromkeys(("mAP", "R@1", "shot R@1", "moment R@1", "queries"), 0.5)
    assert len(Report({"all": films}, "words", None, None).tables()) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ks": 5}, r"ks must be a sequence of cut-offs such as \(1, 5, 10\), got 5"),
        ({"ks": (1, 0)}, "each of ks must be at least 1, got 0"),
        ({"ks": (1, 2.5)}, r"each of ks must be an integer, got 2\.5"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"threads": 5000}, "threads must be at most 1024, got 5000"),
    ],
)
def test_a_bad_request_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        EvaluationRequest(**values)


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The example of the docs, which is forgotten after the test."""
    if not EXAMPLE.exists():
        pytest.skip("the docs are not here")
    with monkeypatch.context() as patch:
        patch.setattr("jaxret.models.registry._ENCODERS.classes", {})
        patch.setattr("jaxret.retrieval.systems.base._SYSTEMS", {})
        spec = importlib.util.spec_from_file_location("mean_colour", EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "mean_colour", module)
        spec.loader.exec_module(module)
        yield module


def test_a_system_from_outside_is_indexed_and_searched(
    colours: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, index = tmp_path / "images", tmp_path / "index"
    images.mkdir()
    for name, colour in (("red", (200, 0, 0)), ("dark", (90, 0, 0)), ("blue", (0, 0, 200))):
        Image.new("RGB", (40, 40), colour).save(images / f"{name}.png")
    retriever = Retriever.create(index, colours.MeanColour(Preprocessing(height=16, width=16, frames=2)))
    assert len(retriever.add(jaxret.open_dataset(images)).added) == 3
    again = Retriever.open(index)
    assert isinstance(again.system, colours.ColourSystem)
    assert [hit.item.key for hit in again.search(images / "red.png", 2)] == ["red.png", "dark.png"]
    darker = again.search(images / "red.png", 1, options=colours.ColourSearch(brightness=0.5))
    assert [hit.item.key for hit in darker] == ["dark.png"]
    with pytest.raises(ConfigError, match="is an index of colours, which is searched with ColourSearch: VectorSearch"):
        again.search(images / "red.png", options=VectorSearch())
    with pytest.raises(ConfigError, match="is an index of colours, which is evaluated with nothing"):
        again.evaluate()
    capsys.readouterr()
    assert dispatch(["search", str(index), str(images / "blue.png"), "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == "blue.png"
    with pytest.raises(ConfigError, match=r"--par belongs to vector search, and .*index is an index of colours: leave"):
        dispatch(["search", str(index), str(images / "blue.png"), "--par", "0.5"])
    assert dispatch(["index", str(images), str(index), "--quiet"]) == 0
    assert "added 0 items, 3 were there already" in capsys.readouterr().out


@pytest.mark.parametrize("name", RUNS)
def test_as_many_results_as_there_are_take_no_more_memory(name: str, made: Path) -> None:
    retriever = Retriever.open(made / "runs" / name)
    query = made / ("frame.png" if name in ("things", "films") else "query.mp4")
    every = [hit.item.key for hit in retriever.search(query, len(retriever.index))]
    assert [hit.item.key for hit in retriever.search(query, 10**15)] == every
    if name == "codes":
        assert len(retriever.search(query, 2, options=VectorSearch(rerank=10**9))) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorSearch(min_cosine="x"), "min_cosine must be a finite number, got 'x'"),
        (
            lambda: RegionSearch(region=(1, 2, 3, 4)),
            r"region must be a Region\(x, y, width, height\), got \(1, 2, 3, 4\)",
        ),
        (lambda: RegionSearch(at="x"), "at must be a finite number of seconds, got 'x'"),
        (lambda: RegionSearch(at=float("nan")), "at must be a finite number of seconds, got nan"),
        (lambda: RegionSearch(surroundings="x"), "surroundings must be a finite number of at least 0, got 'x'"),
    ],
)
def test_values_of_the_wrong_type_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_what_is_no_data_set_is_named(made: Path) -> None:
    clips = Retriever.open(made / "runs" / "clips")
    with pytest.raises(TypeError, match=r"dataset must be a data set, as jaxret.open_dataset.* got 'MORE'"):
        clips.add("MORE")
    with pytest.raises(ConfigError, match=r"str will not do: open it with jaxret.open_dataset"):
        clips.evaluate("MORE")
    with pytest.raises(ConfigError, match=r"has no items of the split 'no such'"):
        clips.evaluate(settings=LabelEvaluation(split="no such"))


def test_an_encoder_is_loaded_by_the_name_of_its_folder(made: Path) -> None:
    folder = made / "runs" / "clips" / "index" / "encoder"
    assert jaxret.load_encoder(str(folder)).config == jaxret.load_encoder(folder).config


def test_a_result_file_is_refused_before_the_work(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="cannot be written: there is no folder"):
        dispatch(["evaluate", str(made / "runs" / "clips"), "--json", str(made / "nowhere" / "x.json")])
    with pytest.raises(ConfigError, match="is a folder"):
        dispatch(["search", str(made / "runs" / "things"), str(made / "frame.png"), "--figure", str(made)])
    assert capsys.readouterr().out == ""
