"""Retrieval figures by label: of the items of an index as queries for each other, or of other labelled media."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError
from jaxret.evaluation import GroupFigures, LabelProtocol, Ranking, chance_figures, evaluate_queries
from jaxret.index import MediaIndex
from jaxret.retrieval.evaluate.labelled_part import LabelledPart
from jaxret.retrieval.evaluate.query_media import QueryMedia
from jaxret.retrieval.evaluate.ranked_figures import (
    query_rows,
    ranked_figures,
    said_of_reranking,
    vector_ranking,
    vector_reranking,
)
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.evaluate.settings import LabelEvaluation
from jaxret.retrieval.evaluate.votes import check_votes, votes_against_coverage
from jaxret.retrieval.matches import query_items
from jaxret.retrieval.options import SequenceSearch, SpaceName, VectorSearch

if TYPE_CHECKING:
    from jaxret.models.encoder import VideoEncoder

__all__ = ["evaluate_labels"]

DEFAULT_KS = (1, 5, 10)


def evaluate_labels(
    index: MediaIndex,
    encoder: VideoEncoder,
    request: EvaluationRequest,
) -> Report:
    """Figures over all labelled queries (`all`) and, if set, by class; see `jaxret.metrics.retrieval_summary`.

    Args:
      index: the gallery.
      encoder: of the index.
      request: its queries are labelled media, or None: the indexed items are queries for each other (leave-one-out).
        Its options are space, distance, reranking and PAR's threshold of a `VectorSearch`, or a `SequenceSearch`, which
        ranks the videos as sequences of clip vectors; None: of codes where the index has them, else of clips, else of
        frames. Its settings are a `LabelEvaluation`, its cut-offs by default 1, 5 and 10.

    Returns:
      Of codes each mAP is also given averaged over the orders of its ties (see `evaluate_queries`).

    Raises:
      ConfigError: an option has no part in an evaluation or does not fit the index or the others, indexed items are to
        find their own source, no query can be read, or none has a relevant item.
    """
    queries: MediaDataset | None = request.queries
    settings = request.settings_of(LabelEvaluation, cut_offs=True)
    _check_split(index, settings.split)
    _check_ground_truth(queries, settings)
    options: VectorSearch | SequenceSearch = VectorSearch() if request.options is None else request.options
    if settings.relevant == "source" and queries is None:
        raise ConfigError("relevant source is for queries from elsewhere: indexed items would find themselves")
    if isinstance(options, SequenceSearch):
        if settings.depth is not None:
            raise ConfigError(f"sequences are ranked to their end: leave depth out, got {settings.depth}")
        space: SpaceName = "clip"
        ranking, measure = Ranking(), str(options.measure)
    else:
        space, ranking = vector_ranking(index, options, settings.depth)
        measure = ranking.distance if ranking.min_cosine is None else "par"
    if settings.vote is not None:
        check_votes(None if isinstance(options, SequenceSearch) else ranking, space)
    kinds = ("video",) if isinstance(options, SequenceSearch) else ("image", "video")
    gallery = LabelledPart.of(
        index.rows(space),
        index.items,
        lambda item: item.kind in kinds and (settings.split is None or item.split == settings.split),
    )
    own, media = gallery, None
    if queries is not None:
        media = QueryMedia.read(queries, encoder, threads=request.threads, skipped=queries.skipped)
        rows = query_rows(media.vectors, encoder, space)
        own = LabelledPart.of(rows, query_items(queries, index), lambda item: item.kind in kinds)
    classes = sorted({str(item.label) for item in own.items if item.label is not None}) if settings.by_class else []
    protocol = LabelProtocol(
        ks=DEFAULT_KS if request.ks is None else request.ks,
        groups={**_seen_and_unseen(index, own.items), **{_group_of_class(name): [name] for name in classes}},
        relevant=settings.relevant,
        denominator=settings.denominator,
        relevant_items=settings.relevant_items,
        ground_truth=_ground_truth_of(queries, own.items, gallery.items, settings),
        unannotated=settings.unannotated,
    )
    reranking = vector_reranking(index, encoder, options, gallery, own, None if media is None else media.vectors)
    figures = ranked_figures(own, gallery, options, ranking, protocol, reranking)
    if not figures:
        raise ConfigError(_nothing_to_measure(gallery.items, settings))
    measure += said_of_reranking(reranking)
    words = f"{space} space by {measure}; mAP@k divides by {settings.denominator}; equal distances in order of id"
    if settings.relevant_items is not None:
        words += f"; galleries of {settings.relevant_items} items a class"
    if queries is None:
        words += _said_of_training(own.items)
    if protocol.ground_truth is not None:
        words += _said_of_ground_truth(protocol.ground_truth, gallery.items, settings)
    baselines = {"chance": chance_figures(own.items, gallery.items, protocol)}
    if protocol.ground_truth is not None and settings.unannotated == "left-out":
        among_all = dataclasses.replace(protocol, unannotated="wrong")
        baselines["unannotated wrong"] = ranked_figures(own, gallery, options, ranking, among_all, reranking)
    if space in ("clip", "code") and "frame" in index.spaces and encoder.preprocessing.shots is None:
        means = gallery.mean_frames_in(index)
        own_means = means if media is None else own.mean_frames_of(media.vectors)
        by_cosine = Ranking("cosine", depth=settings.depth)
        baselines["mean of frames"] = evaluate_queries(own_means, own.items, means, gallery.items, by_cosine, protocol)
        words += "; mean of frames: their mean vectors, without order, by cosine"
    votes: dict[str, GroupFigures] = {}
    if settings.vote is not None:
        stored = index.rows(space)
        held = LabelledPart.of(stored, index.items, lambda item: item.split == "validation" and item.label is not None)
        validation = held if len(held.numbers) and settings.split != "validation" else None
        votes, said = votes_against_coverage(own, gallery, validation, ranking, protocol, settings.vote)
        words += f"; {said}"
    return Report(figures, words, options, settings, baselines, votes, [] if media is None else media.remarks)


def _check_ground_truth(queries: MediaDataset | None, settings: LabelEvaluation) -> None:
    """ConfigError where queries with a ground truth of their own meet what is of classes, or others what is of one."""
    if queries is None or not queries.ground_truth or settings.relevant == "source":
        if settings.unannotated != "left-out":
            raise ConfigError(
                f"unannotated={settings.unannotated} is of queries that a part of the gallery is annotated for "
                "(cc-web-video,seeds=yes:FOLDER), and of relevance by it: leave it out"
            )
        return
    for name in ("relevant_items", "vote"):
        if getattr(settings, name) is not None:
            raise ConfigError(f"{name} is of classes, and these queries have a ground truth of their own: leave it out")


def _ground_truth_of(
    queries: MediaDataset | None, own: Sequence[MediaItem], gallery: Sequence[MediaItem], settings: LabelEvaluation
) -> dict[str, dict[str, bool]] | None:
    """The ground truth of the queries by source, as `LabelProtocol` has it; None where labels say what is relevant."""
    if queries is None or not queries.ground_truth or settings.relevant == "source":
        return None
    sources = {item.key.rpartition("/")[2]: item.source for item in gallery}
    return {
        item.source: {sources[name]: relevant for name, relevant in annotated.items() if name in sources}
        for item in own
        if (annotated := queries.ground_truth.get(item.key)) is not None
    }


def _said_of_ground_truth(
    ground_truth: Mapping[str, Mapping[str, bool]], gallery: Sequence[MediaItem], settings: LabelEvaluation
) -> str:
    """How much is annotated, and what of the relevant the encoder was trained on, which it finds too easily."""
    relevant = {source for annotated in ground_truth.values() for source, found in annotated.items() if found}
    splits = [item.split for item in gallery if item.source in relevant]
    count, rest = sum(map(len, ground_truth.values())), settings.unannotated.replace("-", " ")
    words = f"; {count} annotated results of {len(ground_truth)} queries, unannotated ones {rest}"
    if trained := splits.count("train"):
        words += f"; {trained} of the {len(splits)} relevant items are items of the split train"
    return words


def _seen_and_unseen(index: MediaIndex, items: Sequence[MediaItem]) -> dict[str, set[str]]:
    """The classes that the index has training items of, and the others, as groups; none where all are the one or the
    other."""
    trained = {str(item.label) for item in index.items if item.split == "train" and item.label is not None}
    labels = {str(item.label) for item in items if item.label is not None}
    seen, unseen = labels & trained, labels - trained
    return {"seen": seen, "unseen": unseen} if seen and unseen else {}


def _group_of_class(name: str) -> str:
    """The name of a class's group, which is no other group's."""
    return f"class {name}" if name in ("all", "seen", "unseen") else name


def _splits(items: Iterable[MediaItem]) -> Counter[str]:
    """How many items each split has; those of none are left out."""
    return Counter(item.split for item in items if item.split)


def _check_split(index: MediaIndex, split: str | None) -> None:
    if split is None or split in (known := _splits(index.items)):
        return
    has = f"its items are of {', '.join(sorted(known))}" if known else "its items are of none"
    raise ConfigError(f"{index.folder} has no items of the split {split!r}: {has}")


def _nothing_to_measure(gallery: Sequence[MediaItem], settings: LabelEvaluation) -> str:
    """Why no query counts, in words."""
    other = " of another source" if settings.relevant == "label" else ""
    of_split = "" if settings.split is None else f" of the split {settings.split!r}"
    if settings.relevant_items is None:
        return f"nothing to measure: no query has a relevant item{other} in the gallery{of_split}"
    sizes = Counter(item.label for item in gallery if item.label is not None)
    largest = f"; the largest class has {max(sizes.values())} items" if sizes else ""
    return (
        f"nothing to measure: no query has {settings.relevant_items} relevant items (relevant_items){other} in the"
        f" gallery{of_split}{largest}"
    )


def _said_of_training(queries: Sequence[MediaItem]) -> str:
    """That some of the queries are training items, which an encoder that was fitted on them finds too easily."""
    splits = _splits(query for query in queries if query.label is not None)
    trained = splits.pop("train", 0)
    if not trained:
        return ""
    count = sum(query.label is not None for query in queries)
    other = f": --split {max(splits, key=lambda name: (name == 'test', name))} measures others" if splits else ""
    return f"; {trained} of the {count} queries are items of the split train{other}"
