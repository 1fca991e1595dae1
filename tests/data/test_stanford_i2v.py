"""The text files of Stanford I2V: made on the spot, and the real ground truth where it is at hand."""

from __future__ import annotations

import pytest

from jaxret.data.ground_truth.clock_times import format_clock, parse_clock
from jaxret.data.ground_truth.stanford_i2v import (
    read_ground_truth,
    read_refinement_results,
    read_scene_results,
    write_refinement_results,
    write_scene_results,
)
from jaxret.errors import ConfigError
from jaxret.metrics import scene_retrieval_scores, temporal_refinement_jaccard


def test_ground_truth(tmp_path):
    path = tmp_path / "truth.txt"
    path.write_text("0 d/a.mp4 1:37 1:44 d/a.mp4 1:50 1:59 \n\n7 d/b.mp4 0:00 0:03 d/c.mp4 1:00:05 1:00:07\n")
    first, second = read_ground_truth(path)
    assert (first.number, first.spans) == (0, {"d/a.mp4": ((97, 104), (110, 119))})
    assert (second.number, second.spans) == (7, {"d/b.mp4": ((0, 3),), "d/c.mp4": ((3605, 3607),)})


def test_results_come_back_as_they_were_written(tmp_path):
    scenes = {3: ("d/a.mp4", "d/b.mp4"), 1: ()}
    write_scene_results(tmp_path / "scenes.txt", scenes)
    assert read_scene_results(tmp_path / "scenes.txt") == scenes
    spans = {3: {"d/a.mp4": ((0, 3), (3605, 3605)), "d/b.mp4": ()}, 1: {}}
    write_refinement_results(tmp_path / "spans.txt", spans)
    assert (tmp_path / "spans.txt").read_text() == "Query 3\nd/a.mp4,0:00 0:03,1:00:05 1:00:05\nd/b.mp4\nQuery 1\n"
    assert read_refinement_results(tmp_path / "spans.txt") == spans


def test_keyframes_are_seconds_with_a_delay(tmp_path):
    path = tmp_path / "frames.txt"
    path.write_text("Query 0\nd/a.mp4,104,1,4,5,90\n")
    whole = read_refinement_results(path)[0]["d/a.mp4"]
    assert whole == ((100, 100), (0, 0), (0, 0), (1, 1), (86, 86))
    assert read_refinement_results(path, keyframes=2)[0]["d/a.mp4"] == whole[:2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no queries"),
        ("0 a 0:01 0:02\n0 a 0:01 0:02", "line 2: query 0 is there twice"),
        ("0 a 0:01", "line 1: after the query's number come video, start and end, got 2 words"),
        ("0", "got 0 words"),
        ("x a 0:01 0:02", "line 1: expected a whole number, got 'x'"),
        ("0 a 0:01 0:0b", "line 1: a time must be seconds, m:ss or h:mm:ss, got '0:0b'"),
        ("0 a 0:05 0:02", "line 1: a span ends before it starts: 0:05 0:02"),
    ],
)
def test_malformed_ground_truth_is_named_by_line(tmp_path, text, message):
    (tmp_path / "truth.txt").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_ground_truth(tmp_path / "truth.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4", "line 1: the first line must be `Query NUMBER`, got 'a.mp4'"),
        ("Query", "line 1: expected a whole number, got ''"),
        ("Query 1\nQuery 1", "line 2: query 1 is there twice"),
        ("Query 1\na,0:01 0:02\na,0:05 0:06", "line 3: a is there twice for one query"),
        ("Query 1\na,0:01 0:02,5", "line 2: a span is a start and an end, got '5'"),
    ],
)
def test_malformed_results_are_named_by_line(tmp_path, text, message):
    (tmp_path / "results.txt").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_refinement_results(tmp_path / "results.txt")


def test_files_that_are_not_there():
    with pytest.raises(ConfigError, match=r"nowhere\.txt: No such file"):
        read_scene_results("nowhere.txt")
    with pytest.raises(ConfigError, match="keyframes must be at least 1, got 0"):
        read_refinement_results("nowhere.txt", keyframes=0)


def test_clock_times():
    for seconds in (0, 59, 60, 3599, 3600, 36_000 + 61):
        assert parse_clock(format_clock(seconds)) == seconds
    assert parse_clock("0:01.25") == 1.25
    for odd in ("", "1:2:3:4", "1:60", "-5", "nan", "1.5:00", "a"):
        with pytest.raises(ValueError, match="must be"):
            parse_clock(odd)


@pytest.mark.parametrize(("name", "queries"), [("light", 78), ("full", 229)])
def test_the_real_ground_truth(shared_media, name, queries):
    path = shared_media / "data" / "stanford_i2v" / f"{name}_dataset_public.txt"
    truth = read_ground_truth(path)
    assert len(truth) == queries
    words = [line.split() for line in path.read_text().splitlines()]
    assert sum(len(spans) for query in truth for spans in query.spans.values()) == sum(len(w) // 3 for w in words)
    assert [len(query.spans) for query in truth] == [len(set(w[1::3])) for w in words]
    # The truth itself, given as results, is right everywhere; made longer by the tolerance, to the second.
    scores = scene_retrieval_scores([list(query.spans) for query in truth], [query.spans for query in truth])
    assert scores.average_precision.mean == pytest.approx(1)
    longer = [
        {video: [(max(a - 1, 0), b + 1) for a, b in spans] for video, spans in query.spans.items()} for query in truth
    ]
    assert temporal_refinement_jaccard(longer, [query.spans for query in truth]).mean() == pytest.approx(1)
