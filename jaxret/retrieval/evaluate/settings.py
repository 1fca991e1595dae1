"""What is measured, and over which items: the settings of each evaluation. `jaxret evaluate` makes its flags of them.

How the ranking is made is said by the options of a search (`jaxret.retrieval.options`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, get_args

from jaxret.data.sampling.changes import CHANGES, Change
from jaxret.errors import ConfigError
from jaxret.evaluation import Relevant, Unannotated
from jaxret.metrics import Denominator
from jaxret.ranges import Count, CountOrZero, Share, Weight, above, at_least, check_ranges

__all__ = ["CroppedEvaluation", "FilmEvaluation", "LabelEvaluation", "RegionEvaluation", "SceneEvaluation"]


@dataclasses.dataclass(frozen=True)
class LabelEvaluation:
    """Labelled queries in a labelled gallery.

    Attributes:
      split: only indexed items of this split take part, as queries and as gallery.
      relevant: "label": what carries the query's label, items of its own source left out; "source": what the queries,
        parts of indexed videos, were cut from.
      denominator: what mAP@k divides by: min(n_relevant,k), all relevant items, or those retrieved among the first k.
      by_class: add a group for each class, by its name; a class called all, seen or unseen, as other groups are, is
        "class all" and so on.
      depth: results kept a query. Default: the whole gallery, which mAP needs.
      relevant_items: give every query a gallery of its own with so many items of each class, drawn at random from those
        of other sources, so that large and small classes compare. Default: the gallery is what it is.
      vote: let so many nearest vote for the class of a query, and tell accuracy, precision and F1 against the share of
        the queries that are answered, as the threshold of PAR rises. Thresholds are chosen on the validation items of
        the index, where it has some, or it is the one of the search (min_cosine).
      unannotated: of queries that some of the gallery is annotated for (cc-web-video,seeds=yes:FOLDER), what
        becomes of the rest: "left-out" of the ranking, so that each query has its own candidates, or
        "wrong". By default the figures with "wrong" stand beside.

    Raises:
      ConfigError: a value is unknown or out of range.
    """

    split: str | None = None
    relevant: Relevant = "label"
    denominator: Denominator = "min(n_relevant,k)"
    by_class: bool = False
    depth: Annotated[int | None, at_least(1)] = None
    relevant_items: Annotated[int | None, at_least(1)] = None
    vote: Annotated[int | None, at_least(1)] = None
    unannotated: Unannotated = "left-out"

    def __post_init__(self) -> None:
        for name, known in (("relevant", Relevant), ("denominator", Denominator), ("unannotated", Unannotated)):
            if (value := getattr(self, name)) not in get_args(known):
                raise ConfigError(f"{name} must be one of {', '.join(get_args(known))}, got {value!r}")
        check_ranges(self)
        if self.relevant_items is not None and self.relevant == "source":
            raise ConfigError("relevant_items draws items of each class: leave it out where relevance is by source")
        if self.vote is not None and self.relevant == "source":
            raise ConfigError("a vote is for a class: leave vote out where relevance is by source")


@dataclasses.dataclass(frozen=True)
class CroppedEvaluation:
    """Queries cropped from indexed videos, with gaps, and changed (Ma and Klabjan, section 5.4).

    Attributes:
      runs: stretches of consecutive frames that a query is made of, with frames left out between them.
      share: of a video's frames that a query shows.
      changes: what is changed in the queries: colour, scale, crop, blur, encode (MPEG-4), see
        `jaxret.data.sampling.changes`.
      strengths: how much; figures are told for each, 0 for queries as they are.
      query_seed: frames, signs and windows follow from it.

    Raises:
      ConfigError: a value is unknown or out of range, or one is named twice.
    """

    runs: Count = 2
    share: Annotated[float, above(0, below=1)] = 0.5
    changes: tuple[Change, ...] = CHANGES
    strengths: tuple[Share, ...] = (0.0, 0.25, 0.5, 1.0)
    query_seed: CountOrZero = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("changes", "strengths"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ConfigError(f"{name} must name each once, and one at least, got {list(values)}")
        for strength in self.strengths:
            if not 0 <= strength <= 1:
                raise ConfigError(f"strengths must be 0 to 1, got {strength}")
        for change in self.changes:
            if change not in CHANGES:
                raise ConfigError(f"changes must be of {', '.join(CHANGES)}, got {change!r}")
        if set(self.changes) != set(CHANGES) and not any(self.strengths):
            raise ConfigError(f"changes={list(self.changes)} have no effect: strengths are 0 alone")


@dataclasses.dataclass(frozen=True)
class FilmEvaluation:
    """Screen photos of films with the times that they show.

    Attributes:
      tolerance: seconds by which a shot or a moment may miss the time.

    Raises:
      ConfigError: it is negative.
    """

    tolerance: Weight = 1.0

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class RegionEvaluation:
    """Regions of images with ground truth.

    Attributes:
      whole_images: search with the whole images, without their boxes, to see what the boxes are worth.
    """

    whole_images: bool = False


@dataclasses.dataclass(frozen=True)
class SceneEvaluation:
    """Image queries with the ground truth of Stanford I2V.

    Attributes:
      results: folder to write the published result files into, scene_retrieval.txt and temporal_refinement.txt.
    """

    results: Path | None = None
