"""What an evaluation searches with: the vectors of the queries that can be read, and a remark on the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

from jaxret.data.dataset import MediaDataset
from jaxret.errors import ConfigError, MediaError
from jaxret.retrieval.encode import FrameEncoder, FrameVectors, frame_vectors

__all__ = ["QueryMedia", "unread_in_words"]


@dataclasses.dataclass(frozen=True)
class QueryMedia:
    """Queries, encoded.

    Attributes:
      vectors: frame vectors by the number of the query, of those that could be read.
      unread: the others.
    """

    vectors: Mapping[int, FrameVectors]
    unread: Sequence[MediaError] = ()

    @classmethod
    def read(
        cls, queries: MediaDataset, encoder: FrameEncoder, *, threads: int, skipped: Sequence[MediaError] = ()
    ) -> Self:
        """Read and encode all queries.

        Args:
          queries: the media.
          encoder: of the index.
          threads: files decoded at once.
          skipped: queries that were found unreadable before, and are not among the media.

        Raises:
          ConfigError: none of them can be read; with the first reason.
        """
        vectors: dict[int, FrameVectors] = {}
        unread = list(skipped)
        for number, found in frame_vectors(queries, encoder, threads=threads):
            if isinstance(found, MediaError):
                unread.append(found)
            else:
                vectors[number] = found
        if unread and not vectors:
            raise ConfigError(f"nothing to measure: {unread_in_words(unread, f'{len(unread)} queries')}")
        return cls(vectors, unread)

    @property
    def remarks(self) -> list[str]:
        """For the report: a line on the queries that could not be read; none where all could."""
        count = len(self.vectors) + len(self.unread)
        return [unread_in_words(self.unread, f"{count} queries")] if self.unread else []


def unread_in_words(unread: Sequence[MediaError], of: str) -> str:
    """How many could not be read, `of` how many of what, and the first of them with its reason.

    Example:
      >>> unread_in_words([MediaError("a.mp4", "no video frame in the file")], "12 queries")
      '1 of 12 queries could not be read: first a.mp4 (no video frame in the file)'
    """
    return f"{len(unread)} of {of} could not be read: first {unread[0].path} ({unread[0].reason})"
