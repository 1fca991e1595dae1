"""What a run of instance retrieval leaves: the index, a figure of searches, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset, MediaSubset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import ConfigError, MediaError
from jaxret.models.store import fingerprint
from jaxret.progress import progress_bar
from jaxret.recipes.finish import closing_sections
from jaxret.reporting import GalleryRow, Section, draw_result_gallery, drawn_figure, paragraph, write_report
from jaxret.retrieval import Region, RegionSearch, Retriever, hit_row
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.matches import match_items
from jaxret.training import RunContext, RunFolder

__all__ = ["finish_instance_run"]

_GALLERY_QUERIES, _GALLERY_RESULTS, _CANDIDATES = 6, 5, 20
_MIDDLE = Region(0.25, 0.25, 0.5, 0.5)


def finish_instance_run(
    dataset: MediaDataset,
    encoder: Any,
    config: Any,
    context: RunContext,
    *,
    failures: Sequence[MediaError],
    sections: Sequence[Section] = (),
    known: Mapping[int, FrameVectors] | None = None,
) -> str:
    """Index everything, and write the figure of searches and the report into the run folder.

    An index of the same encoder that is there already is extended, so that a stopped run goes on, and what was added
    to it stays.

    Args:
      dataset: all items.
      encoder: fitted, see `Retriever.create`.
      config: the resolved settings, for the report.
      context: the run folder, and where results are logged, a line at a time.
      failures: items that could not be read before.
      sections: of the report, before those that every run has.
      known: items that are described already, see `Retriever.add`.

    Returns:
      The command that searches the index with a region of an image.

    Raises:
      ConfigError: nothing can be read.
    """
    run = context.run
    retriever = _opened(run, encoder)
    with progress_bar("indexing", "item", total=len(dataset.items), shown=context.show_progress) as bar:
        bar.update(len(match_items(dataset, retriever.index).known))
        report = retriever.add(dataset, known=known, threads=config.threads, on_item=lambda _: bar.update())
    lost = list({error.path: error for error in (*failures, *report.skipped)}.values())
    if lost and not len(retriever.index):
        raise ConfigError(f"none of the {len(dataset)} items can be read; the first: {lost[0]}")
    damaged = list({error.path: error for error in (*dataset.damaged, *report.damaged)}.values())
    context.log(f"{len(retriever.index)} items are in {run.index}; {len(lost)} files could not be read")
    parts = []
    rows, queries = _searches(dataset, retriever)
    if queries:
        caption = "Queries are the middles of some images; a box shows where each result was found."
        gallery = drawn_figure(run.gallery, caption, lambda: draw_result_gallery(run.gallery, rows))
        parts = [Section("Searches", [gallery])]
    command = command_line_of("search", run.index, *_example(dataset, retriever, queries), "--region", str(_MIDDLE))
    write_report(
        run.report,
        f"jaxret run {run.path.name}",
        [
            Section("Encoder", [paragraph(encoder.summary)]),
            *parts,
            *sections,
            *closing_sections(len(retriever.index), command, lost, config, damaged),
        ],
    )
    context.log(f"report: {run.report}")
    context.log(f"search the index with a region of an image (X,Y,WIDTH,HEIGHT):\n  {command}")
    return command


def _opened(run: RunFolder, encoder: Any) -> Retriever:
    if (run.index / "manifest.json").exists():
        retriever = Retriever.open(run.index)
        retriever.index.check_encoder(fingerprint(encoder), encoder.preprocessing)
        return retriever
    return Retriever.create(run.index, encoder)


def _example(dataset: MediaDataset, retriever: Retriever, queries: Sequence[int]) -> list[str]:
    """A query to try: one of the images that were drawn, or the first frame of a video."""
    if queries:
        return [dataset.items[queries[0]].path or "IMAGE"]
    for number in match_items(dataset, retriever.index).known:
        if (item := dataset.items[number]).kind == "video":
            return [item.path or "VIDEO", "--at", "0"]
    return ["IMAGE"]


def _searches(dataset: MediaDataset, retriever: Retriever) -> tuple[list[GalleryRow], list[int]]:
    """Some searches, and the item indices of their queries, images; none where no image is indexed."""
    indexed = match_items(dataset, retriever.index).known
    images = [index for index, item in enumerate(dataset.items) if item.kind == "image" and index in indexed]
    chosen = evenly_spaced(len(images), _GALLERY_QUERIES)
    options = RegionSearch(_MIDDLE, candidates=_CANDIDATES)
    rows, queries = [], []
    for index in (images[position] for position in chosen):
        query = MediaSubset(dataset, [index])
        try:
            hits = retriever.search(query, _GALLERY_RESULTS, options=options)
        except ValueError:  # an image without a word in its middle
            continue
        rows.append(hit_row(query, hits, options, height=96))
        queries.append(index)
    return rows, queries
