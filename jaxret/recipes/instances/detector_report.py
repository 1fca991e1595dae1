"""What a training of a detector leaves behind: figures, curves and a picture of detections, for the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxret.metrics import right_detections
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.recipes.instances.scores import SeenPicture
from jaxret.reporting import (
    DetectedPicture,
    DrawnBox,
    Section,
    draw_curves,
    draw_detections,
    figure,
    paragraph,
    table,
)
from jaxret.training import RunFolder, read_run_log

__all__ = ["detector_sections"]

_SHOWN_SCORE = 0.3  # of detections in the picture; the figures count all
_SHOWN_PROPOSALS = 15
_OVERLAP = 0.5


def detector_sections(
    run: RunFolder,
    detector: FasterRCNN,
    figures: Mapping[str, Mapping[str, float]],
    shown: Sequence[tuple[str, SeenPicture]],
    *,
    part: str,
    say: Callable[[str], None],
) -> list[Section]:
    """Write figures and pictures into the run folder, and give the sections that a report shows them in.

    Args:
      run: the run folder.
      detector: trained.
      figures: by name of a detector, the trained one first, from `detector_figures`.
      shown: names of held-out pictures, and what the detector finds in them.
      part: of the data that was measured, "test" or "validation".
      say: gets the results, a line at a time.
    """
    run.figures.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    measured = {name: found for name, found in figures.items() if found}
    parts = [paragraph(f"No picture of the {part} part has an object: there is nothing to measure.")]
    if measured:
        names = [name for name in next(iter(measured.values())) if name != "pictures"]
        rows = [(name, *(found[n] for n in names), int(found["pictures"])) for name, found in measured.items()]
        parts = [table(("detector", *names, "pictures"), rows), paragraph(_protocol(detector, part))]
    sections = [Section(f"Detection on the {part} part", parts)]
    if shown:
        drawn = run.path / "detections.png"
        draw_detections(drawn, [_drawn(name, picture, detector.classes) for name, picture in shown])
        caption = (
            f"Pictures of the {part} part. White: true boxes. Left, detections of probability {_SHOWN_SCORE:g} or "
            f"more: green fits a true box of its class by an IoU of {_OVERLAP:g}, red does not, or is the second to. "
            f"Right, the {_SHOWN_PROPOSALS} likeliest proposals."
        )
        sections.append(Section("Detections and proposals", [figure(drawn, caption)]))
    log = read_run_log(run.metrics)
    draw_curves(
        run.curves,
        log,
        panels={
            "loss": ("loss",),
            "its parts": ("objectness", "proposal_boxes", "classes", "boxes"),
            "validation": ("validation mAP", "validation recall"),
        },
    )
    sections.append(Section("Learning curves", [figure(run.curves, f"{len(log)} evaluations")]))
    width = max(map(len, figures))
    for name, found in measured.items():
        say(f"{name:>{width}}: {part} mAP {found['mAP']:.3f}   proposal recall {found['recall']:.3f}")
    if not measured:
        say(f"no picture of the {part} part has an object: there is nothing to measure")
    return sections


def _protocol(detector: FasterRCNN, part: str) -> str:
    text = (
        f"mAP is the mean over classes of average precision at IoU {_OVERLAP:g} (PASCAL VOC, area under the curve), "
        f"and recall the share of objects that one of the {detector.settings.proposals} proposals overlaps by as much. "
        "'Untrained' is the detector before its first step."
    )
    if part == "validation":
        text += " No test part is named: the same pictures chose the epoch, and the figures are a little too good."
    return text


def _drawn(name: str, picture: SeenPicture, classes: Sequence[str]) -> DetectedPicture:
    true, boxes = (np.asarray(some.boxes).reshape(-1, 4) for some in (picture.true, picture.found))
    labels, scores = np.asarray(picture.found.classes), np.asarray(picture.found.scores)
    right = right_detections(picture.found, picture.true, threshold=_OVERLAP)
    detections = [
        DrawnBox(box.tolist(), f"{classes[label]} {score:.2f}", bool(fits))
        for box, label, score, fits in zip(boxes, labels, scores, right, strict=True)
        if score >= _SHOWN_SCORE
    ]
    pixels = picture.pixels if picture.pixels.shape[-1] == 3 else np.repeat(picture.pixels, 3, axis=-1)
    return DetectedPicture(
        pixels, Path(name).name, true.tolist(), detections, picture.proposals[:_SHOWN_PROPOSALS].tolist()
    )
