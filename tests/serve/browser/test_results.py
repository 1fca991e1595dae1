"""Results: by film, with a threshold, played from the hit, options, and a thousand of them."""

from __future__ import annotations

import json

import pytest
from serve.browser.person import Person

pytestmark = pytest.mark.slow

DRAWN = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"


def set_option(person: Person, name: str, value: str | bool) -> None:
    person.unfold()
    if not person.page.locator(".options").is_visible():
        person.page.locator(".options-box > summary").click()
    control = person.page.locator(".options").get_by_label(name, exact=True)
    if isinstance(value, bool):
        control.set_checked(value)
    elif control.evaluate("one => one.tagName") == "SELECT":
        control.select_option(value)
    else:
        control.fill(value)
        control.blur()


def test_hits_of_one_film_are_one_result_with_all_its_places(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    set_option(person, "every clip", True)
    person.button("Search").click()
    person.wait()
    places = int(person.status().split(", ")[1].split()[0])
    assert places > person.count() == 12
    assert json.loads(person.parameters()["options"]) == {"class": "VectorSearch", "every_clip": True}
    name = person.result(1).get_attribute("aria-label")
    assert name.startswith(f"1. {person.names()[0]}, video, label ")
    assert " places" in name
    person.page.wait_for_timeout(300)
    heat = person.page.locator("[aria-posinset='1'] canvas.card-heat")
    assert heat.evaluate(DRAWN)
    person.result(1).click()
    assert person.page.get_by_label("Chosen result").get_by_role("heading", name="places").is_visible()
    assert person.page.locator(".place").count() == int(name.split(" places")[0].split()[-1])


def test_the_viewer_plays_from_the_hit(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    set_option(person, "every clip", True)
    person.button("Search").click()
    person.wait()
    person.result(1).click()
    places = person.page.locator(".place")
    late = next(place for place in places.all() if not place.text_content().startswith("0:00.0"))
    late.click()
    minutes, seconds = late.locator(".place-time").text_content().split("\N{EN DASH}")[0].split(":")
    begin = 60 * int(minutes) + float(seconds)
    video = person.page.locator("#viewer video")
    person.page.wait_for_function(
        "begin => document.querySelector('#viewer video').currentTime >= begin - 0.1", arg=begin
    )
    assert video.evaluate("one => one.currentTime") <= begin + 1.5
    assert late.get_attribute("aria-current") == "true"
    person.page.locator("#viewer h2").click()
    person.page.keyboard.press(".")
    assert late.get_attribute("aria-current") == "false"
    person.page.keyboard.press(",")
    assert late.get_attribute("aria-current") == "true"
    person.page.keyboard.press("Escape")
    assert not person.page.locator("#viewer").is_visible()


def test_the_threshold_leaves_out_what_is_farther(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    before = person.count()
    slider = person.page.get_by_role("slider", name="Distance")
    slider.focus()
    for _ in range(6):
        person.page.keyboard.press("PageDown")
    assert 0 < person.count() < before
    assert slider.get_attribute("aria-valuetext").startswith("distance ≤ 0.")
    person.page.keyboard.press("End")
    assert person.count() == before


def test_par_is_a_threshold_of_cosines(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    person.button("PAR").click()
    person.wait()
    before = person.count()
    slider = person.page.get_by_role("slider", name="Cosine")
    slider.focus()
    for _ in range(8):
        person.page.keyboard.press("PageDown")
    kept = person.count()
    assert 0 < kept < before
    least = float(slider.get_attribute("aria-valuetext").split()[-1])
    set_option(person, "min cosine", str(least))  # the server's own threshold keeps as many
    person.button("Search").click()
    person.wait()
    assert abs(person.count() - kept) <= 1  # the slider's text is rounded


def test_options_are_a_form_of_the_index_s_kind(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    set_option(person, "compare by", "SequenceSearch")
    set_option(person, "measure", "dtw")
    set_option(person, "part", "query")
    person.button("Search").click()
    person.wait()
    options = {"class": "SequenceSearch", "measure": "dtw", "part": "query"}
    assert json.loads(person.parameters()["options"]) == options
    person.page.goto(f"{person.address}?index=things")
    person.page.get_by_role("listitem").first.wait_for(state="attached")
    person.page.locator(".options-box > summary").click()
    assert person.page.locator(".options").get_by_label("candidates").get_attribute("placeholder") == "100"
    person.page.locator(".option", has_text="candidates").get_by_text("?").first.click()
    assert person.page.get_by_text("how many nearest images and frames of the first pass").is_visible()


def test_a_wrong_option_is_told_in_the_server_s_words(person: Person) -> None:
    person.expected = ("Failed to load resource",)
    person.open("clips")
    person.choose(person.media / "query.mp4")
    set_option(person, "space", "code")
    person.button("Search").click()
    person.page.get_by_role("alert").wait_for()
    assert "code" in person.page.get_by_role("alert").text_content()


def test_of_a_thousand_results_only_those_in_sight_are_in_the_page(person: Person) -> None:
    items = [
        {"item": f"i{n}", "key": f"{n}.png", "name": f"{n}.png", "folder": "", "kind": "image", "label": None,
         "width": None, "height": None, "duration": 0, "playable": False, "missing": True, "columns": {}}
        for n in range(1000)
    ]  # fmt: skip

    def answer(route, request) -> None:
        offset = int(request.url.split("offset=")[1].split("&")[0])
        route.fulfill(json={"items": items[offset : offset + 100], "total": 1000})

    person.answer("**/api/items?*", answer)
    person.open("clips")
    cards = person.page.locator(".card")
    for _ in range(40):
        assert cards.count() < 80
        person.page.mouse.move(200, 600)
        person.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        person.page.wait_for_timeout(60)
        if person.page.locator("[aria-posinset='1000']").count():
            break
    assert person.names()[-1] == "999.png"
    assert person.page.locator("[aria-posinset='1000']").get_attribute("aria-setsize") == "1000"
