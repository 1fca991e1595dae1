"""How well regions of pictures find what they show, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from jaxret.errors import ConfigError
from jaxret.metrics import average_precision, best_box_iou, judge_by_lists, ndcg, trapezoidal_average_precision
from jaxret.retrieval.evaluate.ground_truth import JudgedQueries
from jaxret.retrieval.instance_retriever import InstanceRetriever
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.systems.region import Region
from jaxret.retrieval.systems.two_pass import Search

__all__ = ["evaluate_regions"]

_FOUND = 0.5  # IoU from which a box counts as right (PASCAL VOC)


def evaluate_regions(
    retriever: InstanceRetriever,
    judged: JudgedQueries,
    *,
    how: Search | None = None,
    whole: bool = False,
    on_query: Callable[[int], None] | None = None,
) -> dict[str, dict[str, float]]:
    """Let each region ask for the whole index.

    Args:
      retriever: of the index that `judged` was read for.
      judged: queries and what is right.
      how: see `Search`; None: its defaults.
      whole: ask with the whole pictures instead, to see what the box is worth.
      on_query: called with the number of each query that is done.

    Returns:
      by judgement: `mAP` (mean of i / r_i), `mAP (trapezoidal)` (as the programs of Oxford5k and the revisited sets
      take it), `NDCG` (linear gain, whole ranking), `queries` that have a relevant item; and where the true boxes are
      known, over the relevant ones among the re-ranked, `mean IoU` of the boxes found and the share of at least 0.5.

    Raises:
      MediaError: a picture that asks cannot be read.
      ConfigError: no query has a relevant item in the index.
      ValueError: a box lies outside its picture or holds too little.
    """
    how = Search() if how is None else how
    if not any(any(lists.relevant) for lists in judged.judgements.values()):
        raise ConfigError("nothing to measure: no query has a relevant item in the index")
    rankings = np.empty((len(judged.queries), len(retriever.index)), np.int64)
    overlaps = []
    for number, query in enumerate(judged.queries):
        # Published boxes may reach over the border.
        left, top = np.maximum(query.box[:2], 0.0).tolist()
        right, bottom = query.box[2:]
        region = None if whole else Region(left, top, right - left, bottom - top, shares=False)
        picture, size = retriever.picture(single_file(query.path))
        ranking = retriever.rank(picture, size, region, how)
        rankings[number] = ranking.ids
        if judged.boxes is not None and how.rerank:
            overlaps.append(_overlaps(retriever, ranking.ids[: how.rerank], ranking.boxes, judged, number))
        if on_query is not None:
            on_query(number)
    figures: dict[str, dict[str, float]] = {}
    for name, lists in judged.judgements.items():
        result = judge_by_lists(rankings, lists.relevant, len(retriever.index), junk=lists.junk)
        scores = {
            "mAP": average_precision(result),
            "mAP (trapezoidal)": trapezoidal_average_precision(result),
            "NDCG": ndcg(result),
        }
        figures[name] = {metric: score.mean for metric, score in scores.items()}
        figures[name]["queries"] = float(result.counted.sum())
        if overlaps and len(values := np.concatenate(overlaps)):
            figures[name] |= {"mean IoU": float(values.mean()), f"IoU >= {_FOUND}": float((values >= _FOUND).mean())}
    return figures


def _overlaps(
    retriever: InstanceRetriever, ids: np.ndarray, boxes: np.ndarray, judged: JudgedQueries, number: int
) -> np.ndarray:
    """IoU of the boxes found in relevant results with the true ones."""
    assert judged.boxes is not None
    (judgement,) = judged.judgements.values()
    truth: Mapping[int, np.ndarray] = judged.boxes[number]
    places = [place for place, item in enumerate(ids.tolist()) if item in judgement.relevant[number]]
    sizes = retriever.sizes(ids[places])
    found = [boxes[place] * np.array([*sizes[int(ids[place])][::-1]] * 2) for place in places]
    return best_box_iou(np.array(found).reshape(-1, 4), [truth[int(ids[place])] for place in places])
