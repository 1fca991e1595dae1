"""How trainings end: the index of a run, its learning curves, and what every report and every log closes with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import MediaItem
from jaxret.errors import IndexFormatError, MediaError
from jaxret.evaluation import GroupFigures
from jaxret.files import write_atomically
from jaxret.index import MediaIndex
from jaxret.index.write_lock import addition_lock, write_lock
from jaxret.models.encoder import VideoEncoder
from jaxret.plain_text import counted
from jaxret.reporting import Section, drawn_figure, paragraph, preformatted, table
from jaxret.retrieval import Retriever
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.matches import match_items
from jaxret.training import RunContext, RunFolder, config_to_json, read_run_log

__all__ = [
    "RunExtras",
    "closing_sections",
    "curve_parts",
    "log_ending",
    "make_run_index",
    "run_sections",
    "write_figures",
]


_SECONDS_FOR_WRITERS = 10.0
"""How long the end of a training waits for those who add to the index."""


@dataclasses.dataclass(frozen=True)
class RunExtras:
    """What a recipe adds to the metrics and the report of its runs.

    Attributes:
      figures: further methods.
      note: what they are.
      first, last: sections before the metrics, and after the figure of results.
      curves: the learning curves as parts of the report; None: they are drawn from the run's log.
    """

    figures: dict[str, GroupFigures] = dataclasses.field(default_factory=dict)
    note: str = ""
    first: Sequence[Section] = ()
    last: Sequence[Section] = ()
    curves: Sequence[str] | None = None


def make_run_index(
    run: RunFolder,
    dataset: MediaDataset,
    media: Mapping[int, FrameVectors],
    encoder: VideoEncoder,
    *,
    threads: int,
    log: Callable[[str], None],
) -> Retriever:
    """An index of the run's media in place of the one that is there; further files that it held are embedded again.

    The new index is made beside the old one and takes its place when it is whole, so that a stop loses nothing. Columns
    of the user's own, the media root and cells are those of the old one.

    Args:
      run: its `index` folder is replaced.
      dataset: the run's data.
      media: frame vectors of the items to index, by item index.
      encoder: of the index.
      threads: files decoded at once.
      log: told of files that were added to the old index, and of those that can no longer be.

    Raises:
      IndexBusyError: something is being added to the old index.
    """
    coming, going = (run.index.with_name(f"{run.index.name}.{which}") for which in ("coming", "going"))
    if going.exists() and not run.index.exists():
        os.replace(going, run.index)  # a stop came between
    for left in (coming, going):
        shutil.rmtree(left, ignore_errors=True)
    old = _whole_index(run.index)
    with contextlib.ExitStack() as held:
        if old is not None:  # what others add to it while the new one is made would be lost
            held.enter_context(addition_lock(run.index, _SECONDS_FOR_WRITERS))
            held.enter_context(write_lock(run.index, _SECONDS_FOR_WRITERS))
        retriever = Retriever.create(coming, encoder)
        retriever.add(dataset, media=media)
        if old is not None:
            old.refresh()
            _add_again(retriever, _added_to_index(old, dataset), threads=threads, log=log)
            _set_up_like(old, retriever.index)
        if run.index.exists():
            os.replace(run.index, going)
        os.replace(coming, run.index)
    shutil.rmtree(going, ignore_errors=True)
    return Retriever(encoder, MediaIndex.open(run.index))


def write_figures(run: RunFolder, figures: Mapping[str, Any]) -> None:
    """Write the run's metrics, by method, into its `figures.json`."""
    with write_atomically(run.figures) as partial:
        partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def curve_parts(run: RunFolder, panels: Mapping[str, Sequence[str]]) -> list[str]:
    """The learning curves, drawn from the run's log, as parts of a report.

    Args:
      run: its log is read, its curves are drawn.
      panels: see `draw_curves`.
    """
    rows = read_run_log(run.metrics)
    if not rows:
        return [paragraph("Nothing was trained.")]
    from jaxret.reporting import draw_curves  # brings matplotlib, which not every run draws with

    text = counted(len(rows), "evaluation")
    return [drawn_figure(run.curves, text, lambda: draw_curves(run.curves, rows, panels=panels))]


def closing_sections(
    indexed: int, command: str, failures: Sequence[MediaError], config: Any, damaged: Sequence[MediaError] = ()
) -> list[Section]:
    """How to search, what was left out, the settings, and the machine.

    Args:
      indexed: items in the run's index.
      command: that searches it with a file.
      failures: items that could not be read.
      config: the resolved settings.
      damaged: items that were read although something is missing from them.
    """
    return [
        Section("Search the index", [paragraph(f"{indexed} items are indexed."), preformatted(command)]),
        *run_sections(failures, config, damaged),
    ]


def run_sections(failures: Sequence[MediaError], config: Any, damaged: Sequence[MediaError] = ()) -> list[Section]:
    """What was left out, the settings, and the machine; arguments are those of `closing_sections`."""
    lost, partly = ([(error.path, error.reason) for error in errors] for errors in (failures, damaged))
    sections = [
        Section(f"Files left out: {len(lost)}", [table(("file", "reason"), lost)] if lost else [paragraph("None.")]),
        Section("Settings", [preformatted(json.dumps(config_to_json(config), indent=2))]),
        Section("Made on", [table(("what", "value"), _machine())]),
    ]
    if partly:
        sections.insert(1, Section(f"Files with damage: {len(partly)}", [table(("file", "what"), partly)]))
    return sections


def log_ending(context: RunContext, failures: Sequence[MediaError], query: str, command: str) -> None:
    """Log how many files were left out, where the report is, and the command that searches with `query`."""
    if failures:
        context.log(f"{len(failures)} files could not be read; the report lists them")
    context.log(f"report: {context.run.report}")
    context.log(f"search the index with {query}:\n  {command}")


def _machine() -> list[tuple[str, str]]:
    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    return [
        ("platform", platform.platform()),
        ("Python", platform.python_version()),
        ("JAX", jax.__version__),
        ("devices", f"{jax.device_count()} x {devices}"),
    ]


def _whole_index(folder: Path) -> MediaIndex | None:
    """The index in a folder; None where a stopped run left it half-made or not at all."""
    if not (folder / "manifest.json").exists():
        return None
    try:
        return MediaIndex.open(folder)
    except IndexFormatError:
        return None


def _added_to_index(index: MediaIndex, dataset: MediaDataset) -> list[MediaItem]:
    """What an index holds beside the run's data."""
    matches = match_items(dataset, index)
    own = set(matches.known.values())
    moved = {dataset.items[number].key for number in matches.clashes}  # or only the folder was renamed
    return [
        item
        for item in index.items
        if item.key not in own and not (item.key in moved and item.path and not os.path.exists(item.path))
    ]


def _add_again(retriever: Retriever, added: Sequence[MediaItem], *, threads: int, log: Callable[[str], None]) -> None:
    """Embed what was added to another index, and tell of what can no longer be."""
    if not added:
        return
    files = MediaFiles([item for item in added if item.path is not None])
    report = retriever.add(files, threads=threads)
    log(f"{len(report.added)} of {len(added)} items that were added to the index before are in it again")
    for error in (*files.skipped, *report.skipped):
        log(f"  lost: {error}")
    for item in added:
        if item.path is None:
            log(f"  lost: {item.key}, which is no file of its own: add it again")


def _set_up_like(old: MediaIndex, new: MediaIndex) -> None:
    """Give an index the own columns, the media root and the cells of another one, where it has their items and nothing
    of its own.
    """
    own: dict[str, dict[str, Any]] = {}
    for column in old.columns:
        given = new.values(column) if column in new.columns else [None] * len(new)
        for key, value in zip(old.values("key"), old.values(column), strict=True):
            if value is not None and key in new and given[new.id_of(key)] is None:
                own.setdefault(key, {})[column] = value
    if own:
        new.set_columns(own)
    if old.media_root is not None:
        new.set_media_root(old.media_root)
    for space, cells in old.cells.items():
        if space in new.spaces and (rows := new.count_rows(space)):
            new.make_cells(space, min(cells, rows))
