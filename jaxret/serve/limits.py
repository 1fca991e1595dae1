"""What the server takes at most, so that no request fills memory or disk."""

from __future__ import annotations

import dataclasses

__all__ = ["Limits"]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of requests and of what is kept between them.

    Attributes:
      body_bytes: of a request in JSON.
      upload_bytes, upload_pixels, upload_seconds: of one uploaded file, of a frame of it, and of its length.
      uploads, uploads_bytes: kept at once; the oldest make room.
      upload_pause: seconds without a byte after which an upload is given up.
      waiting: searches and comparisons in line, beside the one that runs.
      searches, hits: searches that are kept, and results of all of them; the oldest finished ones make room.
      results: of one search.
      encoded, encoded_bytes: queries kept as the encoder sees them, and how much of vectors.
      preview_bytes: of thumbnails and filmstrips kept in memory.
      previews_waiting: thumbnails and the like in line.
      cut_seconds, encoded_seconds: of a clip that is cut out; of one whose frames are encoded anew.
      cuts: clips kept until they are sent; the oldest make room.
      rendered: media kept as files that an index holds otherwise (rendered clips).
    """

    body_bytes: int = 1 << 20
    upload_bytes: int = 1 << 29
    upload_pixels: int = 50_000_000
    upload_seconds: float = 4 * 3600.0
    uploads: int = 64
    uploads_bytes: int = 1 << 31
    upload_pause: float = 20.0
    waiting: int = 256
    searches: int = 256
    hits: int = 200_000
    results: int = 10_000
    encoded: int = 32
    encoded_bytes: int = 256 << 20
    preview_bytes: int = 64 << 20
    previews_waiting: int = 512
    cut_seconds: float = 3600.0
    encoded_seconds: float = 600.0
    cuts: int = 8
    rendered: int = 256
