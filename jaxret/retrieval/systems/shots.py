"""Where in a video: the frame of a shot that an image shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex
from jaxret.retrieval.hit import Hit

__all__ = ["by_best_frame", "with_best_frames"]


def with_best_frames(index: MediaIndex, hits: Sequence[Hit], image: npt.NDArray[np.float32]) -> list[Hit]:
    """The hits, those in videos with the frame within their span that is nearest to the image.

    Args:
      index: with a frame space.
      hits: of the image.
      image: (D,), its frame vector.

    Returns:
      As many, in the same order; `moment` and `moment_distance` are set where the item has frames in the span.
    """
    completed = []
    of_item: dict[str, Rows] = {}  # several hits can lie in one film, and its frames are many
    for hit in hits:
        key = hit.item.key
        if key not in of_item:
            of_item[key] = index.rows("frame", np.array([index.id_of(key)], np.int64))
        frames = of_item[key]
        times = frames.starts
        inside = np.flatnonzero((times >= hit.start) & (times < hit.end))
        if not len(inside):
            completed.append(hit)
            continue
        vectors = np.asarray(frames.vectors, np.float32)[inside]
        metric = hit.metric if hit.metric in rank.metrics_of("float32") else "euclidean"
        nearest = rank.METRICS[metric].topk(image[None], vectors, 1)
        completed.append(
            dataclasses.replace(
                hit,
                moment=float(times[inside[nearest.ids[0, 0]]]),
                moment_distance=float(nearest.distances[0, 0]),
            )
        )
    return completed


def by_best_frame(index: MediaIndex, hits: Sequence[Hit]) -> list[Hit]:
    """Hits in the order of their best frames, whose distance becomes theirs; one without frames keeps its own.

    Ties by id and time.
    """
    measured = [
        hit if hit.moment_distance is None else dataclasses.replace(hit, distance=hit.moment_distance) for hit in hits
    ]
    return sorted(measured, key=lambda hit: (hit.distance, index.id_of(hit.item.key), hit.start))
