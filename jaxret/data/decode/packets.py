"""The time stamps of a video stream's packets: what there is to decode, learnt without decoding."""

from __future__ import annotations

import dataclasses
from typing import Any

import av
import numpy as np
import numpy.typing as npt

__all__ = ["PacketTable", "seconds_from_first"]

_NO_STAMP = np.iinfo(np.int64).min
_GUESSED_STAMPS = {"avi", "h264", "hevc", "m4v", "mpegvideo"}  # formats that store the order of decoding only


def seconds_from_first(stamps: npt.NDArray[np.int64], time_base: float) -> npt.NDArray[np.float64]:
    """Ascending int64 stamps (N,) as seconds from the first, however far apart a damaged file has them."""
    # Differences of int64 fit 64 bits without a sign.
    return (stamps - stamps[0]).view(np.uint64) * time_base


@dataclasses.dataclass(slots=True)
class PacketTable:
    """Packets of one stream in the order in which they are stored and decoded.

    Attributes:
      pts, dts: int64 (P,), presentation and decoding stamps in units of the time base; the smallest int64
        where the file has none.
      sizes: int64 (P,), bytes.
      keys: int64, numbers of the packets at which decoding can start.
      shown_pts: int64 (N,), the ascending stamps of the frames that are shown: without those that an
        edit list cuts off or the codec hides.
      time_base: seconds a unit.
      last_duration: seconds for which the last frame is shown.
      reliable: whether each shown packet will give one frame, found by its stamp.
      cut: whether the end of the file cuts a packet, which is left out.
      error: what ended reading before that, in one line, or None.
      broken: how many of the packets are marked as damaged.
    """

    pts: npt.NDArray[np.int64]
    dts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    shown_pts: npt.NDArray[np.int64]
    time_base: float
    last_duration: float
    reliable: bool
    cut: bool
    error: str | None
    broken: int

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Seconds from the first frame shown, float64 (N,)."""
        return seconds_from_first(self.shown_pts, self.time_base)

    @property
    def end(self) -> float:
        """Seconds, on the clock of the container, at which the last frame ends; infinite where stamps lack."""
        if not len(self.shown_pts) or self.shown_pts[0] == _NO_STAMP:
            return float("inf")
        return max(float(self.shown_pts[-1]) * self.time_base, float(self.times[-1])) + self.last_duration

    @property
    def damage(self) -> str | None:
        """What is wrong with the packets, in one line, or None; see `missing_end` for what is not there."""
        marked = f"{self.broken} of {len(self)} packets are marked as damaged" if self.broken else None
        return "; ".join(filter(None, (self.error, marked))) or None

    @classmethod
    def scan(cls, container: Any, stream: Any) -> PacketTable:
        """Read all packets of `stream`, opened by PyAV, from where the container stands, which must be its start."""
        rows: list[tuple[int, ...]] = []
        ended = None
        hidden_frames = stream.codec_context.name in ("vp8", "libvpx")
        last_is_broken = False
        broken = 0
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    continue  # the flush at the end, or a frame that AVI repeats by storing nothing
                # VP8 stores frames that are only referred to; bit 4 of the first byte says which are shown.
                shown = not packet.is_discard and not (hidden_frames and not memoryview(packet)[0] & 16)
                stamps = [_NO_STAMP if stamp is None else int(stamp) for stamp in (packet.pts, packet.dts)]
                rows.append((*stamps, packet.size, packet.duration or 0, packet.is_keyframe, shown))
                last_is_broken = packet.is_corrupt
                broken += last_is_broken
        except (av.FFmpegError, OSError) as error:
            ended = f"reading stops after {len(rows)} frames: {getattr(error, 'strerror', None) or error}"
        if last_is_broken:
            rows.pop()  # cut in the middle of a packet
        table = np.array(rows, dtype=np.int64).reshape(-1, 6)
        pts, dts, sizes, durations, is_key, is_shown = table.T
        time_base = float(stream.time_base or 0)
        visible = is_shown.astype(bool)
        shown_pts = np.sort(pts[visible])
        keys = np.flatnonzero(is_key)
        reliable = bool(
            time_base > 0
            and len(shown_pts)
            and shown_pts[0] != _NO_STAMP
            and np.all(shown_pts[1:] > shown_pts[:-1])
            and len(keys)
            and keys[0] == 0
            # Fields may be stored one a packet, two to a frame.
            and getattr(stream.codec_context, "field_order", 0) <= 1
            # FFmpeg makes up presentation times where the format has none, wrongly if frames are reordered.
            and not (
                container.format.name in _GUESSED_STAMPS and stream.codec_context.has_b_frames and len(keys) < len(rows)
            )
        )
        last_duration = 0.0
        if len(shown_pts):
            last_duration = max(0.0, float(durations[visible][np.argmax(pts[visible])]) * time_base)
            rate = stream.average_rate or stream.guessed_rate
            if not last_duration and len(shown_pts) > 1:
                last_duration = float(np.median(np.diff(seconds_from_first(shown_pts, time_base))))
            elif not last_duration and rate:
                last_duration = 1 / float(rate)
        return cls(
            pts, dts, sizes, keys, shown_pts, time_base, last_duration, reliable,
            cut=last_is_broken, error=ended, broken=broken - last_is_broken,
        )  # fmt: skip

    def key_before(self, stamp: int) -> int:
        """Number of the packet to start from so that the frame at `stamp` comes out whole.

        That is the last key frame shown no later. Frames stored after a key frame but shown before it (an
        open group of images) refer to the group before, and so start there.
        """
        starts = self.keys[self.pts[self.keys] <= stamp]
        return int(starts[-1]) if len(starts) else 0

    def seek_target(self, key: int) -> int:
        """The stamp to give to FFmpeg for packet `key`: containers index by decoding time."""
        stamp = self.dts[key] if self.dts[key] != _NO_STAMP else self.pts[key]
        return int(stamp)

    def matches(self, position: int, packet: Any) -> bool:
        """Whether `packet` is number `position`, by its stamp and size."""
        return (
            position < len(self)
            and packet.size == self.sizes[position]
            and (_NO_STAMP if packet.pts is None else packet.pts) == self.pts[position]
        )

    def find(self, packet: Any) -> int | None:
        """The number of `packet`, or None if it is not in the table exactly once."""
        candidates = np.flatnonzero(self.pts == (_NO_STAMP if packet.pts is None else packet.pts))
        places = [int(place) for place in candidates if self.matches(int(place), packet)]
        return places[0] if len(places) == 1 else None
