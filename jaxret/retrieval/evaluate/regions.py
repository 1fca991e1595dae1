"""How well regions of images find what they show, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxret.errors import ConfigError
from jaxret.index import MediaIndex
from jaxret.metrics import average_precision, best_box_iou, ndcg, relevance_by_lists, trapezoidal_average_precision
from jaxret.retrieval.evaluate.region_queries import RegionQueries
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.evaluate.settings import RegionEvaluation
from jaxret.retrieval.options import RegionSearch
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.region import Region

if TYPE_CHECKING:
    from jaxret.retrieval.systems.gallery import RegionRanking
    from jaxret.retrieval.systems.two_pass import TwoPassSystem

__all__ = ["evaluate_regions"]

_FOUND = 0.5  # IoU from which a box counts as right (PASCAL VOC)


def evaluate_regions(
    system: TwoPassSystem[Any],
    index: MediaIndex,
    request: EvaluationRequest,
) -> Report:
    """Search the whole index with each region.

    Args:
      system: of the index.
      index: that the queries were read for.
      request: its queries are `RegionQueries`, regions and what is relevant to them; its options a `RegionSearch`
        without a region of its own, its settings a `RegionEvaluation`. Rankings have no cut-offs.

    Returns:
      by ground truth: `mAP` (mean of i / r_i), `mAP (trapezoidal)` (as the programs of Oxford5k and the revisited sets
      take it), `NDCG` (linear gain, whole ranking), `queries` that have a relevant item; and where the true boxes are
      known, over the relevant ones among the candidates, `mean IoU` of the boxes found and the share of at least 0.5.

    Raises:
      MediaError: the image of a query cannot be read.
      ConfigError: no query has a relevant item in the index, or an option has no part in an evaluation.
      ValueError: a box lies outside its image or holds too little; the message names the query.
    """
    queries: RegionQueries = request.queries
    settings = request.settings_of(RegionEvaluation)
    options: RegionSearch = RegionSearch() if request.options is None else request.options
    if options.region is not None or options.at is not None:
        raise ConfigError("the queries bring their own images and regions: leave region and at out")
    if not any(any(lists.relevant) for lists in queries.relevance.values()):
        raise ConfigError("nothing to measure: no query has a relevant item in the index")
    rankings = np.empty((len(queries.queries), len(index)), np.int64)
    overlaps = []
    for number, query in enumerate(queries.queries):
        # Published boxes may reach over the border.
        left, top = np.maximum(query.box[:2], 0.0).tolist()
        right, bottom = query.box[2:]
        region = None if settings.whole_images else Region(left, top, right - left, bottom - top, shares=False)
        image, size = system.image(single_file(query.path))
        try:
            encoded = system.region_query(image, size, dataclasses.replace(options, region=region))
        except ValueError as error:
            raise ValueError(f"query {query.name!r}: {error}") from error
        ranking = system.rank(index, encoded, options)
        rankings[number] = ranking.ids
        if queries.boxes is not None and options.candidates:
            overlaps.append(_overlaps(system, index, ranking, queries, number, options.candidates))
        if request.on_query is not None:
            request.on_query(number)
    figures: dict[str, dict[str, float]] = {}
    for name, lists in queries.relevance.items():
        result = relevance_by_lists(rankings, lists.relevant, len(index), junk=lists.junk)
        scores = {
            "mAP": average_precision(result),
            "mAP (trapezoidal)": trapezoidal_average_precision(result),
            "NDCG": ndcg(result),
        }
        figures[name] = {metric: score.mean for metric, score in scores.items()}
        figures[name]["queries"] = float(result.counted.sum())
        if overlaps and len(values := np.concatenate(overlaps)):
            figures[name] |= {"mean IoU": float(values.mean()), f"IoU >= {_FOUND}": float((values >= _FOUND).mean())}
    words = f"{'whole images' if settings.whole_images else 'regions'}, {options.candidates} candidates re-ranked"
    if queries.skipped:
        words += f"; images with boxes that cannot be read: {len(queries.skipped)}, first {queries.skipped[0]}"
    return Report(figures, words, options, settings)


def _overlaps(
    system: TwoPassSystem[Any],
    index: MediaIndex,
    ranking: RegionRanking,
    queries: RegionQueries,
    number: int,
    candidates: int,
) -> np.ndarray:
    """IoU of the boxes found in relevant candidates with the true ones."""
    assert queries.boxes is not None
    (relevance,) = queries.relevance.values()
    truth: Mapping[int, np.ndarray] = queries.boxes[number]
    ids = ranking.ids[:candidates]
    relevant = [position for position, item in enumerate(ids.tolist()) if item in relevance.relevant[number]]
    sizes = system.image_sizes(index, ids[relevant])
    found = [ranking.boxes[position] * np.array([*sizes[int(ids[position])][::-1]] * 2) for position in relevant]
    return best_box_iou(np.array(found).reshape(-1, 4), [truth[int(ids[position])] for position in relevant])
