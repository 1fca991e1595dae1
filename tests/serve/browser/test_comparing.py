"""Query and result side by side: films in step along their alignment, regions with their boxes, the difference."""

from __future__ import annotations

import pytest
from serve.browser.person import Person
from serve.browser.test_results import DRAWN, set_option

pytestmark = pytest.mark.slow


def test_films_are_played_in_step_along_their_alignment(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    set_option(person, "compare by", "SequenceSearch")
    set_option(person, "measure", "bi-dtw")
    person.button("Search").click()
    person.wait()
    person.result(1).click()
    person.page.keyboard.press("c")
    dialog = person.page.get_by_role("dialog", name="Query and result")
    slider = dialog.get_by_role("slider", name="Step of the alignment")
    slider.wait_for()
    matrix = dialog.locator(".matrix canvas")
    assert matrix.evaluate(DRAWN)
    assert "with a path of" in matrix.get_attribute("aria-label")
    assert "steps pair the query" in dialog.text_content()
    players = dialog.locator("video")
    assert players.count() == 2
    steps = float(slider.get_attribute("max"))
    assert steps >= 1
    slider.focus()
    person.page.keyboard.press("End")
    person.page.wait_for_function("() => [...document.querySelectorAll('.compare video')].every((one) => !one.seeking)")
    end = players.evaluate_all("all => all.map((one) => one.currentTime)")
    assert min(end) > 0
    person.page.keyboard.press("Home")
    dialog.get_by_role("button", name="Play in step").click()
    person.page.wait_for_function("() => document.querySelector('.compare input[type=range]').value > 0.2")
    dialog.get_by_role("button", name="Pause").or_(dialog.get_by_role("button", name="Play in step")).click()
    box = matrix.bounding_box()
    person.page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4)
    assert float(slider.input_value()) > 0
    dialog.get_by_text("Difference image").click()
    person.page.wait_for_function("() => document.querySelector('.difference img').naturalWidth > 0")
    person.page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_a_region_is_compared_with_the_place_that_was_found(person: Person) -> None:
    person.open("things")
    person.choose(person.media / "pictures" / "p1.png")
    person.unfold()
    person.button("Mark a region").click()
    person.button("Search").click()
    person.wait()
    person.result(1).scroll_into_view_if_needed()
    person.result(1).click()
    person.button("Compare").click()
    dialog = person.page.get_by_role("dialog", name="Query and result")
    dialog.locator(".boxed img").nth(1).wait_for()
    assert dialog.locator(".boxed .found-box").count() == 2
    place = dialog.locator(".boxed .found-box").first.evaluate("one => [one.style.left, one.style.width]")
    assert place == ["25%", "50%"]


def test_whole_images_are_shown_with_their_difference(person: Person) -> None:
    person.open("both")
    person.choose(person.media / "pictures" / "p1.png")
    person.result(1).scroll_into_view_if_needed()
    person.result(1).click()
    person.button("Compare").click()
    dialog = person.page.get_by_role("dialog", name="Query and result")
    dialog.get_by_text("Difference image").click()
    person.page.wait_for_function("() => document.querySelector('.difference img').naturalWidth > 0")
    assert dialog.locator(".boxed img").count() == 2
