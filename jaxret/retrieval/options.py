"""How to search: the settings of each way of comparing a query with an index. The commands make their flags of them.

A setting is checked here for its own value; whether it fits the index and the query, the index's system checks
(`jaxret.retrieval.systems`).
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Annotated, Any, Literal, get_args

from jaxret.ranges import Count, CountOrZero, Weight, at_least
from jaxret.rank import METRICS
from jaxret.rank.sequence_ranking import SequenceRanking, Subsequence
from jaxret.rank.validation import MOST, check_count
from jaxret.retrieval.region import Region

__all__ = ["OPTION_CLASSES", "Measure", "RegionSearch", "SequenceSearch", "SpaceName", "VectorSearch"]

SpaceName = Literal["frame", "clip", "code"]
"""The spaces of an index that a query can be compared in."""

Measure = Literal["bi-dtw", "dtw", "mean-cosine"]
"""How videos are compared as sequences."""


@dataclasses.dataclass(frozen=True)
class VectorSearch:
    """Compare whole images and clips by their vectors or binary codes.

    In the clip and code spaces a video of several chunks is compared chunk by chunk, and an item counts by its best
    chunk: videos that share a part are found, with the part. With an encoder of shots an image is a query there, too:
    it finds shots (and images), and in each the frame nearest to it, where the index keeps frames.

    In the frame space an image finds the items with the nearest frame. A video finds copies of itself, of a part of it,
    or of what it is a part of, edited ones too: the items with the nearest frames on average are aligned with it in
    time (`jaxret.retrieval.systems.alignment`), and the distance is that of the aligned frames.

    Attributes:
      space: "frame" compares single frames and finds edited copies, "clip" whole chunks of videos by what the encoder
        learned, "code" their binary codes. Default: frame for an image; for a video code where the index has codes,
        clip where it has none or another option needs vectors, frame where it holds no videos or only images are
        wanted. With an encoder of shots always clip.
      metric: distance, a name in `jaxret.rank.METRICS`: "euclidean", "cosine" (1 - cosine similarity), or "hamming"
        (bits that differ) for codes.
        Default: hamming in the code space, else euclidean.
      min_cosine: proximal-affinity re-ranking (PAR): of the k nearest by Euclidean distance, those whose cosine
        similarity exceeds this.
      rerank: in the code space put this many nearest items, at least k, in order by the Euclidean distance of their
        clip embeddings. With an encoder of shots and an image put this many nearest shots in order by their best
        frames. The distance of a hit is then the one it was ordered by. An evaluation, of codes alone, ranks the others
        behind as they were.
      every_clip: in the clip space: chunks or shots are results of their own, several of one video among them.
      probes: of the clip space, and of the frame space for an image, by Euclidean distance: look only into the cells
        of vectors around this many centroids, which `jaxret index INDEX --cells N` makes. Much faster on millions of
        vectors, and some neighbours are missed. Default: all vectors.
      device: gpu or tpu: send the vectors or codes of the space to all GPUs or TPUs of this machine, keep them there
        with the opened index, and search them there. The results are the same. Pays for many searches of millions of
        vectors. Not for a video in the frame space. Default: the CPU searches.

    Raises:
      TypeError: rerank or probes is not a whole number.
      ValueError: a value is unknown or out of range, or every_clip is combined with min_cosine, probes or device, or
        probes with device.
    """

    space: SpaceName | None = None
    metric: str | None = dataclasses.field(default=None, metadata={"choices": METRICS})
    min_cosine: float | None = None
    rerank: Annotated[int | None, at_least(1)] = None
    every_clip: bool = False
    probes: Annotated[int | None, at_least(1)] = None
    device: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("space", get_args(SpaceName)), ("metric", METRICS)):
            if (value := getattr(self, name)) not in (None, *known):
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if self.min_cosine is not None and not _is_finite(self.min_cosine):
            raise ValueError(f"min_cosine must be a finite number, got {self.min_cosine!r}")
        if self.min_cosine is not None and self.min_cosine > 1:
            raise ValueError(f"min_cosine must be at most 1, which no cosine exceeds, got {self.min_cosine!r}")
        for name in ("rerank", "probes"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), name)
        if self.every_clip and (self.min_cosine, self.probes, self.device) != (None, None, None):
            raise ValueError(
                "every_clip ranks all chunks or shots: it needs the clip space, without min_cosine, probes and device"
            )
        if self.probes is not None and self.device is not None:
            raise ValueError(f"device {self.device!r} compares all vectors: it needs no probes, got {self.probes}")


@dataclasses.dataclass(frozen=True)
class SequenceSearch:
    """Compare videos as sequences of their clip vectors, in order of time.

    Attributes:
      measure: "dtw", dynamic time warping; "bi-dtw", also with one of the two videos backwards (such results are marked
        back); or "mean-cosine", the cosine distance of their mean vectors, which does not see order.
      part: "query" finds where in each video the query lies, "item" where in the query each video lies. Default: whole
        videos are compared.
      length_normalised: divide distances, which grow with length, by the number of clips of both that are aligned.
      unit_vectors: scale every clip vector to length 1 first, so that its direction alone counts.
      reversal_penalty: of bi-dtw: a distance with one video backwards counts this share more, such as 0.1.
      window: of whole videos: how many clips an alignment may stray from the diagonal (Sakoe-Chiba). Default: any
        number.

    Raises:
      TypeError: window is no whole number.
      ValueError: a value is unknown or out of range, or options do not go together (see
        `jaxret.rank.SequenceRanking`).
    """

    measure: Measure
    part: Subsequence | None = None
    length_normalised: bool = False
    unit_vectors: bool = False
    reversal_penalty: Weight = 0.0
    window: Annotated[int | None, at_least(0)] = None

    def __post_init__(self) -> None:
        if self.measure not in get_args(Measure):
            raise ValueError(
                f"measure of sequences must be one of {', '.join(get_args(Measure))}, got {self.measure!r}"
            )
        self.ranking()

    def ranking(self) -> SequenceRanking:
        """As `jaxret.rank.rank_sequences` takes it."""
        return SequenceRanking(
            self.measure, self.part, self.length_normalised, self.unit_vectors, self.reversal_penalty, self.window
        )


_MOST_SCALES = 9

FirstPass = Literal["region", "image"]
"""What the first pass of a search with a region compares."""


@dataclasses.dataclass(frozen=True)
class RegionSearch:
    """Find what a region of an image, or of a frame of a video, shows, and where.

    A first pass compares the region with whole images and frames; the candidates, its best results, are then searched
    for the place that shows it.

    Attributes:
      region: the part of the image to search with, X,Y,WIDTH,HEIGHT: upper left corner, width and height in pixels, or
        all four in shares of the image's sides, up to 1. Default: the whole image.
      at: of a video, the second of the frame to search with.
      first_pass: what the first pass compares with whole images: "region", or "image", the whole image that the region
        lies in, which finds scenes like it and is how the systems were first put together.
      candidates: how many nearest images and frames of the first pass the region is looked for in, and of so many
        nearest videos the nearest frame at least; 0 leaves their order, without boxes. Raised to k where it is above 0
        and below k.
      idf: weight words by how rare they are (inverse document frequency), and channels of region vectors likewise.
      centre: in the first pass let words near the centre of indexed images count more.
      surroundings: let words around the region count too, less the further away: the standard deviation as a share of
        the region's diagonal; 0: those inside alone. It needs a region.
      expand: search once more with the mean of the region and of so many best places found; with verify, of those whose
        key points agree alone.
      verify: put the candidates in order by key points that agree on one transform (SIFT words, extra opencv).
      min_words: local features that the region must hold.
      scales: of patches: at how many sizes the region is seen, an odd number of them from half to twice its own; an
        image counts by the size that agrees best. It needs a region. Default: 3 for patches, 1 for the other systems,
        which have no more.

    Raises:
      TypeError: region is not a `Region`.
      ValueError: a setting is out of range or does not fit the others.
    """

    region: Region | None = None
    at: float | None = None
    first_pass: FirstPass = "region"
    candidates: CountOrZero = 100
    idf: bool = False
    centre: bool = False
    surroundings: Weight = 0.0
    expand: CountOrZero = 0
    verify: bool = False
    min_words: Count = 1
    scales: Annotated[int | None, at_least(1, most=_MOST_SCALES)] = None

    def __post_init__(self) -> None:
        for name, least in (("candidates", 0), ("expand", 0), ("min_words", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
            if int(value) > MOST:
                raise ValueError(f"{name} must be at most {MOST}, got {value}")
        if self.scales is not None:
            check_count(self.scales, "scales", most=_MOST_SCALES)
            if self.scales % 2 == 0:
                raise ValueError(f"scales must be odd, so that one is the region as it is, got {self.scales}")
        if self.first_pass not in get_args(FirstPass):
            known = ", ".join(get_args(FirstPass))
            raise ValueError(f"first_pass must be one of {known}, got {self.first_pass!r}")
        if self.region is not None and not isinstance(self.region, Region):
            raise TypeError(f"region must be a Region(x, y, width, height), got {self.region!r}")
        if self.at is not None and not _is_finite(self.at):
            raise ValueError(f"at must be a finite number of seconds, got {self.at!r}")
        if not _is_finite(self.surroundings) or self.surroundings < 0:
            raise ValueError(f"surroundings must be a finite number of at least 0, got {self.surroundings!r}")
        if self.expand > self.candidates:
            raise ValueError(
                f"expand takes from the candidates that are re-ranked, {self.candidates} of them: it must be no more, "
                f"got {self.expand}"
            )
        if self.verify and not self.candidates:
            raise ValueError("verify looks at the candidates that are re-ranked: give more than 0")


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and math.isfinite(value)


OPTION_CLASSES: tuple[type[Any], ...] = (VectorSearch, SequenceSearch, RegionSearch)
"""The options of the systems in this package, which the commands take; a system from outside may have its own."""
