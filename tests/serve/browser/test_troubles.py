"""What can go wrong: names like markup, films of unknown kinds, a long line, files that are gone."""

from __future__ import annotations

import shutil

import pytest
from serve.browser.person import Person

pytestmark = pytest.mark.slow


def test_a_name_is_never_markup(person: Person) -> None:
    name = "<img src=x onerror=alert(1)> <b>bold.png"
    shutil.copy(person.media / "frame.png", person.media / name)
    alerts = []
    person.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    person.open("films")
    person.choose(person.media / name)
    person.unfold()
    assert person.page.locator(".query-shown h2").text_content() == name
    assert person.page.locator("b").count() == 0
    assert alerts == []


def test_a_film_that_turns_out_not_to_play_is_shown_by_its_frames(person: Person) -> None:
    person.expected = ("Failed to load resource",)
    person.answer("**/api/media/**", lambda route: route.fulfill(status=200, body=b"no film", content_type="video/mp4"))
    person.open("clips")
    person.result(1).click()
    viewer = person.page.get_by_label("Chosen result")
    viewer.get_by_text("cannot play this film").wait_for()
    person.page.wait_for_function("() => document.querySelector('#viewer .player img').naturalWidth > 0")
    before = viewer.locator(".player img").get_attribute("src")
    person.page.wait_for_function(
        "before => document.querySelector('#viewer .player img').getAttribute('src') !== before", arg=before
    )  # it is played by its frames


def test_a_search_in_line_is_told_of_and_cancelled(person: Person) -> None:
    cancelled = []

    def answer(route, request) -> None:
        if request.method == "DELETE":
            cancelled.append(request.url)
        if request.url.endswith("/events"):
            state = '{"search": "far", "state": "waiting", "position": 3, "total": 0, "timings": {}}'
            route.fulfill(body=f"event: state\ndata: {state}\n\n", content_type="text/event-stream")
        else:
            route.fulfill(
                status=202,
                json={"search": "far", "state": "waiting", "position": 3, "total": 0, "hits": [], "timings": {}},
            )

    person.answer("**/api/searches**", answer)
    person.answer("**/api/searches/**", answer)
    person.open("clips")
    person.page.keyboard.press("ArrowRight")
    person.page.keyboard.press("s")
    person.page.get_by_text("Waiting: 3 searches before this one").wait_for()
    person.button("Cancel").click()
    assert person.page.get_by_text("Cancelled.").is_visible()
    person.page.wait_for_timeout(200)
    assert [url.rsplit("/", 1)[1] for url in cancelled] == ["far"]


def test_a_server_that_is_gone_is_told_of(person: Person) -> None:
    person.expected = ("net::ERR_FAILED",)
    gone = False
    person.answer("**/api/**", lambda route: route.abort() if gone else route.continue_())
    person.open("clips")
    gone = True
    person.page.keyboard.press("ArrowRight")
    person.page.keyboard.press("s")
    person.page.get_by_role("alert").get_by_text("The server does not answer.").wait_for()


def test_a_link_to_an_upload_that_is_gone_says_what_to_do(person: Person) -> None:
    person.expected = ("Failed to load resource",)
    person.page.goto(f"{person.address}?index=clips&upload=gone")
    person.page.get_by_text("drop it here once more").wait_for()
    person.page.get_by_role("listitem").first.wait_for(state="attached")


def test_an_upload_that_the_server_forgot_is_sent_again(person: Person) -> None:
    person.expected = ("Failed to load resource",)
    person.open("clips")
    person.choose(person.media / "query.mp4")
    names = person.names()
    before = person.parameters()["upload"]
    person.page.evaluate("id => fetch(`/api/uploads/${id}`, { method: 'DELETE' })", before)
    person.unfold()
    person.button("Search").click()
    person.page.wait_for_function("before => !location.search.includes(before)", arg=before)
    person.wait()
    assert person.names() == names


def test_an_empty_index_says_that_it_is(person: Person) -> None:
    def emptied(route) -> None:
        indexes = [{**one, "items": 0, "images": 0, "videos": 0} for one in route.fetch().json()]
        route.fulfill(json=indexes)

    person.answer("**/api/indexes", emptied)
    person.answer("**/api/items?*", lambda route: route.fulfill(json={"items": [], "total": 0}))
    person.page.goto(person.address)
    person.page.get_by_text("This index is empty: index a folder first.").wait_for()
