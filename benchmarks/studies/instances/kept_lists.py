"""Lists of visual words that an index keeps, at a million images: making them, opening the index, and a first pass.

Words are synthetic: of 24 x 24 places each has one of 2,000 words, drawn by a Zipf law (exponent 0.8); a query is the
words of a quarter of another such image. Making and searching each run in a process of their own, whose memory is told.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxret.data.items import MediaItem
from jaxret.index import EncoderRecord, MediaIndex, Rows, Space
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.systems.word_records import MapLayout
from jaxret.retrieval.systems.words import WordGallery, WordQuery
from jaxret.visual_words import query_bag

__all__ = ["kept_rows"]

_WORDS, _GRID, _STRIDE, _BLOCK = 2000, 24, 16, 50_000
_SIDE = _GRID * _STRIDE
_LAYOUT = MapLayout(_WORDS, _STRIDE, _SIDE, _SIDE)
_QUERIES = 9


def kept_rows(folder: Path, count: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """What is measured, its setting, and figures; the index is removed in the end.

    Args:
      folder: where the index is made.
      count: images.
    """
    setting = f"{count:,} images, {_WORDS} words"
    shutil.rmtree(folder, ignore_errors=True)
    made = _run("make", folder, count)
    made["MB on disk"] = sum(file.stat().st_size for file in folder.rglob("*.lists*")) / 1e6
    yield "lists kept with the index, made", setting, made
    yield "lists kept with the index, a command's first search", setting, _run("search", folder, count)
    shutil.rmtree(folder)


def _run(step: str, folder: Path, count: int) -> dict[str, float]:
    words = [sys.executable, "-m", "studies.instances.kept_lists", step, str(folder), str(count)]
    here = Path(__file__).parents[2]
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def _records(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, _WORDS + 1) ** 0.8
    records = np.empty((count, _LAYOUT.length), np.uint16)
    records[:, :2] = _SIDE
    ends = np.cumsum(share / share.sum())
    records[:, 2:] = np.minimum(np.searchsorted(ends, rng.random((count, _GRID**2), np.float32)), _WORDS - 1) + 1
    return records


def _make(folder: Path, count: int) -> dict[str, float]:
    space = Space.of_records("words", _LAYOUT.length, _LAYOUT.dtype)
    encoder = EncoderRecord("synthetic", Preprocessing(height=_SIDE, width=_SIDE))
    index = MediaIndex.create(folder, spaces=[space], encoder=encoder)
    for start in range(0, count, _BLOCK):
        numbers = range(start, min(start + _BLOCK, count))
        items = [MediaItem(str(number), "image") for number in numbers]
        index.add(items, {"words": Rows(_records(1 + start, len(numbers)), np.arange(len(numbers)))})
    started = time.perf_counter(), time.process_time()
    index.keep_lists("words", _LAYOUT.terms)
    return {"s to prepare": time.perf_counter() - started[0], "processor s": time.process_time() - started[1]}


def _search(folder: Path) -> dict[str, float]:
    images = [_LAYOUT.unpack(record) for record in _records(0, _QUERIES)]
    side = _SIDE / 2
    bags = [query_bag(image, _WORDS, (0, 0, side, side)) for image in images]
    queries = [WordQuery(bag, 1.0, image, (0, 0, side, side)) for bag, image in zip(bags, images, strict=True)]
    start = time.perf_counter()
    gallery = WordGallery(MediaIndex.open(folder), _LAYOUT, np.ones(_WORDS))
    gallery.distances(queries[0], idf=False, centre=False)
    first = time.perf_counter() - start
    times = []
    for query in queries:
        start = time.perf_counter()
        gallery.distances(query, idf=False, centre=False)
        times.append(time.perf_counter() - start)
    return {"ms to open and search": first * 1000, "ms a query": float(np.median(times)) * 1000}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("make", "search"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    args = parser.parse_args()
    found = _make(args.folder, args.count) if args.step == "make" else _search(args.folder)
    found["GB of memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(found))
