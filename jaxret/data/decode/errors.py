"""The one place where whatever decoders raise on a broken file becomes an error that names the file, in one line."""

from __future__ import annotations

import contextvars

from PIL import Image

from jaxret.errors import JaxretError, MediaError

__all__ = ["MAX_PIXELS", "OneLineErrors", "file_being_read"]

MAX_PIXELS = 89_478_485
"""Pixels above which an image is refused: a small file can claim a size that fills the memory.

Pillow's own limit for a warning, so that its warning and our error agree.
"""

_reading: contextvars.ContextVar[str | None] = contextvars.ContextVar("reading", default=None)


def file_being_read() -> str | None:
    """The file that this thread decodes now, for warnings that do not name it; None outside `OneLineErrors`."""
    return _reading.get()


class OneLineErrors:
    """A context in which anything that a decoder raises becomes a MediaError.

    Pillow's plug-ins and FFmpeg raise anything on garbage (OSError, SyntaxError, struct.error, KeyError, MemoryError
    ...), some of it only when pixels are wanted: so every call into them stands in this context. Errors of this library
    pass through.

    Args:
      path: names the file in the message.
    """

    def __init__(self, path: str):
        self.path = path

    def __enter__(self) -> None:
        self._token = _reading.set(self.path)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        _reading.reset(self._token)
        if isinstance(error, Exception) and not isinstance(error, JaxretError):
            raise MediaError(self.path, _reason(error)) from error


def _reason(error: Exception) -> str:
    """One line on what is wrong, in the decoder's own words where it has any."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image that Pillow can read, nor FFmpeg"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"its size is above the limit of {MAX_PIXELS} pixels"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, MemoryError):
        return "decoding it takes more memory than there is"
    words = str(getattr(error, "strerror", None) or error).strip().splitlines()
    if not words or isinstance(error, LookupError | AttributeError | AssertionError):
        return " ".join([f"damaged: the decoder ends in {type(error).__name__}", *words[:1]])
    return words[0]
