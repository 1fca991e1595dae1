"""What the report of a detector's training shows: figures, detections and proposals, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxret.metrics import right_detections
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.recipes.finish import curve_parts, write_figures
from jaxret.recipes.instances.scores import SeenImage
from jaxret.reporting import DetectedImage, DrawnBox, Section, draw_detections, drawn_figure, paragraph, table
from jaxret.training import DetectionObjective, RunContext

__all__ = ["detector_sections"]

_SHOWN_SCORE = 0.3  # of detections in the figure; the metrics count all
_SHOWN_PROPOSALS = 15
_OVERLAP = 0.5


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
        names = [name for name in next(iter(measured.values())) if name != "images"]
        rows = [(name, *(found[n] for n in names), int(found["images"])) for name, found in measured.items()]
        parts = [table(("detector", *names, "images"), rows), paragraph(_protocol(detector, split))]
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
