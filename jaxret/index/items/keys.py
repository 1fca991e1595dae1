"""Which item has a key: hashes of all keys of a segment in order, looked up by bisection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyTable", "key_hashes", "key_table", "places_of_hashes"]

KeyTable = NDArray[np.uint64]
"""uint64 (2, n): hashes of keys, ascending, and under each the local number of its item."""

_EMPTY = hashlib.blake2b(digest_size=8)


def key_hashes(keys: Iterable[str]) -> NDArray[np.uint64]:
    """uint64 (n,): BLAKE2b of eight bytes of each key."""
    digests = []
    for key in keys:
        state = _EMPTY.copy()  # takes half as long as to make a new one
        state.update(_bytes(key))
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64, copy=False)


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def key_table(hashes: NDArray[np.uint64]) -> KeyTable:
    """The table of items whose keys have these hashes, in their order."""
    order = np.argsort(hashes, kind="stable")
    return np.stack([hashes[order], order.astype(np.uint64)])


def places_of_hashes(table: KeyTable, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which items may have which keys: pairs of the number of a hash and the local number of an item."""
    order = np.argsort(hashes)  # neighbours look where the cache is warm, which is many times as fast
    first = np.empty(len(hashes), np.int64)
    first[order] = np.searchsorted(table[0], hashes[order])
    found = np.flatnonzero(table[0][np.minimum(first, len(table[0]) - 1)] == hashes)
    first = first[found]
    counts = np.searchsorted(table[0], hashes[found], side="right") - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(found, counts), table[1][np.repeat(first, counts) + within].astype(np.int64)
