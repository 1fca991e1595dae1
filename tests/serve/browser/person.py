"""What a person does at the page, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 20_000  # milliseconds: the first search compiles
DONE = """() => /\\d+ results?,|Nothing/.test(document.querySelector(".status").textContent)
  && !document.querySelector("main").classList.contains("busy")"""
PLACES_AND_NAMES = """all => all.map((one) =>
  [Number(one.getAttribute("aria-posinset")), one.querySelector(".card-name").textContent])"""


class Person:
    """Uses the page as someone with a mouse, a keyboard or a screen reader: by names, not by the page's insides."""

    def __init__(self, page: Any, address: str, media: Path, *, phone: bool):
        self.page, self.address, self.media, self.phone = page, address, media, phone
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: said.type in ("error", "warning") and self._note(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.complaints.append(text)

    def answer(self, pattern: str, with_: Callable[..., None]) -> None:
        """Answer requests in the server's place. Before the page is opened: a page that is open already may still send
        its next request past a route, since its process hears of interception on another line than of keys."""
        assert self.page.url == "about:blank", "answer before open"
        self.page.route(pattern, with_)

    def open(self, index: str, more: str = "") -> None:
        self.page.goto(f"{self.address}?index={index}{more}")
        self.page.get_by_role("listitem").first.wait_for(state="attached")

    def button(self, name: str, **more: Any) -> Any:
        return self.page.get_by_role("button", name=name, exact=True, **more)

    def choose(self, *files: Path) -> None:
        """Through the file dialog."""
        with self.page.expect_file_chooser() as chooser:
            self.unfold()
            self.button("Choose files").click()
        chooser.value.set_files([str(file) for file in files])
        self.wait()

    def unfold(self) -> None:
        """On a phone the query is folded away once a search was made."""
        if self.phone and self.page.get_by_text("Edit the query").is_visible():
            self.page.get_by_text("Edit the query").click()

    def wait(self) -> None:
        """Until the search is through."""
        self.page.wait_for_function(DONE)
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def names(self) -> list[str]:
        """Of the results in sight, in order."""
        cards = self.page.locator("[role=listitem]:has(.card-open)")
        found = cards.evaluate_all(PLACES_AND_NAMES)
        return [name for _, name in sorted(found)]

    def all_names(self) -> list[str]:
        """Of all results that are loaded, scrolled through."""
        found = []
        for place in range(1, self.count() + 1):
            card = self.page.locator(f"[role=listitem][aria-posinset='{place}']")
            if not card.count():
                self.page.evaluate("scrollBy(0, innerHeight / 2)")
                card.wait_for(state="attached")
            found.append(card.locator(".card-name").text_content())
        self.page.evaluate("scrollTo(0, 0)")
        return found

    def result(self, place: int) -> Any:
        """The button of the result at a place, from 1."""
        return self.page.locator(f"[role=listitem][aria-posinset='{place}'] .card-open")

    def status(self) -> str:
        return self.page.locator(".status").first.text_content()

    def count(self) -> int:
        return int(self.status().split()[0].replace(",", ""))

    def parameters(self) -> dict[str, str]:
        """Of the address."""
        return self.page.evaluate("() => Object.fromEntries(new URLSearchParams(location.search))")
