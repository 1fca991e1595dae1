"""Frame vectors of a data set that are computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxret.data.batches.cache import Computed, FeatureCache, FeatureTable
from jaxret.data.dataset import MediaDataset
from jaxret.errors import MediaError
from jaxret.progress import progress_bar
from jaxret.retrieval.encode import FrameEncoder, Read, frame_vectors

__all__ = ["fill_cache"]


def fill_cache(
    cache: FeatureCache,
    dataset: MediaDataset,
    numbers: Sequence[int],
    encoder: FrameEncoder,
    *,
    read: Read | None = None,
    threads: int,
    show: bool,
) -> FeatureTable:
    """Compute what the cache lacks of some items, with a bar.

    Args:
      cache: for this encoder and way of reading.
      dataset: the media.
      numbers: which items; the rows of the table are theirs, in this order.
      encoder: makes the vectors.
      read: see `frame_vectors`.
      threads: items decoded at once.
      show: draw the bar.
    """
    row = {number: place for place, number in enumerate(numbers)}

    def compute(rows: list[int]) -> Iterator[tuple[int, Computed | MediaError]]:
        wanted = [numbers[place] for place in rows]
        for number, result in frame_vectors(dataset, encoder, indices=wanted, threads=threads, read=read):
            yield row[number], result if isinstance(result, MediaError) else (result.vectors, result.times)

    with progress_bar("frame vectors", "item", total=len(numbers), shown=show) as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.update(0)

        table = cache.fill(dataset.subset(numbers), compute, threads=threads, progress=progress)
        bar.n = bar.total  # also of what was there already
        return table
