"""The figures of accuracy_instance.py."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from common.paths import RESULTS
from studies.instances.pasted_objects import GROUPS, PastedObjects

from jaxret.data.decode.image import read_image
from jaxret.reporting import GalleryRow, Tile, boxed_image, draw_result_gallery

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["draw_examples", "draw_scale"]

_RESULTS = 5
_HEIGHT = 112


def draw_examples(system: str, images: PastedObjects, rankings: Sequence[np.ndarray], boxes: np.ndarray) -> None:
    """The first query of each size of two objects and its first results, with the boxes found.

    Args:
      system: what the image is called after.
      images: queries and gallery.
      rankings: of each query.
      boxes: (Q, K, 4) of the first K results, in shares of the images.
    """
    relevant, _ = images.relevance_lists()
    rows = []
    for group in GROUPS:
        of_group = [number for number, query in enumerate(images.queries) if query.group == group]
        for number in (of_group[0], of_group[len(of_group) // 2]):
            query = images.queries[number]
            marked = boxed_image(read_image(query.path), [query.shown.box], height=_HEIGHT)
            tiles = []
            for place, item in enumerate(rankings[number][:_RESULTS].tolist()):
                image = read_image(images.gallery[item])
                height, width = image.shape[:2]
                box = boxes[number, place] * (width, height, width, height)
                found = [] if np.isnan(box).any() else [tuple(box.tolist())]
                right = item in relevant[number]
                tiles.append(Tile(boxed_image(image, found, height=_HEIGHT), images.gallery[item].stem, right))
            rows.append(GalleryRow(Tile(marked, f"{query.shown.label}, {group}"), tiles))
    RESULTS.mkdir(exist_ok=True)
    name = system.lower().replace(" ", "_").replace("-", "_")
    draw_result_gallery(RESULTS / f"instance_{name}.jpg", rows, tile_height=_HEIGHT)


def draw_scale(found: Sequence[tuple[str, str, dict[str, float]]]) -> None:
    """Time of re-ranking against images and against windows."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    reranked = [
        (int(method.split()[-1]), int(setting.split()[0]), figures)
        for method, setting, figures in found
        if method.startswith("re-ranking")
    ]
    windows = max(count for _, count, _ in reranked if sum(other == count for _, other, _ in reranked) > 1)
    depths = sorted({(k, count): f for k, count, f in reranked if count == windows}.items())
    sizes = sorted({(count, k): f for k, count, f in reranked if k == 100}.items())
    for panel, points, title in (
        (left, [(k, f) for (k, _), f in depths], f"images re-ranked, {windows} windows each"),
        (right, [(count, f) for (count, _), f in sizes], "windows an image, 100 images"),
    ):
        for metric in ("ms a query", "ms, lengths of windows kept"):
            panel.plot([x for x, _ in points], [f[metric] for _, f in points], marker="o", label=metric)
        panel.set(xlabel=title, ylabel="ms", xscale="log", yscale="log")
        panel.legend()
    figure.savefig(RESULTS / "instance_scale.png", dpi=100)
    plt.close(figure)
