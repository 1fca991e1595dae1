"""How well regions of images find what they show, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxret.errors import ConfigError
from jaxret.index import MediaIndex
from jaxret.metrics import average_precision, best_box_iou, ndcg, relevance_by_lists, trapezoidal_average_precision
from jaxret.retrieval.evaluate.query_media import unread_in_words
from jaxret.retrieval.evaluate.region_queries import RegionQueries
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.evaluate.settings import RegionEvaluation
from jaxret.retrieval.options import RegionSearch
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.region import Region, TooFewWordsError

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
      A query that holds too few visual words to search with has found nothing, and is told of.

    Raises:
      MediaError: the image of a query cannot be read.
      ConfigError: no query has a relevant item in the index, all of them hold too little to search with, or an option
        has no part in an evaluation.
      ValueError: a box lies outside its image; the message names the query.
    """
    queries: RegionQueries = request.queries
    settings = request.settings_of(RegionEvaluation)
    options: RegionSearch = RegionSearch() if request.options is None else request.options
    if options.region is not None or options.at is not None:
        raise ConfigError("the queries bring their own images and regions: leave region and at out")
    if not any(any(lists.relevant) for lists in queries.relevance.values()):
        raise ConfigError("nothing to measure: no query has a relevant item in the index")
    # Any order stands for that of a query which finds nothing, whose scores are 0.
    rankings = np.tile(np.arange(len(index)), (len(queries.queries), 1))
    finds = np.ones(len(rankings), bool)
    overlaps, too_small = [], []
    for number, query in enumerate(queries.queries):
        # Published boxes may reach over the border.
        left, top = np.maximum(query.box[:2], 0.0).tolist()
        right, bottom = query.box[2:]
        region = None if settings.whole_images else Region(left, top, right - left, bottom - top, shares=False)
        image, size = system.image(single_file(query.path))
        try:
            encoded = system.region_query(image, size, dataclasses.replace(options, region=region))
        except TooFewWordsError as error:
            finds[number] = False
            too_small.append(f"query {query.name!r}: {error}")
        except ValueError as error:
            raise ValueError(f"query {query.name!r}: {error}") from error
        else:
            ranking = system.rank(index, encoded, options)
            rankings[number] = ranking.ids
            if queries.boxes is not None and options.candidates:
                overlaps.append(_overlaps(system, index, ranking, queries, number, options.candidates))
        if request.on_query is not None:
            request.on_query(number)
    remarks = []
    if too_small:
        count = f"{len(too_small)} of {len(rankings)} queries"
        remarks.append(f"{count} hold too little to find anything: first {too_small[0]}")
    if not finds.any():
        raise ConfigError(f"nothing to measure: {remarks[0]}")
    figures: dict[str, dict[str, float]] = {}
    for name, lists in queries.relevance.items():
        result = relevance_by_lists(rankings, lists.relevant, len(index), junk=lists.junk)
        scores = {
            "mAP": average_precision(result),
            "mAP (trapezoidal)": trapezoidal_average_precision(result),
            "NDCG": ndcg(result),
        }
        figures[name] = {
            metric: dataclasses.replace(score, values=score.values * finds).mean for metric, score in scores.items()
        }
        figures[name]["queries"] = float(result.counted.sum())
        if overlaps and len(values := np.concatenate(overlaps)):
            figures[name] |= {"mean IoU": float(values.mean()), f"IoU >= {_FOUND}": float((values >= _FOUND).mean())}
    words = f"{'whole images' if settings.whole_images else 'regions'}, {options.candidates} candidates re-ranked"
    if queries.skipped:
        remarks.append(unread_in_words(queries.skipped, "the images with boxes"))
    return Report(figures, words, options, settings, remarks=remarks)


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
