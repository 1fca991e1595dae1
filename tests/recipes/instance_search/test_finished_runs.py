"""Finished runs of the recipe instance-search: what they leave, searched, drawn, extended and measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from instance_making import PICTURES, make_pictures
from instance_runs import FEATURES, found
from PIL import Image

from jaxret.__main__ import dispatch
from jaxret.cli.run import run_command
from jaxret.errors import ConfigError
from jaxret.index import MediaIndex
from jaxret.metrics import box_overlap


@pytest.fixture(params=sorted(FEATURES))
def run(request: pytest.FixtureRequest, runs: dict[str, Path]) -> Path:
    if request.param not in runs:
        pytest.skip("SIFT needs OpenCV (extra opencv)")
    return runs[request.param]


def test_a_run_leaves_index_picture_and_report(data: Path, run: Path) -> None:
    assert {path.name for path in run.iterdir()} >= {"config.json", "encoder", "index", "gallery.png", "report.html"}
    assert not [path for path in run.rglob("*") if path.suffix in {".pkl", ".pickle"}]
    report = (run / "report.html").read_text()
    assert "broken.png" in report
    assert "Queries are the middles of some images" in report
    with Image.open(run / "gallery.png") as page:
        assert page.width > 400
        assert page.height > 300
    index = MediaIndex.open(run / "index")
    assert len(index) == len(PICTURES) + 1
    assert index.rows_per_item("sizes").tolist() == [1] * len(PICTURES) + [2]


@pytest.mark.parametrize("features", ["blcf", "grid", "rmac"])  # of SIFT words see tests/instances/test_word_search.py
def test_the_right_picture_is_first_and_its_box_is_on_the_thing(
    data: Path, runs: dict[str, Path], features: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs[features]
    for name, other in (("a.png", "b.png"), ("e.png", "f.png")):
        ((left, top, right, bottom),) = PICTURES[name][1].values()
        region = f"{left},{top},{right - left},{bottom - top}"
        matches = found(capsys, run, data / name, "--region", region, "-k", "3", "--kind", "image")
        assert {match["key"] for match in matches[:2]} == {name, other}
        for match in matches[:2]:
            size, (truth,) = PICTURES[match["key"]][0], PICTURES[match["key"]][1].values()
            assert tuple(match["size"]) == size
            assert float(box_overlap(match["box"], truth)) > (0.05 if features == "grid" else 0.2) * 24 * 24
        height, width = PICTURES[name][0]
        shares = f"{left / width},{top / height},{(right - left) / width},{(bottom - top) / height}"
        again = found(capsys, run / "index", data / name, "--region", shares, "-k", "3", "--kind", "image")
        assert again == matches


def test_sift_finds_the_picture_itself(data: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    if "sift" not in runs:
        pytest.skip("SIFT needs OpenCV (extra opencv)")
    matches = found(capsys, runs["sift"], data / "a.png", "-k", "8", "--verify")
    assert matches[0]["key"] == "a.png"
    assert matches[0]["inliers"] > max(match["inliers"] for match in matches[1:])
    capsys.readouterr()
    assert dispatch(["search", str(runs["sift"]), str(data / "a.png"), "-k", "2", "--verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["distance", "points", "box", "(x,y,width,height)", "at", "item"]
    assert lines[1].split()[2] == str(matches[0]["inliers"])


def test_results_as_text(data: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(runs["blcf"]), str(data / "a.png"), "--region", "8,8,24,24"]
    matches = found(capsys, *words, "-k", 8)
    assert dispatch(["search", *words, "-k", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert lines[0].split() == ["distance", "box", "(x,y,width,height)", "at", "item"]
    for place, (line, match) in enumerate(zip(lines[1:], matches, strict=True), start=1):
        cells = line.split()
        assert cells[:2] == [str(place), f"{match['distance']:.4f}"]
        if match["box"] is None:
            assert cells[2] == "-"
        else:
            left, top, right, bottom = (round(side) for side in match["box"])
            assert cells[2] == f"{left},{top},{right - left},{bottom - top}"
        assert cells[-1] == match["path"]
        assert (f"{match['start']:.1f} s" in line) == (match["kind"] == "video")
    assert dispatch(["search", *words, "--candidates", "0", "-k", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[2] == "-"


def test_a_frame_of_a_film_asks(data: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = [runs["blcf"], data / "x.mp4", "--region", "16,16,24,24", "--at", "1.4"]
    matches = found(capsys, *words, "-k", "3")
    assert matches[0]["key"] == "x.mp4"
    assert matches[0]["start"] == pytest.approx(1.5, abs=0.3)
    assert {match["key"] for match in matches} == {"x.mp4", "a.png", "b.png"}
    only = found(capsys, *words, "--kind", "video")
    assert only == matches[:1]


def test_the_picture_of_a_search(
    data: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Query and three results of 192 pixels and their frames, captions and margins; boxes are drawn in yellow."""
    page = tmp_path / "found.png"
    words = ["search", str(runs["blcf"]), str(data / "a.png"), "--region", "8,8,24,24", "-k", "3"]
    matches = found(capsys, *words[1:])
    assert dispatch([*words, "--figure", str(page)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    widths = [192 + 6] + [round(192 * match["size"][1] / match["size"][0]) + 6 for match in matches]
    with Image.open(page) as image:
        assert image.size == (sum(widths) + 6 * 8, 192 + 6 + 30 + 8 + 8 + 16)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    yellow = (pixels == (255, 221, 0)).all(axis=-1)
    rows, columns = np.nonzero(yellow[:, : widths[0] + 8])
    # The query's box, three times as large (the picture has 64 pixels), from the corner of its tile.
    scale, left, top = 3, 8 + 3, 16 + 8 + 3
    assert columns.min() == pytest.approx(left + 8 * scale, abs=3)
    assert columns.max() == pytest.approx(left + 32 * scale, abs=3)
    assert rows.min() == pytest.approx(top + 8 * scale, abs=3)
    assert rows.max() == pytest.approx(top + 32 * scale, abs=3)
    assert yellow[:, widths[0] + 8 :].any()
    # The whole picture asks, with no box of its own; what has no box gets none.
    plain = ["search", str(runs["blcf"]), str(data / "a.png"), "-k", "3", "--candidates", "0", "--figure", str(page)]
    assert dispatch(plain) == 0
    with Image.open(page) as image:
        assert not (np.asarray(image.convert("RGB")) == (255, 221, 0)).all(axis=-1).any()
    # A frame of a film asks.
    film = ["search", str(runs["blcf"]), str(data / "x.mp4"), "--at", "1.4", "--region", "0.2,0.2,0.5,0.5", "-k", "1"]
    assert dispatch([*film, "--figure", str(page)]) == 0
    assert page.stat().st_size > 1000


def test_pictures_of_odd_shapes_and_lost_ones_fit_the_page(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_pictures(tmp_path / "odd", ["a.png", "b.png"])
    Image.new("RGB", (2000, 5), "red").save(folder / "wide.png")
    Image.new("RGB", (5, 2000), "red").save(folder / "tall.png")
    assert dispatch(["index", str(folder), str(tmp_path / "index"), "--encoder", str(runs["blcf"]), "--quiet"]) == 0
    (folder / "b.png").unlink()
    page = tmp_path / "page.png"
    words = [str(tmp_path / "index"), str(folder / "wide.png"), "--region", "0,0,2000,5", "-k", "4"]
    assert dispatch(["search", *words, "--figure", str(page)]) == 0
    with Image.open(page) as image:
        assert image.width < 5 * (4 * 192 + 20)
        assert 192 < image.height < 300  # a tile of 192 pixels, with captions above and below
    assert len(found(capsys, *words)) == 4


def test_index_command(data: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "index"
    more = make_pictures(tmp_path / "more", ["a.png"])
    new = ["index", str(data), str(index), "--encoder", str(runs["blcf"]), "--quiet"]
    assert dispatch(new) == 0
    out = capsys.readouterr().out
    assert "added 8 items, 0 were there already, 1 could not be read; 8 are in" in out
    assert "an image (or a frame of a video) takes 0.5 kB" in out
    assert dispatch(["index", str(more / "a.png"), str(index), "--quiet"]) == 0
    assert "added 0 items, 1 were there already" in capsys.readouterr().out
    assert dispatch(["index", str(more), str(index), "--remove", "--quiet"]) == 0  # a copy takes nothing of the data
    assert "removed 0 of 1 item; 8 are left" in capsys.readouterr().out
    assert dispatch(["index", str(data / "a.png"), str(index), "--remove", "--compact", "--quiet"]) == 0
    assert "removed 1 of 1 item; 7 are left" in capsys.readouterr().out
    kept = found(capsys, index, data / "a.png", "--region", "8,8,24,24", "-k", "9")
    assert len(kept) == 7
    assert "a.png" not in {match["key"] for match in kept}
    assert {match["key"] for match in kept[:2]} == {"b.png", "x.mp4"}  # the query need not be in the index
    assert dispatch(["index", str(data), str(index), "--remove", "--quiet"]) == 0
    assert found(capsys, index, data / "a.png", "--region", "8,8,24,24") == []
    assert dispatch(["search", str(index), str(data / "a.png")]) == 0
    assert capsys.readouterr().out == "nothing found\n"
    with pytest.raises(ConfigError, match=r"regions lie in single frames: leave --without-frames \(frames=False\) out"):
        dispatch(["index", str(data), str(tmp_path / "x"), "--encoder", str(runs["blcf"]), "--without-frames"])


def test_evaluate_command(
    data: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes, figures = f"boxes:{data / 'boxes.csv'}", tmp_path / "figures.json"
    words = ["evaluate", str(runs["blcf"]), "--regions", boxes]
    assert dispatch([*words, "--json", str(figures)]) == 0
    row = json.loads(figures.read_text())["all"]
    assert row["queries"] == 6
    by_hand = []
    for name in ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png"):
        ((thing, (left, top, right, bottom)),) = PICTURES[name][1].items()
        matches = found(
            capsys, runs["blcf"], data / name, "--region", f"{left},{top},{right - left},{bottom - top}", "-k", "8"
        )
        others = [match["key"] for match in matches if match["key"] != name]
        (right_one,) = (other for other in others if thing in PICTURES.get(other, ((), {}))[1])
        by_hand.append(1 / (others.index(right_one) + 1))
    assert row["mAP"] == pytest.approx(np.mean(by_hand))
    assert dispatch([*words, "--whole-images", "--candidates", "0", "--idf"]) == 0
    first, header, row = capsys.readouterr().out.splitlines()
    assert first == "whole images, 0 candidates re-ranked"
    assert re.split(r"\s{2,}", header.strip()) == ["mAP", "mAP (trapezoidal)", "NDCG", "queries"]
    assert row.startswith("all  0.")
    assert row.endswith("  6")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("search {run} {a} --region 70,0,5,5", "the region 70,0,5,5 lies outside the image of 64 x 64 pixels"),
        ("search {run} {a} --region 7,0,0,5", "the region 7,0,0,5 is empty: its width and height must be above 0"),
        ("search {run} {a} --region=-7,0,9,5", "the region -7,0,9,5 begins outside the image"),
        ("search {run} {a} --region 1,1,1.5,1", "the region 1,1,1.5,1 holds 0 visual words, and a search"),
        ("search {run} {a} --region 1,1,2", "a region must be X,Y,WIDTH,HEIGHT, in pixels or in shares of the image"),
        ("search {run} {a} --region nan,0,1,1", "a region must be four finite numbers"),
        ("search {run} {a} --at 2", "a.png is an image, and has no frame at 2 s"),
        ("search {run} {film}", "x.mp4 is a video: name the second of the frame to search with"),
        ("search {run} {film} --at 9", "at must lie in the video's 0 to 2 seconds, got 9"),
        ("search {run} {a} -k 0", "k must be at least 1, got 0"),
        ("search {run} {a} --candidates -1", "candidates must be a whole number of at least 0, got -1"),
        ("search {run} {a} --candidates 3 --expand 4", "expand takes from the candidates that are re-ranked, 3"),
        ("search {run} {a} --candidates 0 --verify", "verify looks at the candidates that are re-ranked"),
        ("search {run} {a} --verify", "verify compares key points: it needs an index of SIFT words"),
        ("search {run} {a} --surroundings 0.2", "surroundings are those of a region, and no region is marked"),
        ("search {run} {a} --surroundings -1 --region 0,0,1,1", "surroundings must be a finite number of at least 0"),
        ("search {run} {a} --metric cosine", "--metric belongs to vector search, and"),
        ("search {run} {a} --metric cosine", "is an index of regions of images: leave it out"),
        ("search {run} {a} --sequence dtw", "--sequence belongs to sequence search, and"),
        ("search {run} {a} --figure {here}/x.foo", "unknown file extension: .foo"),
        ("search {run} {a} --figure {here}/none/x.png", "cannot be written: there is no folder"),
        ("search {run} {here}/none.png", "none.png: no such file"),
        ("search {run} {here}/broken.png", "broken.png: not an image that Pillow can read"),
        ("search {rmac} {a} --centre", "a prior for the centre weights visual words, and the index has none"),
        (
            "search {rmac} {a} --surroundings 0.2 --region 0,0,1,1",
            "surroundings is a setting of visual words, and the index has none",
        ),
        ("search {here} {a}", "is not an index"),
        ("evaluate {run}", "is an index of regions of images: name queries with boxes by --regions KIND:PATH"),
        ("evaluate {run} --regions cats:x", "queries with boxes are named oxford:PATH, revisited:PATH, instre:PATH"),
        ("evaluate {run} --regions boxes:{here}/none.csv", "none.csv: No such file"),
        ("evaluate {run} --regions boxes:{here}/boxes.csv --without-query", "the query image never counts of boxes"),
        ("evaluate {run} --regions boxes:{here}/boxes.csv --query-folder {here}", "leave the folder"),
        ("evaluate {run} --regions boxes:{here}/boxes.csv -k 3", "cut-offs (ks, -k) are of an evaluation by labels"),
        ("evaluate {run} --regions boxes:{here}/boxes.csv --subsequence", "--subsequence belongs to sequence search"),
        ("evaluate {run} --regions boxes:{here}/boxes.csv --length-normalised", "--length-normalised belongs to seq"),
        ("evaluate {run} --regions boxes:{here}/boxes.csv --split x", "--split belongs to label evaluation, and"),
        (
            "evaluate {run} --regions boxes:{here}/boxes.csv --queries {here}",
            "--queries and --regions are both queries",
        ),
        ("evaluate {run} --photographs {here}/x.csv", "is an index of regions of images: name queries with boxes by"),
        ("evaluate {run} --query-folder {here}", "is an index of regions of images: name queries with boxes by"),
        ("evaluate {run} --regions boxes:{here}/boxes.csv --whole-images --surroundings 1", "no region is marked"),
    ],
)
def test_errors_are_one_line(
    data: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    places = {"run": runs["blcf"], "rmac": runs["rmac"], "a": data / "a.png", "film": data / "x.mp4", "here": data}
    assert run_command(dispatch, [word.format(**places) for word in words.split()]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("jaxret: error: ")
    assert message in error
