"""Peers are compared with where they are fast, and not where the machine was busy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import energy_train_step
import numpy as np
import pytest
import resources
import speed_rank
from common.results_file import rows_of
from common.timing import rows_of_child, with_share_of_others
from studies.rank_speed import measuring
from studies.rank_speed.cells import Cell
from studies.rank_speed.searches import Items

CELL = Cell("euclidean", "avx2", 1, items=50, width=8, k=3, queries=16)


def test_only_peers_that_cannot_be_the_fastest_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(queries: Any, items: Items, k: int, threads: int) -> Any:
        return measuring.OURS["euclidean"](queries, items, k, threads)

    peers = {"slow": search, "dear to call": search, "new": search}
    monkeypatch.setattr(measuring, "PEERS", {"euclidean": peers})
    items = Items("euclidean", CELL.items, CELL.width)
    assert set(measuring.measure(CELL, items, 0.0, {}, peers)) == {"jaxret", *peers}
    # 10 s for fewer queries are more than the fastest takes for all of them; 1 us may have been one call's cost
    found = measuring.measure(CELL, items, 0.0, {"jaxret": 20.0, "slow": 10.0, "dear to call": 1e-6}, peers)
    assert set(found) == {"jaxret", "dear to call", "new"}
    # without another that is faster it is tried
    monkeypatch.setattr(measuring, "PEERS", {"euclidean": {"slow": search}})
    assert set(measuring.measure(CELL, items, 0.0, {"slow": 10.0}, peers)) == {"jaxret", "slow"}


def test_peers_that_are_not_named_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = {"named": measuring.OURS["euclidean"], "another": lambda *_: pytest.fail("was called")}
    monkeypatch.setattr(measuring, "PEERS", {"euclidean": peers})
    items = Items("euclidean", CELL.items, CELL.width)
    assert set(measuring.measure(CELL, items, 0.0, {}, ["named"])) == {"jaxret", "named"}


def test_a_kernel_needs_a_peer_that_knows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JAXRET_SIMD", raising=False)
    monkeypatch.setattr(sys, "argv", ["speed_rank.py", "--kernels", "hamming", "dtw", "--peers", "faiss"])
    with pytest.raises(SystemExit):
        speed_rank.main()
    assert "none of the peers knows dtw" in capsys.readouterr().err


@pytest.mark.parametrize(("threads", "others", "kept"), [(1, 0.9, True), (2, 0.02, True), (2, 0.04, False)])
def test_cells_of_several_threads_are_left_where_other_programs_had_processors(
    threads: int, others: float, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"jaxret": 1.0, "faiss": 2.0}
    monkeypatch.setattr(speed_rank, "WORK", tmp_path)
    monkeypatch.setattr(speed_rank, "cells", lambda *_: [CELL])
    monkeypatch.setattr(speed_rank, "with_share_of_others", lambda _: (seconds, others))
    speed_rank.measure_level("avx2", Namespace(kernels=["euclidean"], threads=[threads], runs=1, seconds=0.0,
                                               gallery_bytes=1.0, work=1.0, quick=False, peers=[]))  # fmt: skip
    assert speed_rank.runs_of("avx2") == ([(CELL, seconds)] if kept else [])


def test_the_share_of_others_is_what_this_process_does_not_take() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as others:
        _, share = with_share_of_others(lambda: time.sleep(0.3))
        others.kill()
    assert share > 0.3 / (os.cpu_count() or 1) or sys.platform != "linux"


def test_two_threads_alone_go_on_from_one_thread_of_the_same_processor(tmp_path: Path) -> None:
    def row(method: str, call: int) -> dict[str, Any]:
        return {"setting": "c3d: 2 clips", "method": method, "call": call}

    calls = [{"id": number, "machine": {"processor": name}} for number, name in ((1, "this"), (2, "another"))]
    rows = [row("1 thread", 1), row("1 thread", 2), row("2 threads", 1)]
    path = tmp_path / "energy_train_step.json"
    assert energy_train_step.stored_of_one_thread(path, "this") == []
    path.write_text(json.dumps({"calls": calls, "rows": rows}))
    assert energy_train_step.stored_of_one_thread(path, "this") == rows[:1]
    assert energy_train_step.step_of(rows[0]) == "c3d"


def test_processes_of_several_numbers_of_cores_share_no_compiled_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os, sys; print(json.dumps([os.environ.get('JAX_COMPILATION_CACHE_DIR')]), file=sys.stderr)"
    )
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert rows_of_child(str(script), 1) == [None]
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "kept")
    assert rows_of_child(str(script), 1) == [os.path.join("kept", "threads-1")]
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "kept"


def test_fewer_queries_are_of_the_same_items_and_results() -> None:
    def run(seconds: float, **changed: Any) -> tuple[Cell, dict[str, float]]:
        return Cell(**(vars(CELL) | changed)), {"faiss": seconds}

    runs = [run(2.0, queries=4), run(3.0, queries=4), run(1.0, queries=1), run(9.0), run(9.0, queries=1, k=10)]
    assert speed_rank.with_fewer_queries(CELL, runs) == {"faiss": 2.0}
    assert speed_rank.with_fewer_queries(CELL, runs[3:]) == {}


def test_the_fastest_peer_is_not_ours() -> None:
    assert measuring.fastest_peer({"jaxret": 1.0, "faiss": 3.0, "NumPy": 2.0}) == 2.0
    assert measuring.fastest_peer({"jaxret": 1.0}) == np.inf


@pytest.mark.parametrize(("together", "stays"), [(1.2, True), (1.3, False)])
def test_rows_of_a_busy_machine_are_left_out(together: float, stays: bool) -> None:
    steps = [
        *rows_of("a training step", "1 thread", {"PyTorch, processor ms": 1.0, "PyTorch, ms": 0.1}, setting="c3d"),
        *rows_of("a training step", "2 threads, 1 device", {"jaxret, ms": 1.0, "PyTorch, ms": together}, setting="c3d"),
    ]
    assert energy_train_step.undisturbed(steps) == (steps if stays else steps[:2])
    clips = [
        one
        for setting, slower, faster in (("1 thread", 9.0, 1.0), ("2 threads", 5.0, together))
        for method, seconds in (("jaxret", 1.0), ("PyTorch", slower), ("onnxruntime", faster))
        for one in rows_of("a clip", f"CNN + LSTM, {method}", {"s": seconds}, setting=setting)
    ]
    assert resources.undisturbed(clips) == (clips if stays else clips[:3])
    alone, cells = CELL, Cell(**(vars(CELL) | {"threads": 2}))
    measured = {alone: {"jaxret": 1.0, "faiss": 1.0}, cells: {"jaxret": 1.0, "faiss": together}}
    assert set(speed_rank.undisturbed(measured)) == ({alone, cells} if stays else {alone})


def test_published_cells_are_read_as_they_were_written() -> None:
    seconds = {"jaxret": 1.5e-6, "NumPy": 3.2e-5}
    cell, found = speed_rank.cell_of(speed_rank.line_of("a processor", CELL, seconds))
    assert cell == CELL
    assert found == pytest.approx(seconds, rel=0.01)
