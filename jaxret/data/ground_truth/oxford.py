"""The ground truth of Oxford5k (Philbin et al., CVPR 2007), Paris6k (CVPR 2008) and data sets in the same layout.

A query is four text files: `NAME_query.txt` with one line `IMAGE LEFT TOP RIGHT BOTTOM`, and `NAME_good.txt`,
`NAME_ok.txt` and `NAME_junk.txt` with an image a line. Sculptures 6k (Arandjelovic and Zisserman, ICCV 2011) is read
from the same layout.
"""

from __future__ import annotations

import os
from pathlib import Path

from jaxret.data.ground_truth.instances import InstanceQuery, checked_box, read_lines
from jaxret.errors import ConfigError

__all__ = ["read_oxford_queries"]

_QUERY = "_query.txt"
_LISTS = ("good", "ok", "junk")


def read_oxford_queries(folder: str | os.PathLike[str], *, prefix: str = "oxc1_") -> tuple[InstanceQuery, ...]:
    """The queries of a folder of ground-truth files, by name.

    Args:
      folder: of the text files.
      prefix: that names in query files have and the images do not; "oxc1_" in Oxford5k, and no name of the others
        begins so.

    Raises:
      ConfigError: the folder holds no query file, a file cannot be read or is malformed, or a list (good, ok or junk)
        is there for some queries and not for others; a list that no query has is empty.
    """
    root = Path(folder)
    query_files = sorted(root.glob(f"*{_QUERY}"))
    if not query_files:
        raise ConfigError(f"{root} holds no ground truth: no file is named *{_QUERY}")
    names = [path.name.removesuffix(_QUERY) for path in query_files]
    present = {kind: [(root / f"{name}_{kind}.txt").is_file() for name in names] for kind in _LISTS}
    for kind, there in present.items():
        if any(there) and not all(there):
            absent = names[there.index(False)]
            raise ConfigError(f"{root / f'{absent}_{kind}.txt'} is missing, and other queries have such a list")
    if not any(present["good"]):
        raise ConfigError(f"{root} holds no list of good images: no file is named *_good.txt")
    queries = []
    for path, name in zip(query_files, names, strict=True):
        lines = read_lines(path)
        if len(lines) != 1 or len(words := lines[0].split()) != 5:
            raise ConfigError(f"{path}: expected one line with an image and a box, got {lines!r}")
        lists = {kind: tuple(read_lines(root / f"{name}_{kind}.txt")) if present[kind][0] else () for kind in _LISTS}
        for kind, other in (("good", "ok"), ("good", "junk"), ("ok", "junk")):
            if both := set(lists[kind]) & set(lists[other]):
                raise ConfigError(f"{path.parent}: query {name} lists {min(both)!r} as {kind} and as {other}")
        queries.append(
            InstanceQuery(name, words[0].removeprefix(prefix), checked_box(words[1:], os.fspath(path)), **lists)
        )
    return tuple(queries)
