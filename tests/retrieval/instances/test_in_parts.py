"""Regions in an index that is searched in parts: the hits and boxes of the whole, to the last bit."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from index_parts import PartsHere

from jaxret.index import MediaIndex, ShardedIndex
from jaxret.retrieval import Hit, RayCluster, Region, RegionSearch, Retriever

OPTIONS = [
    RegionSearch(Region(8, 8, 24, 24)),
    RegionSearch(Region(8, 8, 24, 24), candidates=0),
    RegionSearch(candidates=3, expand=2),
]
QUERIES = ["a.png", "c.png", "e.png"]


@pytest.fixture(scope="module", params=["words", "regions"])
def folder(request, word_retriever: Retriever, region_retriever: Retriever, tmp_path_factory) -> Path:
    """An index of more than seven segments: the items of the usual one, added one by one."""
    whole = {"words": word_retriever, "regions": region_retriever}[request.param]
    folder = tmp_path_factory.mktemp("parts") / "index"
    index = MediaIndex.create(folder, spaces=list(whole.index.spaces.values()), encoder=whole.index.encoder)
    shutil.copytree(whole.index.folder / "encoder", folder / "encoder")
    for number, item in enumerate(whole.index.items):
        rows = {space: whole.index.rows(space, [number]).of_items(np.array([number])) for space in whole.index.spaces}
        index.add([item], {space: some for space, some in rows.items() if len(some)})
    assert len(index._snapshot.segments) > 7
    return folder


def hits(retriever: Retriever, images: Path) -> list[list[Hit]]:
    return [
        retriever.search(images / name, 6, options=options, where=where)
        for name in QUERIES
        for options in OPTIONS
        for where in (None, "not key like 'b%'")
    ]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_parts_find_what_the_whole_finds(folder: Path, images: Path, count: int) -> None:
    retriever = Retriever.open(folder)
    expected = hits(retriever, images)
    assert sum(hit.box is not None for found in expected for hit in found) > 20
    parted = Retriever(retriever.encoder, ShardedIndex(retriever.index, PartsHere(retriever.index, count)))
    assert hits(parted, images) == expected


@pytest.mark.slow  # to start Ray takes longer than all else
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra `ray`)")
@pytest.mark.filterwarnings("ignore")
def test_workers_of_ray_find_what_the_whole_finds(folder: Path, images: Path) -> None:
    import ray

    expected = hits(Retriever.open(folder), images)
    try:
        for workers in (1, 2, 7):
            assert hits(Retriever.open(folder, ray=RayCluster("local", workers)), images) == expected
    finally:
        ray.shutdown()
