"""Time of region queries at 100,000 images: assignment maps of real images, copied with changes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from common.timing import in_turn

from jaxret.retrieval import Retriever
from jaxret.retrieval.systems.word_records import bags_of_records
from jaxret.retrieval.systems.words import WINDOW_OVERLAP, WINDOW_SHARES, MapWords
from jaxret.visual_words import InvertedFile, WindowSettings, join_bags, rerank_windows, sliding_windows, window_lengths

__all__ = ["scale_rows"]

_CHANGED = 0.2  # share of the places of a copy whose word is another
_BLOCK = 20_000
_DEPTHS = (10, 30, 300, 1000)  # beside 100
_SHARES = ((1.0,), (1.0, 0.5), (1.0, 0.5, 0.25), WINDOW_SHARES, (1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.25, 0.2))


def scale_rows(
    retriever: Retriever, region_queries: Sequence[Any], count: int
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """What is measured, its setting, and figures.

    Args:
      retriever: of words of maps, whose images are copied.
      region_queries: of `system.region_query`, in turn.
      count: images.
    """
    system = retriever.system
    assert isinstance(system, MapWords)
    layout = system.layout
    started = time.perf_counter()
    records = copies(np.asarray(retriever.index.rows("words").vectors), count, layout, seed=1)
    made = time.perf_counter()
    parts = [bags_of_records(layout, records[start : start + _BLOCK]) for start in range(0, count, _BLOCK)]
    bags = join_bags(parts, layout.n_words)
    inverted = InvertedFile(bags)
    ready = time.perf_counter()
    print(f"{count} maps made in {made - started:.1f} s, inverted file in {ready - made:.1f} s", flush=True)
    images = [layout.unpack(record) for record in records[:1000]]
    ids = np.arange(1000)
    times = in_turn({"first pass": lambda: [inverted.topk(query.bag, 1000) for query in region_queries]}, samples=3)
    first = times["first pass"].median / len(region_queries)
    size = {"ms a query": first * 1000, "s to prepare": ready - made, "MB on disk": records.nbytes / 1e6}
    yield "first pass, inverted file", f"{count:,} images, {layout.n_words} words", size
    for shares in _SHARES:
        windows = len(sliding_windows(images[0].grid, shares=shares, overlap=WINDOW_OVERLAP))
        figures = _rerank_times(region_queries, images[:100], ids[:100], shares)
        yield "re-ranking of 100", f"{windows} windows an image", figures
    windows = len(sliding_windows(images[0].grid, shares=WINDOW_SHARES, overlap=WINDOW_OVERLAP))
    for k in _DEPTHS:
        yield (
            f"re-ranking of {k}",
            f"{windows} windows an image",
            _rerank_times(region_queries, images[:k], ids[:k], WINDOW_SHARES),
        )


def _rerank_times(
    region_queries: Sequence[Any], images: list[Any], ids: np.ndarray, shares: tuple[float, ...]
) -> dict[str, float]:
    lengths = [
        window_lengths(image, sliding_windows(image.grid, shares=shares, overlap=WINDOW_OVERLAP)) for image in images
    ]

    windows = WindowSettings(shares, WINDOW_OVERLAP)

    def run(kept: list[np.ndarray] | None) -> None:
        for query in region_queries:
            rerank_windows(query.bag, ids, images, aspect=query.aspect, windows=windows, lengths=kept)

    times = in_turn({"found": lambda: run(None), "kept": lambda: run(lengths)}, samples=3)
    return {
        "ms a query": times["found"].median * 1000 / len(region_queries),
        "ms, lengths of windows kept": times["kept"].median * 1000 / len(region_queries),
    }


def copies(records: np.ndarray, count: int, layout: Any, *, seed: int) -> np.ndarray:
    """`count` of the records, drawn with repeats; of each a fifth of the places gets the word of any place."""
    rng = np.random.default_rng(seed)
    words = layout.words(records)
    pool = words[words > 0]
    made = records[rng.integers(0, len(records), count)].copy()
    for start in range(0, count, _BLOCK):
        block = layout.words(made[start : start + _BLOCK])
        changed = (rng.random(block.shape) < _CHANGED) & (block > 0)
        block[changed] = pool[rng.integers(0, len(pool), int(changed.sum()))]
    return made
