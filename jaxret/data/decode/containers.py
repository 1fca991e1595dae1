"""Opening a media file with FFmpeg so that this one file is read, and nothing that it names."""

from __future__ import annotations

import functools
import os
from typing import Any

import av

from jaxret.remote import open_binary, url_of

__all__ = ["open_container"]

_OF_OTHER_FILES = frozenset(
    [
        "applehttp", "avisynth", "concat", "dash", "hls", "image2", "image2pipe", "imf", "lavfi", "rtp", "rtsp", "sap",
        "sdp", "vapoursynth", "vobsub", "webm_dash_manifest",
    ]
)  # fmt: skip
"""Formats that are lists of other files or streams, or scripts."""


def open_container(path: str | os.PathLike[str]) -> Any:
    """A file, or one at a URL, of which only what is read is fetched, as an open container of PyAV.

    A file of any name may be a playlist: FFmpeg goes by the content, and would read the files that it lists.

    Raises:
      av.FFmpegError, OSError, ValueError: it cannot be opened, or is such a list.
      MediaError: it cannot be read from its URL.
    """
    if url_of(path) is not None:
        nothing_else = {"protocol_whitelist": "", "format_whitelist": _formats()}
        return av.open(open_binary(path), metadata_errors="replace", options=nothing_else)
    # The prefix keeps FFmpeg from taking the name for an address, the lists from opening anything else.
    options = {"protocol_whitelist": "file", "format_whitelist": _formats()}
    return av.open(f"file:{os.fspath(path)}", metadata_errors="replace", options=options)


@functools.cache
def _formats() -> str:
    return ",".join(sorted(set(av.formats_available) - _OF_OTHER_FILES))
