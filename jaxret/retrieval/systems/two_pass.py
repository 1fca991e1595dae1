"""Systems that search by regions of images: a pass over whole images, then a search for the place in the best of them.

A row is an image, or a frame of a video; boxes are in shares of its width and height.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Pixels
from jaxret.index import MediaIndex
from jaxret.retrieval.comparison import RegionComparison
from jaxret.retrieval.evaluate.region_queries import RegionQueries
from jaxret.retrieval.evaluate.regions import evaluate_regions
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.feedback import Feedback
from jaxret.retrieval.hit import Hit, Span
from jaxret.retrieval.options import RegionSearch
from jaxret.retrieval.query_image import seen_image, zoom_factors, zoomed
from jaxret.retrieval.region import Box, TooFewWordsError, scaled_box
from jaxret.retrieval.storage import bytes_per_image
from jaxret.retrieval.systems.base import OfRevision
from jaxret.retrieval.systems.describing import SIZES, DescribingSystem
from jaxret.retrieval.systems.gallery import (
    Gallery,
    PassQueries,
    RegionRanking,
    best_of_items,
    best_places,
    rank_rows,
)

__all__ = ["TwoPassSystem"]

Query = TypeVar("Query")


class TwoPassSystem(DescribingSystem, Generic[Query]):
    """What the systems of regions share.

    Attributes:
      key_points: whether results can be verified by the arrangement of key points.
      scales: sizes at which a region is seen unless a search says otherwise; of 1 it can be seen at no more.
    """

    title = "regions of images"
    options = (RegionSearch,)
    key_points: ClassVar[bool] = False
    scales: ClassVar[int] = 1

    @property
    def queries(self) -> tuple[type[Any], ...]:
        """See `System.queries`."""
        return (RegionQueries,)

    def __init__(self, encoder: Any):
        super().__init__(encoder)
        self.prepared: OfRevision[Gallery[Query]] = OfRevision(self.gallery)

    @abc.abstractmethod
    def query(self, image: Pixels, box: Box | None, *, min_words: int, surroundings: float) -> Query:
        """A part of an image as the gallery compares it.

        Args:
          image: uint8 (H, W, C), as the preprocessing makes it.
          box: in its pixels; None for all of it.
          min_words: local features that the box must hold.
          surroundings: let words around the box count too, less the further away, see
            `jaxret.visual_words.box_surroundings`; 0: those inside alone.

        Raises:
          TooFewWordsError: the box holds fewer words than `min_words`; the message goes on from a name of the box.
          ValueError: a setting does not fit the system.
        """

    def together(self, queries: Sequence[Query]) -> Query:
        """One query of a region that is seen at several sizes; of systems with `scales`."""
        raise NotImplementedError

    @abc.abstractmethod
    def gallery(self, index: MediaIndex) -> Gallery[Query]:
        """What an index holds, prepared for searching; see `prepared` for the one that is kept."""

    def search(
        self,
        index: MediaIndex,
        query: MediaDataset,
        k: int,
        options: RegionSearch,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """See `System.search`; `threads` has no part in it.

        Raises:
          ValueError: `at` is missing for a video, given for an image or beyond the end, the region lies outside the
            image or holds too little, or a setting does not fit the index.
        """
        encoded = self.encode_query(index, query, options)
        return self.search_encoded(index, encoded, k, options, kinds, where, threads)

    def encode_query(self, index: MediaIndex, query: MediaDataset, options: RegionSearch) -> PassQueries[Query]:
        """See `System.encode_query`; the region, its surroundings and the frame of a video are settled here."""
        image, size = self.image(query, options.at)
        return self.region_query(image, size, options)

    def search_encoded(
        self,
        index: MediaIndex,
        encoded: PassQueries[Query],
        k: int,
        options: RegionSearch,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """See `System.search_encoded`; errors as of `search`."""
        if 0 < options.candidates < k:
            options = dataclasses.replace(options, candidates=k)
        return self._hits(index, self.rank(index, encoded, options, kinds, where), k)

    def refined(
        self, index: MediaIndex, encoded: PassQueries[Query], feedback: Feedback, options: RegionSearch
    ) -> PassQueries[Query]:
        """See `System.refined`: the mean of the query and of the places in what was marked as right that look most like
        it. What was marked as wrong has no part in it.
        """
        if not feedback.plus:
            return encoded
        gallery = self.prepared(index)
        rows = []
        for mark in feedback.plus:
            own = np.flatnonzero(gallery.items == index.id_of(mark.key))
            if mark.span is not None:
                starts = gallery.stored(SIZES, own).starts
                inside = (starts >= mark.span[0]) & (starts <= mark.span[1])
                own = own[inside] if inside.any() else own[[int(np.abs(starts - mark.span[0]).argmin())]]
            found = gallery.locate(encoded.region, own, idf=options.idf)
            rows.append(found.rows[0])
        found = gallery.locate(encoded.region, np.unique(rows), idf=options.idf)
        expanded = gallery.expanded(encoded.region, found, idf=options.idf)
        return PassQueries(expanded, expanded)

    def compare(
        self, index: MediaIndex, encoded: PassQueries[Query], key: str, options: RegionSearch, span: Span | None
    ) -> RegionComparison:
        """See `System.compare`: the place in the item's best image, or in the frame at the begin of the span."""
        gallery = self.prepared(index)
        rows = np.flatnonzero(gallery.items == index.id_of(key))
        if span is not None:
            starts = gallery.stored(SIZES, rows).starts
            rows = rows[np.abs(starts - span[0]) == np.abs(starts - span[0]).min()]
        found = gallery.locate(encoded.region, rows, idf=options.idf)
        if options.verify and self.key_points:
            found = gallery.verified(encoded.region, found)
        if np.isnan(found.boxes[0]).any():
            return RegionComparison(None, np.zeros((0, 2)), np.zeros((0, 2)))
        left, top, right, bottom = found.boxes[0].tolist()
        box = left, top, right, bottom
        return RegionComparison(box, *gallery.agreeing(encoded.region, int(found.rows[0]), box))

    def evaluate(self, index: MediaIndex, request: EvaluationRequest) -> Report:
        """Measure with regions whose results are known; see `System.evaluate`."""
        return evaluate_regions(self, index, request)

    def image(self, dataset: MediaDataset, at: float | None = None) -> tuple[Pixels, tuple[int, int]]:
        """The first item of a data set as the encoder sees it, see `jaxret.retrieval.query_image.seen_image`."""
        return seen_image(dataset, at, self.preprocessing)

    def region_query(self, image: Pixels, size: tuple[int, int], options: RegionSearch) -> PassQueries[Query]:
        """The region of the options as the gallery compares it.

        Args:
          image: uint8 (H, W, C), as the encoder sees it; see `image`.
          size: (height, width) that it had, which the region's pixels are of.
          options: its region None stands for the whole image.

        Raises:
          TooFewWordsError: the region, or the image, holds fewer words than the options demand.
          ValueError: the region does not fit the image, or a setting does not fit the system.
        """
        region = options.region
        for name, given in (("surroundings", options.surroundings), ("scales", (options.scales or 1) > 1)):
            if given and region is None:
                raise ValueError(f"{name} are those of a region, and no region is marked")
        box = None if region is None else scaled_box(region.box(size), size, image.shape[:2])
        views = [(image, box)]
        if box is not None and (scales := self._scales(options)) > 1:
            views = [zoomed(image, box, factor, self.preprocessing) for factor in zoom_factors(scales)]
        settings: dict[str, Any] = {"min_words": options.min_words, "surroundings": options.surroundings}
        try:
            queries = [self.query(view, part, **settings) for view, part in views]
            query = queries[0] if len(queries) == 1 else self.together(queries)
            if box is None or options.first_pass == "region":
                return PassQueries(query, query)
            return PassQueries(query, self.query(image, None, min_words=1, surroundings=0.0))
        except TooFewWordsError as error:
            # The box is in the encoder's pixels, which a user has never seen: the message names the region as given.
            raise TooFewWordsError(f"{'the image' if region is None else f'the region {region}'} {error}") from error

    def _scales(self, options: RegionSearch) -> int:
        """At how many sizes the region is seen."""
        if options.scales is None:
            return self.scales
        if options.scales > 1 and self.scales == 1:
            raise ValueError(
                f"scales={options.scales} are those of patches of grids, and the index has none: leave it out"
            )
        return options.scales

    def rank(
        self,
        index: MediaIndex,
        query: PassQueries[Query],
        options: RegionSearch,
        kinds: frozenset[str] | None = None,
        where: str | None = None,
    ) -> RegionRanking:
        """Rank the whole index, or all of it that is of some kinds and passes a filter.

        Args:
          index: of this system.
          query: see `region_query`.
          options: its region and `at` are not looked at.
          kinds: rank only "image" or only "video"; None: both.
          where: rank only what passes this filter, see `MediaIndex.passing`.

        Raises:
          ValueError: a setting does not fit the index.
        """
        if options.verify and not self.key_points:
            raise ValueError("verify compares key points: it needs an index of SIFT words")
        gallery = self.prepared(index)
        rows = np.arange(len(gallery.items))
        if kinds is not None or where is not None:
            # The others must take no candidate's place.
            rows = np.flatnonzero(index.passing(kinds, where)[gallery.items])
        order, first, found = rank_rows(gallery, rows, query, options)
        if options.expand and found is not None:
            best = best_places(gallery, query.region, found, options)
            expanded = gallery.expanded(query.region, best, idf=options.idf)
            query = PassQueries(expanded, expanded)
            order, first, found = rank_rows(gallery, rows, query, options)
        if options.verify and found is not None:
            found = gallery.verified(query.region, found)
        return best_of_items(gallery, order, first, found)

    def sizes(self, index: MediaIndex) -> list[str]:
        """See `System.sizes`."""
        return [f"an image (or a frame of a video) takes {bytes_per_image(index) / 1e3:.1f} kB"]

    def _hits(self, index: MediaIndex, ranking: RegionRanking, k: int) -> list[Hit]:
        stored = self.prepared(index).stored(SIZES, ranking.rows[:k])
        hits = []
        for number, ((height, width), moment) in enumerate(
            zip(stored.vectors.tolist(), stored.starts.tolist(), strict=True)
        ):
            box = None
            if not np.isnan(ranking.boxes[number]).any():
                left, top, right, bottom = (ranking.boxes[number] * (width, height, width, height)).tolist()
                box = left, top, right, bottom
            inliers = int(ranking.inliers[number])
            hits.append(
                Hit(
                    index.items[int(ranking.ids[number])],
                    float(ranking.distances[number]),
                    "cosine",
                    (moment, moment),
                    box=box,
                    size=(height, width),
                    inliers=None if inliers < 0 else inliers,
                )
            )
        return hits
