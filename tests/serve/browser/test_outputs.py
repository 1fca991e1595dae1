"""Ways out: tables, an edit decision list, a cut clip; and the way in of a whole folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import av
import pytest
from serve.browser.person import Person

pytestmark = pytest.mark.slow


def exported(person: Person, name: str) -> str:
    person.button("Export the results").click()
    with person.page.expect_download() as download:
        person.button(name).click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_results_are_exported(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    names = person.all_names()
    rows = list(csv.DictReader(io.StringIO(exported(person, "Table (CSV)"))))
    assert [row["key"].split("/")[-1] for row in rows] == names
    assert [hit["key"].split("/")[-1] for hit in json.loads(exported(person, "JSON"))] == names
    edl = exported(person, "Edit decision list (EDL)")
    assert edl.startswith("TITLE:")
    assert names[0] in edl


def test_only_what_the_threshold_leaves_is_exported(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    person.page.get_by_role("slider", name="Distance").focus()
    for _ in range(6):
        person.page.keyboard.press("PageDown")
    kept = person.count()
    assert 0 < kept < 12
    assert len(exported(person, "Table (CSV)").splitlines()) == kept + 1


def test_a_clip_is_cut_out_with_adjusted_ends(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    person.result(1).scroll_into_view_if_needed()
    person.result(1).click()
    person.page.get_by_label("Cut from, seconds").fill("0.5")
    person.page.get_by_label("Cut to, seconds").fill("1.5")
    person.page.get_by_label("exact ends").check()
    with person.page.expect_download() as download:
        person.button("Cut").click()
    assert download.value.suggested_filename.endswith(".mp4")
    with av.open(str(download.value.path())) as clip:
        assert clip.duration / av.time_base == pytest.approx(1.0, abs=0.15)


def test_a_folder_is_indexed_from_the_page(person: Person) -> None:
    person.open("growing")
    size = person.page.locator("#index-size")
    before = size.text_content()
    person.button("Index a folder").click()
    dialog = person.page.get_by_role("dialog", name="Index a folder")
    for folder in ("more", "phone" if person.phone else "desk"):
        dialog.get_by_role("button", name=folder, exact=True).click()
    dialog.get_by_text("5 media files").wait_for()
    dialog.get_by_role("button", name="Index this folder").click()
    dialog.get_by_text("Done").wait_for()
    dialog.get_by_text("1 file could not be read").click()
    assert "broken.jpg" in dialog.text_content()
    dialog.get_by_role("button", name="Close").click()
    person.page.wait_for_function("before => document.querySelector('#index-size').textContent !== before", arg=before)
    assert "images" in size.text_content()


def test_without_a_media_root_the_dialog_says_what_to_do(person: Person) -> None:
    person.expected = ("Failed to load resource",)
    refused = {"error": "folders are looked into below --media-root, and none was given"}
    person.answer("**/api/folders?*", lambda route: route.fulfill(status=403, json=refused))
    person.open("growing")
    person.button("Index a folder").click()
    dialog = person.page.get_by_role("dialog", name="Index a folder")
    dialog.get_by_text("none was given").wait_for()
    assert dialog.get_by_text("Start the server with --media-root FOLDER").is_visible()


def test_indexing_is_cancelled(person: Person) -> None:
    states = {"state": "running", "done": 3, "total": 900, "skipped": [], "job": "j"}
    person.answer("**/api/indexing", lambda route: route.fulfill(status=202, json={"job": "j", **states}))
    person.answer("**/api/jobs/j/events", lambda route: route.abort())

    def job(route, request) -> None:
        if request.method == "DELETE":
            states["state"] = "cancelled"
        route.fulfill(json=states)

    person.answer("**/api/jobs/j", job)
    person.expected = ("net::ERR_FAILED",)
    person.open("growing")
    person.button("Index a folder").click()
    dialog = person.page.get_by_role("dialog", name="Index a folder")
    dialog.get_by_role("button", name="Index this folder").click()
    dialog.get_by_text("Indexing 3 of 900 files").wait_for()
    dialog.get_by_role("button", name="Cancel").click()
    dialog.get_by_text("what was indexed stays").wait_for()
