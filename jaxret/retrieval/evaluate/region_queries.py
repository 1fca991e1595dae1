"""Region queries of the published instance benchmarks, and of one's own boxes, with the items that are relevant."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from jaxret.data.datasets.folders import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from jaxret.data.ground_truth.boxes import read_box_annotations
from jaxret.data.ground_truth.instances import InstanceQuery, relevance_lists
from jaxret.data.ground_truth.instre import instre_queries, read_instre
from jaxret.data.ground_truth.oxford import read_oxford_queries
from jaxret.data.ground_truth.photo_groups import holidays_queries, ukbench_queries
from jaxret.data.ground_truth.revisited import read_revisited
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError, MediaError
from jaxret.metrics import RevisitedSetting, revisited_lists
from jaxret.retrieval.region import Box

__all__ = ["SOURCES", "RegionQueries", "RegionQuery", "Relevance", "read_region_queries"]

_ENDINGS = IMAGE_EXTENSIONS | VIDEO_EXTENSIONS | {".gif"}
SOURCES = ("oxford", "revisited", "instre", "holidays", "ukbench", "boxes")
_READERS: dict[str, Callable[[str], tuple[InstanceQuery, ...]]] = {
    "oxford": read_oxford_queries,
    "instre": lambda root: instre_queries(read_instre(root)),
    "holidays": holidays_queries,
    "ukbench": ukbench_queries,
}


@dataclasses.dataclass(frozen=True)
class RegionQuery:
    """An image and a box in its pixels."""

    name: str
    path: str
    box: Box


@dataclasses.dataclass(frozen=True)
class Relevance:
    """What is relevant to each query, as `jaxret.metrics.relevance_by_lists` takes it: items by id.

    Attributes:
      relevant: for each query, grade by item.
      junk: for each query, items that count neither way.
    """

    relevant: Sequence[Mapping[int, float]]
    junk: Sequence[set[int]]


@dataclasses.dataclass(frozen=True)
class RegionQueries:
    """Queries and what is relevant to them.

    Attributes:
      queries: Q of them.
      relevance: by name: one, or of the revisited sets easy, medium and hard.
      boxes: for each query float64 (S, 4) by item, where its object truly is; None where it is not known.
      skipped: images that are listed with boxes and cannot be read, so that those are neither queries nor relevant.
    """

    queries: Sequence[RegionQuery]
    relevance: Mapping[str, Relevance]
    boxes: Sequence[Mapping[int, NDArray[np.float64]]] | None = None
    skipped: Sequence[MediaError] = ()


def read_region_queries(
    spec: str, items: Sequence[MediaItem], *, query_folder: Path | None = None, without_query: bool = False
) -> RegionQueries:
    """Read queries and ground truth, and find their images among the items of an index.

    Args:
      spec: `oxford:FOLDER` of ground-truth files in the layout of Oxford5k, Paris6k and Sculptures 6k;
        `revisited:FILE`, the .mat (or JSON) of Revisited Oxford or Paris; `instre:ROOT`, the folder of INSTRE's
        subsets; `holidays:FOLDER` or `ukbench:FOLDER` of their images, which are queries as a whole; or `boxes:CSV`
        with the columns path, left, top, right, bottom, label and split, of which the boxes of the split test are
        queries, and relevant is what carries their label among all that are indexed.
      items: of the index. An image of a CSV is known by its file; one of the others by its key or path without the
        ending, or by the last part of it where no other ends so.
      query_folder: where the queries' images lie that are not in the index (the revisited sets).
      without_query: the query's own image is junk, a choice of Oxford, Paris and UKBench, in whose published figures
        it counts. Of the revisited sets it is not in the gallery, of INSTRE, Holidays and boxes it is always junk.

    Raises:
      ConfigError: the spec is unknown, a setting does not go with it, a file cannot be read or is malformed, an image
        that is named is neither in the index nor in `query_folder`, or fits several of its items, or there is no
        query.
    """
    kind, colon, path = spec.partition(":")
    if not colon or not path or kind not in SOURCES:
        raise ConfigError(f"queries with boxes are named {', '.join(f'{name}:PATH' for name in SOURCES)}, got {spec!r}")
    if query_folder is not None and kind != "revisited":
        raise ConfigError(f"of {kind} it is known where the query images lie: leave the folder {query_folder} out")
    if without_query and kind not in ("oxford", "ukbench"):
        absent = "is not in the gallery" if kind == "revisited" else "never counts"
        raise ConfigError(f"the query image {absent} of {kind}: leave without_query out")
    known = _Names(items)
    if kind == "boxes":
        return _of_boxes(path, known)
    if kind == "revisited":
        return _revisited(path, known, query_folder)
    queries = _READERS[kind](path)
    if not queries:
        raise ConfigError(f"{path}: no object is shown by two images, so none can be searched with the other")
    found = [RegionQuery(query.name, known.path(query.image), query.box) for query in queries]
    named = [name for query in queries for name in (query.image, *query.good, *query.ok, *query.junk)]
    gallery = known.gallery(named)
    relevant, junk = relevance_lists(queries, list(gallery), graded=True, without_query=without_query)
    return RegionQueries(found, {"all": _by_item(relevant, junk, list(gallery.values()))})


def _revisited(path: str, known: _Names, folder: Path | None) -> RegionQueries:
    truth = read_revisited(path)
    if folder is None:
        raise ConfigError(
            "the queries of the revisited sets are not in their galleries: name the folder of their images"
        )
    ids = [known.id_of(name) for name in truth.gallery]
    found = [RegionQuery(query.image, _file_of(folder, query.image), query.box) for query in truth.queries]
    relevance = {}
    for setting in get_args(RevisitedSetting):
        lists = [revisited_lists(query.easy, query.hard, query.junk, setting) for query in truth.queries]
        relevance[setting] = _by_item([dict.fromkeys(good, 1.0) for good, _ in lists], [bad for _, bad in lists], ids)
    return RegionQueries(found, relevance)


def _of_boxes(table: str, known: _Names) -> RegionQueries:
    annotations = read_box_annotations(table)
    shown: dict[str, dict[int, NDArray[np.float64]]] = {name: {} for name in annotations.classes}
    for image, boxes, labels in zip(annotations.images.items, annotations.boxes, annotations.labels, strict=True):
        number = known.files.get(os.path.realpath(str(image.path)))
        if number is not None:
            for label in np.unique(labels):
                shown[annotations.classes[label]][number] = boxes[labels == label]
    queries, labelled = [], []
    for image, boxes, labels in zip(annotations.images.items, annotations.boxes, annotations.labels, strict=True):
        if image.split != "test":
            continue
        own = known.files.get(os.path.realpath(str(image.path)))
        for count, (box, label) in enumerate(zip(boxes.tolist(), labels, strict=True), start=1):
            name = f"{image.key}_{count}"
            queries.append(RegionQuery(name, str(image.path), (box[0], box[1], box[2], box[3])))
            labelled.append((annotations.classes[label], own))
    if not queries:
        raise ConfigError(f"{table}: no image is in the split test, whose boxes are the queries")
    relevant = [dict.fromkeys((n for n in shown[label] if n != own), 1.0) for label, own in labelled]
    junk = [set() if own is None else {own} for _, own in labelled]
    boxes_of_query = [shown[label] for label, _ in labelled]
    return RegionQueries(queries, {"all": Relevance(relevant, junk)}, boxes_of_query, annotations.images.skipped)


def _by_item(relevant: Sequence[Mapping[int, float]], junk: Sequence[set[int]], ids: Sequence[int]) -> Relevance:
    """Lists of positions in a gallery as lists of items."""
    return Relevance(
        [{ids[position]: grade for position, grade in good.items()} for good in relevant],
        [{ids[position] for position in bad} for bad in junk],
    )


class _Names:
    """Items by the names that ground truth gives them: no ending, and perhaps no folder.

    Attributes:
      files: by the path of the file.
    """

    def __init__(self, items: Sequence[MediaItem]):
        self.items = items
        self.files = {os.path.realpath(item.path): number for number, item in enumerate(items) if item.path is not None}
        self.whole: defaultdict[str, list[int]] = defaultdict(list)
        self.short: defaultdict[str, list[int]] = defaultdict(list)
        for number, item in enumerate(items):
            for name in {_bare(item.key), _bare(str(item.path or item.key))}:
                self.whole[name].append(number)
            self.short[PurePosixPath(_bare(item.key)).name].append(number)

    def id_of(self, name: str) -> int:
        """The item of this name; ConfigError where there is none, or where there are several."""
        bare = _bare(name)
        found = self.whole.get(bare) or self.short.get(bare) or []
        if not found:
            raise ConfigError(f"the index of {len(self.items)} items lacks {name!r}, which the ground truth names")
        if len(found) > 1:
            first, second = (self.items[number].key for number in found[:2])
            raise ConfigError(f"the ground truth names {name!r}, which may be {first!r} or {second!r} of the index")
        return found[0]

    def path(self, name: str) -> str:
        """The file of this item; ConfigError where there is none."""
        path = self.items[self.id_of(name)].path
        if path is None:
            raise ConfigError(f"{name!r} is a query, and the index does not know its file")
        return path

    def gallery(self, names: Sequence[str]) -> dict[str, int]:
        """Each name once, with its item."""
        return {name: self.id_of(name) for name in dict.fromkeys(names)}


def _bare(name: str) -> str:
    """Without the ending of a media file; what follows another dot belongs to the name."""
    path = PurePosixPath(Path(name).as_posix())
    return (path.with_suffix("") if path.suffix.lower() in _ENDINGS else path).as_posix()


def _file_of(folder: Path, name: str) -> str:
    bare = _bare(name)
    found = sorted(
        path
        for path in folder.glob(f"{glob.escape(bare)}.*")
        if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file() and path.with_suffix("") == folder / bare
    )
    if not found:
        raise ConfigError(f"{folder} lacks the query image {name!r}")
    return str(found[0])
