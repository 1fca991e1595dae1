"""Feedback, the way back and forth, links, sessions, filters, order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from serve.browser.person import Person

pytestmark = pytest.mark.slow


def searched(person: Person, index: str = "clips") -> None:
    person.open(index)
    person.choose(person.media / "query.mp4")


def test_what_is_marked_moves_the_search(person: Person) -> None:
    searched(person)
    before = person.all_names()
    last = person.page.locator(f"[role=listitem][aria-posinset='{person.count()}']")
    person.page.keyboard.press("ArrowRight")
    person.page.keyboard.press("End")
    person.page.keyboard.press("+")
    last.locator("[aria-label='More like this'][aria-pressed='true']").wait_for(state="attached")
    person.page.keyboard.press("Home")
    person.page.keyboard.press("-")
    person.unfold()
    refinement = person.page.get_by_label("Refinement")
    assert refinement.get_by_role("listitem").all_text_contents() == [f"+{before[-1]}", f"\N{MINUS SIGN}{before[0]}"]
    person.button("Search").click()
    person.wait()
    after = person.all_names()
    assert after.index(before[-1]) < before.index(before[-1])
    assert set(person.parameters()) >= {"plus", "minus"}


def test_back_and_forth_through_the_history(person: Person) -> None:
    searched(person)
    first = person.names()
    person.result(3).click()
    person.button("Similar to this").last.click()
    person.wait()
    second = person.names()
    assert second != first
    person.button("Back to the search before").click()
    person.page.wait_for_function("() => location.search.includes('upload=')")
    person.wait()
    assert person.names() == first
    person.button("Forward to the search after").click()
    person.page.wait_for_function("() => location.search.includes('item=')")
    person.wait()
    assert person.names() == second


def test_a_link_reproduces_the_search(person: Person) -> None:
    person.open("clips")
    person.result(5).click()
    person.button("Similar to this").last.click()
    person.wait()
    names = person.names()
    person.button("Export the results").click()
    person.button("Copy a link to this search").click()
    person.page.get_by_text("is copied").wait_for()
    link = person.page.evaluate("navigator.clipboard.readText()")
    other = person.page.context.new_page()
    other.goto(link)
    there = Person(other, person.address, person.media, phone=person.phone)
    there.wait()
    assert there.names() == names
    assert there.complaints == []


def test_a_session_is_saved_and_loaded_with_its_files(person: Person, tmp_path: Path) -> None:
    searched(person)
    names = person.names()
    person.result(2).click()
    person.button("Similar to this").last.click()
    person.wait()
    person.button("Back to the search before").click()
    person.page.wait_for_function("() => location.search.includes('upload=')")
    person.wait()
    person.button("Session").click()
    with person.page.expect_download() as saved:
        person.button("Save this session").click()
    file = tmp_path / "session.json"
    saved.value.save_as(file)
    session = json.loads(file.read_text())
    assert [step["title"] for step in session["searches"]][:2] == ["query.mp4", person.names()[1]]
    session["searches"] = session["searches"][:1]
    file.write_text(json.dumps(session))
    person.open("things")
    person.button("Session").click()
    with person.page.expect_file_chooser() as chooser:
        person.button("Load a session").click()
    chooser.value.set_files(str(file))
    person.page.wait_for_function("() => location.search.includes('upload=')")
    person.wait()
    assert person.names() == names


def test_a_file_that_is_no_session_is_refused(person: Person, tmp_path: Path) -> None:
    person.open("clips")
    (tmp_path / "other.json").write_text('{"a": 1}')
    person.button("Session").click()
    with person.page.expect_file_chooser() as chooser:
        person.button("Load a session").click()
    chooser.value.set_files(str(tmp_path / "other.json"))
    person.page.get_by_text("other.json is no session of this page.").wait_for()


def test_filters_are_chips(person: Person) -> None:
    searched(person)
    person.button("Add a filter").click()
    person.page.get_by_label("Filter by").select_option("label")
    person.page.get_by_role("checkbox", name="right").check()
    person.button("Apply").click()
    person.wait()
    assert person.count() == 6
    assert all(name.startswith("r") for name in person.names())
    assert person.page.get_by_label("Filters").get_by_role("listitem").all_text_contents() == ["label: right"]
    person.button("Add a filter").click()
    person.page.get_by_label("Filter by").select_option("duration")
    person.page.get_by_label("To (seconds)").fill("0.5")
    person.button("Apply").click()
    person.wait()
    assert person.page.get_by_text("Nothing passes these filters.").is_visible()
    person.button("Remove the filter duration up to 0:00.5").click()
    person.button("Remove the filter label: right").click()
    person.wait()
    assert person.count() == 12


def test_a_folder_a_date_a_name_and_own_columns_filter_what_is_browsed(person: Person) -> None:
    person.open("both")
    count = person.page.get_by_text("both: ")
    for column, fill, expected in (
        ("folder", lambda: person.page.get_by_label("Folder", exact=True).select_option("films/left"), "6 items"),
        ("modified", lambda: person.page.get_by_label("From").fill("2100-01-01"), "0 items"),
        ("key", lambda: person.page.get_by_label("Contains").fill("P3"), "1 item"),
        ("year", lambda: person.page.get_by_label("From").fill("2010"), "8 items"),  # a column of the user's
        ("seen", lambda: person.page.get_by_label("seen").select_option("true"), "6 items"),
    ):
        person.button("Add a filter").click()
        person.page.get_by_label("Filter by").select_option(column)
        fill()
        person.button("Apply").click()
        count.get_by_text(f"both: {expected}").or_(person.page.get_by_text(f"both: {expected}")).first.wait_for()
        person.page.get_by_role("button", name="Remove the filter").click()


def test_results_are_put_in_another_order(person: Person) -> None:
    searched(person)
    near = person.all_names()
    person.page.get_by_label("Order").select_option("key")
    person.wait()
    person.page.wait_for_function("() => location.search.includes('sort=key')")
    person.wait()
    assert person.all_names() == sorted(near)
    person.page.get_by_label("Order").select_option("-key")
    person.page.wait_for_function("() => location.search.includes('sort=-key')")
    person.wait()
    assert person.all_names() == sorted(near, reverse=True)
