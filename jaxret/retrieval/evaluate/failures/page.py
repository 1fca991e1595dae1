"""A page of where Bi-DTW goes wrong in an index, to look at: queries and what they found, as strips of frames."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxret.data.items import MediaItem
from jaxret.errors import MediaError
from jaxret.reporting import (
    GalleryRow,
    Section,
    Tile,
    draw_result_gallery,
    drawn_figure,
    filmstrip,
    paragraph,
    table,
    write_report,
)
from jaxret.retrieval.evaluate.failures.answers import Answer, FoundVideo, SequenceFailures
from jaxret.retrieval.query_file import single_file

__all__ = ["write_failures"]

_HEIGHT, _WIDTH = 96, 256  # of the tile of a video that cannot be read now
_PAIRS = 15  # of classes


def write_failures(path: Path, failures: SequenceFailures, title: str) -> None:
    """Write the page, one HTML file with its figures in it; a video that cannot be read is an empty tile.

    Args:
      path: of the file.
      failures: see `sequence_failures`.
      title: of the page.

    Raises:
      OSError: the file cannot be written.
    """
    difference = failures.mean - failures.forwards_mean
    summary = (
        f"{failures.queries} videos are queries for each other, those of their own source left out. "
        f"Mean average precision by Bi-DTW {failures.mean:.3f}, by DTW {failures.forwards_mean:.3f} "
        f"({difference:+.3f}): reading backwards helped {failures.helped} rankings and harmed {failures.harmed}. "
        f"The first result of {failures.wrong} queries is of another class."
    )
    with tempfile.TemporaryDirectory() as folder:
        sections = [
            Section("In short", [paragraph(summary)]),
            _lookalikes(failures, Path(folder) / "lookalikes.png"),
            _reversals(
                "Where reading backwards helped",
                failures.most_helped,
                Path(folder) / "helped.png",
                "No ranking gained by it.",
            ),
            _reversals(
                "Where reading backwards harmed",
                failures.most_harmed,
                Path(folder) / "harmed.png",
                "No ranking lost by it.",
            ),
        ]
    write_report(path, title, sections)


def _lookalikes(failures: SequenceFailures, path: Path) -> Section:
    title = "Look-alikes of another class"
    if not failures.lookalikes:
        return Section(title, [paragraph("The first result of every query is of its class.")])
    rows = [
        GalleryRow(
            _tile(answer.query, f"{answer.query.label}\naverage precision {answer.precision:.3f}", None),
            [_found(result) for result in answer.either],
        )
        for answer in failures.lookalikes
    ]
    text = (
        "Queries whose first result is wrong, those first whose nearest right one is the farthest beside it. Green: of "
        "the query's class; red: of another."
    )
    pairs = table(("class of the query", "class of the first result", "queries"), failures.confused[:_PAIRS])
    return Section(title, [drawn_figure(path, text, lambda: draw_result_gallery(path, rows)), pairs])


def _reversals(title: str, answers: Sequence[Answer], path: Path, none: str) -> Section:
    if not answers:
        return Section(title, [paragraph(none)])
    rows = [
        GalleryRow(
            _tile(answer.query, f"{answer.query.label}, {name}\naverage precision {precision:.3f}", None),
            [_found(result) for result in results],
        )
        for answer in answers
        for name, precision, results in (
            ("either way (Bi-DTW)", answer.precision, answer.either),
            ("forwards (DTW)", answer.forwards_precision, answer.forwards),
        )
    ]
    text = "Each query twice: with both readings, and with the one forwards alone."
    return Section(title, [drawn_figure(path, text, lambda: draw_result_gallery(path, rows))])


def _found(result: FoundVideo) -> Tile:
    how = ", read backwards" if result.backwards else ""
    return _tile(result.item, f"{result.item.label}\n{result.distance:.4g}{how}", result.relevant)


def _tile(item: MediaItem, caption: str, relevant: bool | None) -> Tile:
    try:
        if item.path is None:
            raise MediaError(item.key, "not a file")
        with single_file(item.path).open(0) as reader:
            return Tile(filmstrip(reader), caption, relevant)
    except MediaError:
        return Tile(np.full((_HEIGHT, _WIDTH, 3), 230, np.uint8), caption, relevant)
