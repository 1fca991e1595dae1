"""What every run leaves behind: the index, the figures, the pictures and the report."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.decode.write import write_video
from jaxret.data.items import MediaItem
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.data.splits import DataSplits
from jaxret.evaluation import GroupFigures, rank_items
from jaxret.models.encoder import VideoEncoder
from jaxret.rank import METRICS
from jaxret.recipes.clip_media import embed_items, evaluate_items, evaluate_rows, ranked_rows
from jaxret.recipes.clips.projection import without_projection
from jaxret.recipes.report_parts import closing_sections
from jaxret.recipes.run_index import make_run_index
from jaxret.reporting import (
    GalleryRow,
    Section,
    Tile,
    draw_curves,
    draw_result_gallery,
    figure,
    filmstrip,
    paragraph,
    table,
    write_report,
)
from jaxret.retrieval.encode import FrameVectors, clip_rows, mean_frame_rows
from jaxret.training import RunFolder, read_run_log

__all__ = ["RunExtras", "RunSummary", "finish_run"]

_SHOWN_METRICS = ("mAP", "P@1", "P@5", "P@10", "NDCG")
_GALLERY_QUERIES, _GALLERY_RESULTS = 8, 5


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """What came out of a run.

    Attributes:
      figures: method, then group of queries, then metric.
      search_command: searches the new index with a file.
    """

    figures: dict[str, GroupFigures]
    search_command: str


@dataclasses.dataclass(frozen=True)
class RunExtras:
    """What a recipe adds to the figures and the report of its runs.

    Attributes:
      figures: further methods.
      note: what they are.
      first, last: sections before the figures, and after the pictures of results.
      curves: the learning curves as parts of the report; None: they are drawn from the run's log.
    """

    figures: dict[str, GroupFigures] = dataclasses.field(default_factory=dict)
    note: str = ""
    first: Sequence[Section] = ()
    last: Sequence[Section] = ()
    curves: Sequence[str] | None = None


def finish_run(
    run: RunFolder,
    dataset: MediaDataset,
    splits: DataSplits,
    encoder: VideoEncoder,
    *,
    untrained: VideoEncoder,
    known: dict[int, FrameVectors],
    embedded: dict[int, FrameVectors],
    config: Any,
    extras: Callable[[dict[int, FrameVectors], dict[int, FrameVectors]], RunExtras] | None = None,
    say: Callable[[str], None],
    show: bool,
) -> RunSummary:
    """Index everything, evaluate on the test part, and write pictures and report into the run folder.

    Args:
      run: the run folder.
      dataset: all items; those that no longer read are skipped and listed.
      splits: which items test, and which classes are unseen.
      encoder: trained.
      untrained: the same encoder with its initial weights, the figure to be above.
      known: frame vectors that are at hand, because the backbone was frozen; they hold for `untrained` as well.
      embedded: further frame vectors of `encoder` that are at hand.
      config: the resolved settings, for the report.
      extras: `extras(test, before)`, the test items embedded by `encoder` and by `untrained`, to what is added.
      say: gets the results, a line at a time.
      show: draw bars.
    """
    known_or_embedded = known | embedded
    others = [number for number in range(len(dataset)) if number not in known_or_embedded]
    with tqdm(total=len(others), desc="embedding", unit="item", disable=not show, dynamic_ncols=True) as bar:
        media, failures = embed_items(dataset, encoder, others, threads=config.threads, on_item=lambda _: bar.update())
    media |= known_or_embedded
    failures = [*dataset.skipped, *failures]
    example = _example_query(run, dataset, splits, media)
    test = {int(n): media[int(n)] for n in splits.test if int(n) in media}
    before = {number: known[number] for number in test if number in known}
    before |= embed_items(dataset, untrained, [n for n in test if n not in known], threads=config.threads)[0]
    added = RunExtras() if extras is None else extras(test, before)
    figures = _figures(dataset, splits, test, before, encoder, untrained) | added.figures
    indexed = {number: vectors for number, vectors in media.items() if number != example.leave_out}
    retriever = make_run_index(run, dataset, indexed, encoder, threads=config.threads, say=say)
    curves = _curves(run) if added.curves is None else list(added.curves)
    _draw_gallery(run, dataset, splits, media, encoder)
    command = command_line_of("search", run.index, example.path)
    shown = "Test items asking the other test items: green shares the query's class, red does not, grey: no class."
    notes = [paragraph(added.note)] if added.note else []
    sections = [
        *added.first,
        Section("Retrieval on the test part", _figure_parts(figures) + notes),
        Section("Queries and their results", [figure(run.gallery, shown)]),
        *added.last,
        Section("Learning curves", curves),
        *closing_sections(len(retriever.index), command, failures, config),
    ]
    write_report(run.report, f"jaxret run {run.path.name}", sections)
    run.figures.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for line in _lines(figures):
        say(line)
    if failures:
        say(f"{len(failures)} files could not be read; the report lists them")
    say(f"report: {run.report}")
    say(f"search the index with a file:\n  {command}")
    return RunSummary(figures, command)


def _curves(run: RunFolder) -> list[str]:
    rows = read_run_log(run.metrics)
    panels = {
        "loss": ("loss", "cross_entropy", "triplet", "quantisation", "bit_balance"),
        "retrieval": ("validation mAP", "validation P@1"),
        "training accuracy": ("train_accuracy",),
    }
    draw_curves(run.curves, rows, panels=panels)
    return [figure(run.curves, f"{len(rows)} evaluations")] if rows else [paragraph("Nothing was trained.")]


def _figures(
    dataset: MediaDataset,
    splits: DataSplits,
    test: dict[int, FrameVectors],
    before: dict[int, FrameVectors],
    encoder: VideoEncoder,
    untrained: VideoEncoder,
) -> dict[str, GroupFigures]:
    """The trained encoder on the test part, beside what must be worse: untrained, and blind to frame order."""
    if not test:
        return {}
    groups = {"seen": splits.seen, "unseen": splits.unseen} if splits.unseen else {}
    figures = {"trained": evaluate_items(dataset, test, encoder, groups=groups)}
    videos = {n: vectors for n, vectors in test.items() if dataset.items[n].kind == "video"}
    if videos:
        if encoder.code_bits:
            clips = clip_rows(videos, encoder)
            figures["trained, before rounding"] = evaluate_rows(dataset, clips, groups=groups)
        if (unprojected := without_projection(encoder)) is not None:
            figures["trained, before PCA"] = evaluate_items(dataset, videos, unprojected, groups=groups)
        if encoder.unit == "frame":
            figures["mean of frame vectors"] = evaluate_rows(dataset, mean_frame_rows(videos), groups=groups)
    figures["untrained"] = evaluate_items(dataset, before, untrained, groups=groups)
    return figures


@dataclasses.dataclass(frozen=True)
class _Example:
    """A file to try a search with, and the item to leave out of the index because it is that file."""

    path: Path
    leave_out: int | None


def _example_query(
    run: RunFolder, dataset: MediaDataset, splits: DataSplits, media: dict[int, FrameVectors]
) -> _Example:
    """The first test item; one that is not a file is written into the run folder and kept out of the index."""
    candidates = [*splits.test.tolist(), *splits.validation.tolist(), *splits.train.tolist()]
    number = next(n for n in candidates if n in media)
    path = dataset.items[number].path
    if path is not None:
        return _Example(Path(path), None)
    shutil.rmtree(run.example, ignore_errors=True)
    run.example.mkdir()
    name = dataset.items[number].key.replace("/", "-")
    with dataset.open(number) as reader:
        pixels = reader.read()
        if reader.has_depth:
            target = run.example / name
            depths = reader.depths(range(reader.info.frame_count))
            write_rgbd_folder(target, pixels, np.stack(list(depths)), times=reader.times)
        elif reader.info.frame_count == 1:
            target = run.example / f"{name}.png"
            Image.fromarray(pixels[0]).save(target)
        else:
            target = run.example / f"{name}.mp4"
            even = pixels[:, : pixels.shape[1] // 2 * 2, : pixels.shape[2] // 2 * 2]
            write_video(target, even, fps=reader.info.frame_count / reader.info.duration)
    return _Example(target, number)


def _draw_gallery(
    run: RunFolder,
    dataset: MediaDataset,
    splits: DataSplits,
    media: dict[int, FrameVectors],
    encoder: VideoEncoder,
) -> None:
    """Test items, spread over the classes, asking all test items; half of them of unseen classes if there are any."""
    test = {int(n): media[int(n)] for n in splits.test if int(n) in media} or media
    rows, ranking = ranked_rows(test, encoder)
    numbers = np.unique(rows.items)
    rows = rows.of_items(numbers)
    items = [dataset.items[n] for n in numbers]
    by_class: dict[str, int] = {}
    for position, item in enumerate(items):
        by_class.setdefault(item.key if item.label is None else item.label, position)
    unseen = [p for label, p in by_class.items() if label in splits.unseen]
    seen = [p for label, p in by_class.items() if label not in splits.unseen]
    half = _GALLERY_QUERIES // 2
    asked = _spread(seen, _GALLERY_QUERIES - min(half, len(unseen))) + _spread(unseen, half)
    own = rows.of_items(np.array(asked))
    sources = np.array([item.source for item in items], dtype=object)
    result = rank_items(
        own,
        rows,
        dataclasses.replace(ranking, depth=_GALLERY_RESULTS),
        excluded=sources[asked][:, None] == sources[None, :],
    )

    digits = 0 if METRICS[ranking.distance].whole else 3

    def tile(position: int, caption: str, relevant: bool | None) -> Tile:
        with dataset.open(int(numbers[position])) as reader:
            return Tile(filmstrip(reader), caption, relevant)

    pictures = []
    for query, position in enumerate(asked):
        label = items[position].label
        kind = "no class" if label is None else "unseen class" if label in splits.unseen else "seen class"
        results = [
            tile(
                int(found),
                f"{_name(items[found])}\n{distance:.{digits}f}",
                None if label is None else items[found].label == label,
            )
            for found, distance in zip(result.ids[query], result.distances[query], strict=True)
            if found >= 0
        ]
        pictures.append(GalleryRow(tile(position, f"{_name(items[position])}\n{kind}", None), results))
    draw_result_gallery(run.gallery, pictures)


def _name(item: MediaItem) -> str:
    return item.key if item.label is None else item.label


def _spread(positions: list[int], count: int) -> list[int]:
    """`count` of the positions, evenly spaced."""
    chosen = evenly_spaced(len(positions), count)
    return [positions[place] for place in chosen]


def _figure_parts(figures: dict[str, GroupFigures]) -> list[str]:
    if not any(figures.values()):
        return [paragraph("No test item shares its class with another source: there is nothing to measure.")]
    rows = [
        (method, group, *(metrics.get(name, float("nan")) for name in _SHOWN_METRICS), int(metrics["queries"]))
        for method, groups in figures.items()
        for group, metrics in groups.items()
    ]
    text = (
        "Every test item asks all other test items; those of its own source are left out. Seen classes were "
        "trained on, unseen ones were not. 'Mean of frame vectors' averages the same trained frame vectors "
        "and so cannot see their order; 'untrained' is the encoder before its first step. Codes, where there are any, "
        "are ranked by Hamming distance, ties in the order of the items; 'before rounding' by their activations. "
        "'Before PCA' ranks by whole clip vectors; the index holds their principal components alone."
    )
    return [table(("method", "queries of", *_SHOWN_METRICS, "queries"), rows), paragraph(text)]


def _lines(figures: dict[str, GroupFigures]) -> list[str]:
    lines = []
    width = max(map(len, figures), default=0)
    for method, groups in figures.items():
        parts = [f"{group} mAP {m['mAP']:.3f} P@5 {m['P@5']:.3f}" for group, m in groups.items()]
        lines.append(f"{method:>{width}}: " + ("   ".join(parts) or "nothing to measure"))
    return lines
