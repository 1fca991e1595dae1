"""What browsers can show, and under which type it is sent."""

from __future__ import annotations

import os

from jaxret.data.datasets.media_kinds import file_extension
from jaxret.data.decode.previews import StreamFacts
from jaxret.data.items import Kind

__all__ = ["may_play", "media_type", "plays"]

_IMAGES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".png": "image/png",
    ".apng": "image/apng",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
_VIDEOS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # the same container: browsers refuse the other name and play this
    ".qt": "video/mp4",
    ".3gp": "video/3gpp",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".ogv": "video/ogg",
}
_IN_MP4 = {"h264", "av1", "vp9"}
_IN_WEBM = {"vp8", "vp9", "av1"}
_EIGHT_BITS = {"yuv420p", "yuvj420p"}


def media_type(path: str | os.PathLike[str]) -> str:
    """The type that a media file is sent as; bytes without a type where browsers know none. Never a page or script."""
    extension = file_extension(path)
    return _IMAGES.get(extension) or _VIDEOS.get(extension) or "application/octet-stream"


def may_play(path: str | os.PathLike[str], kind: Kind) -> bool:
    """Whether browsers show such files by their name; of videos the codec decides in the end, see `plays`."""
    extension = file_extension(path)
    if kind == "image":
        return extension in _IMAGES
    return (extension in _VIDEOS and extension != ".mkv") or extension in (".gif", ".apng")


def plays(path: str | os.PathLike[str], facts: StreamFacts) -> bool:
    """Whether browsers play a video, by its container and codec."""
    extension = file_extension(path)
    if extension in (".gif", ".apng"):
        return True
    if extension not in _VIDEOS or facts.pixel_format not in _EIGHT_BITS:
        return False
    if "mp4" in facts.formats:
        return facts.codec in _IN_MP4
    return "webm" in facts.formats and extension == ".webm" and facts.codec in _IN_WEBM
