"""The usual figures of a ranking in one flat table."""

from __future__ import annotations

from collections.abc import Sequence

from jaxret.metrics.average_precision import average_precision, average_precision_at
from jaxret.metrics.hit_rate import hit_rate_at
from jaxret.metrics.judgements import Judgements
from jaxret.metrics.ndcg import ndcg
from jaxret.metrics.precision_recall import accuracy_at, f1_at, precision_at, recall_at

__all__ = ["retrieval_summary"]


def retrieval_summary(judgements: Judgements, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Means over queries of the usual figures, under the names that tables print.

    For each k: `mAP@k` (denominator min(n_relevant,k)), `P@k`, `recall@k` (share of relevant items found),
    `F1@k`, `accuracy@k`, `R@k` (hit rate), `NDCG@k`; precision over what is returned, an empty answer
    scoring 0. `mAP` and `NDCG` of the whole ranking are present exactly where every list ranks its whole
    gallery: a cut or filtered list has no full mAP. `queries` were averaged, `queries_excluded` have no
      relevant item, and
    `empty_share` of all queries got an empty answer.

    Args:
      judgements: lists at least max(ks) long, or ended by themselves.
      ks: cut-offs, each at least 1; may be empty.

    Raises:
      ValueError: a k is below 1, a list is cut before it, or no query has a relevant item.

    Example:
      >>> from jaxret.metrics import judge_by_lists
      >>> summary = retrieval_summary(judge_by_lists([[0, 1, 2]], [{0, 2}], 3), ks=(1,))
      >>> round(summary["mAP"], 4), summary["P@1"], summary["recall@1"]
      (0.8333, 1.0, 0.5)
    """
    summary: dict[str, float] = {}
    if judgements.complete:
        summary["mAP"] = average_precision(judgements).mean
        summary["NDCG"] = ndcg(judgements).mean
    for k in ks:
        summary[f"mAP@{k}"] = average_precision_at(judgements, k).mean
        summary[f"P@{k}"] = precision_at(judgements, k).mean
        summary[f"recall@{k}"] = recall_at(judgements, k).mean
        summary[f"F1@{k}"] = f1_at(judgements, k).mean
        summary[f"accuracy@{k}"] = accuracy_at(judgements, k).mean
        summary[f"R@{k}"] = hit_rate_at(judgements, k).mean
        summary[f"NDCG@{k}"] = ndcg(judgements, k).mean
    summary["queries"] = float(judgements.counted.sum())
    summary["queries_excluded"] = float((~judgements.counted).sum())
    summary["empty_share"] = judgements.empty_share
    return summary
