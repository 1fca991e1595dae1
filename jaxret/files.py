"""Files that appear whole or not at all, that others may read as the umask says, and whose failures name them;
and locks."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jaxret.errors import JaxretError, MediaError, WriteError

__all__ = [
    "hold",
    "is_there",
    "kind_of_file",
    "open_regular",
    "partial_name",
    "read_text",
    "require_regular",
    "require_room",
    "sync_folder",
    "user_cache",
    "with_free_space",
    "write_atomically",
    "write_folder",
    "writing",
]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def partial_name(name: str) -> str:
    """What a file is called while it is written; the ending stays, as some writers choose the format by it."""
    return f"partial-{name}"


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file, and what is free on its disk, where the disk turns out to be full.

    Raises:
      WriteError: the block failed because there is no room, whatever library told it.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        if (code := _full(error)) is None:
            raise
        raise WriteError(code, f"{path}: cannot be written: {os.strerror(code)} ({_free(Path(path))})") from error


@contextlib.contextmanager
def write_atomically(path: Path, *, partial: Path | None = None, sync: bool = False) -> Iterator[Path]:
    """Write a file, or replace an older one, at once: readers and crashes see the old file or the new one.

    Args:
      path: the file. Who may read it is as the umask says, whatever the writer makes of it.
      partial: where it is written first, on the same disk; None for `partial-NAME` beside it. Writers that may write
        one file at the same time need different ones.
      sync: put the new file on disk before it takes the old one's place, so that a power cut leaves one of them too.

    Yields:
      The path to write to, an empty file. It takes the place of `path` when the block ends, and is deleted if the block
      fails.

    Raises:
      WriteError: the disk is full.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "settings.json"
      >>> with write_atomically(path) as partial:
      ...     _ = partial.write_text("{}")
      >>> path.read_text()
      '{}'
    """
    partial = partial or path.with_name(partial_name(path.name))
    try:
        with writing(path):
            # A killed writer's file may have other rights. A new one has those of the umask, which cannot be read
            # without being changed for a moment, for all threads.
            partial.unlink(missing_ok=True)
            partial.touch()
            mode = partial.stat().st_mode & 0o777
            yield partial
            if partial.stat().st_mode & 0o777 != mode:
                partial.chmod(mode)  # safetensors writes for the owner alone
            if sync:
                with open(partial, "rb+") as file:
                    os.fsync(file.fileno())
            os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if sync:
        sync_folder(path.parent)


@contextlib.contextmanager
def write_folder(folder: Path, *, partial: Path | None = None, sync: bool = False) -> Iterator[Path]:
    """Write a new folder, whole or not at all.

    Args:
      folder: it does not exist.
      partial: where it is written first, on the same disk; None for `partial-NAME` beside it.
      sync: put its entries and its name on disk; the files in it are the writer's to put there.

    Yields:
      The folder to make and fill. It takes its name when the block ends, and is deleted if the block fails.

    Raises:
      WriteError: the disk is full.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp()) / "new"
      >>> with write_folder(folder) as partial:
      ...     partial.mkdir()
      >>> folder.is_dir(), partial.exists()
      (True, False)
    """
    partial = partial or folder.with_name(partial_name(folder.name))
    try:
        with writing(folder):
            yield partial
            if sync:
                sync_folder(partial)
            partial.rename(folder)
            if sync:
                sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # gives the room back
        raise


@contextlib.contextmanager
def hold(file: Path, busy: JaxretError, timeout: float = 0.0) -> Iterator[None]:
    """Hold a lock file, which is made where there is none and stays. The lock is advisory, and the system drops it when
    its holder ends, however it ends.

    Args:
      file: in a folder that exists.
      busy: raised where another process, or another part of this one, still holds it.
      timeout: seconds to wait for that one.

    Example:
      >>> import tempfile
      >>> from jaxret.errors import ConfigError
      >>> file = Path(tempfile.mkdtemp()) / "one.lock"
      >>> with hold(file, ConfigError("busy")), hold(file, ConfigError("busy")):
      ...     pass
      Traceback (most recent call last):
      jaxret.errors.ConfigError: busy
    """
    from filelock import FileLock, Timeout  # takes longer to import than all that most readers of files need

    lock = FileLock(file)
    try:
        lock.acquire(timeout, poll_interval=0.02)
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        lock.release()


def sync_folder(folder: Path) -> None:
    """Put a folder's own entries (new names) on disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether a path exists; PermissionError where a folder above it may not be looked into."""
    try:
        os.stat(path)
    except PermissionError:
        raise
    except (OSError, ValueError):
        return False
    return True


def kind_of_file(mode: int) -> str | None:
    """What a path leads to by its `st_mode`, in words; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    kinds = {
        "a folder": stat.S_ISDIR,
        "a named pipe": stat.S_ISFIFO,
        "a socket": stat.S_ISSOCK,
        "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    name = next((name for name, of_kind in kinds.items() if of_kind(mode)), "something else")
    return f"{name}, not a regular file"


def require_regular(path: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file before it is opened: reading a pipe or a device may never end.

    Raises:
      MediaError: it is none, or not there, or it may not be looked at.
    """
    try:
        kind = kind_of_file(os.stat(path).st_mode)
    except FileNotFoundError as error:
        raise MediaError(os.fspath(path), "no such file") from error
    except (OSError, ValueError) as error:
        raise MediaError(os.fspath(path), getattr(error, "strerror", None) or str(error)) from error
    if kind is not None:
        raise MediaError(os.fspath(path), kind)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, opened to read its bytes; the caller closes it.

    Raises:
      OSError: it cannot be opened, or is no regular file: reading a pipe or a device may never end.
    """
    if (kind := kind_of_file(os.stat(path).st_mode)) is not None:
        raise OSError(errno.EINVAL, kind, os.fspath(path))
    return open(path, "rb")


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> str:
    """The text of a regular file, line ends as `\\n`.

    Raises:
      OSError: as `open_regular`.
      UnicodeDecodeError: it is not in the encoding.
    """
    with io.TextIOWrapper(open_regular(path), encoding=encoding) as file:
        return file.read()


def require_room(path: str | os.PathLike[str], size: int) -> None:
    """Refuse to begin what a full disk would leave half-written.

    Args:
      path: of a file or folder that is to be written; a folder above it exists.
      size: its bytes.

    Raises:
      WriteError: less is free.
    """
    for folder in Path(path).absolute().parents:
        try:
            free = shutil.disk_usage(folder).free
        except OSError:
            continue
        if free < size:
            needs = f"{os.strerror(errno.ENOSPC)}: it takes {size / 1e6:,.1f} MB"
            raise WriteError(errno.ENOSPC, f"{path}: cannot be written: {needs} ({_free(Path(path))})")
        return


def with_free_space(error: BaseException) -> str | None:
    """The message of an error that says that a disk is full, with what is free on it; None for other errors."""
    if isinstance(error, WriteError) or (code := _full(error)) is None:
        return None
    path = getattr(error, "filename", None)
    place = "" if path is None else f"{os.fsdecode(path)}: "
    return f"{place}cannot be written: {os.strerror(code)} ({_free(Path(os.fsdecode(path or 'x')))})"


def user_cache() -> Path:
    """The user's cache folder by the XDG Base Directory Specification, on a Mac ~/Library/Caches; it may not exist."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given)
    with contextlib.suppress(RuntimeError):  # a user without a home
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path("/nonexistent")


def _full(error: BaseException | None) -> int | None:
    """The code of the error that says that a disk is full, among an error and its causes; None for others."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error.errno
        text = str(error).lower()  # libraries in Rust and C++ hand on the text alone
        if " requested and " in text and text.endswith(" written"):  # NumPy's
            return errno.ENOSPC
        for code in _FULL:
            if f"os error {code})" in text or os.strerror(code).lower() in text:
                return code
        error = error.__cause__ or error.__context__
    return None


def _free(path: Path) -> str:
    """Bytes that are free where a file would lie, in words."""
    for folder in path.absolute().parents:
        with contextlib.suppress(OSError):
            return f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB are free in {folder}"
    return "how much is free is not known"
