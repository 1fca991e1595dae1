"""`HammingIndex`: exact Hamming search that looks at few of the codes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank import hamming_files
from jaxret.rank._hamming import MAX_CODE_BYTES
from jaxret.rank.hamming import hamming_within, nearest_codes
from jaxret.rank.hamming_cost import SAMPLED_CODES, SCANNED_WORDS, call_cost, scan_cost, table_costs, units_worth
from jaxret.rank.search_result import IndexedResult, RadiusResult, SearchResult, merge_results
from jaxret.rank.simd import simd_level
from jaxret.rank.substring_tables import SubstringTables
from jaxret.rank.threads import check_threads
from jaxret.rank.validation import CodeMatrix, as_codes, check_count, check_k, check_radius, check_same_width

Progress = Callable[[int, int], None]

MAX_INDEXED_CODES = 2**32 - 1
_TAIL_CODES = 65_536
_LINE_BYTES = 64


@dataclass(frozen=True)
class IndexedRadiusResult(RadiusResult):
    """A `RadiusResult` that also says what it cost.

    Attributes:
        candidates: int64 (Q,), as in `IndexedResult`.
    """

    candidates: NDArray[np.int64]


class HammingIndex:
    """An exact index of binary codes: multi-index hashing (Norouzi, Punjani and Fleet, PAMI 2014).

    The bits of a code are cut into substrings of about log2(N) bits, each with a table of buckets. A search
    probes the buckets around the query's own substrings, in growing radius, until no nearer code can be left.
    Results are those of `hamming_topk` and `hamming_within`, always.

    It is fast where the k-th neighbour is near, as in trained codes, which cluster; it cannot be for the far
    neighbours of uniformly random codes. So it steps aside where a linear scan is cheaper. Few codes are scanned, and
    no table is made. Of many, 16 are searched for in the tables, once for each size of k or each radius: what that
    costs, counted in buckets and codes (`jaxret.rank.hamming_cost`), decides for all queries. Last, a query that has
    taken half the work of a scan is given to one (all such queries of a call together). `candidates` says which were.

    Codes added after the tables were built are scanned linearly until they are a quarter as many as those in the
    tables (at least 65,536), when the tables are built again, at the next search.

    An index holds at most 2^32 - 1 codes; a larger gallery is several indexes, whose results
    `merge_results` joins. One thread may search or add at a time.

    >>> index = HammingIndex(1)
    >>> index.add(np.array([[7], [1], [2]], np.uint8))
    >>> index.topk(np.array([[0]], np.uint8), 2).ids
    array([[1, 2]])
    """

    def __init__(self, code_bytes: int):
        """An empty index of codes of `code_bytes` bytes, at most 2^20."""
        self._code_bytes = check_count(code_bytes, "code_bytes", most=MAX_CODE_BYTES)
        self._buffer: CodeMatrix = np.empty((0, self._code_bytes), np.uint8)
        self._stored: CodeMatrix = self._buffer  # the part of it that is in use
        self._tables: SubstringTables | None = None
        self._verdicts: dict[tuple[int, int, int], bool] = {}

    def __len__(self) -> int:
        """The number of codes."""
        return len(self._stored)

    @property
    def code_bytes(self) -> int:
        """Bytes of a code."""
        return self._code_bytes

    @property
    def codes(self) -> CodeMatrix:
        """uint8 (N, bytes): all codes, in the order in which they were added; a read-only view."""
        view = self._stored[:]
        view.flags.writeable = False
        return view

    def add(self, codes: ArrayLike) -> None:
        """Adds uint8 (M, bytes) codes, or one of shape (bytes,); their ids follow those already there.

        Raises:
            TypeError: the dtype is not uint8.
            ValueError: the shape does not fit, or the index would become too large.
        """
        added = as_codes(codes, "codes", single=True)
        if added.shape[1] != self._code_bytes:
            raise ValueError(f"codes must have {self._code_bytes} bytes each, got {added.shape[1]}")
        size = len(self)
        total = size + len(added)
        if total > MAX_INDEXED_CODES:
            raise ValueError(f"an index holds at most {MAX_INDEXED_CODES} codes, got {total}")
        if total > len(self._buffer) or not self._buffer.flags.writeable:
            grown = _empty_codes(max(total, size + size // 2), self._code_bytes)
            grown[:size] = self._stored
            self._buffer = grown
        self._buffer[size:total] = added
        self._stored = self._buffer[:total]

    def topk(
        self, query_codes: ArrayLike, k: int, *, threads: int | None = None, progress: Progress | None = None
    ) -> IndexedResult:
        """The k codes nearest to each query, exactly as `hamming_topk` finds them.

        Args:
            query_codes: uint8 (Q, bytes) or (bytes,).
            k: in [1, len(self)].
            threads: None uses what affinity and container limits leave; queries are shared among them.
            progress: called now and then with (queries done, queries).

        Returns:
            `candidates` counts a code met in two buckets twice; it is the number of codes where the query was
                answered by a linear scan.

        Raises:
            TypeError, ValueError: as `hamming_topk`; ValueError also where the index is empty.
        """
        queries = self._check(query_codes)
        count = check_k(k, len(self._stored))
        if not self._tables_pay(len(queries), count, 0, threads):
            ids, distances = nearest_codes(queries, self._stored, count, threads)
            _all_done(queries, progress)
            return IndexedResult(ids, distances, self._compared_with_all(queries))
        workers = check_threads(threads)
        tables = self._built(workers)
        tail = self._stored[len(tables.codes) :]
        width = min(count, len(tables.codes))
        ids = np.full((len(queries), width), -1, np.int64)
        distances = np.full((len(queries), width), np.inf, np.float32)
        _, flat_ids, flat_distances, candidates = _search(tables, queries, width, 0, workers, progress)
        done = candidates >= 0
        ids[done] = flat_ids.reshape(-1, width)
        distances[done] = flat_distances.reshape(-1, width)
        if not done.all():
            ids[~done], distances[~done] = nearest_codes(queries[~done], tables.codes, width, workers)
            candidates[~done] = len(tables.codes)
        result = SearchResult(ids, distances)
        if len(tail):
            rest_ids, rest_distances = nearest_codes(queries, tail, min(count, len(tail)), workers)
            rest = SearchResult(rest_ids + len(tables.codes), rest_distances)
            result = merge_results([result, rest], count)
            candidates += len(tail)
        return IndexedResult(result.ids, result.distances, candidates)

    def within(
        self, query_codes: ArrayLike, radius: int, *, threads: int | None = None, progress: Progress | None = None
    ) -> IndexedRadiusResult:
        """All codes within `radius` bits (inclusive) of each query, exactly as `hamming_within` finds them.

        Args:
            query_codes: uint8 (Q, bytes) or (bytes,).
            radius: at least 0.
            threads: None uses what affinity and container limits leave; queries are shared among them.
            progress: called now and then with (queries done, queries).

        Raises:
            TypeError, ValueError: as `hamming_within`; ValueError also where the index is empty.
        """
        queries = self._check(query_codes)
        bits = min(check_radius(radius), 8 * self._code_bytes)
        if not self._tables_pay(len(queries), 0, bits, threads):
            scan = hamming_within(queries, self._stored, bits, threads=threads)
            _all_done(queries, progress)
            return IndexedRadiusResult(scan.offsets, scan.ids, scan.distances, self._compared_with_all(queries))
        workers = check_threads(threads)
        tables = self._built(workers)
        tail = self._stored[len(tables.codes) :]
        counts, ids, distances, candidates = _search(tables, queries, 0, bits, workers, progress)
        parts = [_by_query(counts, ids, distances)]
        given_up = np.flatnonzero(candidates < 0)
        if len(given_up):
            scanned = hamming_within(queries[given_up], tables.codes, bits, threads=workers)
            parts.append({int(q): scanned[i] for i, q in enumerate(given_up)})
            candidates[given_up] = len(tables.codes)
        if len(tail):
            rest = hamming_within(queries, tail, bits, threads=workers)
            parts.append({q: (rest[q][0] + len(tables.codes), rest[q][1]) for q in range(len(rest))})
            candidates += len(tail)
        if len(parts) > 1:
            counts, ids, distances = _merge_lists(parts, len(queries))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return IndexedRadiusResult(offsets, ids, distances, candidates)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the index into `folder`, which must not exist: manifest.json and .npy files.

        It is written beside and renamed, so `folder` is either whole or absent.

        Raises:
            ValueError: the index is empty.
            FileExistsError: `folder` exists.
        """
        if not len(self):
            raise ValueError("an empty index cannot be saved")
        tables = self._built(check_threads(None), whole=True)
        arrays: dict[str, NDArray[Any]] = {
            "codes": tables.codes,
            "bucket_offsets": tables.offsets,
            "bucket_ids": tables.ids,
        }
        hamming_files.HAMMING_FORMAT.write(Path(folder), arrays, {"substring_bounds": tables.bounds.tolist()})

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, verify: bool = True) -> HammingIndex:
        """Opens an index written by `save`; its arrays stay on disk, memory-mapped, until they are needed.

        Args:
            folder: what `save` was given.
            verify: read everything once and compare checksums. Without it, damage inside a file may go
                unnoticed or be an error at a search, but never a crash.

        Raises:
            IndexFormatError: it is no such folder, or a file is missing, truncated, edited or foreign.
        """
        arrays, bounds = hamming_files.read(Path(folder), verify)
        index = cls(arrays["codes"].shape[1])
        index._buffer = index._stored = arrays["codes"]
        index._tables = SubstringTables(arrays["codes"], bounds, arrays["bucket_offsets"], arrays["bucket_ids"])
        return index

    def _check(self, query_codes: Any) -> CodeMatrix:
        queries, stored = as_codes(query_codes, "query_codes", single=True), self._stored
        if not len(stored):
            raise ValueError("the index is empty: add codes before searching")
        check_same_width(queries, stored, "bytes a code")
        return queries

    def _compared_with_all(self, queries: CodeMatrix) -> NDArray[np.int64]:
        """The codes compared with each query by a scan."""
        candidates = np.empty(len(queries), np.int64)
        candidates[...] = len(self._stored)
        return candidates

    def _built(self, threads: int, whole: bool = False) -> SubstringTables:
        """The tables, built again where too many codes (or with `whole`, any) are not in them."""
        inside = len(self._tables.codes) if self._tables else 0
        allowed = 0 if whole or not inside else max(_TAIL_CODES, inside // 4)
        if self._tables is None or len(self) - inside > allowed:
            self._tables = SubstringTables.build(self.codes, threads)
            self._verdicts = {}
        return self._tables

    def _tables_pay(self, queries: int, k: int, radius: int, threads: int | None) -> bool:
        """Whether the tables are expected to answer so many queries sooner than a scan does."""
        if len(self._stored) * -(-self._code_bytes // 8) <= SCANNED_WORDS:
            return False  # and all that is checked for tables alone is left to them: it would show in such a scan
        workers = check_threads(threads)
        tables = self._built(workers)
        # One verdict holds for numbers of queries, and for k, that are less than twice apart: the smallest's.
        at_once, k = 1 << queries.bit_length() >> 1, 1 << k.bit_length() >> 1
        pay = self._verdicts.get((at_once, k, radius))
        if pay is None:
            scan = scan_cost(len(tables.codes), self._code_bytes, at_once)
            tabled = _sampled_cost(tables, at_once, k, radius, workers) + call_cost(at_once)
            pay = self._verdicts[at_once, k, radius] = tabled < scan
        return pay


def _empty_codes(count: int, code_bytes: int) -> CodeMatrix:
    """Room for codes that begins where a line of the cache does: a scan of codes of 64 bytes that each lie across two
    lines takes a tenth longer."""
    size = count * code_bytes
    room = np.empty(size + _LINE_BYTES, np.uint8)
    first = -room.ctypes.data % _LINE_BYTES
    return room[first : first + size].reshape(count, code_bytes)


def _all_done(queries: CodeMatrix, progress: Progress | None) -> None:
    """A scan, which counts codes, answers all queries at once."""
    if progress is not None:
        progress(len(queries), len(queries))


def _sampled_cost(tables: SubstringTables, queries: int, k: int, radius: int, threads: int) -> float:
    """Nanoseconds a query that the tables take, with the scan of those queries that they give up."""
    size, code_bytes = tables.codes.shape
    sample = tables.codes[np.linspace(0, size - 1, min(SAMPLED_CODES, size)).astype(np.int64)]
    width = min(k + 1, size) if k else 0  # a stored code is the nearest to itself
    _, _, distances, compared = _search(tables, sample, width, radius, threads, None, at_once=queries)
    answered = compared >= 0
    reached = distances.reshape(-1, width)[:, -1] if k else np.full(int(answered.sum()), radius, np.float32)
    costs = table_costs(reached, compared[answered], tables.bounds, size, code_bytes)
    given_up = 1.5 * scan_cost(size, code_bytes, queries)
    return float((costs.sum() + given_up * (~answered).sum()) / len(sample))


def _search(
    tables: SubstringTables,
    queries: CodeMatrix,
    k: int,
    radius: int,
    threads: int,
    progress: Progress | None,
    *,
    at_once: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Counts, ids, distances and codes compared, -1 for a query that was given up: it took half the work of a scan, of
    `at_once` queries (None: of these)."""
    size, code_bytes = tables.codes.shape
    half = scan_cost(size, code_bytes, at_once or len(queries)) / 2
    budget = units_worth(half, size, code_bytes, len(tables.bounds) - 1)
    popcount = simd_level() not in ("portable", "neon")
    return tables._tables.search(queries, k, radius, budget, threads, popcount, progress)


Lists = dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]]


def _by_query(counts: NDArray[np.int64], ids: NDArray[np.int64], distances: NDArray[np.float32]) -> Lists:
    ends = np.cumsum(counts)
    return {
        q: (ids[end - n : end], distances[end - n : end]) for q, (n, end) in enumerate(zip(counts, ends, strict=True))
    }


def _merge_lists(parts: list[Lists], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Counts, ids and distances of all queries, of several partial lists for each."""
    rows = []
    for query in range(count):
        ids = np.concatenate([part[query][0] for part in parts if query in part])
        distances = np.concatenate([part[query][1] for part in parts if query in part])
        order = np.lexsort((ids, distances))
        rows.append((ids[order], distances[order]))
    counts = np.array([len(ids) for ids, _ in rows], np.int64)
    return counts, np.concatenate([ids for ids, _ in rows]), np.concatenate([near for _, near in rows])
