"""INSTRE (Wang and Jiang 2015, ACM TOMM 11(3)): images of 200 objects, every one with its boxes.

Its folders: `INSTRE-S1/01a_canada_book/001.jpg` beside `001.txt`, which has a line `LEFT TOP WIDTH HEIGHT` for every
appearance of the object; `INSTRE-S2/...` likewise; and `INSTRE-M/01/001.jpg`, whose .txt has two lines, the first for
the object 01a of S1 and the second for 01b.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.ground_truth.boxes import BoxAnnotations
from jaxret.data.ground_truth.instances import Box, InstanceQuery, checked_box, read_lines
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError

__all__ = ["InstreImage", "instre_boxes", "instre_queries", "read_instre"]

_SUBSETS = ("INSTRE-S1", "INSTRE-S2", "INSTRE-M")


@dataclasses.dataclass(frozen=True)
class InstreImage:
    """One image and what it shows.

    Attributes:
      name: path from the root with `/`, without the ending.
      objects: name of the object ("S1-01a", "S2-" and its folder's name) and box, in the order of the file.
    """

    name: str
    objects: tuple[tuple[str, Box], ...]

    def boxes_of(self, name: str) -> tuple[Box, ...]:
        """Where an object is seen here; none if it is not."""
        return tuple(box for shown, box in self.objects if shown == name)


def read_instre(root: str | os.PathLike[str], subsets: Sequence[str] = _SUBSETS) -> tuple[InstreImage, ...]:
    """All images of INSTRE with their boxes, by name.

    Args:
      root: the folder of INSTRE-S1, INSTRE-S2 and INSTRE-M.
      subsets: those to read.

    Raises:
      ConfigError: a subset is unknown or not there, an image has no .txt file, or one cannot be read or is malformed.
    """
    images = []
    for subset in subsets:
        if subset not in _SUBSETS:
            raise ConfigError(f"unknown subset {subset!r} of INSTRE. Known: {', '.join(_SUBSETS)}")
        found = sorted((Path(root) / subset).glob("*/*.jpg"))
        if not found:
            raise ConfigError(f"{Path(root) / subset} holds no images: expected {subset}/CLASS/NUMBER.jpg")
        for path in found:
            label = path.parent.name
            annotation = path.with_suffix(".txt")
            boxes = [checked_box(line.split(), os.fspath(annotation), corners=False) for line in read_lines(annotation)]
            if subset == "INSTRE-M":
                number = re.match(r"\d+", label)
                if number is None or len(boxes) != 2:
                    raise ConfigError(f"{annotation}: a class of INSTRE-M is a number, and its images have 2 boxes")
                names = [f"S1-{int(number.group()):02d}{letter}" for letter in "ab"]
            else:
                names = [_object_name(subset, label, annotation)] * len(boxes)
            if not boxes:
                raise ConfigError(f"{annotation}: lists no box")
            relative = path.relative_to(root).with_suffix("").as_posix()
            images.append(InstreImage(relative, tuple(zip(names, boxes, strict=True))))
    return tuple(images)


def _object_name(subset: str, label: str, place: Path) -> str:
    if subset == "INSTRE-S2":
        return f"S2-{label}"
    number = re.match(r"(\d+)([ab])(_|$)", label)
    if number is None:
        raise ConfigError(f"{place}: a class of INSTRE-S1 is named like 01a_canada_book, got {label!r}")
    return f"S1-{int(number.group(1)):02d}{number.group(2)}"


def instre_boxes(root: str | os.PathLike[str], subsets: Sequence[str] = _SUBSETS) -> BoxAnnotations:
    """The images of INSTRE as a detector trains on them, an object a class; boxes are cut to their images.

    Args:
      root, subsets: see `read_instre`.

    Raises:
      ConfigError: as `read_instre`, or a box lies outside its image.
    """
    read = {image.name: image for image in read_instre(root, subsets)}
    images = MediaFiles([MediaItem(f"{name}.jpg", "image", path=str(Path(root) / f"{name}.jpg")) for name in read])
    classes = tuple(sorted({shown for image in read.values() for shown, _ in image.objects}))
    boxes, labels = [], []
    for index, item in enumerate(images.items):
        info, objects = images.info(index), read[item.key.removesuffix(".jpg")].objects
        sides = np.array([box for _, box in objects]).clip(0, (info.width, info.height, info.width, info.height))
        if (sides[:, 2:] <= sides[:, :2]).any():
            raise ConfigError(f"{item.path}: a box lies outside the image of {info.width} x {info.height} pixels")
        boxes.append(sides)
        labels.append(np.array([classes.index(shown) for shown, _ in objects], np.int64))
    return BoxAnnotations(images, tuple(boxes), tuple(labels), classes)


def instre_queries(images: Sequence[InstreImage], *, per_object: int = 5) -> tuple[InstanceQuery, ...]:
    """Queries for INSTRE: of each object the first images that show it once, each against all images.

    The published protocol (Iscen et al., CVPR 2017, arXiv:1611.05113) draws five images of each class, pairs of objects
    among them; which five is a list of its own. Here, by decision, a query is one object, and the images are the first
    ones. The query's own image is junk.

    Args:
      images: of `read_instre`.
      per_object: at least 1; fewer where an object is in too few images.

    Raises:
      ConfigError: per_object is below 1.

    Example:
      >>> box = (0.0, 0.0, 9.0, 9.0)
      >>> images = [InstreImage(name, (("S1-01a", box),)) for name in ("x/1", "x/2", "x/3")]
      >>> query, = instre_queries(images, per_object=1)
      >>> query.name, query.good, query.junk
      ('S1-01a_1', ('x/2', 'x/3'), ('x/1',))
    """
    if per_object < 1:
        raise ConfigError(f"per_object must be at least 1, got {per_object!r}")
    shown: dict[str, list[InstreImage]] = defaultdict(list)
    for image in images:
        for name in dict.fromkeys(name for name, _ in image.objects):
            shown[name].append(image)
    queries = []
    for name, where in sorted(shown.items()):
        single = [image for image in where if len(image.boxes_of(name)) == 1 and len(where) > 1]
        for number, image in enumerate(single[:per_object], start=1):
            others = tuple(other.name for other in where if other is not image)
            queries.append(
                InstanceQuery(f"{name}_{number}", image.name, image.boxes_of(name)[0], others, junk=(image.name,))
            )
    return tuple(queries)
