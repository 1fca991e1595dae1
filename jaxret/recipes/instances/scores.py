"""What a detector finds in images whose objects are known, and how good that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from jaxret.data.batches.loader import read_in_parallel
from jaxret.data.ground_truth.boxes import BoxReader
from jaxret.errors import MediaError
from jaxret.metrics import ImageBoxes, detection_scores, proposal_recall
from jaxret.models.detection.faster_rcnn import FasterRCNN

__all__ = ["SeenImage", "detector_figures", "seen_images"]


@dataclasses.dataclass(frozen=True)
class SeenImage:
    """An image as the detector saw it, in whose pixels all boxes are.

    Attributes:
      row: of the reader.
      pixels: uint8 (H, W, C), without padding.
      true: its objects.
      found: detections, best first.
      proposals: (P, 4), likeliest first.
    """

    row: int
    pixels: NDArray[np.uint8]
    true: ImageBoxes
    found: ImageBoxes
    proposals: NDArray[np.float32]


def seen_images(
    detector: FasterRCNN, reader: BoxReader, rows: Sequence[int], *, batch_size: int, threads: int
) -> Iterator[SeenImage]:
    """Detect objects in images, a batch at a time; images that do not decode are left out.

    Args:
      detector: in evaluation mode.
      reader: without mirroring.
      rows: of the reader.
      batch_size: images at once; all have the reader's size, so that one program is compiled.
      threads: images read at once.
    """

    def read(row: int) -> tuple[int, dict[str, NDArray] | None]:
        try:
            return row, reader(row, np.random.default_rng(0))
        except MediaError:
            return row, None

    good = ((row, one) for row, one in read_in_parallel(read, rows, threads=threads) if one is not None)
    for batch in _batches(good, batch_size):
        padded = [*batch, *[batch[-1]] * (batch_size - len(batch))]
        images, sizes = (np.stack([one[name] for _, one in padded]) for name in ("images", "sizes"))
        detections, proposals = detector.detect(images, sizes)
        boxes, scores, classes, valid = map(
            np.asarray, (detections.boxes, detections.scores, detections.classes, detections.valid)
        )
        regions, there = np.asarray(proposals.boxes), np.asarray(proposals.valid)
        for n, (row, one) in enumerate(batch):
            height, width = one["sizes"].tolist()
            real = one["labels"] > 0
            yield SeenImage(
                row,
                one["images"][:height, :width],
                ImageBoxes(one["boxes"][real], one["labels"][real] - 1),
                ImageBoxes(boxes[n][valid[n]], classes[n][valid[n]], scores[n][valid[n]]),
                regions[n][there[n]],
            )


def detector_figures(images: Iterable[SeenImage], classes: Sequence[str]) -> dict[str, float]:
    """Mean average precision and proposal recall at IoU 0.5, and the AP of each class that has an object.

    Returns:
      `mAP`, `recall`, `AP <class>` where there are several classes, and `images`, the number of images; empty where
      no image has an object.
    """
    found, true, proposals = [], [], []
    for image in images:
        found.append(image.found)
        true.append(image.true)
        proposals.append(image.proposals)
    scores = detection_scores(found, true)
    if not scores.by_class:
        return {}
    figures = {"mAP": scores.mean, "recall": proposal_recall(proposals, [one.boxes for one in true])}
    if len(classes) > 1:
        figures |= {f"AP {classes[label]}": value for label, value in scores.by_class.items()}
    return {**figures, "images": float(len(true))}


def _batches(
    elements: Iterable[tuple[int, dict[str, NDArray]]], size: int
) -> Iterator[list[tuple[int, dict[str, NDArray]]]]:
    batch = []
    for element in elements:
        batch.append(element)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
