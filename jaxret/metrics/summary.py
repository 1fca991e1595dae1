"""The usual figures of a ranking in one flat table."""

from __future__ import annotations

from collections.abc import Sequence

from jaxret.metrics.average_precision import Denominator, average_precision, average_precision_at
from jaxret.metrics.ndcg import ndcg
from jaxret.metrics.precision_recall import accuracy_at, f1_at, hit_rate_at, precision_at, recall_at
from jaxret.metrics.ranked_relevance import RankedRelevance

__all__ = ["retrieval_summary"]


def retrieval_summary(
    relevance: RankedRelevance,
    ks: Sequence[int] = (1, 5, 10),
    *,
    denominator: Denominator = "min(n_relevant,k)",
    tie_averaged: bool = False,
) -> dict[str, float]:
    """Means over queries of the usual figures, under the names that tables print.

    For each k: `mAP@k` (denominator min(n_relevant,k); with another one its name says so, as
    `mAP@k (retrieved)`), `P@k`, `recall@k` (share of relevant items found), `F1@k`, `accuracy@k`, `R@k` (hit rate),
    `NDCG@k`; precision over what is returned, an empty answer scoring 0. `mAP` and `NDCG` of the whole ranking are
    present exactly where every list ranks its whole gallery: a cut or filtered list has no full mAP. A query has
    `relevant items` to be found on average. `queries` were averaged, `queries_excluded` have no relevant item, and
    `empty_share` of all queries got an empty answer. What a random ranking scores is
    `jaxret.metrics.chance_summary`.

    Results at equal distance stay in their order, by id. With `tie_averaged` each `mAP` and `mAP@k` has a second
    figure, `mAP@k tie-averaged`, the expected value over all orders of results at equal distance: of codes, whose
    distances are few, the first can be far off by the luck of the numbering. These are present only where no list
    was cut, since a cut list hides how far its last tie goes on.

    Args:
      relevance: lists at least max(ks) long, or ended by themselves.
      ks: cut-offs, each at least 1; may be empty.
      denominator: what AP@k is divided by, see `Denominator`.
      tie_averaged: give the tie-averaged figures too; the relevance needs distances.

    Raises:
      ValueError: a k is below 1, a list is cut before it, no query has a relevant item, the denominator is
        unknown, or ties cannot be averaged without distances.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> summary = retrieval_summary(relevance_by_lists([[0, 1, 2]], [{0, 2}], 3), ks=(1,))
      >>> round(summary["mAP"], 4), summary["P@1"], summary["recall@1"]
      (0.8333, 1.0, 0.5)
    """
    summary: dict[str, float] = {}
    averaged = tie_averaged and not relevance.cut.any()
    over = "" if denominator == "min(n_relevant,k)" else f" ({denominator})"
    if relevance.complete:
        summary["mAP"] = average_precision(relevance).mean
        if averaged:
            summary["mAP tie-averaged"] = average_precision(relevance, ties="average").mean
        summary["NDCG"] = ndcg(relevance).mean
    for k in ks:
        summary[f"mAP@{k}{over}"] = average_precision_at(relevance, k, denominator=denominator).mean
        if averaged:
            expected = average_precision_at(relevance, k, denominator=denominator, ties="average")
            summary[f"mAP@{k}{over} tie-averaged"] = expected.mean
        summary[f"P@{k}"] = precision_at(relevance, k).mean
        summary[f"recall@{k}"] = recall_at(relevance, k).mean
        summary[f"F1@{k}"] = f1_at(relevance, k).mean
        summary[f"accuracy@{k}"] = accuracy_at(relevance, k).mean
        summary[f"R@{k}"] = hit_rate_at(relevance, k).mean
        summary[f"NDCG@{k}"] = ndcg(relevance, k).mean
    summary["relevant items"] = float(relevance.n_relevant[relevance.counted].mean())
    summary["queries"] = float(relevance.counted.sum())
    summary["queries_excluded"] = float((~relevance.counted).sum())
    summary["empty_share"] = relevance.empty_share
    return summary
