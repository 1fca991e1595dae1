"""Features of a frozen backbone, computed once and kept on disk.

A cache folder holds one sub-folder for each way of making features (encoder, sampling, dtype), named by the
hash of its `manifest.json`; in it each item has two memory-mapped files named by the hash of the item's
content: `.npy` with the features, `.times.npy` with the frame times. Files appear whole or not at all
(written beside and renamed), so a killed run loses only the item it was at, several runs may fill one
cache, an edited medium simply has another name, and a file that was cut off later is noticed and redone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jaxret.data.batches.loader import read_in_parallel
from jaxret.data.dataset import MediaDataset
from jaxret.errors import MediaError
from jaxret.files import partial_name, write_atomically

__all__ = ["CachedFeatures", "Computed", "FeatureCache", "FeatureTable"]

Computed = tuple[npt.NDArray[np.floating], npt.NDArray[np.float64]]
"""Features (V, T, D) and times (V, T) of one item."""

_FORMAT = 1
_ABANDONED_SECONDS = 3600.0  # age at which a half-written file cannot be a running writer's


@dataclasses.dataclass(frozen=True, slots=True)
class CachedFeatures:
    """Features of one item.

    Attributes:
      features: (V, T, D) float16 or float32, read-only: V views (chunks) of T frames.
      times: float64 (V, T), seconds.
    """

    features: npt.NDArray[np.floating]
    times: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class FeatureTable:
    """Cached features of a data set's items, by number.

    Attributes:
      cache: where they are.
      contents: content hash of each item; None for the broken ones.
      computed, reused: how many items were computed now, and how many were there.
      broken: item number -> why it has no features.
    """

    cache: FeatureCache
    contents: tuple[str | None, ...]
    computed: int
    reused: int
    broken: dict[int, MediaError]

    def __len__(self) -> int:
        return len(self.contents)

    def load(self, index: int) -> CachedFeatures:
        """Features of item `index`. Raises MediaError for a broken item, or if its file was damaged since."""
        if index in self.broken:
            raise self.broken[index]
        content = self.contents[index]
        found = None if content is None else self.cache.get(content)
        if found is None:
            raise MediaError(
                f"item {index}", f"its features are no longer in {self.cache.folder}; fill the cache again"
            )
        return found


class FeatureCache:
    """Features on disk, for one encoder and one way of sampling.

    Args:
      folder: the cache; made if need be, shared by any number of encoders.
      encoder: fingerprint of the weights and architecture that make the features.
      sampling: everything else that changes them (preprocessing, augmentation), as JSON values.
      dtype: what is stored. float16 halves the space and keeps about three digits.

    Attributes:
      folder: the sub-folder for these settings.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     cache = FeatureCache(folder, encoder="toy", sampling={"frames": 2}, dtype="float32")
      ...     cache.put("abc", np.ones((1, 2, 4), np.float32), np.zeros((1, 2)))
      ...     cache.get("abc").features.shape, cache.get("xyz")
      ((1, 2, 4), None)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        encoder: str,
        sampling: Mapping[str, Any],
        dtype: Literal["float16", "float32"] = "float16",
    ):
        if dtype not in ("float16", "float32"):
            raise ValueError(f"dtype must be float16 or float32, got {dtype!r}")
        settings = {"format": _FORMAT, "encoder": encoder, "sampling": dict(sampling), "dtype": dtype}
        text = json.dumps(settings, sort_keys=True, indent=1)
        name = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self.folder = Path(folder) / name
        self.dtype = np.dtype(dtype)
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = self.folder / "manifest.json"
        if not manifest.exists() or manifest.read_text(encoding="utf-8") != text:
            self._write(manifest, lambda file: file.write(text.encode()))
        self._remove_abandoned()

    def get(self, content: str) -> CachedFeatures | None:
        """Features stored under a content hash, memory-mapped; None if missing, cut off or malformed.

        Raises:
          OSError: this process holds as many files open as it may.
        """
        path = self._path(content)
        try:
            features = np.load(path, mmap_mode="r", allow_pickle=False)
            times = np.load(path.with_suffix(".times.npy"), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return None
        well_formed = features.ndim == 3 and features.dtype == self.dtype and times.dtype == np.float64
        if not well_formed or times.shape != features.shape[:2]:
            return None
        return CachedFeatures(features, times)

    def put(self, content: str, features: npt.ArrayLike, times: npt.ArrayLike) -> None:
        """Store features (V, T, D) and times (V, T) under a content hash, replacing what is there.

        Raises:
          ValueError: the shapes do not agree, or a feature is not finite in the cache's dtype.
        """
        stored = np.asarray(features)
        moments = np.asarray(times, np.float64)
        if stored.ndim != 3 or moments.shape != stored.shape[:2]:
            raise ValueError(f"features must be (V, T, D) and times (V, T), got {stored.shape} and {moments.shape}")
        with np.errstate(over="ignore"):
            stored = stored.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise ValueError(f"features of {content} are NaN, infinite or too large for {self.dtype}")
        path = self._path(content)
        path.parent.mkdir(exist_ok=True)
        # The times first: an item is there when its features are.
        self._write(path.with_suffix(".times.npy"), lambda file: np.save(file, moments, allow_pickle=False))
        self._write(path, lambda file: np.save(file, stored, allow_pickle=False))

    def fill(
        self,
        dataset: MediaDataset,
        compute: Callable[[list[int]], Iterable[tuple[int, Computed | MediaError]]],
        *,
        threads: int = 2,
        progress: Callable[[int, int], None] | None = None,
    ) -> FeatureTable:
        """Compute what is missing and return all of it.

        Args:
          dataset: whose items; its `content_hash` says which of them are cached.
          compute: numbers of items to each of them with its features (V, T, D) and times (V, T), or the reason why it
            has none, one after the other, so that each is stored when it is done.
          threads: files hashed at once.
          progress: called with (items done, items to do) after each item.

        Raises:
          ValueError: as `put`.
        """
        contents: list[str | None] = []
        broken: dict[int, MediaError] = {}
        missing: dict[str, int] = {}  # content -> the first item that has it
        for number, content in enumerate(
            read_in_parallel(lambda i: _or_error(dataset.content_hash, i), range(len(dataset)), threads=threads)
        ):
            if isinstance(content, MediaError):
                broken[number] = content
                contents.append(None)
                continue
            contents.append(content)
            if content not in missing and self.get(content) is None:
                missing[content] = number
        numbers = list(missing.values())
        for done, (number, result) in enumerate(compute(numbers), start=1):
            content = contents[number]
            assert content is not None
            if isinstance(result, MediaError):
                broken.update({twin: result for twin, other in enumerate(contents) if other == content})
            else:
                self.put(content, *result)
            if progress is not None:
                progress(done, len(numbers))
        usable = [None if number in broken else content for number, content in enumerate(contents)]
        reused = sum(content is not None and content not in missing for content in usable)
        computed = len(usable) - len(broken) - reused
        return FeatureTable(self, tuple(usable), computed, reused, broken)

    def _path(self, content: str) -> Path:
        if not re.fullmatch(r"[0-9A-Za-z_-]+", content):  # tags of object stores are any text
            content = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
        # Two letters of folder keep directories small with a million items.
        return self.folder / content[-2:] / f"{content}.npy"

    def _write(self, path: Path, write: Callable[[Any], object]) -> None:
        """Make a file appear whole: written under another name, then renamed."""
        # Several runs may be at the same item, so each writes under a name of its own.
        own = self.folder / partial_name(uuid.uuid4().hex)
        with write_atomically(path, partial=own) as partial, open(partial, "wb") as file:
            write(file)

    def _remove_abandoned(self) -> None:
        """Delete what killed runs left half-written."""
        for partial in self.folder.glob(partial_name("*")):
            with contextlib.suppress(OSError):
                if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                    partial.unlink()


def _or_error(function: Callable[[int], Any], number: int) -> Any:
    try:
        return function(number)
    except MediaError as error:
        return error
