"""Images and pages: what is drawn is what was given, and nothing points outside the file."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from jaxret.data.readers import ArrayReader
from jaxret.reporting import (
    DetectedImage,
    DrawnBox,
    GalleryRow,
    Section,
    Tile,
    draw_curves,
    draw_detections,
    draw_embedding_map,
    draw_reconstructions,
    draw_result_gallery,
    drawn_figure,
    figure,
    filmstrip,
    paragraph,
    preformatted,
    table,
    write_report,
)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_curves_draw_only_what_the_rows_have(tmp_path: Path) -> None:
    rows = [{"epoch": e, "loss": 1 / (e + 1)} for e in range(5)]
    draw_curves(tmp_path / "one.png", rows, panels={"loss": ["loss", "missing"], "empty": ["nothing"]})
    draw_curves(tmp_path / "two.png", rows, panels={"loss": ["loss"], "again": ["loss"]})
    one, two = (size_of(tmp_path / name) for name in ("one.png", "two.png"))
    assert two[0] == pytest.approx(2 * one[0], abs=2)
    draw_curves(tmp_path / "none.png", [], panels={"loss": ["loss"]})
    assert size_of(tmp_path / "none.png")[0] > 0


def test_the_gallery_frames_right_results_green_and_wrong_ones_red(tmp_path: Path) -> None:
    grey = np.full((96, 120, 3), 128, np.uint8)
    row = GalleryRow(Tile(grey, "query"), [Tile(grey, "right", True), Tile(grey, "wrong\n0.5", False)])
    draw_result_gallery(tmp_path / "gallery.png", [row, row])
    with Image.open(tmp_path / "gallery.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    frame = 2 * 3 * (96 + 120 + 2 * 3)  # pixels of one frame of width 3, corners counted once
    for colour in ((34, 139, 60), (196, 48, 48)):
        count = int((pixels == colour).all(axis=1).sum())
        assert count == pytest.approx(2 * frame, rel=0.1), colour
    with pytest.raises(ValueError, match="at least one query"):
        draw_result_gallery(tmp_path / "x.png", [])


def test_a_filmstrip_shows_frames_of_the_span_in_order() -> None:
    values = np.arange(0, 200, 20, dtype=np.uint8)
    pixels = np.broadcast_to(values[:, None, None, None], (10, 48, 48, 3)).copy()
    reader = ArrayReader(pixels, np.arange(10) / 10, 1.0)
    strip = filmstrip(reader, frames=3)
    assert strip.shape == (96, 288, 3)
    assert strip[48, [48, 144, 240], 0].tolist() == [20, 100, 160]  # on display at 1/6, 3/6 and 5/6 s
    late = filmstrip(reader, start=0.5, end=1.0, frames=1)
    assert late[0, 0, 0] == 140
    assert filmstrip(ArrayReader(pixels[:1], np.zeros(1), 0.0)).shape == (96, 96, 3)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]


def test_the_report_is_self_contained_and_escapes_what_it_shows(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    write_report(
        tmp_path / "report.html",
        "a <b> title",
        [
            Section("S&P", [paragraph("<script>alert(1)</script>"), preformatted("a\n  b")]),
            Section("T", [table(("x", "y"), [("<i>", 0.12345), ("n", 7)]), figure(tmp_path / "a.png", 'say "hi"')]),
        ],
    )
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    parser = _Links()
    parser.feed(text)
    assert parser.outside == []
    assert "script" not in parser.tags
    assert "i" not in parser.tags
    assert "0.123" in text
    assert "0.12345" not in text
    assert re.search(r"<title>a &lt;b&gt; title</title>", text)
    assert not list(tmp_path.glob("partial-*"))


ODD_NAMES = [
    "Ba$$in",
    "$5^$10",
    "_private",
    "a\\frac{",
    "%&#~^",
    "\x1b[2J",
    "caf\udce9",
    "\u202egnp",
    "",
    "日本",
    "x" * 300,
]


def test_what_rounds_to_zero_has_no_sign_in_a_table() -> None:
    assert ">0.000<" in table(["x"], [[-0.0001]])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_text_in_every_figure_and_page(tmp_path: Path, name: str) -> None:
    rows = [{"epoch": e, name: 1.0} for e in range(3)]
    draw_curves(tmp_path / "curves.png", rows, panels={name: [name]})
    places = np.arange(8.0).reshape(4, 2)
    draw_embedding_map(tmp_path / "map.png", {name: places, "trained": places}, [name, "other", name, None])
    tile = Tile(np.zeros((96, 96, 3), np.uint8), f"{name}\n0.1", None)
    draw_result_gallery(tmp_path / "gallery.png", [GalleryRow(tile, [tile])])
    clips = np.zeros((1, 2, 8, 8, 3), np.uint8)
    draw_reconstructions(tmp_path / "clips.png", clips, clips, [name])
    box = DrawnBox((1, 1, 20, 20), caption=name)
    image = DetectedImage(np.zeros((40, 40, 3), np.uint8), name, [(1, 1, 9, 9)], [box], [])
    draw_detections(tmp_path / "boxes.png", [image])
    parts = [paragraph(name), preformatted(name), table([name], [[name]]), figure(tmp_path / "map.png", name)]
    write_report(tmp_path / "report.html", name, [Section(name, parts)])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not any(raw in page for raw in ("\x1b", "\u202e"))


def test_every_class_has_its_own_name_in_the_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **more: (drawn.append(self), savefig(self, *args, **more))
    )
    names = ["$5^$10", "_private", "dog"]
    draw_embedding_map(tmp_path / "map.png", {"trained": np.arange(6.0).reshape(3, 2)}, names)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == names
    assert not any(text.get_parse_math() for text in drawn[0].legends[0].get_texts())


def test_a_figure_that_fails_is_a_line_of_the_report(tmp_path: Path) -> None:
    def draw() -> None:
        raise RuntimeError("no <font>")

    part = drawn_figure(tmp_path / "map.png", "a map", draw)
    assert part == "<p>map.png could not be drawn: RuntimeError: no &lt;font&gt;</p>"
    assert drawn_figure(
        tmp_path / "map.png", "a map", lambda: draw_curves(tmp_path / "map.png", [], panels={})
    ).startswith("<figure>")
