"""The ground truth of Revisited Oxford and Paris (Radenovic et al., CVPR 2018, arXiv:1803.11285).

It is published as `gnd_roxford5k.mat` and as a pickle. A pickle may run code and is not read here: take the .mat, or
turn a pickle that you trust into JSON, with the same keys and numbers from 0:
`{"imlist": [...], "qimlist": [...], "gnd": [{"bbx": [...], "easy": [...], "hard": [...], "junk": [...]}, ...]}`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxret.data.ground_truth.instances import Box, checked_box
from jaxret.errors import ConfigError
from jaxret.files import open_regular, read_text

__all__ = ["RevisitedGroundTruth", "RevisitedQuery", "read_revisited"]


@dataclasses.dataclass(frozen=True)
class RevisitedQuery:
    """One query and the rows of the gallery that show its landmark; see `jaxret.metrics.revisited_lists`.

    Attributes:
      image: its name without the ending; not in the gallery.
      box: of the landmark in it.
      easy, hard: rows that show it clearly, and under difficult conditions.
      junk: rows that show it hardly.
    """

    image: str
    box: Box
    easy: tuple[int, ...]
    hard: tuple[int, ...]
    junk: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class RevisitedGroundTruth:
    """All of a file: the names of the gallery's images, without endings, in the order of its rows, and the queries."""

    gallery: tuple[str, ...]
    queries: tuple[RevisitedQuery, ...]


def read_revisited(path: str | os.PathLike[str]) -> RevisitedGroundTruth:
    """Read `gnd_roxford5k.mat`, `gnd_rparis6k.mat`, or the same as JSON.

    Raises:
      ConfigError: the file is a pickle or of another kind, cannot be read, or its parts do not fit each other.
    """
    source = Path(path)
    kind = source.suffix.lower()
    if kind in {".pkl", ".pickle"}:
        raise ConfigError(
            f"{source}: a pickle may run code when it is read, so it is not: take the .mat file that is published "
            f"beside it, or JSON with the same keys"
        )
    if kind not in {".mat", ".json"}:
        raise ConfigError(f"{source}: expected a .mat or .json file")
    try:
        content = _matlab(source) if kind == ".mat" else json.loads(read_text(source))
    except Exception as error:  # of what loadmat raises at damaged files there is no list
        raise ConfigError(f"{source}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    first = 1 if kind == ".mat" else 0  # MATLAB counts from 1
    try:
        gallery, names, truth = (list(content[key]) for key in ("imlist", "qimlist", "gnd"))
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{source}: expected imlist, qimlist and gnd ({error})") from error
    if len(names) != len(truth):
        raise ConfigError(f"{source}: {len(names)} query images and ground truth of {len(truth)} queries")
    queries = []
    for name, entry in zip(names, truth, strict=True):
        if not isinstance(entry, dict) or not {"bbx", "easy", "hard", "junk"} <= entry.keys():
            raise ConfigError(f"{source}: query {name} must have bbx, easy, hard and junk")
        rows = {}
        for key in ("easy", "hard", "junk"):
            numbers = np.atleast_1d(np.asarray(entry[key], np.float64)).reshape(-1) - first
            if numbers.size and not (
                (numbers == np.round(numbers)).all() and numbers.min() >= 0 and numbers.max() < len(gallery)
            ):
                raise ConfigError(f"{source}: {key} of query {name} names rows outside the gallery of {len(gallery)}")
            rows[key] = tuple(int(number) for number in numbers)
        box = checked_box(np.asarray(entry["bbx"]).reshape(-1).tolist(), f"{source}, query {name}")
        queries.append(RevisitedQuery(str(name), box, **rows))
    return RevisitedGroundTruth(tuple(str(name) for name in gallery), tuple(queries))


def _matlab(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    with open_regular(path) as file:
        content = loadmat(file, simplify_cells=True)
    # A cell array of one comes back as what it holds.
    return {key: np.atleast_1d(content[key]).tolist() for key in ("imlist", "qimlist", "gnd")}
