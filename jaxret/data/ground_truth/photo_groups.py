"""INRIA Holidays (Jegou, Douze and Schmid, ECCV 2008) and UKBench (Nister and Stewenius, CVPR 2006): photographs in
groups of one scene or thing, whole images as queries.

Holidays: `100000.jpg`, `100001.jpg`, ...: the first four digits name the group, and the image that ends in 00 is the
group's query. UKBench: `ukbench00000.jpg`, ...: four in a row show one thing, and every image is a query.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from jaxret.data.decode.image import ImageReader
from jaxret.data.ground_truth.instances import InstanceQuery
from jaxret.errors import ConfigError, MediaError

__all__ = ["holidays_queries", "ukbench_queries"]

_GROUP = 4


def holidays_queries(folder: str | os.PathLike[str]) -> tuple[InstanceQuery, ...]:
    """The queries of Holidays; of each the other images of its group are good, and itself junk, as in its protocol.

    Args:
      folder: of the images; a part of them does, as long as a query has an image to find.

    Raises:
      ConfigError: the folder holds no such images, or a query that cannot be read.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for path, digits in _images(folder, r"(\d{6})", "100000.jpg"):
        groups[digits[:4]].append(path)
    queries = []
    for name, paths in sorted(groups.items()):
        first, others = paths[0], paths[1:]
        if first.stem.endswith("00") and others:
            good = tuple(path.stem for path in others)
            queries.append(InstanceQuery(name, first.stem, _whole(first), good, junk=(first.stem,)))
    return tuple(queries)


def ukbench_queries(folder: str | os.PathLike[str]) -> tuple[InstanceQuery, ...]:
    """The queries of UKBench, each image of each whole group; good are all four of it, the query itself too, as the
    published score counts (four times the precision among the first four).

    Args:
      folder: of the images; groups of which one is missing are passed over.

    Raises:
      ConfigError: the folder holds no such images, or one that cannot be read.
    """
    groups: dict[int, list[Path]] = defaultdict(list)
    for path, digits in _images(folder, r"ukbench(\d{5})", "ukbench00000.jpg"):
        groups[int(digits) // _GROUP].append(path)
    whole = [[path.stem for path in group] for _, group in sorted(groups.items()) if len(group) == _GROUP]
    sizes = {path.stem: _whole(path) for group in groups.values() if len(group) == _GROUP for path in group}
    return tuple(InstanceQuery(name, name, sizes[name], tuple(group)) for group in whole for name in group)


def _images(folder: str | os.PathLike[str], pattern: str, example: str) -> Sequence[tuple[Path, str]]:
    """The images by name, each with the digits of its name."""
    found = [(path, re.fullmatch(pattern, path.stem)) for path in sorted(Path(folder).glob("*.jpg"))]
    named = [(path, match[1]) for path, match in found if match is not None]
    if not named:
        raise ConfigError(f"{folder} holds no images named like {example}")
    return named


def _whole(path: Path) -> tuple[float, float, float, float]:
    try:
        with ImageReader(path) as reader:
            return 0.0, 0.0, float(reader.info.width), float(reader.info.height)
    except MediaError as error:
        raise ConfigError(f"{path}: the query cannot be read: {error.reason}") from error
