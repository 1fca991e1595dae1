"""Videos as sequences of clip vectors in order of time: whole videos, or where one lies in the other, by DTW."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from jaxret.data.rows import Rows
from jaxret.index import OpenedIndex
from jaxret.rank import SequenceRanking, SequenceTable, rank_sequences
from jaxret.retrieval.hit import Hit

__all__ = ["ClipSequences", "SequenceBlock", "in_order_of_time", "nearest_sequences", "sequence_hits"]

# Of clip vectors: read and compared at once, and kept in memory for the next search.
_BLOCK_BYTES, _KEPT_BYTES = 256 << 20, 1 << 30


@dataclasses.dataclass(frozen=True)
class SequenceBlock:
    """Some videos of an index.

    Attributes:
      ids: int64 (N,), their ids, ascending.
      table: their N sequences of clip vectors.
      starts, ends: float64, seconds, of each row of `table.values`.
    """

    ids: npt.NDArray[np.int64]
    table: SequenceTable
    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]


class ClipSequences:
    """The videos of an index at one revision, as tables of sequences.

    They are read block by block. The blocks that fit into a limit are kept, with what searching has prepared of them;
    those beyond it are read again by each search.

    Attributes:
      ids: int64, the videos that have clip vectors.
    """

    def __init__(self, index: OpenedIndex, *, block_bytes: int = _BLOCK_BYTES, kept_bytes: int = _KEPT_BYTES):
        """Plan the blocks; nothing is read yet.

        Args:
          index: with a clip space of vectors.
          block_bytes: of the vectors of a block; one video of more is a block of its own.
          kept_bytes: of the vectors of all blocks that are kept.
        """
        self.ids = np.flatnonzero(index.searchable("clip", ("video",)))
        self._index = index
        self._kept: dict[int, SequenceBlock] = {}
        sizes = index.rows_per_item("clip")[self.ids] * index.spaces["clip"].dimension * np.dtype(np.float32).itemsize
        edges, kept = [0], 0
        self._blocks_kept = 0
        while edges[-1] < len(sizes):
            ahead = np.cumsum(sizes[edges[-1] :])
            count = max(1, int(np.searchsorted(ahead, block_bytes, side="right")))
            edges.append(edges[-1] + count)
            kept += int(ahead[count - 1])
            self._blocks_kept += kept <= kept_bytes
        self._parts = [self.ids[first:last] for first, last in itertools.pairwise(edges)]

    def blocks(self, wanted: npt.NDArray[np.bool_] | None = None) -> Iterator[SequenceBlock]:
        """The blocks, in order of ids.

        Args:
          wanted: bool (len(index),), of these items alone; None for all.
        """
        for number, ids in enumerate(self._parts):
            chosen = ids if wanted is None else ids[wanted[ids]]
            if len(chosen) == len(ids):
                block = self._kept.get(number) or _read(self._index, ids)
                if number < self._blocks_kept:
                    self._kept[number] = block
                yield block
            elif len(chosen):
                yield _read(self._index, chosen)


def _read(index: OpenedIndex, ids: npt.NDArray[np.int64]) -> SequenceBlock:
    rows = index.rows("clip", ids)
    table, order = in_order_of_time(rows)
    return SequenceBlock(ids, table, rows.starts[order], rows.ends[order])


def nearest_sequences(
    part: OpenedIndex,
    clips: Rows,
    k: int,
    ranking: SequenceRanking,
    *,
    kinds: frozenset[str] | None = None,
    where: str | None = None,
    threads: int | None = None,
) -> list[Hit]:
    """`sequence_hits` of a part of an index, or of a whole one; `kinds` and `where` as of a search."""
    wanted = None if where is None else part.passing(kinds, where)
    return sequence_hits(part, part.kept(ClipSequences).blocks(wanted), clips, k, ranking, threads=threads)


def in_order_of_time(rows: Rows) -> tuple[SequenceTable, npt.NDArray[np.int64]]:
    """A sequence for each item that has rows, in order of items; and which of `rows` each row of the table is.

    Args:
      rows: clip vectors, at least one.
    """
    order = np.lexsort((rows.starts, rows.items))
    _, first = np.unique(rows.items[order], return_index=True)
    return SequenceTable(rows.vectors[order], np.append(first, len(rows))), order


def sequence_hits(
    index: OpenedIndex,
    sequences: Iterable[SequenceBlock],
    clips: Rows,
    k: int,
    ranking: SequenceRanking,
    *,
    threads: int | None = None,
) -> list[Hit]:
    """The k videos nearest to a query, by (distance, id), each with the spans that were aligned.

    Args:
      index: that the sequences are of.
      sequences: the gallery, see `ClipSequences.blocks`.
      clips: the clip vectors of the query, one video.
      k: videos wanted, at least 1.
      ranking: how.
      threads: for the ranking kernels.

    Raises:
      ValueError: the query has no clip vectors.
    """
    if not len(clips.vectors):
        raise ValueError("the query has no clip vectors, and a sequence needs at least one")
    query, order = in_order_of_time(clips)
    query_starts, query_ends = clips.starts[order], clips.ends[order]
    found: list[tuple[float, int, Hit]] = []
    for block in sequences:
        for match in rank_sequences(query[0], block.table, min(k, len(block.ids)), ranking, threads=threads):
            first = int(block.table.offsets[match.id])
            number = int(block.ids[match.id])
            span = slice(first + match.start, first + match.end)
            query_span = slice(match.query_start, match.query_end)
            hit = Hit(
                index.items[number],
                match.distance,
                ranking.measure,
                (float(block.starts[span.start]), float(block.ends[span].max())),
                (float(query_starts[query_span.start]), float(query_ends[query_span].max())),
                backwards=match.backwards,
            )
            found.append((match.distance, number, hit))
        found = sorted(found, key=lambda entry: entry[:2])[:k]
    return [hit for _, _, hit in found]
