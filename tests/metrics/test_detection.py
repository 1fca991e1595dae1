"""Average precision of detections and recall of proposals, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from reference import detection as slow

from jaxret.metrics.localisation.detection import ImageBoxes, detection_scores, proposal_recall


def images(seed: int) -> tuple[list[ImageBoxes], list[ImageBoxes]]:
    """Found and true boxes of five images: many near, some far, ties of scores, one image without any."""
    rng = np.random.default_rng(seed)
    found, true = [], []
    for count in (3, 0, 1, 4, 2):
        corners = rng.integers(0, 20, (count, 2))
        boxes = np.concatenate([corners, corners + rng.integers(4, 12, (count, 2))], axis=1)
        classes = rng.integers(0, 3, count)
        true.append(ImageBoxes(boxes, classes))
        near = np.repeat(boxes, 3, axis=0) + rng.integers(-2, 3, (3 * count, 4))
        far = np.array([[0, 0, 30, 3]])
        scores = rng.choice(np.linspace(0.1, 0.9, 9), 3 * count + 1)
        labels = np.concatenate([np.repeat(classes, 3), [rng.integers(0, 4)]])
        found.append(ImageBoxes(np.concatenate([near, far]), labels, scores))
    return found, true


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_average_precision_equals_loops(seed: int, threshold: float) -> None:
    found, true = images(seed)
    scores = detection_scores(found, true, threshold=threshold)
    labels = sorted({int(label) for one in true for label in np.asarray(one.classes)})
    assert list(scores.by_class) == labels
    for label in labels:
        detections = [
            (score, number, box)
            for number, one in enumerate(found)
            for score, box, kind in zip(one.scores, np.asarray(one.boxes).tolist(), one.classes, strict=True)
            if kind == label
        ]
        wanted = [np.asarray(one.boxes)[np.asarray(one.classes) == label].tolist() for one in true]
        assert scores.by_class[label] == pytest.approx(slow.average_precision(detections, wanted, threshold))
    assert scores.mean == pytest.approx(np.mean(list(scores.by_class.values())))


def test_perfect_detections_score_one_and_none_zero() -> None:
    _, true = images(0)
    perfect = [ImageBoxes(one.boxes, one.classes, np.ones(len(np.asarray(one.classes)))) for one in true]
    assert detection_scores(perfect, true).mean == 1
    nothing = [ImageBoxes([], [], [])] * len(true)
    assert detection_scores(nothing, true).mean == 0
    assert math.isnan(detection_scores(perfect, [ImageBoxes([], [])] * len(true)).mean)


def test_recall_counts_true_boxes() -> None:
    found, true = images(3)
    covered = [
        any(slow.overlap(box, other) >= 0.5 for other in np.asarray(one.boxes).tolist())
        for one, truth in zip(found, true, strict=True)
        for box in np.asarray(truth.boxes).tolist()
    ]
    recall = proposal_recall([one.boxes for one in found], [one.boxes for one in true])
    assert recall == pytest.approx(np.mean(covered))
    assert 0 < recall < 1
    assert math.isnan(proposal_recall([[]], [[]]))


def test_malformed_arguments_are_named() -> None:
    found, true = images(0)
    with pytest.raises(ValueError, match="must be of the same images, got 4 and 5"):
        detection_scores(found[:4], true)
    with pytest.raises(ValueError, match="must be of the same images, got 1 and 2"):
        proposal_recall([[]], [[], []])
    with pytest.raises(ValueError, match=r"found\[0\] must have scores"):
        detection_scores(true, true)
    with pytest.raises(ValueError, match=r"true\[0\] must have a class and a score for each of 1 boxes"):
        detection_scores([ImageBoxes([], [], [])], [ImageBoxes([[0, 0, 1, 1]], [])])
    with pytest.raises(ValueError, match=r"true\[0\].boxes must have left <= right"):
        detection_scores([ImageBoxes([], [], [])], [ImageBoxes([[2, 0, 1, 1]], [0])])
    with pytest.raises(ValueError, match="threshold must be an IoU above 0 and at most 1, got 0"):
        detection_scores(found, true, threshold=0)
    with pytest.raises(ValueError, match="scores must be finite, got nan"):
        detection_scores([ImageBoxes([[0, 0, 1, 1]], [0], [np.nan])], true[:1])
