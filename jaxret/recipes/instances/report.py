"""What a run of instance retrieval leaves behind: the index, a picture of searches, and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset, MediaSubset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import MediaError
from jaxret.models.store import fingerprint
from jaxret.recipes.report_parts import closing_sections
from jaxret.reporting import Section, draw_result_gallery, figure, paragraph, write_report
from jaxret.retrieval import Region, RegionSearch, Retriever, hit_row
from jaxret.training import RunFolder

__all__ = ["finish_instance_run"]

_GALLERY_QUERIES, _GALLERY_RESULTS = 6, 5
_MIDDLE = Region(0.25, 0.25, 0.5, 0.5)


def finish_instance_run(
    run: RunFolder,
    dataset: MediaDataset,
    encoder: Any,
    *,
    failures: Sequence[MediaError],
    config: Any,
    threads: int,
    sections: Sequence[Section] = (),
    say: Callable[[str], None],
    show_progress: bool = True,
) -> str:
    """Index everything, and write the picture of searches and the report into the run folder.

    An index of the same encoder that is there already is extended, so that a stopped run goes on, and what was added
    to it stays.

    Args:
      run: the run folder.
      dataset: all items.
      encoder: fitted, see `Retriever.create`.
      failures: items that could not be read before.
      config: the resolved settings, for the report.
      threads: files decoded at once.
      sections: of the report, before those that every run has.
      say: gets the results, a line at a time.
      show_progress: draw a bar.

    Returns:
      The command that searches the index with a region of a picture.
    """
    retriever = _opened(run, encoder)
    with tqdm(total=len(dataset.items), desc="indexing", unit="item", disable=not show_progress) as bar:
        bar.update(sum(item.key in retriever.index for item in dataset.items))
        report = retriever.add(dataset, threads=threads, on_item=lambda _: bar.update())
    lost = list({error.path: error for error in (*failures, *report.skipped)}.values())
    say(f"{len(retriever.index)} items are in {run.index}; {len(lost)} files could not be read")
    parts = []
    asked = _draw_searches(run, dataset, retriever)
    if asked:
        caption = "The middle of some pictures asks; a box shows where each result was found."
        parts = [Section("Searches", [figure(run.gallery, caption)])]
    command = command_line_of("search", run.index, *_example(dataset, retriever, asked), "--region", str(_MIDDLE))
    write_report(
        run.report,
        f"jaxret run {run.path.name}",
        [
            Section("Encoder", [paragraph(encoder.summary)]),
            *parts,
            *sections,
            *closing_sections(len(retriever.index), command, lost, config),
        ],
    )
    say(f"report: {run.report}")
    say(f"search the index with a region of a picture (X,Y,WIDTH,HEIGHT):\n  {command}")
    return command


def _opened(run: RunFolder, encoder: Any) -> Retriever:
    if (run.index / "manifest.json").exists():
        retriever = Retriever.open(run.index)
        retriever.index.check_encoder(fingerprint(encoder), encoder.preprocessing)
        return retriever
    return Retriever.create(run.index, encoder)


def _example(dataset: MediaDataset, retriever: Retriever, asked: Sequence[int]) -> list[str]:
    """What can ask: one of the pictures that did, or the first frame of a video."""
    if asked:
        return [dataset.items[asked[0]].path or "PICTURE"]
    for item in dataset.items:
        if item.kind == "video" and item.key in retriever.index:
            return [item.path or "VIDEO", "--at", "0"]
    return ["PICTURE"]


def _draw_searches(run: RunFolder, dataset: MediaDataset, retriever: Retriever) -> list[int]:
    """The numbers of the pictures that ask; none where no picture is indexed."""
    pictures = [
        number for number, item in enumerate(dataset.items) if item.kind == "image" and item.key in retriever.index
    ]
    chosen = evenly_spaced(len(pictures), _GALLERY_QUERIES)
    options = RegionSearch(_MIDDLE, candidates=50)
    rows, asked = [], []
    for number in (pictures[place] for place in chosen):
        query = MediaSubset(dataset, [number])
        try:
            hits = retriever.search(query, _GALLERY_RESULTS, options=options)
        except ValueError:  # a picture without a word in its middle
            continue
        rows.append(hit_row(query, hits, options, height=96))
        asked.append(number)
    if rows:
        draw_result_gallery(run.gallery, rows)
    return asked
