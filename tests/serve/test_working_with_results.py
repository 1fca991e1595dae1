"""Comparing, refining, exporting, cutting, and adding to an index through the API."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serve.server import Client, running

import jaxret
from jaxret import Retriever, SequenceSearch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.video import VideoReader
from jaxret.index import MediaIndex
from jaxret.rank import SequenceRanking, align_sequences
from jaxret.serve.library import item_id
from jaxret.serve.limits import Limits

LEFT = item_id("left/l0.mp4")


def test_two_videos_are_compared_along_their_alignment(client: Client, made: Path) -> None:
    request = {"index": "sequences", "query": {"path": "query.mp4"}, "item": item_id("right/r1.mp4")}
    options = {"class": "SequenceSearch", "measure": "bi-dtw"}
    found = client.post("/api/comparisons", {**request, "options": options}).json
    assert found["kind"] == "alignment"
    retriever = Retriever.open(made / "runs" / "sequences")
    item = retriever.index.rows("clip", [retriever.index.id_of("right/r1.mp4")])
    query = retriever.encode(made / "query.mp4", options=SequenceSearch("bi-dtw"))
    expected = retriever.compare(query, "right/r1.mp4", options=SequenceSearch("bi-dtw"))
    np.testing.assert_allclose(found["item_times"], (item.starts + item.ends) / 2, atol=1e-3)
    assert np.array(found["distances"]).shape == (len(found["query_times"]), len(found["item_times"]))
    assert found["path"] == expected.path.tolist()
    assert found["backwards"] == expected.backwards

    frames = client.post("/api/comparisons", {**request, "index": "clips", "start": 0, "end": 1}).json
    assert frames["kind"] == "alignment"
    assert max(frames["item_times"]) <= 1.0
    assert frames["backwards"] is False
    with_start = {**request, "index": "clips", "query": {"path": "query.mp4", "start": 1.0}}
    assert client.post("/api/comparisons", with_start).json["query_times"][0] == pytest.approx(1.0, abs=0.1)
    late = client.post("/api/comparisons", {**with_start, "start": 90, "end": 91})
    assert (late.status, late.json["error"].partition(": ")[2]) == (400, "the second 90 is beyond its end")
    mean = client.post("/api/comparisons", {**request, "options": {**options, "measure": "mean-cosine"}})
    assert (mean.status, mean.json["error"].split(":")[0]) == (400, "mean-cosine compares means and aligns nothing")


def test_images_and_regions_are_compared(client: Client) -> None:
    request = {"query": {"item": LEFT, "at": 0.5}, "item": item_id("left/l1.mp4")}
    assert client.post("/api/comparisons", {"index": "clips", **request}).json["kind"] == "images"
    region = [0.25, 0.25, 0.5, 0.5]
    request = {"query": {"path": "pictures/p0.png", "region": region}, "item": item_id("p0.png")}
    found = client.post("/api/comparisons", {"index": "things", **request}).json
    assert found["kind"] == "regions"
    assert found["query_box"] == region
    assert len(found["points"]) > 0
    for point in found["points"]:
        assert all(0.2 <= share <= 0.8 for share in point["query"])
    x, y = np.array([point["item"] for point in found["points"]]).T
    left, top, width, height = found["box"]
    assert ((x >= left) & (x < left + width) & (y >= top) & (y < top + height)).all()
    same = [point["query"] == point["item"] for point in found["points"]]
    assert sum(same) >= len(same) / 2  # the image itself

    address = f"/api/comparisons/difference?index=clips&item={LEFT}&item_at=1&width=32"
    alike = Image.open(io.BytesIO(client.get(f"{address}&query_item={LEFT}&query_at=1").body))
    other = Image.open(io.BytesIO(client.get(f"{address}&query_path=query.mp4&query_at=0").body))
    assert np.asarray(alike).max() <= 8
    assert np.asarray(other).max() > 50


def test_marks_move_a_query(client: Client) -> None:
    query = {"path": "query.mp4"}
    first = [hit["item"] for hit in client.search("clips", query).json["hits"]]
    last = first[-1]
    refined = client.search("clips", query, plus=[last], minus=[first[0]]).json["hits"]
    found = [hit["item"] for hit in refined]
    assert first[0] not in found
    assert found.index(last) < first.index(last) - 1
    part = client.search("clips", query, plus=[{"item": last, "start": 0, "end": 1}]).json
    assert part["state"] == "done"
    without = client.search("clips", None, plus=[last]).json  # type: ignore[arg-type]
    assert without["hits"][0]["item"] == last
    both = client.search("clips", query, plus=[last], minus=[last]).json
    assert "an item is right or wrong" in both["error"]
    codes = [hit["item"] for hit in client.search("codes", query).json["hits"]]
    moved = [hit["item"] for hit in client.search("codes", query, plus=[codes[-1]]).json["hits"]]
    assert moved.index(codes[-1]) < len(codes) - 1
    regions = client.search("things", {"path": "pictures/p0.png"}, plus=[item_id("p3.png")]).json
    assert regions["state"] == "done"
    sequences = {"class": "SequenceSearch", "measure": "dtw"}
    assert "take no feedback" in client.search("sequences", query, plus=[last], options=sequences).json["error"]


def test_results_are_exported(client: Client) -> None:
    search = client.search("clips", {"path": "query.mp4"}, k=4).json
    request = {"search": search["search"], "ranks": [1, 3]}
    table = client.post("/api/exports", {**request, "format": "csv"})
    assert table.headers["content-disposition"] == 'attachment; filename="results.csv"'
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert [(row["rank"], row["key"]) for row in rows] == [(str(n + 1), search["hits"][n]["key"]) for n in (0, 2)]
    assert float(rows[0]["distance"]) == search["hits"][0]["distance"]
    listed = json.loads(client.post("/api/exports", {**request, "format": "json"}).body)
    assert [hit["rank"] for hit in listed] == [1, 3]
    edits = client.post("/api/exports", {**request, "format": "edl"}).body.decode().splitlines()
    assert edits[0] == "TITLE: clips"
    assert sum("FROM CLIP NAME" in line for line in edits) == 2
    none = client.post("/api/exports", {**request, "ranks": [], "format": "csv"})
    assert (none.status, none.json["error"][:34]) == (400, "ranks must name at least one resul")
    odd = client.post("/api/exports", {**request, "ranks": [9], "format": "csv"})
    assert (odd.status, odd.json["error"]) == (400, "ranks are 1 to 4, got 9")


def test_a_clip_is_cut(client: Client, made: Path, tmp_path: Path) -> None:
    request = {"index": "clips", "item": LEFT, "start": 0.5, "end": 1.0}
    exact = client.post("/api/cuts", {**request, "exact": True})
    assert exact.headers["content-disposition"] == 'attachment; filename="l0-0.5-1.0.mp4"'
    (tmp_path / "clip.mp4").write_bytes(exact.body)
    with VideoReader(tmp_path / "clip.mp4") as clip, VideoReader(made / "media" / "left" / "l0.mp4") as film:
        first = int(np.searchsorted(film.times, 0.5))
        assert clip.info.frame_count == int(np.searchsorted(film.times, 1.0)) - first
        difference = np.abs(clip.read([0]).astype(int) - film.read([first]))
        assert difference.mean() < 6
    copied = client.post("/api/cuts", request)
    assert float(copied.headers["x-clip-start"]) <= 0.5
    assert client.post("/api/cuts", {**request, "end": 0.2}).json["error"].startswith("a clip must end after")
    assert "lasts at most 3600 seconds" in client.post("/api/cuts", {**request, "end": 5000}).json["error"]


def test_a_folder_is_added(made: Path, tmp_path: Path) -> None:
    media = tmp_path / "root" / "new"
    media.mkdir(parents=True)
    for number in range(3):
        shutil.copy(made / "media" / "left" / f"l{number}.mp4", media / f"copy{number}.mp4")
    (media / "broken.mp4").write_bytes(b"nothing")
    (media / "outside.mp4").symlink_to(made / "media" / "left" / "l5.mp4")
    shutil.copytree(made / "runs" / "clips", tmp_path / "clips")
    with running([tmp_path / "clips"], tmp_path / "root") as client:
        listed = client.get("/api/folders").json
        assert listed["folders"] == [{"name": "new", "path": "new"}]
        assert (listed["parent"], listed["media"]) == (None, 0)
        assert client.get("/api/folders?path=new").json["media"] == 5
        begun = client.post("/api/indexing", {"index": "clips", "folder": "new"})
        assert begun.status == 202
        told = client.get(f"/api/jobs/{begun.json['job']}/events").body.decode()
        states = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
        last = states[-1]
        assert (last["state"], last["added"], last["total"]) == ("done", 3, 4)
        assert {one["path"] for one in last["skipped"]} == {"new/broken.mp4", "new/outside.mp4"}
        assert "a link that leads out of the media root" in {one["reason"] for one in last["skipped"]}
        found = client.search("clips", {"path": "new/copy1.mp4"}, k=2).json["hits"]
        assert {hit["key"] for hit in found} == {"copy1.mp4", "left/l1.mp4"}
        assert client.get(found[0]["media"]).status == 200
        refused = client.post("/api/indexing", {"index": "clips", "folder": "../clips"})
        assert (refused.status, refused.json["field"]) == (403, "path")


def test_an_addition_that_is_cancelled_keeps_what_was_encoded(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxret.retrieval.encode.batches._BATCH_BYTES", 1)  # a frame at a time
    media = tmp_path / "root"
    media.mkdir()
    for number in range(60):
        shutil.copy(made / "media" / "left" / "l0.mp4", media / f"copy{number}.mp4")
    shutil.copytree(made / "runs" / "clips", tmp_path / "clips")
    with running([tmp_path / "clips"], media) as client:
        job = client.post("/api/indexing", {"index": "clips", "folder": ""}).json["job"]
        while client.get(f"/api/jobs/{job}").json["done"] < 2:
            time.sleep(0.01)
        client.send("DELETE", f"/api/jobs/{job}")
        while (state := client.get(f"/api/jobs/{job}").json)["state"] == "running":
            time.sleep(0.05)
        assert state["state"] == "cancelled"
        assert 0 < state["added"] < 60
        assert client.get("/api/items?index=clips").json["total"] == 12 + state["added"]
    assert len(MediaIndex.open(tmp_path / "clips" / "index")) == 12 + state["added"]


def test_clips_that_are_no_files_are_rendered(made: Path, tmp_path: Path) -> None:
    digits = MovingDigits()
    shutil.copytree(made / "runs" / "clips", tmp_path / "clips")
    Retriever.open(tmp_path / "clips").add(digits.subset([5, 900]))
    key = digits.items[900].key
    with running([tmp_path / "clips"]) as client:
        found = client.search("clips", {"item": item_id(key)}, k=1).json["hits"][0]
        assert (found["key"], found["playable"], found["missing"]) == (key, True, False)
        (tmp_path / "clip.mp4").write_bytes(client.get(found["media"]).body)
        with VideoReader(tmp_path / "clip.mp4") as clip:
            assert clip.info.frame_count == 12
            assert np.abs(clip.read().astype(int) - digits.read(900)[0]).mean() < 12
        assert client.get(found["media"]).status == 200  # written once
        assert len(list(client.parts.folder.glob("rendered-*.mp4"))) == 1
        assert client.get(found["thumbnail"]).body[:3] == b"\xff\xd8\xff"
        cut = {"index": "clips", "item": item_id(key), "start": 0, "end": 0.5, "exact": True}
        assert client.post("/api/cuts", cut).status == 200


def test_a_query_is_decoded_once_for_many_searches(client: Client) -> None:
    query = {"path": "media/right/r3.mp4", "start": 0.25}
    first = client.search("sequences", query).json
    again = client.search("sequences", query, options={"class": "SequenceSearch", "measure": "dtw"}, k=3).json
    assert {"decode", "encode"} <= set(first["timings"])
    assert not {"decode", "encode"} & set(again["timings"])
    assert again["total"] == 3
    image = {"path": "media/right/r3.mp4", "at": 0.25}
    refused = client.search("sequences", image, options={"class": "SequenceSearch", "measure": "dtw"}).json
    assert refused["error"] == "an image is no sequence of clips: search with it by vectors"


def test_what_another_program_adds_is_found(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "runs" / "clips", tmp_path / "clips")
    with running([tmp_path / "clips"], made) as client:
        assert client.search("clips", {"path": "query.mp4"}).json["total"] == 12
        Retriever.open(tmp_path / "clips").add(jaxret.open_dataset(made / "query.mp4"))
        found = client.search("clips", {"path": "query.mp4"}).json
        assert (found["total"], found["hits"][0]["key"]) == (13, "query.mp4")


def test_an_index_that_another_encoder_made_anew_is_neither_searched_nor_added_to(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "runs" / "clips" / "index", tmp_path / "clips")
    (tmp_path / "media").mkdir()
    shutil.copy(made / "query.mp4", tmp_path / "media")
    with running([tmp_path / "clips"], tmp_path / "media") as client:
        shutil.rmtree(tmp_path / "clips")
        shutil.copytree(made / "runs" / "sequences" / "index", tmp_path / "clips")
        keys = list(MediaIndex.open(tmp_path / "clips").values("key"))
        found = client.post("/api/searches?wait=1", {"index": "clips", "query": {"path": "query.mp4"}}).json
        assert (found["state"], "made anew by the encoder" in found["error"]) == ("failed", True)
        assert found["error"].endswith(told := "open it again, by ending jaxret serve and starting it anew")
        job = client.post("/api/indexing", {"index": "clips", "folder": ""}).json["job"]
        while (state := client.get(f"/api/jobs/{job}").json)["state"] in ("waiting", "running"):
            time.sleep(0.05)
        assert (state["state"], "made anew by the encoder" in state["error"]) == ("failed", True)
        assert state["error"].endswith(told)
        assert list(MediaIndex.open(tmp_path / "clips").values("key")) == keys


def test_old_results_make_room(made: Path) -> None:
    with running([made / "runs" / "clips"], made, Limits(hits=20)) as client:
        names = [client.search("clips", {"path": "query.mp4"}).json["search"] for _ in range(4)]
        # Twelve results each: of the three before the last two are still within the bound when it is handed in.
        statuses = [client.get(f"/api/searches/{name}").status for name in names]
        assert statuses == [404, 404, 200, 200]


def test_without_a_media_root_no_file_is_named(made: Path) -> None:
    with running([made / "runs" / "clips"]) as client:
        assert client.get("/api/folders").status == 403
        assert client.post("/api/indexing", {"index": "clips", "folder": ""}).status == 403
        assert "below --media-root" in client.search("clips", {"path": "query.mp4"}).json["error"]


@pytest.mark.parametrize(
    "ranking",
    [
        SequenceRanking("dtw"),
        SequenceRanking("bi-dtw"),
        SequenceRanking("bi-dtw", "query"),
        SequenceRanking("bi-dtw", "item", unit_vectors=True),
        SequenceRanking("dtw", window=1),
    ],
    ids=str,
)
def test_the_costs_along_a_path_add_up_to_the_distance(ranking: SequenceRanking) -> None:
    rng = np.random.default_rng(5)
    for lengths in ((4, 9), (9, 4), (1, 5), (6, 6)):
        a, b = (rng.normal(size=(length, 3)).astype(np.float32) for length in lengths)
        if ranking.measure == "bi-dtw" and lengths == (6, 6):
            b = a[::-1] + 0.01
        found = align_sequences(a, b, ranking)
        if ranking.unit_vectors:
            a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b))
        costs = ((a[found.path[:, 0]] - b[found.path[:, 1]]) ** 2).sum()
        assert costs == pytest.approx(found.match.distance, rel=1e-4)
        steps = np.diff(found.path, axis=0) * (1, -1 if found.match.backwards else 1)
        assert ((steps >= 0) & (steps <= 1)).all()
        assert found.path[0, 0] == found.match.query_start
        assert found.path[-1, 0] == found.match.query_end - 1
        assert sorted(found.path[[0, -1], 1]) == [found.match.start, found.match.end - 1]
    with pytest.raises(ValueError, match="mean-cosine compares means and aligns nothing"):
        align_sequences(a, b, SequenceRanking("mean-cosine"))
