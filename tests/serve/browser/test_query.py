"""Ways to search: drop, paste, choose, similar, a folder, a region, a part, a frame, words."""

from __future__ import annotations

import base64

import pytest
from serve.browser.person import Person

pytestmark = pytest.mark.slow

DROPPED = """([name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  return transfer;
}"""


def test_a_chosen_film_is_searched_with(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    assert person.count() == 12
    assert person.page.locator(".status").first.text_content() == "12 results, 12 places"
    assert "query.mp4" in person.page.get_by_label("Present query").text_content()


def test_a_dropped_image_is_searched_with(person: Person) -> None:
    person.open("films")
    data = base64.b64encode((person.media / "frame.png").read_bytes()).decode()
    transfer = person.page.evaluate_handle(DROPPED, ["frame.png", "image/png", data])
    person.page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    assert person.page.get_by_text("Drop to search with it").is_visible()
    person.page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    person.wait()
    assert person.count() > 0
    assert not person.page.get_by_text("Drop to search with it").is_visible()


def test_a_pasted_image_is_searched_with(person: Person) -> None:
    person.open("films")
    data = base64.b64encode((person.media / "frame.png").read_bytes()).decode()
    pasted = "(clipboardData) => dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))"
    transfer = person.page.evaluate_handle(DROPPED, ["frame.png", "image/png", data])
    person.page.evaluate(pasted, transfer)
    person.wait()
    assert "frame.png" in person.page.get_by_label("Present query").text_content()


def test_a_result_finds_what_is_similar_to_it(person: Person) -> None:
    person.open("clips")
    first = person.names()[0]
    person.result(1).click()
    person.button("Similar to this").last.click()
    person.wait()
    assert person.names()[0] == first  # nothing is nearer to it than itself
    assert person.parameters()["item"]


def test_a_folder_of_queries_is_gone_through(person: Person) -> None:
    person.open("clips")
    films = sorted((person.media / "media" / "left").glob("*.mp4"))[:3]
    person.choose(*films)
    person.unfold()
    queue = person.page.get_by_label("Folder of queries")
    assert queue.get_by_role("listitem").count() == 3
    assert person.names()[0] == "l0.mp4"
    person.button("Next query").click()
    person.page.locator(".query-shown h2", has_text="l1.mp4").wait_for(state="attached")
    person.wait()
    assert person.names()[0] == "l1.mp4"


def test_a_whole_folder_is_chosen(person: Person) -> None:
    person.open("clips")
    with person.page.expect_file_chooser() as chooser:
        person.button("A folder").click()
    chooser.value.set_files(str(person.media / "media" / "right"))
    person.wait()
    person.unfold()
    assert person.page.get_by_label("Folder of queries").get_by_role("listitem").count() == 6
    assert person.names()[0] == "r0.mp4"


def test_a_region_is_drawn_with_a_pointer_and_found_with_its_box(person: Person) -> None:
    person.open("things")
    person.choose(person.media / "pictures" / "p1.png")
    whole = person.names()
    person.unfold()
    box = person.page.locator(".region-marker").bounding_box()
    person.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    person.page.mouse.down()
    person.page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.75 * box["height"], steps=4)
    person.page.mouse.up()
    assert "region of 30 \u00d7 35 %" in person.page.locator(".preview-part").text_content()
    person.button("Search").click()
    person.wait()
    x, y, width, height = map(float, person.parameters()["region"].split(","))
    assert (x, y, width, height) == pytest.approx((0.5, 0.4, 0.3, 0.35), abs=0.02)
    assert person.page.locator(".card .found-box").count() > 0
    assert sorted(person.names()) == sorted(whole)


def test_a_region_is_marked_with_keys(person: Person) -> None:
    person.open("things")
    person.choose(person.media / "pictures" / "p1.png")
    person.unfold()
    person.button("Mark a region").click()
    person.page.keyboard.press("ArrowRight")
    person.page.keyboard.press("Shift+ArrowDown")
    person.button("Search").click()
    person.wait()
    assert person.parameters()["region"] == "0.2700,0.2500,0.5000,0.5200"


def test_a_part_is_trimmed_with_two_handles(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "query.mp4")
    person.unfold()
    person.button("Part").click()
    start = person.page.get_by_role("slider", name="Start of the part")
    track = person.page.locator(".timeline-track").first.bounding_box()
    handle = start.bounding_box()
    person.page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + 10)
    person.page.mouse.down()
    person.page.mouse.move(track["x"] + track["width"] / 3, handle["y"] + 10, steps=4)
    person.page.mouse.up()
    end = person.page.get_by_role("slider", name="End of the part")
    end.focus()
    person.page.keyboard.press("ArrowLeft")
    person.button("Search").click()
    person.wait()
    begin, finish = map(float, person.parameters()["part"].split(","))
    assert begin == pytest.approx(1.0, abs=0.05)
    assert 2.5 < finish < 3.0


def test_a_frame_is_picked_from_a_film(person: Person) -> None:
    person.open("films")
    person.choose(person.media / "query.mp4")
    person.unfold()
    person.button("One frame").click()
    frame = person.page.get_by_role("slider", name="Frame")
    frame.focus()
    for _ in range(5):
        person.page.keyboard.press("ArrowRight")
    person.button("Search").click()
    person.wait()
    assert 0.2 < float(person.parameters()["at"]) < 1


def test_words_find_what_they_describe(person: Person) -> None:
    person.open("both")
    person.page.get_by_label("Search with words").fill("a red square")
    person.page.keyboard.press("Enter")
    person.wait()
    assert person.count() == 18
    assert person.parameters()["text"] == "a red square"
    person.unfold()
    person.page.get_by_label("Search with words").fill("a green field")
    person.button("Search").click()
    person.page.wait_for_function("() => location.search.includes('green')")
    person.wait()
    assert person.count() == 18


def test_a_file_on_the_server_is_searched_with(person: Person) -> None:
    person.open("clips")
    person.page.get_by_text("A file on the server").click()
    person.page.get_by_label("Path under the media root").fill("query.mp4")
    person.button("Search with it").click()
    person.wait()
    assert person.count() == 12


def test_a_film_that_the_browser_cannot_play_is_shown_by_its_frames(person: Person) -> None:
    person.open("clips")
    person.choose(person.media / "old.avi")
    person.unfold()
    assert person.page.get_by_text("cannot play this film").is_visible()
    strip = person.page.locator(".timeline-strip").first
    strip.scroll_into_view_if_needed()
    person.page.wait_for_function("() => document.querySelector('.timeline-strip').naturalWidth > 300")


def test_what_is_no_media_is_refused_in_a_sentence(person: Person) -> None:
    person.expected = ("Failed to load resource",)
    person.open("clips")
    note = person.media / "note.png"
    note.write_text("no image")
    with person.page.expect_file_chooser() as chooser:
        person.button("Choose files").click()
    chooser.value.set_files(str(note))
    person.page.get_by_role("status").get_by_text("Error: ").wait_for()
    assert "note.png" in person.page.locator(".notice").text_content()
