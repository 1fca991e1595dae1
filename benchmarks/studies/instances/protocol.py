"""How instance retrieval is scored: pasted objects with the boxes found for them, and Corel photographs by class."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from studies.instances.pasted_objects import GROUPS, PastedObjects

from jaxret.data.datasets.folders import scan_folder
from jaxret.metrics import (
    QueryScores,
    average_precision,
    best_box_iou,
    ndcg,
    precision_at,
    relevance_by_label,
    relevance_by_lists,
)

__all__ = ["ClassedImages", "corel_classes", "score", "score_classes"]

_FOUND = 0.5  # IoU from which a box counts as right (PASCAL VOC)


@dataclasses.dataclass(frozen=True)
class ClassedImages:
    """Queries and a gallery that are relevant to each other where their classes are the same."""

    gallery: list[Path]
    gallery_labels: list[str]
    queries: list[Path]
    query_labels: list[str]


def score(
    images: PastedObjects, rankings: ArrayLike, found_boxes: ArrayLike | None = None
) -> dict[str, dict[str, float]]:
    """Figures of rankings of the whole gallery, over all queries and over those of each size.

    Junk, images that show less than a quarter of the object, is taken out first. `mAP` counts good and ok images
    alike, `NDCG` as 2 and 1 (linear gain, whole ranking). `mean IoU` and `IoU >= 0.5` are over all relevant results
    among the first K of a query; a box that was not found counts as 0.

    Args:
      images: Q queries and G gallery images.
      rankings: int (Q, G), numbers of gallery images, best first.
      found_boxes: (Q, K, 4), where the first K results show the object: left, top, right, bottom in pixels, NaN where
        nothing was found. None: the method finds none, and the figures of boxes are left out.

    Returns:
      by group, "all" or a size, the figures by name; those of boxes are left out of a group whose first K results are
      never relevant.

    Raises:
      ValueError: shapes disagree, or a ranking is not that of the whole gallery.
    """
    ids = np.asarray(rankings)
    relevant, junk = images.relevance_lists()
    relevance = relevance_by_lists(ids, relevant, len(images.gallery), junk=junk)
    scores = {"mAP": average_precision(relevance), "NDCG": ndcg(relevance)}
    overlaps = None if found_boxes is None else _overlaps(images, ids, relevant, np.asarray(found_boxes, np.float64))
    sizes = np.array([query.group for query in images.queries])
    figures = {}
    for group in ("all", *GROUPS):
        chosen = np.ones(len(sizes), bool) if group == "all" else sizes == group
        part = {name: QueryScores(each.values[chosen], each.counted[chosen]) for name, each in scores.items()}
        figures[group] = {name: each.mean for name, each in part.items() if each.counted.any()}
        if overlaps is not None:
            values = np.concatenate([np.zeros(0), *(overlaps[q] for q in np.flatnonzero(chosen))])
            if len(values):
                figures[group]["mean IoU"] = float(values.mean())
                figures[group][f"IoU >= {_FOUND}"] = float((values >= _FOUND).mean())
    return figures


def _overlaps(
    images: PastedObjects, ids: np.ndarray, relevant: list[dict[int, float]], boxes: np.ndarray
) -> list[np.ndarray]:
    """For each query the IoU of the boxes of its relevant results."""
    if boxes.ndim != 3 or boxes.shape[::2] != (len(ids), 4) or boxes.shape[1] > ids.shape[1]:
        raise ValueError(f"found_boxes must be ({len(ids)}, K, 4) with K up to {ids.shape[1]}, got {boxes.shape}")
    overlaps = []
    for q, query in enumerate(images.queries):
        there = images.where(query)
        ranks = [rank for rank, image in enumerate(ids[q, : boxes.shape[1]].tolist()) if image in relevant[q]]
        overlaps.append(best_box_iou(boxes[q, ranks], [[there[int(ids[q, rank])].box] for rank in ranks]))
    return overlaps


def corel_classes(data: Path) -> ClassedImages:
    """Corel-5k as it is split: `data/corel5k/test` queries `data/corel5k/train`; the class of an image is its folder.

    Raises:
      ConfigError: there is no such folder, or no image in it.
    """
    items = scan_folder(data / "corel5k")
    sides = [[item for item in items if item.split == split] for split in ("train", "test")]
    (gallery, gallery_labels), (queries, query_labels) = (
        ([Path(str(item.path)) for item in side], [str(item.label) for item in side]) for side in sides
    )
    return ClassedImages(gallery, gallery_labels, queries, query_labels)


def score_classes(images: ClassedImages, rankings: ArrayLike) -> dict[str, float]:
    """mAP, P@1 and P@10 of rankings of the whole gallery, int (Q, G), relevant being what is of the query's class.

    Raises:
      ValueError: a ranking is not that of the whole gallery.
    """
    relevance = relevance_by_label(rankings, images.query_labels, images.gallery_labels)
    return {
        "mAP": average_precision(relevance).mean,
        "P@1": precision_at(relevance, 1).mean,
        "P@10": precision_at(relevance, 10).mean,
    }
