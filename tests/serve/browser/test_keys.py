"""Everything by keys, for screen readers, in light and in dark."""

from __future__ import annotations

import pytest
from serve.browser.person import Person

pytestmark = pytest.mark.slow


def test_results_are_gone_through_opened_and_searched_with_by_keys(person: Person) -> None:
    person.open("clips")
    keyboard = person.page.keyboard
    focused = "document.activeElement.closest('.card')?.getAttribute('aria-posinset')"
    keyboard.press("ArrowRight")
    assert person.page.evaluate(focused) == "1"
    keyboard.press("ArrowRight")
    assert person.page.evaluate(focused) == "2"
    keyboard.press("ArrowDown")
    columns = int(person.page.evaluate(focused)) - 2
    assert columns == (2 if person.phone else 4)
    keyboard.press("End")
    assert person.page.evaluate(focused) == "12"
    keyboard.press("Home")
    keyboard.press("Enter")
    video = person.page.locator("#viewer video")
    person.page.wait_for_function("() => document.querySelector('#viewer video').currentTime > 0")
    keyboard.press(" ")
    assert video.evaluate("one => one.paused")
    keyboard.press("Escape")
    assert person.page.evaluate(focused) == "1"
    keyboard.press("s")
    person.wait()
    assert "item" in person.parameters()
    keyboard.press("[")
    person.page.wait_for_function("() => !location.search.includes('item=')")
    keyboard.press("]")
    person.page.wait_for_function("() => location.search.includes('item=')")


def test_the_slash_leads_to_the_words_and_arrows_step_the_viewer(person: Person) -> None:
    person.open("both")
    person.page.keyboard.press("/")
    assert person.page.evaluate("document.activeElement.id") == "words"
    assert person.page.get_by_label("Search with words").input_value() == ""
    person.page.evaluate("document.activeElement.blur()")
    person.page.keyboard.press("ArrowRight")
    person.page.keyboard.press("Enter")
    title = person.page.locator("#viewer h2")
    first = title.text_content()
    title.click()
    person.page.keyboard.press("ArrowRight")
    assert title.text_content() != first


def test_the_sheet_shows_the_keys_and_turns_letters_off(person: Person) -> None:
    person.open("clips")
    person.page.keyboard.press("?")
    sheet = person.page.get_by_role("dialog", name="Keys")
    shown = sheet.text_content()
    for key in ("Enter", "Space", "+", "-", "Similar to this", "Compare with the query"):
        assert key in shown
    sheet.get_by_label("Keys of a single letter").uncheck()
    person.page.keyboard.press("Escape")
    person.page.keyboard.press("f")
    assert not person.page.get_by_label("Filter by").is_visible()
    person.page.keyboard.press("?")
    sheet.get_by_label("Keys of a single letter").check()
    person.page.keyboard.press("Escape")
    person.page.keyboard.press("f")
    assert person.page.get_by_label("Filter by").is_visible()


def test_light_and_dark(person: Person) -> None:
    person.open("clips")
    ground = "getComputedStyle(document.body).backgroundColor"
    system = person.page.evaluate(ground)
    seen = {system}
    for _ in range(2):
        person.page.keyboard.press("t")
        seen.add(person.page.evaluate(ground))
    assert len(seen) == 2
    person.page.reload()
    assert person.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert person.page.evaluate(ground) == "rgb(15, 18, 22)"


def grave(person: Person, state: str) -> list[str]:
    """What axe-core finds that keeps people out."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra browser is not installed")
    found = axe.Axe().run(person.page).response["violations"]
    return [
        f"{state}: {one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


def test_axe_finds_nothing_grave(person: Person) -> None:
    person.open("both")
    found = grave(person, "browsing")
    person.choose(person.media / "query.mp4")
    person.unfold()
    person.page.locator(".options-box > summary").click()
    person.page.wait_for_timeout(300)
    found += grave(person, "results")
    person.button("Part").click()
    found += grave(person, "a part")
    person.page.keyboard.press("Escape")
    person.result(1).scroll_into_view_if_needed()
    person.result(1).click()
    person.page.wait_for_timeout(300)
    found += grave(person, "viewer")
    person.button("Compare").click()
    person.page.locator(".compare-pair").wait_for()
    found += grave(person, "comparison")
    person.page.keyboard.press("Escape")
    person.page.keyboard.press("Escape")
    person.button("Add a filter").click()
    found += grave(person, "filter")
    person.page.keyboard.press("Escape")
    person.page.keyboard.press("?")
    found += grave(person, "keys")
    person.page.keyboard.press("Escape")
    person.button("Index a folder").click()
    person.button("Index this folder").wait_for()
    found += grave(person, "indexing")
    assert not found, "\n".join(found)


def test_nothing_is_wider_than_the_window(person: Person) -> None:
    person.open("both")
    person.choose(person.media / "query.mp4")
    person.unfold()
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    person.result(1).scroll_into_view_if_needed()
    person.result(1).click()
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
