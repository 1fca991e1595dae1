"""The index of a run: made anew, without losing what was added to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import MediaItem
from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex
from jaxret.models.encoder import VideoEncoder
from jaxret.retrieval import Retriever
from jaxret.retrieval.encode import FrameVectors
from jaxret.training import RunFolder

__all__ = ["make_run_index"]


def make_run_index(
    run: RunFolder,
    dataset: MediaDataset,
    media: Mapping[int, FrameVectors],
    encoder: VideoEncoder,
    *,
    threads: int,
    say: Callable[[str], None],
) -> Retriever:
    """An index of the run's media in place of the one that is there; further files that it held are embedded again.

    Args:
      run: its `index` folder is replaced.
      dataset: the run's data.
      media: frame vectors of the items to index, by number.
      encoder: of the index.
      threads: files decoded at once.
      say: told of files that were added to the old index, and of those that can no longer be.
    """
    keys = {item.key for item in dataset.items}
    added = [item for item in _items_of(run) if item.key not in keys]
    shutil.rmtree(run.index, ignore_errors=True)
    retriever = Retriever.create(run.index, encoder)
    retriever.add(dataset, media=media)
    if not added:
        return retriever
    files = MediaFiles([item for item in added if item.path is not None])
    report = retriever.add(files, threads=threads)
    say(f"{len(report.added)} of {len(added)} items that were added to the index before are in it again")
    for error in (*files.skipped, *report.skipped):
        say(f"  lost: {error}")
    return retriever


def _items_of(run: RunFolder) -> tuple[MediaItem, ...]:
    """What the old index holds; nothing where there is none, or one that a stopped run left half-made."""
    if not (run.index / "manifest.json").exists():
        return ()
    try:
        return MediaIndex.open(run.index).items
    except IndexFormatError:
        return ()
