"""The k nearest sequences of a gallery on devices, by DTW: bounds there, exact distances of what is left on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxret.rank.device.in_groups import one_ahead, power_of_two
from jaxret.rank.device.sequence_bounds import Query, mean_bounds, prepared_query, warping_bounds, warping_bytes
from jaxret.rank.device.sequences import DeviceSequences, LengthGroup, filled_length
from jaxret.rank.dtw_search import Collection, DtwPruning, DtwResult, dimensions_of, kernel_view
from jaxret.rank.sequence_ranking import SequenceRanking, sequence_distances
from jaxret.rank.sequence_validation import check_dimensions
from jaxret.rank.threads import available_threads
from jaxret.rank.validation import check_k

__all__ = ["nearest_sequences_on_devices"]

Progress = Callable[[int, int], None]
_FIRST = 16  # sequences beyond k that are measured first
_BOUND_AT_ONCE = 256  # at least, where a device has as many of one length, so that few sizes are compiled


def nearest_sequences_on_devices(
    queries: Collection,
    gallery: DeviceSequences,
    k: int,
    ranking: SequenceRanking,
    *,
    prune: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> DtwResult:
    """The k nearest whole sequences by (distance, id), with the CPU's ids and distances.

    Args:
        queries: see `as_queries`.
        gallery: searched.
        k: in [1, N].
        ranking: of DTW or Bi-DTW, without `subsequence` or `unit_vectors`.
        prune: whether means are looked at before frames.
        threads: of the CPU.
        progress: as for `dtw_topk`.

    Raises:
        TypeError, ValueError: as `dtw_topk`; also where the ranking is another.
    """
    unfit = {"mean-cosine": ranking.measure == "mean-cosine", "unit_vectors": ranking.unit_vectors}
    if ranking.subsequence is not None or any(unfit.values()):
        name = next((name for name, given in unfit.items() if given), f"subsequence={ranking.subsequence!r}")
        raise ValueError(f"a DeviceSequences is ranked by DTW of whole sequences as they are, got {name}")
    check_dimensions(dimensions_of(queries), gallery.dimensions, "query", "gallery")
    kernel_view(queries, "query", available_threads() if threads is None else threads)  # checks every number
    k = check_k(k, len(gallery))
    ids, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    counts = np.zeros((4, len(queries)), np.int64)
    for number, query, on_devices, bounds in one_ahead(_begun(queries, gallery)):
        search = _Search(query, on_devices, gallery, k, ranking, threads)
        counts[:, number] = search.run(np.asarray(bounds) if prune else None)
        ids[number], distances[number] = search.best()
        if progress is not None:
            progress((number + 1) * len(gallery), len(queries) * len(gallery))
    return DtwResult(ids, distances, DtwPruning(*counts))


def _begun(
    queries: Collection, gallery: DeviceSequences
) -> Iterator[tuple[int, NDArray[np.float32], Query, jax.Array]]:
    """Each query with its bounds from means, which a device computes while the query before is finished."""
    for number, query in enumerate(queries):
        prepared = prepared_query(query, filled_length(len(query)), gallery.centre, gallery.mesh)
        chunk = max(1, gallery.working_bytes // (16 * len(prepared.frames) + 8 * gallery.dimensions))
        yield number, query, prepared, mean_bounds(prepared, gallery.summaries, mesh=gallery.mesh, chunk=chunk)


class _Search:
    """One query's search: what is measured, and what is left of the gallery."""

    def __init__(
        self,
        query: NDArray[np.float32],
        on_devices: Query,
        gallery: DeviceSequences,
        k: int,
        ranking: SequenceRanking,
        threads: int | None,
    ):
        self._query, self._on_devices, self._gallery = query, on_devices, gallery
        self._k, self._ranking, self._threads = k, ranking, threads
        self._ids = np.zeros(0, np.int64)  # measured
        self._distances = np.zeros(0, np.float32)
        divisors = len(query) + gallery.lengths if ranking.length_normalised else np.ones(len(gallery))
        self._divisors = divisors.astype(np.float32)
        # The kernels' own distances may be too small by this share, see csrc/dtw_search.c.
        dimensions = gallery.dimensions
        terms = (128 + dimensions / 128 + dimensions / 16 + 16) * 2.0**7
        self._kept_share = max(0.0, 1 - 2 * (terms + len(query) + int(gallery.lengths.max())) * 2.0**-24)

    def run(self, from_means: NDArray[np.float32] | None) -> tuple[int, int, int, int]:
        """Measures whatever may be among the k nearest; returns the counts of `DtwPruning`."""
        left = np.arange(len(self._gallery))
        at_least = np.zeros(len(left), np.float32)
        by_mean = 0
        if from_means is not None:
            at_least = self._gallery.by_id(from_means)
            bounds = self._as_distances(at_least, left)
            first = np.argsort(bounds, kind="stable")[: self._k + _FIRST]
            self._measure(first)
            bounds[first] = np.inf
            left = np.flatnonzero(bounds <= self._limit())
            by_mean = len(bounds) - len(first) - len(left)
        bounds = self._as_distances(self._warping_bounds(left, at_least[left]), left)
        order = np.argsort(bounds, kind="stable")
        left, bounds = left[order], bounds[order]
        done = 0
        while done < len(left) and bounds[done] <= self._limit():
            self._measure(left[done : done + self._k + _FIRST])
            done += self._k + _FIRST
        measured = len(self._ids)
        return by_mean, 0, len(self._gallery) - by_mean - measured, measured

    def best(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k nearest of what is measured, by (distance, id)."""
        order = np.lexsort((self._ids, self._distances))[: self._k]
        return self._ids[order], self._distances[order]

    def _as_distances(self, bounds: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bounds on true distances as bounds on those that the ranking would give; a penalty makes these no smaller."""
        return bounds.astype(np.float64) * self._kept_share / self._divisors[ids]

    def _limit(self) -> float:
        """What a sequence's bound may be at most, to be among the k nearest or as near as the k-th."""
        if len(self._ids) < self._k:
            return np.inf
        return float(np.partition(self._distances, self._k - 1)[self._k - 1]) * (1 + 2.0**-22)

    def _measure(self, ids: NDArray[np.int64]) -> None:
        members = self._gallery.read_back(ids)
        distances = sequence_distances([self._query], members, self._ranking, threads=self._threads)[0]
        self._ids = np.append(self._ids, ids)
        self._distances = np.append(self._distances, distances)

    def _warping_bounds(self, ids: NDArray[np.int64], at_least: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bounds by DTW on the devices, of sequences whose ids ascend: all is started before any is waited for.

        Sequences of which not even one fits into the working memory keep the bounds `at_least`, for the CPU to measure.
        """
        bounds = at_least.copy()
        started = []
        for group, which, rows in self._gallery.rows_in_groups(ids):
            a_pair = warping_bytes(len(self._on_devices.frames), group.length, self._gallery.dimensions)
            fitting = self._gallery.working_bytes // a_pair
            if not fitting:
                continue
            devices, places, wanted = _by_device(rows, group.rows, self._gallery.mesh.devices.size)
            started.append((which, devices, places, self._bounds_in_group(group, wanted, fitting)))
        for which, devices, places, parts in started:
            bounds[which] = np.concatenate([np.asarray(part) for part in parts], axis=1)[devices, places]
        return bounds

    def _bounds_in_group(self, group: LengthGroup, wanted: NDArray[np.int32], fitting: int) -> list[jax.Array]:
        """Starts one program after the other, each for at most `fitting` sequences of a device.

        `wanted` is (devices, n), rows of each device.
        """
        size = power_of_two(wanted.shape[1], least=_BOUND_AT_ONCE)
        chunk = min(size, power_of_two(group.rows // len(wanted)), 1 << (fitting.bit_length() - 1))
        filled = np.pad(wanted, ((0, 0), (0, -wanted.shape[1] % chunk)))
        return [
            warping_bounds(
                self._on_devices,
                group.frames,
                group.lengths,
                jnp.asarray(filled[:, start : start + chunk]),
                mesh=self._gallery.mesh,
                window=self._ranking.window,
                reverse=self._ranking.measure == "bi-dtw",
            )
            for start in range(0, filled.shape[1], chunk)
        ]


def _by_device(
    rows: NDArray[np.int64], size: int, devices: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Of each of some ascending rows, of `size` in equal parts on the devices: its device and its place among those
    wanted there; and the rows wanted there, counted within the device, (devices, n), zeros behind the last.
    """
    here = size // devices
    at = rows // here
    counts = np.bincount(at, minlength=devices)
    places = np.arange(len(rows)) - (np.cumsum(counts) - counts)[at]
    wanted = np.zeros((devices, int(counts.max())), np.int32)
    wanted[at, places] = rows % here
    return at, places, wanted
