"""Files behind URLs (s3://, gs://, http://, https://), through fsspec: listed, asked for, and read a range at a time.

Who may read them, and where a store of one's own lies, is told to fsspec and the libraries below it as their documents
say: by variables of the environment such as AWS_ENDPOINT_URL, or a file in ~/.config/fsspec.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Protocol

from jaxret.errors import ConfigError, MediaError
from jaxret.files import open_regular

__all__ = [
    "RemoteState",
    "file_in",
    "files_below",
    "is_file",
    "is_present",
    "open_binary",
    "real_path",
    "remote_state",
    "url_of",
]

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
_URL = re.compile(rf"({'|'.join(_PACKAGES)}):/+(?=[^/])", re.IGNORECASE)
_BLOCK = 1 << 20
_KEPT_BLOCKS = 32


class RemoteState:
    """What a store tells of a file, without its content.

    Attributes:
      size: bytes.
      tag: what the store calls this content (its ETag or the like); None where it calls it nothing.
      modified: when it was written, nanoseconds since 1970; where the store does not tell, a number made of the tag.
    """

    def __init__(self, size: int, told: Mapping[str, Any]):
        self.size = size
        tags = (told.get(name) for name in ("ETag", "etag", "md5Hash", "Content-MD5"))
        tag = next((str(tag).strip('"') for tag in tags if tag), None)
        self.tag = None if tag is None or tag.startswith("W/") else tag
        times = (told.get(name) for name in ("LastModified", "Last-Modified", "mtime", "updated"))
        self.modified = _nanoseconds(next((time for time in times if time), None), tag)


def url_of(path: str | os.PathLike[str]) -> str | None:
    """The URL that a path is, whole again where `pathlib` took a slash out of it; None for a path of this machine.

    Example:
      >>> from pathlib import Path
      >>> url_of("s3://films/a.mp4"), url_of(Path("s3://films/a.mp4")), url_of("films/a.mp4")
      ('s3://films/a.mp4', 's3://films/a.mp4', None)
    """
    text = os.fspath(path)
    found = _URL.match(text)
    return None if found is None else f"{found[1].lower()}://{text[found.end() :]}"


def real_path(path: str | os.PathLike[str]) -> str:
    """What tells a file from all others: its URL, or its absolute path without symbolic links."""
    return url_of(path) or os.path.realpath(path)


def file_in(folder: str | os.PathLike[str], path: PurePath) -> str:
    """The path or URL of a file in a folder.

    Example:
      >>> file_in("s3://films/", PurePath("a/b.mp4"))
      's3://films/a/b.mp4'
    """
    url = url_of(folder)
    return str(Path(folder) / path) if url is None else f"{url.rstrip('/')}/{path.as_posix()}"


def is_present(path: str | os.PathLike[str]) -> bool:
    """Whether there is something at a path, be it a link that leads nowhere, or a file at a URL.

    Raises:
      MediaError: the store does not answer, so that nobody can tell.
    """
    url = url_of(path)
    return os.path.lexists(path) if url is None else remote_state(url) is not None


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file at a path or URL; errors as `is_present`."""
    url = url_of(path)
    return os.path.isfile(path) if url is None else remote_state(url) is not None


def remote_state(url: str) -> RemoteState | None:
    """What a store tells of a file now; None where there is none.

    Raises:
      ConfigError: the package for such URLs is not installed.
      MediaError: the store does not answer, or not to this user.
    """
    with _told(url):
        store, path = _store(url)
        try:
            store.invalidate_cache()
            told = store.info(path)
        except FileNotFoundError as error:
            if not _is_absent(error):
                raise
            return None
        size = told.get("size")
        is_folder = told.get("type") == "directory" or told.get("mimetype") == "text/html"  # a page that lists files
        return None if is_folder or size is None else RemoteState(int(size), told)


def open_binary(path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read bytes of: a regular one of this machine, or one at a URL, of which only what is read is fetched.

    Raises:
      OSError: a file of this machine cannot be opened, or is no regular file.
      ConfigError: the package for such URLs is not installed.
      MediaError: there is nothing at the URL, or the store does not answer, or cannot send a part of a file.
    """
    url = url_of(path)
    if url is None:
        return open_regular(path)
    with _told(url):
        store, inner = _store(url)
        store.invalidate_cache()
        options = {"maxblocks": _KEPT_BLOCKS}
        file = store.open(inner, "rb", block_size=_BLOCK, cache_type="blockcache", cache_options=options)
        if getattr(file, "size", None) is None:
            file.close()
            raise MediaError(url, "the server tells no size or sends no parts of a file: copy it to this machine")
        return io.BufferedReader(_Ranges(file, url), 1 << 16)


def files_below(url: str) -> list[str]:
    """The files below a folder at a URL: their paths relative to it, sorted. Over http its pages must link to them.

    Raises:
      ConfigError: there is no such folder, or the package for such URLs is not installed.
      MediaError: the store does not answer, or not to this user.
    """
    with _told(url):
        store, path = _store(url.rstrip("/") + "/")
        store.invalidate_cache()
        try:
            store.ls(path, detail=False)  # tells of a store that does not answer, which `find` takes for an empty one
            found = store.find(path, **({"on_error": "raise"} if path.startswith("http") else {}))
        except FileNotFoundError as error:
            if not _is_absent(error):
                raise
            found = []
    base = str(store._strip_protocol(url)).rstrip("/") + "/"
    names = sorted(name[len(base) :] for name in found if name.startswith(base) and not name.endswith("/"))
    if not names:
        raise ConfigError(f"{url}: there are no files below it")
    return names


class _Readable(Protocol):
    def read(self, size: int) -> bytes: ...
    def seek(self, offset: int, whence: int = 0) -> int: ...
    def tell(self) -> int: ...
    def close(self) -> None: ...


class _Ranges(io.RawIOBase):
    """A file of fsspec, whose errors name the URL."""

    def __init__(self, file: _Readable, url: str):
        self._file = file
        self._url = url

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read on; MediaError where the store fails."""
        with _told(self._url):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The byte that is read next."""
        return self._file.tell()

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self._file.close()
        super().close()


def _store(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    scheme = url.partition(":")[0]
    try:
        from fsspec.core import url_to_fs

        if scheme in ("http", "https"):
            import aiohttp  # noqa: F401 - fsspec would look for it later
        found: tuple[Any, str] = url_to_fs(url)
        return found
    except ImportError as error:
        raise ConfigError(
            f"{url}: {scheme}:// needs the package {_PACKAGES[scheme]}: install the extra `remote`"
        ) from error


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Whatever a store's library raises becomes an error that names the URL, in one line."""
    try:
        yield
    except (ConfigError, MediaError):
        raise
    except FileNotFoundError as error:
        reason = "no such file" if _is_absent(error) else f"cannot be read: {_line(error.__cause__ or error)}"
        raise MediaError(url, reason) from error
    except PermissionError as error:
        raise MediaError(url, f"may not be read: {_line(error)}") from error
    except Exception as error:  # each library has classes of its own
        raise MediaError(url, f"cannot be read: {_line(error)}") from error


def _is_absent(error: FileNotFoundError) -> bool:
    """Whether the store said that there is no such file; fsspec says so of a server that refuses or fails, too."""
    cause = error.__cause__
    if (status := getattr(cause, "status", None)) is not None:
        return status in (404, 410)
    of_http = type(cause).__module__.startswith("aiohttp") or isinstance(cause, OSError)
    return isinstance(cause, FileNotFoundError) or not of_http


def _line(error: BaseException) -> str:
    words = str(error).strip().splitlines()
    return words[0] if words else type(error).__name__


def _nanoseconds(time: Any, tag: str | None) -> int:
    try:
        if isinstance(time, str):
            iso = time[:1].isdigit()
            time = datetime.datetime.fromisoformat(time) if iso else email.utils.parsedate_to_datetime(time)
        if isinstance(time, datetime.datetime):
            return int(time.timestamp()) * 10**9 + time.microsecond * 1000
        if time is not None:
            return int(float(time) * 1e9)
    except ValueError:
        pass
    return int.from_bytes(hashlib.sha256((tag or "").encode()).digest()[:7], "big")
