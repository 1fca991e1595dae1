"""What a training on clips leaves: the index, the metrics, the figures and the report."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.decode.write import write_video
from jaxret.data.items import MediaItem
from jaxret.data.merge import with_splits
from jaxret.data.readers import MediaInfo
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.data.splits import DataSplits
from jaxret.errors import MediaError
from jaxret.evaluation import GroupFigures, LabelProtocol, Ranking, chance_figures, rank_items, undecided
from jaxret.models.encoder import VideoEncoder
from jaxret.progress import progress_bar
from jaxret.rank import METRICS
from jaxret.recipes.clip_media import embed_items, evaluate_items, evaluate_rows, ranked_rows
from jaxret.recipes.clips.projection import without_projection
from jaxret.recipes.finish import (
    RunExtras,
    closing_sections,
    curve_parts,
    log_ending,
    make_run_index,
    write_figures,
)
from jaxret.recipes.opening import NOTHING_MEASURED, LabelledData
from jaxret.recipes.pixel_baseline import GRID, embed_beside_pixels
from jaxret.recipes.recipe import Run
from jaxret.recipes.vote_report import vote_parts
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
from jaxret.retrieval.encode import FrameVectors, clip_rows, mean_frame_rows
from jaxret.retrieval.evaluate.labelled_part import LabelledPart
from jaxret.training import RunContext, RunFolder

__all__ = ["EmbeddedRun", "embed_run", "finish_run"]

_SHOWN_METRICS = ("mAP", "P@1", "P@5", "P@10", "NDCG", "relevant items")
_GALLERY_QUERIES, _GALLERY_RESULTS = 8, 5


@dataclasses.dataclass(frozen=True)
class EmbeddedRun:
    """The data of a run, embedded by its trained encoder.

    Attributes:
      dataset: all items.
      splits: which items test, and which classes are unseen.
      encoder: trained.
      untrained: the same encoder with its initial weights, the baseline.
      media: frame vectors of the items that read, by item index.
      before: frame vectors of the test items by `untrained`.
      pixels: cells of the frames of the test items that were not at hand, see `jaxret.recipes.pixel_baseline`.
      failures: the items that do not read.
    """

    dataset: MediaDataset
    splits: DataSplits
    encoder: VideoEncoder
    untrained: VideoEncoder
    media: dict[int, FrameVectors]
    before: dict[int, FrameVectors]
    pixels: dict[int, FrameVectors]
    failures: list[MediaError]

    @property
    def test(self) -> dict[int, FrameVectors]:
        """Frame vectors of the test items."""
        return {int(n): self.media[int(n)] for n in self.splits.test if int(n) in self.media}

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Classes to report apart: seen and unseen, where there are unseen ones."""
        return {"seen": self.splits.seen, "unseen": self.splits.unseen} if self.splits.unseen else {}


def embed_run(
    data: LabelledData,
    encoder: VideoEncoder,
    untrained: VideoEncoder,
    *,
    known: Mapping[int, FrameVectors] | None = None,
    embedded: Mapping[int, FrameVectors] | None = None,
    threads: int,
    show_progress: bool,
) -> EmbeddedRun:
    """Embed all items by the trained encoder, and the test items by the untrained one.

    Args:
      data: the items and their splits; items that no longer read are skipped and listed.
      encoder: trained.
      untrained: the same encoder with its initial weights.
      known: frame vectors that are at hand, because the backbone was frozen; they hold for `untrained` as well.
      embedded: further frame vectors of `encoder` that are at hand.
      threads: files decoded at once.
      show_progress: draw a bar.
    """
    known = dict(known or {})
    at_hand = known | dict(embedded or {})
    others = [index for index in range(len(data.dataset)) if index not in at_hand]
    with progress_bar("embedding", "item", total=len(others), shown=show_progress) as bar:
        media, failures = embed_items(data.dataset, encoder, others, threads=threads, on_item=lambda _: bar.update())
    media |= at_hand
    test = [int(n) for n in data.splits.test if int(n) in media]
    before = {index: known[index] for index in test if index in known}
    unknown = [n for n in test if n not in known]
    beside, pixels = embed_beside_pixels(data.dataset, untrained, unknown, threads=threads)
    failures = [*data.dataset.skipped, *failures]
    return EmbeddedRun(data.dataset, data.splits, encoder, untrained, media, before | beside, pixels, failures)


def finish_run(
    embedded: EmbeddedRun,
    config: Any,
    context: RunContext,
    *,
    panels: Mapping[str, Sequence[str]] = MappingProxyType({}),
    extras: RunExtras | None = None,
) -> Run:
    """Index everything, evaluate on the test split, and write figures and report into the run folder.

    Args:
      embedded: the data and both encoders.
      config: the resolved settings, for the report.
      context: the run folder, and where results are logged, a line at a time.
      panels: the learning curves, see `draw_curves`.
      extras: what the recipe adds.
    """
    extras = RunExtras() if extras is None else extras
    run, dataset, encoder = context.run, embedded.dataset, embedded.encoder
    example = _example_query(run, dataset, embedded.splits, embedded.media)
    figures = _figures(embedded) | extras.figures
    indexed = {index: vectors for index, vectors in embedded.media.items() if index != example.leave_out}
    dealt = with_splits(dataset, embedded.splits)
    retriever = make_run_index(run, dealt, indexed, encoder, threads=config.threads, log=context.log)
    curves = curve_parts(run, panels) if extras.curves is None else list(extras.curves)
    command = command_line_of("search", run.index, example.path)
    shown = "Test items are queries against the others: green shares the query's class, red does not, grey: no class."
    gallery = drawn_figure(run.gallery, shown, lambda: _draw_gallery(run, embedded))
    notes = [paragraph(extras.note)] if extras.note else []
    sections = [
        *extras.first,
        Section("Retrieval on the test split", _figure_parts(figures) + notes),
        Section("Queries and their results", [gallery]),
        *_vote_sections(run, embedded),
        *extras.last,
        Section("Learning curves", curves),
        *closing_sections(len(retriever.index), command, embedded.failures, config, embedded.dataset.damaged),
    ]
    write_report(run.report, f"jaxret run {run.path.name}", sections)
    write_figures(run, figures)
    for line in _lines(figures):
        context.log(line)
    log_ending(context, embedded.failures, "a file", command)
    return Run(run.path, figures, command)


def _figures(embedded: EmbeddedRun) -> dict[str, GroupFigures]:
    """The trained encoder on the test split, beside what must be worse: untrained, and blind to frame order."""
    dataset, encoder, test, groups = embedded.dataset, embedded.encoder, embedded.test, embedded.groups
    if not test:
        return {}
    figures = {"trained": evaluate_items(dataset, test, encoder, groups=groups)}
    videos = {n: vectors for n, vectors in test.items() if dataset.items[n].kind == "video"}
    if videos:
        if encoder.code_bits:
            clips = clip_rows(videos, encoder)
            figures["trained, before rounding"] = evaluate_rows(dataset, clips, groups=groups)
        if (unprojected := without_projection(encoder)) is not None:
            figures["trained, before PCA"] = evaluate_items(dataset, videos, unprojected, groups=groups)
        if encoder.unit == "frame":
            means = mean_frame_rows(videos)
            figures["mean of frame vectors"] = evaluate_rows(dataset, means, ranking=Ranking("cosine"), groups=groups)
    figures["untrained"] = evaluate_items(dataset, embedded.before, embedded.untrained, groups=groups)
    ranked = videos or test
    if pixels := {n: vectors for n, vectors in embedded.pixels.items() if n in ranked}:
        figures["mean of pixels"] = evaluate_rows(dataset, mean_frame_rows(pixels), groups=groups)
    compared = [dataset.items[n] for n in np.unique(ranked_rows(test, encoder)[0].items)]
    figures["chance"] = chance_figures(compared, compared, LabelProtocol(groups=groups))
    return figures


def _vote_sections(run: RunFolder, embedded: EmbeddedRun) -> list[Section]:
    """PAR on the test videos; none where they have codes in the place of vectors."""
    if embedded.encoder.code_bits:
        return []

    def part(numbers: Iterable[int]) -> LabelledPart:
        media = {int(n): embedded.media[int(n)] for n in numbers if int(n) in embedded.media}
        rows = clip_rows(media, embedded.encoder)
        return LabelledPart.of(rows, embedded.dataset.items, lambda item: item.label is not None)

    found = vote_parts(run.votes, part(embedded.splits.test), part(embedded.splits.validation), embedded.groups)
    return [Section("Answers by vote (PAR)", found)] if found else []


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
    index = next(n for n in candidates if n in media)
    path = dataset.items[index].path
    if path is not None:
        return _Example(Path(path), None)
    shutil.rmtree(run.example, ignore_errors=True)
    run.example.mkdir()
    name = dataset.items[index].key.replace("/", "-")
    with dataset.open(index) as reader:
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
            write_video(target, even, fps=_rate(reader.info))
    return _Example(target, index)


def _rate(info: MediaInfo) -> float:
    """Frames a second, without gaps."""
    seconds = sum(end - start for start, end in info.parts) or info.duration
    return min(max(info.frame_count / seconds if seconds else 1.0, 0.1), 240.0)


def _draw_gallery(run: RunFolder, embedded: EmbeddedRun) -> None:
    """Test items, spread over the classes, as queries against all others; half of them of unseen classes, if any."""
    dataset, splits, encoder = embedded.dataset, embedded.splits, embedded.encoder
    test = embedded.test or embedded.media
    rows, ranking = ranked_rows(test, encoder)
    indices = np.unique(rows.items)
    rows = rows.of_items(indices)
    items = [dataset.items[n] for n in indices]
    by_class: dict[str, int] = {}
    for position, item in enumerate(items):
        by_class.setdefault(item.key if item.label is None else item.label, position)
    unseen = [p for label, p in by_class.items() if label in splits.unseen]
    seen = [p for label, p in by_class.items() if label not in splits.unseen]
    half = _GALLERY_QUERIES // 2
    queries = _spread(seen, _GALLERY_QUERIES - min(half, len(unseen))) + _spread(unseen, half)
    own = rows.of_items(np.array(queries))
    sources = np.array([item.source for item in items], dtype=object)
    result = rank_items(
        own,
        rows,
        dataclasses.replace(ranking, depth=_GALLERY_RESULTS),
        excluded=sources[queries][:, None] == sources[None, :],
    )

    digits = 0 if METRICS[ranking.distance].whole else 3

    def tile(position: int, caption: str, relevant: bool | None) -> Tile:
        with dataset.open(int(indices[position])) as reader:
            return Tile(filmstrip(reader), caption, relevant)

    drawn = []
    for query, position in enumerate(queries):
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
        drawn.append(GalleryRow(tile(position, f"{_name(items[position])}\n{kind}", None), results))
    draw_result_gallery(run.gallery, drawn)


def _name(item: MediaItem) -> str:
    return item.key if item.label is None else item.label


def _spread(positions: list[int], count: int) -> list[int]:
    """`count` of the positions, evenly spaced."""
    chosen = evenly_spaced(len(positions), count)
    return [positions[index] for index in chosen]


def _figure_parts(figures: dict[str, GroupFigures]) -> list[str]:
    if not any(figures.values()):
        return [paragraph(f"{NOTHING_MEASURED}.")]
    rows = [
        (method, group, *(metrics.get(name, float("nan")) for name in _SHOWN_METRICS), int(metrics["queries"]))
        for method, groups in figures.items()
        for group, metrics in groups.items()
    ]
    text = (
        "Every test item is a query against all other test items, those of its own source left out. Seen classes were "
        "trained on, unseen ones were not. 'Mean of frame vectors' averages the same trained frame vectors, which are "
        "then compared by cosine, and so cannot see their order; 'untrained' is the encoder before its first step; "
        f"'mean of pixels' are the frames themselves, averaged into {GRID} x {GRID} cells and over time; 'chance' is "
        "what a random order scores, which depends on how many relevant items a query has. Codes, where there are any, "
        "are ranked by Hamming distance, ties in the order of the items; 'before rounding' by what is rounded. "
        "'Before PCA' ranks by whole clip vectors; the index holds their principal components alone."
    )
    warnings = [paragraph(f"Warning: {line}.") for line in undecided(figures.get("chance", {}))]
    return [table(("method", "queries of", *_SHOWN_METRICS, "queries"), rows), *warnings, paragraph(text)]


def _lines(figures: dict[str, GroupFigures]) -> list[str]:
    if not any(figures.values()):
        return [NOTHING_MEASURED]
    lines = []
    width = max(map(len, figures), default=0)
    for method, groups in figures.items():
        parts = [f"{group} mAP {m['mAP']:.3f} P@5 {m['P@5']:.3f}" for group, m in groups.items()]
        lines.append(f"{method:>{width}}: " + ("   ".join(parts) or "nothing to measure"))
    return lines + [f"warning: {line}" for line in undecided(figures.get("chance", {}))]
