"""What the data sets of instance retrieval share: a query with its box, and which images show the same object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from jaxret.errors import ConfigError
from jaxret.files import read_text

__all__ = ["Box", "InstanceQuery", "checked_box", "read_lines", "relevance_lists"]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclasses.dataclass(frozen=True)
class InstanceQuery:
    """One query. Images are named by their files without the ending.

    Attributes:
      name: of the query, unique in its data set.
      image: that it is taken from.
      box: of the object in it.
      good: images that show the object well.
      ok: images that show more than a quarter of it.
      junk: images that show less: they neither help nor harm.
    """

    name: str
    image: str
    box: Box
    good: tuple[str, ...]
    ok: tuple[str, ...] = ()
    junk: tuple[str, ...] = ()


def relevance_lists(
    queries: Sequence[InstanceQuery],
    gallery: Sequence[str],
    *,
    graded: bool = False,
    without_query: bool = False,
    allow_missing: bool = False,
) -> tuple[list[dict[int, float]], list[set[int]]]:
    """The lists that `jaxret.metrics.relevance_by_lists` takes: `relevant` and `junk` by row of the gallery.

    Args:
      queries: Q of them.
      gallery: the name of each item, each once: as the queries name them, with or without a file's ending.
      graded: good counts 2 and ok 1, for NDCG; else both 1. Average precision takes both alike.
      without_query: the query's own image is junk. In the published figures of Oxford and Paris it is not: it is in
        its own list of good images.
      allow_missing: leave out images that the gallery lacks (some downloads of Paris hold damaged files).

    Returns:
      `(relevant, junk)`, a mapping of row to grade and a set of rows for each query.

    Raises:
      ConfigError: the gallery names an item twice, or lacks an image that a list names.

    Example:
      >>> query = InstanceQuery("tower_1", "a", (0.0, 0.0, 9.0, 9.0), good=("a", "b"), ok=("c",), junk=("d",))
      >>> relevance_lists([query], ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"], graded=True, without_query=True)
      ([{2: 1.0, 1: 2.0}], [{0, 3}])
    """
    rows: dict[str, int] = {}
    for row, name in enumerate(gallery):
        key = _without_ending(name)
        if key in rows:
            raise ConfigError(f"the gallery names {key!r} twice: items {rows[key]} and {row}")
        rows[key] = row
    relevant: list[dict[int, float]] = []
    junk: list[set[int]] = []
    missing: dict[str, None] = {}

    def found(names: Sequence[str]) -> list[int]:
        keys = [_without_ending(name) for name in names]
        missing.update(dict.fromkeys(key for key in keys if key not in rows))
        return [rows[key] for key in keys if key in rows]

    for query in queries:
        graded_here = dict.fromkeys(found(query.good), 2.0 if graded else 1.0)
        graded_here = dict.fromkeys(found(query.ok), 1.0) | graded_here
        unwanted = set(found(query.junk))
        if without_query and (own := rows.get(_without_ending(query.image))) is not None:
            graded_here.pop(own, None)
            unwanted.add(own)
        relevant.append(graded_here)
        junk.append(unwanted)
    if missing and not allow_missing:
        raise ConfigError(
            f"the gallery of {len(rows)} items lacks {len(missing)} images that the ground truth names, such as "
            f"{next(iter(missing))!r}"
        )
    return relevant, junk


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty, stripped; ConfigError names a file that cannot be read."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def checked_box(numbers: Sequence[object], place: str, *, corners: bool = True) -> Box:
    """Four numbers of a file as a box.

    Args:
      numbers: left, top, right, bottom; or without `corners` left, top, width, height.
      place: for the message.

    Raises:
      ConfigError: they are not four numbers, or the box has no area.
    """
    try:
        left, top, third, fourth = (float(number) for number in numbers)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ConfigError(f"{place}: a box is four numbers, got {list(numbers)!r}") from None
    right, bottom = (third, fourth) if corners else (left + third, top + fourth)
    if not (left < right < float("inf") and top < bottom < float("inf")) or min(left, top) == -float("inf"):
        raise ConfigError(f"{place}: the box {(left, top, right, bottom)} has no area")
    return left, top, right, bottom


def _without_ending(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in _ENDINGS else name


_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
