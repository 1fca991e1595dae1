"""How well a detector finds the objects of images: average precision by class, and recall of its proposals."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.metrics.localisation.boxes import check_boxes, pairwise_box_iou

__all__ = ["DetectionScores", "ImageBoxes", "detection_scores", "proposal_recall", "right_detections"]


@dataclasses.dataclass(frozen=True)
class ImageBoxes:
    """The boxes of one image.

    Attributes:
      boxes: (N, 4) left, top, right, bottom.
      classes: int (N,).
      scores: (N,), of boxes that were found; None for true ones.
    """

    boxes: ArrayLike
    classes: ArrayLike
    scores: ArrayLike | None = None


@dataclasses.dataclass(frozen=True)
class DetectionScores:
    """Average precision of the classes that have a true box.

    Attributes:
      by_class: class to its AP, 0 to 1.
      mean: of these, mAP; NaN where no class has a true box.
    """

    by_class: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean AP over classes."""
        return float(np.mean(list(self.by_class.values()))) if self.by_class else float("nan")


def right_detections(found: ImageBoxes, true: ImageBoxes, *, threshold: float = 0.5) -> NDArray[np.bool_]:
    """Which detections of one image are right (Everingham et al. 2010, PASCAL VOC).

    A detection is right if the true box of its class that it overlaps most has an IoU of at least `threshold` and no
    detection of a higher score (of equal scores, an earlier one) found it before.

    Args:
      found: N detections, with scores.
      true: the true boxes.
      threshold: IoU, above 0 and at most 1.

    Returns:
      bool (N,).

    Raises:
      ValueError: there are no scores, sizes disagree, a box is malformed, or the threshold is out of range.

    Example:
      >>> found = ImageBoxes([[0, 0, 4, 3], [0, 0, 4, 4], [0, 0, 4, 4]], [0, 0, 1], [0.9, 0.8, 0.7])
      >>> right_detections(found, ImageBoxes([[0, 0, 4, 4]], [0])).tolist()
      [True, False, False]
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be an IoU above 0 and at most 1, got {threshold!r}")
    return _right(_arrays(found, "found", scored=True), _arrays(true, "true", scored=False), threshold)


def detection_scores(
    found: Sequence[ImageBoxes], true: Sequence[ImageBoxes], *, threshold: float = 0.5
) -> DetectionScores:
    """Average precision of each class (Everingham et al. 2010, PASCAL VOC, as computed since 2010).

    The detections of a class in all images are taken by falling score, those of equal scores in the order given;
    which are right says `right_detections`. AP is the area below precision over recall, precision at a recall being the
    best at that recall or above.

    Args:
      found: the detections of each image, with scores.
      true: the true boxes of each image, in the same order. Classes without any do not count.
      threshold: IoU, above 0 and at most 1.

    Raises:
      ValueError: the lists differ in length, a detection has no score, sizes disagree, or a box is malformed.

    Example:
      >>> true = [ImageBoxes([[0, 0, 4, 4]], [0]), ImageBoxes([[0, 0, 2, 2]], [0])]
      >>> found = [ImageBoxes([[0, 0, 4, 3], [0, 0, 4, 4]], [0, 0], [0.9, 0.8]), ImageBoxes([], [], [])]
      >>> detection_scores(found, true).by_class  # one of two is found; the better box comes second and is wrong
      {0: 0.5}
    """
    if len(found) != len(true):
        raise ValueError(f"found and true must be of the same images, got {len(found)} and {len(true)}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be an IoU above 0 and at most 1, got {threshold!r}")
    detections = [_arrays(one, f"found[{n}]", scored=True) for n, one in enumerate(found)]
    truths = [_arrays(one, f"true[{n}]", scored=False) for n, one in enumerate(true)]
    right = [_right(some, wanted, threshold) for some, wanted in zip(detections, truths, strict=True)]
    if not truths:
        return DetectionScores({})
    wanted = np.concatenate([classes for _, classes, _ in truths])
    classes, scores = (np.concatenate([one[n] for one in detections]) for n in (1, 2))
    order = np.argsort(-scores, kind="stable")
    classes, hits = classes[order], np.concatenate(right)[order]
    return DetectionScores(
        {
            int(label): _average_precision(hits[classes == label], int(count))
            for label, count in zip(*np.unique(wanted, return_counts=True), strict=True)
        }
    )


def proposal_recall(proposals: Sequence[ArrayLike], true: Sequence[ArrayLike], *, threshold: float = 0.5) -> float:
    """The share of true boxes that some proposal of their image overlaps by an IoU of at least `threshold`.

    Args:
      proposals: (P, 4) of each image.
      true: (G, 4) of each image, in the same order.
      threshold: IoU.

    Returns:
      0 to 1; NaN where there is no true box.

    Raises:
      ValueError: the lists differ in length, or a box is malformed.

    Example:
      >>> proposal_recall([[[0, 0, 4, 4]], []], [[[0, 0, 4, 3], [5, 5, 6, 6]], []])
      0.5
    """
    if len(proposals) != len(true):
        raise ValueError(f"proposals and true must be of the same images, got {len(proposals)} and {len(true)}")
    covered = total = 0
    for n, (some, wanted) in enumerate(zip(proposals, true, strict=True)):
        truths = _boxes(wanted, f"true[{n}]")
        table = pairwise_box_iou(truths, _boxes(some, f"proposals[{n}]"))
        covered += int((table.max(axis=1, initial=0.0) >= threshold).sum())
        total += len(truths)
    return covered / total if total else float("nan")


_Arrays = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]


def _right(found: _Arrays, true: _Arrays, threshold: float) -> NDArray[np.bool_]:
    boxes, classes, scores = found
    true_boxes, true_classes, _ = true
    right = np.zeros(len(boxes), bool)
    if not len(true_boxes):
        return right
    table = np.where(classes[:, None] == true_classes[None], pairwise_box_iou(boxes, true_boxes), -1.0)
    nearest = table.argmax(axis=1)
    order = np.argsort(-scores, kind="stable")
    close = order[table.max(axis=1, initial=-1.0)[order] >= threshold]
    right[close[np.unique(nearest[close], return_index=True)[1]]] = True  # the first of those near the same box
    return right


def _average_precision(right: NDArray[np.bool_], count: int) -> float:
    """Area below precision over recall; of detections by falling score, and the number of true boxes."""
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[right].sum() / count)


def _arrays(given: ImageBoxes, name: str, *, scored: bool) -> _Arrays:
    boxes = _boxes(given.boxes, f"{name}.boxes")
    classes = np.asarray(given.classes, np.int64).reshape(-1)
    if scored and given.scores is None:
        raise ValueError(f"{name} must have scores")
    scores = np.zeros(len(boxes)) if given.scores is None else np.asarray(given.scores, np.float64).reshape(-1)
    if not len(boxes) == len(classes) == len(scores):
        raise ValueError(f"{name} must have a class and a score for each of {len(boxes)} boxes")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}.scores must be finite, got {scores[~np.isfinite(scores)][0]}")
    return boxes, classes, scores


def _boxes(given: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(given, np.float64)
    if not array.size:
        return np.zeros((0, 4))
    if array.ndim != 2:
        raise ValueError(f"{name} must be (N, 4), got shape {array.shape}")
    return check_boxes(array, name)
