"""Times of a cell: ours and the peers in turn, many times, and of each the shortest turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np
from common.timing import SETTLE_SECONDS
from numpy.typing import NDArray
from studies.rank_speed.cells import Cell
from studies.rank_speed.searches import OURS, PEERS, Items, Search
from threadpoolctl import threadpool_limits

__all__ = ["fastest_peer", "measure"]

LEAST_ROUNDS = 3
TURN_SECONDS = 0.002  # of calls with one thread, in a round, one after another: one at least
STEADY_SECONDS = 0.01  # of calls with several threads, in a round, one after another
SLOWER = 3.0  # times the fastest peer: such a peer is timed by one call alone
HOPELESS = 1.5  # times the fastest peer, by fewer queries than its: such a peer is not tried


def fastest_peer(seconds: Mapping[str, float]) -> float:
    """Of a cell's times the shortest that is not ours."""
    return min((time for name, time in seconds.items() if name != "jaxret"), default=np.inf)


def measure(
    cell: Cell, items: Items, seconds: float, fewer: Mapping[str, float], tried: Container[str]
) -> dict[str, float]:
    """The shortest time of a call, by name; "jaxret" is ours. Peers that are not installed are left out.

    So is one that took longer for fewer queries than another takes for all of the cell's, for it cannot be the fastest.
    No other sign tells: a peer that is slow by the query, because a call costs it much, may be the fastest with many.

    On one thread it is the processor time of the process, which other programs on the machine hardly move; on several
    the time on the clock. Of the calls of a turn the median counts, and of the turns the shortest: on a virtual machine
    the clock of a process jumps now and then, and one call in many thousands has taken a third of its time. Each method
    is called once before, and its distances compared with ours. Short calls follow each other, as a program makes them:
    the gallery is where they leave it in the caches, not where the galleries of peers have pushed it, which takes
    several calls to undo.

    Args:
      cell: what to measure.
      items: its gallery.
      seconds: to go on for on one thread, with at least three rounds.
      fewer: the time of a call with fewer queries for as many of the same items, of peers that were tried.
      tried: names of peers; no other is.

    Raises:
      AssertionError: a peer's distances are not ours.
    """
    clock = time.process_time if cell.threads == 1 else time.perf_counter
    queries = items.queries(cell.queries)
    best: dict[str, float] = {}
    ours: NDArray[Any] | None = None
    peers = {name: search for name, search in PEERS[cell.kernel].items() if name in tried}
    methods: dict[str, Search] = {}
    for name in ("jaxret", *sorted(peers, key=lambda name: fewer.get(name, 0.0))):
        if fewer.get(name, 0.0) > HOPELESS * fastest_peer(best):
            continue
        search = OURS[cell.kernel] if name == "jaxret" else peers[name]
        call = _call(search, queries, items, cell)
        try:
            distances = call()
        except ImportError:
            continue
        if ours is None:
            ours = distances
        found = np.isfinite(distances) & np.isfinite(ours)  # a cosine at PAR's threshold may round to either side
        assert (found == np.isfinite(ours)).mean() > 0.999, f"{name} in {cell}"
        np.testing.assert_allclose(distances[found], ours[found], rtol=1e-3, atol=2e-3, err_msg=f"{name} in {cell}")
        best[name], methods[name] = _timed(clock, call), search
    slow = SLOWER * fastest_peer(best)
    methods = {name: search for name, search in methods.items() if best[name] < slow or name == "jaxret"}
    if cell.threads > 1:
        return best | _steady_times(methods, cell, queries, items)
    best |= dict.fromkeys(methods, np.inf)
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < LEAST_ROUNDS or time.perf_counter() < end:
        for name, search in methods.items():
            call, turn = _call(search, queries, items, cell), time.perf_counter() + TURN_SECONDS
            times = [_timed(clock, call)]
            while time.perf_counter() < turn:
                times.append(_timed(clock, call))
            best[name] = min(best[name], statistics.median(times))
        rounds += 1
    return best


def _steady_times(methods: Mapping[str, Search], cell: Cell, queries: NDArray[Any], items: Items) -> dict[str, float]:
    """The shortest times of calls with several threads, which for a while after a call of another method are not to be
    had: its threads spin."""
    best = dict.fromkeys(methods, np.inf)
    with threadpool_limits(cell.threads):  # NumPy's products, and those of faiss, which is loaded by now
        for _ in range(LEAST_ROUNDS):
            for name, search in methods.items():
                call = _call(search, queries, items, cell)
                time.sleep(SETTLE_SECONDS)
                end = time.perf_counter() + STEADY_SECONDS
                call()
                while (start := time.perf_counter()) < end or not np.isfinite(best[name]):
                    call()
                    best[name] = min(best[name], time.perf_counter() - start)
    return best


def _call(search: Search, queries: NDArray[Any], items: Items, cell: Cell) -> Callable[[], NDArray[Any]]:
    return lambda: search(queries, items, cell.k, cell.threads)


def _timed(clock: Callable[[], float], call: Callable[[], Any]) -> float:
    start = clock()
    call()
    return clock() - start
