"""Retrieval by label: relevant is what shares the query's class; its own source counts as if it were not there.

Or by source: relevant is what was cut from the same recording as the query. Or by a ground truth that annotates,
for each query, some of the gallery.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from jaxret.data.rows import Rows
from jaxret.evaluation.item_ranking import Reranking, rank_items, reranked
from jaxret.evaluation.ranking import Ranking
from jaxret.metrics import (
    Denominator,
    RankedRelevance,
    chance_summary,
    relevance_by_label,
    relevance_by_lists,
    retrieval_summary,
)
from jaxret.rank import METRICS, SearchResult

__all__ = [
    "GroupFigures",
    "LabelProtocol",
    "LabelledItem",
    "QueryGalleries",
    "Relevant",
    "Unannotated",
    "blocks_of_queries",
    "chance_figures",
    "evaluate_leave_one_out",
    "evaluate_queries",
    "evaluate_rankings",
]

_BLOCK_PAIRS = 1 << 24  # of query and gallery item, ranked at once in some 50 bytes each

GroupFigures = dict[str, dict[str, float]]
"""Figures by group of queries (`all`, and for instance `seen` and `unseen`), then by metric."""


Relevant = Literal["label", "source"]
"""What a relevant item shares with the query: its class ("by class"), or what both were cut from ("by clip")."""

Unannotated = Literal["left-out", "wrong"]
"""What becomes of results that are not annotated for a query: left out of its ranking, which is condensed to those that
are (T. Sakai, "Alternatives to Bpref", SIGIR 2007), or counted as wrong."""

RankQueries = Callable[[slice, npt.NDArray[np.bool_] | None], SearchResult]
"""A slice of the queries and what each leaves out, bool (q, N) or None for nothing, to their rankings (q, k)."""


class LabelledItem(Protocol):
    """What an evaluation needs to know of an item: its class (None: unknown) and what it was cut from."""

    @property
    def label(self) -> str | None:
        """Its class."""

    @property
    def source(self) -> str:
        """What it was cut from."""


@dataclasses.dataclass(frozen=True)
class LabelProtocol:
    """Who is relevant to whom, and what is counted.

    Attributes:
      ks: cut-offs; at most the depth of the rankings counts.
      groups: group name to the labels of its queries; the gallery stays whole. `all`, of all queries, is always there.
      relevant: "label": what carries the query's label, where gallery items of the query's own source are taken out
        before anything is ranked or counted. "source": what is of the query's own source, and nothing is taken out:
        queries must not be gallery items themselves, which would be found first.
      keep_source: by label: leave items of the query's own source in, where they count as all others do.
      denominator: of `mAP@k`, see `jaxret.metrics.Denominator`.
      relevant_items: by label: give every query a gallery of its own with so many items of each class, drawn at random
        from those of other sources, so that queries of large and small classes have as many relevant items among as
        many others. Queries whose class has fewer are left out. None: the gallery is what it is.
      seed: of that draw.
      ground_truth: by the source of a query, then by that of a gallery item: whether the item is relevant. It takes the
        place of the labels, which then only make the groups; items of sources without one are no queries.
      unannotated: with a ground truth: what becomes of the rest of the gallery.

    Raises:
      ValueError: `relevant` or `unannotated` is unknown, a group is called `all`, `relevant_items` is below 1, or
        two of relevance by source, `relevant_items` and `ground_truth` come together.
    """

    ks: Sequence[int] = (1, 5, 10)
    groups: Mapping[str, Collection[str]] | None = None
    relevant: Relevant = "label"
    keep_source: bool = False
    denominator: Denominator = "min(n_relevant,k)"
    relevant_items: int | None = None
    seed: int = 0
    ground_truth: Mapping[str, Mapping[str, bool]] | None = None
    unannotated: Unannotated = "left-out"

    def __post_init__(self) -> None:
        if self.relevant not in get_args(Relevant):
            raise ValueError(f"relevant must be label or source, got {self.relevant!r}")
        if "all" in (self.groups or {}):
            raise ValueError("groups must not name 'all', which is the group of all queries")
        if self.relevant_items is not None and self.relevant_items < 1:
            raise ValueError(f"relevant_items must be at least 1 or none, got {self.relevant_items}")
        if self.relevant_items is not None and self.relevant == "source":
            raise ValueError("relevant_items draws items of each class: leave it out where relevance is by source")
        if self.unannotated not in get_args(Unannotated):
            raise ValueError(f"unannotated must be left-out or wrong, got {self.unannotated!r}")
        if self.ground_truth is not None and (self.relevant_items is not None or self.relevant == "source"):
            raise ValueError("ground_truth says what is relevant: leave relevant_items and relevance by source out")

    @property
    def leaves_source_out(self) -> bool:
        """Whether gallery items of the query's own source are as if they were not there."""
        return self.relevant == "label" and not self.keep_source


def evaluate_leave_one_out(
    rows: Rows,
    items: Sequence[LabelledItem],
    ranking: Ranking = Ranking(),
    protocol: LabelProtocol = LabelProtocol(),
    *,
    threads: int | None = None,
) -> GroupFigures:
    """`evaluate_queries` of items that are queries for each other; each is of its own source, so none finds itself."""
    return evaluate_queries(rows, items, rows, items, ranking, protocol, threads=threads)


def evaluate_queries(
    queries: Rows,
    query_items: Sequence[LabelledItem],
    gallery: Rows,
    gallery_items: Sequence[LabelledItem],
    ranking: Ranking = Ranking(),
    protocol: LabelProtocol = LabelProtocol(),
    *,
    reranking: Reranking | None = None,
    threads: int | None = None,
) -> GroupFigures:
    """Retrieval figures of labelled queries in a labelled gallery.

    Args:
      queries, query_items: rows of the queries, and what each item is.
      gallery, gallery_items: likewise.
      ranking: the distance, PAR's threshold, and how many results to keep.
      protocol: what is relevant and counted.
      reranking: puts the first results in order again, before `depth` counts; its items are those of the rows.
      threads: for the ranking kernels.

    Returns:
      As `evaluate_rankings`. Ties are broken by id; a `hamming` ranking of the whole gallery (depth None) that stays as
      it is has each mAP also averaged over the orders of its ties.

    Raises:
      TypeError, ValueError: as `rank_items` and `evaluate_rankings`.
    """

    def rank(some: slice, excluded: npt.NDArray[np.bool_] | None) -> SearchResult:
        numbers = np.arange(some.start, some.stop)
        first_pass = ranking
        if reranking is not None and ranking.depth is not None:
            first_pass = dataclasses.replace(ranking, depth=max(ranking.depth, reranking.count))
        found = rank_items(queries.of_items(numbers), gallery, first_pass, excluded=excluded, threads=threads)
        if reranking is None:
            return found
        own = dataclasses.replace(reranking, queries=reranking.queries.of_items(numbers))
        found = reranked(found, own, threads=threads)
        return SearchResult(found.ids[:, : ranking.depth], found.distances[:, : ranking.depth])

    ties = METRICS[ranking.distance].whole and reranking is None
    return evaluate_rankings(rank, query_items, gallery_items, protocol, tie_averaged=ties)


def evaluate_rankings(
    rank: RankQueries,
    query_items: Sequence[LabelledItem],
    gallery_items: Sequence[LabelledItem],
    protocol: LabelProtocol = LabelProtocol(),
    *,
    tie_averaged: bool = False,
) -> GroupFigures:
    """Retrieval figures of labelled queries, however they are ranked.

    Args:
      rank: called with blocks of queries, in order.
      query_items: what each query is; those without a label, or that the ground truth lacks, are no queries.
      gallery_items: likewise; a gallery item without a label is relevant to none.
      protocol: what is relevant and counted.
      tie_averaged: see `jaxret.metrics.retrieval_summary`.

    Returns:
      Figures (see `jaxret.metrics.retrieval_summary`) of every group with at least one query that has a
      relevant item; other groups are left out.

    Raises:
      ValueError: an unknown denominator, or what `jaxret.metrics.relevance_by_label` or `relevance_by_lists` refuses.
    """

    def summary(relevance: RankedRelevance) -> dict[str, float]:
        return retrieval_summary(relevance, protocol.ks, denominator=protocol.denominator, tie_averaged=tie_averaged)

    return _figures(rank, query_items, gallery_items, protocol, summary, ranked=True)


def chance_figures(
    query_items: Sequence[LabelledItem],
    gallery_items: Sequence[LabelledItem],
    protocol: LabelProtocol = LabelProtocol(),
) -> GroupFigures:
    """What a random ranking of the gallery scores, exactly; see `jaxret.metrics.chance_summary`.

    Args:
      query_items, gallery_items, protocol: as for `evaluate_rankings`.

    Returns:
      Figures of the groups that `evaluate_rankings` has.
    """

    def rank_nothing(some: slice, excluded: npt.NDArray[np.bool_] | None) -> SearchResult:
        shape = some.stop - some.start, 0
        return SearchResult(np.zeros(shape, np.int64), np.zeros(shape, np.float32))

    def summary(relevance: RankedRelevance) -> dict[str, float]:
        return chance_summary(relevance, protocol.ks, denominator=protocol.denominator)

    found = _figures(rank_nothing, query_items, gallery_items, protocol, summary, ranked=False)
    return {group: {name: row[name] for name in row if name != "empty_share"} for group, row in found.items()}


def _figures(
    rank: RankQueries,
    query_items: Sequence[LabelledItem],
    gallery_items: Sequence[LabelledItem],
    protocol: LabelProtocol,
    summary: Callable[[RankedRelevance], dict[str, float]],
    *,
    ranked: bool,
) -> GroupFigures:
    """What `summary` makes of each group's relevance, over blocks of queries.

    Groups without a query that counts are left out. `ranked` is whether `rank` gives rankings at all.
    """
    labels = _column([item.label for item in query_items])
    sources = _column([item.source for item in query_items])
    gallery_labels = _column([item.label for item in gallery_items])
    gallery_sources = _column([item.source for item in gallery_items])
    by_source = protocol.relevant == "source"
    is_query = np.array([label is not None or by_source for label in labels], bool)
    if protocol.ground_truth is not None:
        is_query = np.array([source in protocol.ground_truth for source in sources], bool)
    members = {
        name: is_query if chosen is None else is_query & np.array([label in chosen for label in labels], bool)
        for name, chosen in {"all": None, **(protocol.groups or {})}.items()
    }
    leave_out = protocol.leaves_source_out
    shared, gallery_shared = (sources, gallery_sources) if by_source else (labels, gallery_labels)
    galleries = QueryGalleries(query_items, gallery_items, protocol)
    parts: dict[str, list[_Part]] = {name: [] for name in members}
    for some in blocks_of_queries(len(query_items), len(gallery_items)):
        excluded = galleries.excluded(some)
        drawn = excluded is not None and protocol.relevant_items is not None
        result = rank(some, excluded)
        for name, in_group in members.items():
            chosen_rows = np.flatnonzero(in_group[some])
            if not len(chosen_rows):
                continue
            ids, distances = result.ids[chosen_rows], result.distances[chosen_rows]
            if protocol.ground_truth is not None:
                out = np.zeros((len(ids), len(gallery_items)), bool) if excluded is None else excluded[chosen_rows]
                junk = [set(np.flatnonzero(row).tolist()) for row in out]
                relevant = [
                    galleries.relevant(some.start + q) - own for q, own in zip(chosen_rows.tolist(), junk, strict=True)
                ]
                relevance = relevance_by_lists(ids, relevant, len(gallery_items), junk=junk, distances=distances)
            else:
                relevance = relevance_by_label(
                    ids,
                    shared[some][chosen_rows],
                    gallery_shared,
                    query_sources=sources[some][chosen_rows] if leave_out else None,
                    gallery_sources=gallery_sources if leave_out else None,
                    in_gallery=~excluded[chosen_rows] if drawn and excluded is not None else None,
                    distances=distances,
                )
            figures = summary(relevance) if relevance.counted.any() else {}
            complete = relevance.complete or not ranked
            parts[name].append(_Part(figures, len(chosen_rows), complete, relevance.empty_share))
    return {name: _pooled(found) for name, found in parts.items() if any(part.figures for part in found)}


def blocks_of_queries(queries: int, gallery: int) -> list[slice]:
    """The queries in parts that are ranked at once, so that memory does not grow with their number."""
    size = max(1, _BLOCK_PAIRS // max(1, gallery))
    return [slice(start, min(start + size, queries)) for start in range(0, queries, size)]


class QueryGalleries:
    """What each query may find, by the protocol."""

    def __init__(
        self, query_items: Sequence[LabelledItem], gallery_items: Sequence[LabelledItem], protocol: LabelProtocol
    ):
        self._protocol, self._size = protocol, len(gallery_items)
        self._sources = _column([item.source for item in query_items])
        self._gallery_sources = _column([item.source for item in gallery_items])
        self._labels = _column([item.label for item in query_items])
        labels = _column([item.label for item in gallery_items])
        order = np.random.default_rng(protocol.seed).permutation(len(labels))
        classes = sorted({label for label in labels if label is not None})
        self._members = {label: order[labels[order] == label] for label in classes}
        self._annotated: list[dict[int, bool]] | None = None
        if (ground_truth := protocol.ground_truth) is not None:
            rows_of: dict[str, list[int]] = defaultdict(list)
            for row, item in enumerate(gallery_items):
                rows_of[item.source].append(row)
            annotated_for = [ground_truth.get(item.source, {}) for item in query_items]
            self._annotated = [
                {row: relevant for source, relevant in annotated.items() for row in rows_of.get(source, ())}
                for annotated in annotated_for
            ]

    def excluded(self, some: slice) -> npt.NDArray[np.bool_] | None:
        """bool (q, N), what is as if it were not there for some of the queries; None where nothing is."""
        own = None
        if self._protocol.leaves_source_out:
            own = self._sources[some, None] == self._gallery_sources[None, :]
        if self._annotated is not None and self._protocol.unannotated == "left-out":
            unannotated = np.ones((some.stop - some.start, self._size), bool)
            for row, annotated in zip(unannotated, self._annotated[some], strict=True):
                row[list(annotated)] = False
            own = unannotated if own is None else own | unannotated
        return own if self._protocol.relevant_items is None else ~self._drawn(self._labels[some], own)

    def relevant(self, number: int) -> set[int]:
        """The rows of the gallery that the ground truth calls relevant to a query."""
        assert self._annotated is not None
        return {row for row, relevant in self._annotated[number].items() if relevant}

    def _drawn(self, labels: np.ndarray, own: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
        """Of each class the first items of the draw that a query may find; none of its own class where these are too
        few."""
        wanted = self._protocol.relevant_items
        searched = np.zeros((len(labels), self._size), bool)
        for label, members in self._members.items():
            free = np.ones((len(labels), len(members)), bool) if own is None else ~own[:, members]
            taken = free & (np.cumsum(free, axis=1) <= wanted)
            too_few = (labels == label) & (taken.sum(axis=1) < wanted)
            searched[:, members] = taken & ~too_few[:, None]
        return searched


@dataclasses.dataclass(frozen=True)
class _Part:
    """The queries of one block: figures of those that count (none: {}), and what holds of all."""

    figures: dict[str, float]
    queries: int
    complete: bool
    empty_share: float


def _pooled(parts: Sequence[_Part]) -> dict[str, float]:
    """The figures of all blocks together: means over queries, so each block weighs as much as it has queries."""
    if len(parts) == 1:
        return parts[0].figures
    scored = [part for part in parts if part.figures]
    counted = [part.figures["queries"] for part in scored]
    names = [name for name in scored[0].figures if all(name in part.figures for part in scored)]
    if not all(part.complete for part in parts):
        names = [name for name in names if name not in ("mAP", "mAP tie-averaged", "NDCG")]
    pooled = {name: float(np.average([part.figures[name] for part in scored], weights=counted)) for name in names}
    queries = [part.queries for part in parts]
    pooled["queries"] = float(sum(counted))
    pooled["queries_excluded"] = float(sum(queries) - sum(counted))
    pooled["empty_share"] = float(np.average([part.empty_share for part in parts], weights=queries))
    return pooled


def _column(values: Sequence[str | None]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
