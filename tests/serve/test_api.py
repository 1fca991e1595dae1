"""The API answers what the library finds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serve.server import Client

from jaxret import Region, RegionSearch, Retriever, SequenceSearch, VectorSearch
from jaxret.serve.library import item_id


def test_indexes_say_how_they_are_searched(client: Client) -> None:
    found = {index["id"]: index for index in client.get("/api/indexes").json}
    assert list(found) == ["clips", "codes", "sequences", "films", "things"]
    clips = found["clips"]
    assert (clips["items"], clips["videos"], clips["images"], round(clips["duration"])) == (12, 12, 0, 24)
    assert clips["labels"] == [{"label": "left", "count": 6}, {"label": "right", "count": 6}]
    assert [kind["name"] for kind in clips["options"]] == ["VectorSearch", "SequenceSearch"]
    fields = {field["name"]: field for field in clips["options"][0]["fields"]}
    assert fields["space"]["choices"] == ["frame", "clip", "code"]
    assert fields["rerank"]["minimum"] == 1
    assert "proximal-affinity" in fields["min_cosine"]["help"]
    regions = {field["name"] for field in found["things"]["options"][0]["fields"]}
    assert {"candidates", "verify"} <= regions
    assert not {"region", "at"} & regions  # the query says them
    assert found["things"]["query_kinds"] == ["image", "video", "region"]


@pytest.mark.parametrize(
    ("index", "given", "options"),
    [
        ("clips", {}, None),
        ("clips", {"class": "VectorSearch", "space": "frame", "min_cosine": 0}, VectorSearch("frame", min_cosine=0.0)),
        ("codes", {}, None),
        ("sequences", {"class": "SequenceSearch", "measure": "bi-dtw"}, SequenceSearch("bi-dtw")),
        ("films", {"every_clip": True}, VectorSearch(every_clip=True)),
    ],
)
def test_an_uploaded_video_finds_what_the_retriever_finds(
    index: str, given: dict[str, object], options: object, client: Client, made: Path
) -> None:
    upload = client.upload(made / "query.mp4")
    assert upload.status == 201
    assert upload.json["kind"] == "video"
    assert upload.json["playable"]
    answer = client.search(index, {"upload": upload.json["upload"]}, options=given, k=7)
    assert answer.json["state"] == "done", answer.json
    expected = Retriever.open(made / "runs" / index).search(made / "query.mp4", 7, options=options)
    assert [hit["key"] for hit in answer.json["hits"]] == [hit.item.key for hit in expected]
    np.testing.assert_allclose(
        [[hit["distance"], hit["start"], hit["end"]] for hit in answer.json["hits"]],
        [[hit.distance, hit.start, hit.end] for hit in expected],
        rtol=1e-6,
    )
    assert [hit["rank"] for hit in answer.json["hits"]] == list(range(1, len(expected) + 1))
    assert all(client.get(hit["thumbnail"]).body[:3] == b"\xff\xd8\xff" for hit in answer.json["hits"][:2])


def test_a_region_is_found_with_its_box(client: Client, made: Path) -> None:
    sides = (0.25, 0.25, 0.5, 0.5)
    answer = client.search("things", {"path": "pictures/p0.png", "region": sides}, k=3)
    region = Region(*sides, shares=True)
    expected = Retriever.open(made / "runs" / "things").search(
        made / "pictures" / "p0.png", 3, options=RegionSearch(region=region)
    )
    hits = answer.json["hits"]
    assert [hit["key"] for hit in hits] == [hit.item.key for hit in expected]
    assert expected[0].box is not None
    assert expected[0].size is not None
    left, top, right, bottom = expected[0].box
    height, width = expected[0].size
    np.testing.assert_allclose(
        hits[0]["box"], [left / width, top / height, (right - left) / width, (bottom - top) / height]
    )
    refused = client.search("clips", {"path": "query.mp4", "region": sides})
    assert (refused.status, refused.json["field"]) == (400, "query.region")


def test_parts_of_a_video_are_queries(client: Client, made: Path) -> None:
    item = item_id("left/l0.mp4")
    whole = client.search("clips", {"item": item}).json
    assert whole["hits"][0]["key"] == "left/l0.mp4"
    frame = client.search("clips", {"item": item, "at": 1.0}, k=3).json
    assert frame["hits"][0]["key"] == "left/l0.mp4"
    assert frame["hits"][0]["start"] == frame["hits"][0]["end"] == pytest.approx(1.0, abs=0.3)
    part = client.search("films", {"item": item, "start": 0.5, "end": 1.5}).json
    assert part["state"] == "done"
    late = client.search("clips", {"item": item, "at": 50.0}).json
    assert late["state"] == "failed"
    assert late["error"] == "left/l0.mp4: it ends at 2 s, and has no frame at 50 s"
    empty = client.search("clips", {"item": item, "start": 1.5, "end": 0.5}).json
    assert empty["error"] == "a span must begin at 0 s or later and end after that, got 1.5 to 0.5 s"


def test_filters_sorting_and_pages(client: Client) -> None:
    query = {"item": item_id("left/l0.mp4")}
    answer = client.search("clips", query, where="label = 'right'", sort="-key").json
    assert [hit["key"] for hit in answer["hits"]] == [f"right/r{number}.mp4" for number in range(5, -1, -1)]
    page = client.get(f"/api/searches/{answer['search']}?offset=4&limit=2").json
    assert [(hit["rank"], hit["key"]) for hit in page["hits"]] == [(5, "right/r1.mp4"), (6, "right/r0.mp4")]
    assert page["total"] == 6
    wrong = client.search("clips", query, where="label ~ 3").json
    assert wrong["state"] == "failed"
    assert "character 7" in wrong["error"]
    assert "sort must be one of distance" in client.search("clips", query, sort="colour").json["error"]

    listed = client.get("/api/items?index=clips&where=key+LIKE+'%250%25'&sort=-label").json
    assert [item["key"] for item in listed["items"]] == ["right/r0.mp4", "left/l0.mp4"]
    listed = client.get("/api/items?index=clips&offset=3&limit=2").json
    assert ([item["key"] for item in listed["items"]], listed["total"]) == (["left/l3.mp4", "left/l4.mp4"], 12)
    item = client.get(f"/api/items/clips/{item_id('left/l0.mp4')}").json
    assert (item["folder"], item["name"], item["playable"], item["missing"]) == ("left", "l0.mp4", True, False)
    assert item["width"] > 0


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"index": "clips"}, "query is missing"),
        ({"index": "none", "query": {"text": "a"}}, "there is no index 'none', there are clips"),
        ({"index": "clips", "query": {}}, "a query is one of upload, item, path and text, got none"),
        ({"index": "clips", "query": {"text": "a", "item": "b"}}, "got item and text"),
        ({"index": "clips", "query": {"text": "a", "at": 1}}, "at belongs to an image or a video"),
        ({"index": "clips", "query": {"text": "a"}, "k": 0}, "k must be at least 1, got 0"),
        ({"index": "clips", "query": {"text": "a"}, "k": 1e9}, "k must be a whole number"),
        ({"index": "clips", "query": {"text": "a"}, "k": 20_000}, "k must be at most 10000"),
        ({"index": "clips", "query": {"text": "a"}, "colour": 1}, "colour is unknown, there are index, query"),
        ({"index": "clips", "query": {"text": 5}}, "query.text must be a text, got 5"),
        ({"index": "clips", "query": {"text": "a"}, "kinds": ["film"]}, "kinds.0 must be one of image, video"),
        ({"index": "clips", "query": {"text": "a"}, "options": {"class": "A"}}, "options.class must be one of Vector"),
        ({"index": "clips", "query": {"text": "a"}, "options": {"spac": 1}}, "options.spac is unknown, there"),
        ({"index": "clips", "query": {"text": "a"}, "options": {"space": "x"}}, "options.space must be one of frame"),
        ({"index": "clips", "query": {"text": "a"}, "options": {"min_cosine": "x"}}, "options.min_cosine must be a"),
        ({"index": "clips", "query": {"text": "a"}, "options": {"probes": 2}}, "probes looks into cells, and clips"),
        ({"index": "clips", "query": {"path": "a", "region": [1, 2]}}, "query.region must be a list of 4 values"),
        ([], "the request must be an object"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(request_: object, message: str, client: Client) -> None:
    answer = client.post("/api/searches?wait=1", request_)
    assert answer.status in (400, 404)
    assert message in answer.json["error"]


def test_words_are_refused_where_none_are_known(client: Client) -> None:
    answer = client.search("clips", {"text": "a red car"}).json
    assert answer["state"] == "failed"
    assert "no tower of words" in answer["error"]


def test_media_are_sent_in_ranges_and_as_small_images(client: Client, made: Path) -> None:
    whole = (made / "media" / "left" / "l0.mp4").read_bytes()
    place = f"/api/media/clips/{item_id('left/l0.mp4')}"
    answer = client.get(place)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, whole, "video/mp4")
    part = client.get(place, Range="bytes=10-19")
    assert (part.status, part.body) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert client.get(place, Range="bytes=-5").body == whole[-5:]
    assert client.get(place, Range="bytes=99999999-").status == 416
    assert client.send("HEAD", place).body == b""

    strip = client.get(f"/api/filmstrips/clips/{item_id('left/l0.mp4')}?frames=4&width=16")
    image = Image.open(io.BytesIO(strip.body))
    small = Image.open(io.BytesIO(client.get(f"/api/thumbnails/clips/{item_id('left/l0.mp4')}?at=1&width=16").body))
    assert image.size == (4 * small.width, small.height)
    assert client.get(f"/api/thumbnails/clips/{item_id('left/l0.mp4')}?width=0").status == 400
    assert client.get("/api/thumbnails/clips/bm9uZQ").json == {"error": "clips has no item 'bm9uZQ'", "field": "item"}


def test_an_upload_is_looked_at_and_deleted(client: Client, made: Path) -> None:
    form = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a b.png"\r\n\r\n'
    form += (made / "frame.png").read_bytes() + b"\r\n--xx--\r\n"
    answer = client.send("POST", "/api/uploads", form, {"Content-Type": "multipart/form-data; boundary=xx"})
    assert (answer.status, answer.json["name"], answer.json["kind"]) == (201, "a b.png", "image")
    upload = answer.json
    with Image.open(made / "frame.png") as image:
        assert image.size == (upload["width"], upload["height"])
    assert client.get(upload["media"]).body == (made / "frame.png").read_bytes()
    assert client.get(upload["thumbnail"]).headers["content-type"] == "image/jpeg"
    assert client.search("clips", {"upload": upload["upload"]}, k=2).json["total"] == 2
    assert client.send("DELETE", f"/api/uploads/{upload['upload']}").status == 204
    assert client.get(upload["media"]).status == 404
    assert client.search("clips", {"upload": upload["upload"]}).json["error"].startswith("this upload is not here")


def test_a_search_is_followed_by_events(client: Client) -> None:
    begun = client.post("/api/searches", {"index": "clips", "query": {"item": item_id("left/l1.mp4")}})
    assert begun.status == 202
    told = client.get(f"/api/searches/{begun.json['search']}/events")
    assert told.headers["content-type"].startswith("text/event-stream")
    states = [json.loads(line[6:]) for line in told.body.decode().splitlines() if line.startswith("data: ")]
    assert states[-1]["state"] == "done"
    assert states[-1]["total"] == 12
    assert {"wait", "rank"} <= set(states[-1]["timings"])


def test_the_description_names_every_class_that_requests_are_checked_by(client: Client) -> None:
    described = client.get("/api/openapi.json").json
    schemas = described["components"]["schemas"]
    assert schemas["SearchRequest"]["required"] == ["index"]
    assert schemas["SearchRequest"]["properties"]["k"]["minimum"] == 1
    assert "distance" in schemas["HitAnswer"]["properties"]
    references = {word for word in json.dumps(described).split('"') if word.startswith("#/components/schemas/")}
    assert {reference.rsplit("/", 1)[1] for reference in references} <= set(schemas)
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
