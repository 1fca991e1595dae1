"""The page of `jaxret serve` is plain files: they know each other only downwards, and nothing outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import jaxret

PAGE = Path(jaxret.__file__).parent / "serve" / "page"
SCRIPTS = sorted(PAGE.rglob("*.js"))
FILES = [*SCRIPTS, *sorted(PAGE.rglob("*.css")), *sorted(PAGE.rglob("*.html")), *sorted(PAGE.rglob("*.svg"))]
IMPORT = re.compile(r'^import .*?from "([^"]+)";', re.M | re.S)
MARKUP = re.compile(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function)\b")
MOST_LINES = 300


def name_of(path: Path) -> str:
    return path.relative_to(PAGE).as_posix()


def room(path: Path) -> str:
    """base, one of the parts of the page, or "" for what puts them together."""
    return path.relative_to(PAGE).parts[0] if path.parent != PAGE else ""


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) > 30


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_imports_point_down_and_lead_to_files(path: Path) -> None:
    for target in IMPORT.findall(path.read_text(encoding="utf-8")):
        found = (path.parent / target).resolve()
        assert found.is_file(), target
        assert room(path) == "" or room(found) in ("base", room(path)), f"{name_of(path)} imports {name_of(found)}"


def test_nothing_is_offered_or_taken_in_vain() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SCRIPTS}
    for path, text in texts.items():
        others = "\n".join(other for place, other in texts.items() if place != path)
        offered = re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", text, re.M)
        assert [name for name in offered if not re.search(rf"\b{name}\b", others)] == [], name_of(path)
        taken = ",".join(re.findall(r"^import \{([^}]*)\} from", text, re.M)).split(",")
        assert [name for name in map(str.strip, taken) if name and len(re.findall(rf"\b{name}\b", text)) < 2] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_fetched_from_elsewhere_and_no_text_becomes_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.[a-z]", re.sub(r"^\s*//.*$", "", text, flags=re.M))
    assert not MARKUP.search(text)
    assert text.count("\n") <= MOST_LINES


def test_the_document_holds_no_script_and_no_style_of_its_own() -> None:
    """What its Content-Security-Policy forbids would not work."""
    inline = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            names = dict(attributes)
            inline.extend(name for name in names if name == "style" or name.startswith("on"))
            if tag == "style" or (tag == "script" and "src" not in names):
                inline.append(tag)
            for name in ("src", "href"):
                if (target := names.get(name)) and not target.startswith("#"):
                    assert (PAGE / target).is_file(), target

    Reader().feed((PAGE / "index.html").read_text(encoding="utf-8"))
    assert inline == []
