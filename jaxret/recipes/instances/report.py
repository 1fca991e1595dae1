"""What a run of instance retrieval leaves: the index, figures of detections and searches, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset, MediaSubset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import MediaError
from jaxret.metrics import right_detections
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.store import fingerprint
from jaxret.progress import progress_bar
from jaxret.recipes.finish import closing_sections, curve_parts, write_figures
from jaxret.recipes.instances.scores import SeenImage
from jaxret.reporting import (
    DetectedImage,
    DrawnBox,
    GalleryRow,
    Section,
    draw_detections,
    draw_result_gallery,
    drawn_figure,
    paragraph,
    table,
    write_report,
)
from jaxret.retrieval import Region, RegionSearch, Retriever, hit_row
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.matches import match_items
from jaxret.training import DetectionObjective, RunContext, RunFolder

__all__ = ["detector_sections", "finish_instance_run"]

_SHOWN_SCORE = 0.3  # of detections in the figure; the metrics count all
_SHOWN_PROPOSALS = 15
_OVERLAP = 0.5
_GALLERY_QUERIES, _GALLERY_RESULTS = 6, 5
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
    """
    run = context.run
    retriever = _opened(run, encoder)
    with progress_bar("indexing", "item", total=len(dataset.items), shown=context.show_progress) as bar:
        bar.update(len(match_items(dataset, retriever.index).known))
        report = retriever.add(dataset, known=known, threads=config.threads, on_item=lambda _: bar.update())
    lost = list({error.path: error for error in (*failures, *report.skipped)}.values())
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
            *closing_sections(len(retriever.index), command, lost, config, dataset.damaged),
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
    options = RegionSearch(_MIDDLE, candidates=50)
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


def detector_sections(
    detector: FasterRCNN,
    figures: Mapping[str, Mapping[str, float]],
    shown: Sequence[tuple[str, SeenImage]],
    objective: DetectionObjective,
    context: RunContext,
    *,
    split: str,
) -> list[Section]:
    """Write metrics and figures into the run folder, and return the sections of the report that show them.

    Args:
      detector: trained.
      figures: metrics by name of a detector, the trained one first, from `detector_figures`.
      shown: names of held-out images, and what the detector finds in them.
      objective: that it was trained on.
      context: the run folder, and where results are logged, a line at a time.
      split: that was measured, "test" or "validation".
    """
    run = context.run
    write_figures(run, figures)
    measured = {name: found for name, found in figures.items() if found}
    parts = [paragraph(f"No image of the {split} split has an object: there is nothing to measure.")]
    if measured:
        names = [name for name in next(iter(measured.values())) if name != "pictures"]
        rows = [(name, *(found[n] for n in names), int(found["pictures"])) for name, found in measured.items()]
        parts = [table(("detector", *names, "pictures"), rows), paragraph(_protocol(detector, split))]
    sections = [Section(f"Detection on the {split} split", parts)]
    if shown:
        drawn = run.path / "detections.png"
        caption = (
            f"Images of the {split} split. White: true boxes. Left, detections of probability {_SHOWN_SCORE:g} or "
            f"more: green fits a true box of its class by an IoU of {_OVERLAP:g}, red does not, or is the second to. "
            f"Right, the {_SHOWN_PROPOSALS} likeliest proposals."
        )
        images = [_drawn(name, image, detector.classes) for name, image in shown]
        part = drawn_figure(drawn, caption, lambda: draw_detections(drawn, images))
        sections.append(Section("Detections and proposals", [part]))
    curves = curve_parts(run, {**objective.curves, "validation": ("validation mAP", "validation recall")})
    sections.append(Section("Learning curves", curves))
    width = max(map(len, figures))
    for name, found in measured.items():
        context.log(f"{name:>{width}}: {split} mAP {found['mAP']:.3f}   proposal recall {found['recall']:.3f}")
    if not measured:
        context.log(f"no image of the {split} split has an object: there is nothing to measure")
    return sections


def _protocol(detector: FasterRCNN, split: str) -> str:
    text = (
        f"mAP is the mean over classes of average precision at IoU {_OVERLAP:g} (PASCAL VOC, area under the curve), "
        f"and recall the share of objects that one of the {detector.settings.proposals} proposals overlaps by as much. "
        "'Untrained' is the detector before its first step."
    )
    if split == "validation":
        text += " No test split is named: the same images chose the epoch, and the figures are a little too good."
    return text


def _drawn(name: str, image: SeenImage, classes: Sequence[str]) -> DetectedImage:
    true, boxes = (np.asarray(some.boxes).reshape(-1, 4) for some in (image.true, image.found))
    labels, scores = np.asarray(image.found.classes), np.asarray(image.found.scores)
    right = right_detections(image.found, image.true, threshold=_OVERLAP)
    detections = [
        DrawnBox(box.tolist(), f"{classes[label]} {score:.2f}", bool(fits))
        for box, label, score, fits in zip(boxes, labels, scores, right, strict=True)
        if score >= _SHOWN_SCORE
    ]
    pixels = image.pixels if image.pixels.shape[-1] == 3 else np.repeat(image.pixels, 3, axis=-1)
    return DetectedImage(
        pixels, Path(name).name, true.tolist(), detections, image.proposals[:_SHOWN_PROPOSALS].tolist()
    )
