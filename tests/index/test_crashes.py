"""Crashes, several writers, and readers beside a writer: an index is always one whole revision."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from index_results import keys_of

import jaxret.index.snapshot as snapshot_module
from jaxret.index import IndexBusyError, MediaIndex
from jaxret.index.write_lock import write_lock

WRITER = Path(__file__).with_name("crash_writer.py")
BEFORE = ["a", "c", "d"]
AFTER = {
    "add": ["c", "d", "new", "a"],
    "remove": ["a", "c"],
    "compact": BEFORE,
    "cells": BEFORE,
    "describe": ["a3", "c", "d4"],
}


def crash(folder, verb, step):
    command = [sys.executable, str(WRITER), str(folder), verb, str(step)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def disk_full(*args):
    raise OSError("disk full")


def keys(index):
    return [f"{item.key}{item.columns.get('year', '')}" for item in index.items]


@pytest.mark.parametrize("verb", ["add", "remove", "compact", "describe", "cells"])
def test_a_kill_at_any_step_leaves_the_index_before_or_after_the_change(make, tmp_path, verb):
    original = make.filled().folder
    dry = tmp_path / "dry"
    shutil.copytree(original, dry)
    counted = crash(dry, verb, 0)
    assert counted.returncode == 0, counted.stderr
    steps = int(counted.stdout)
    assert keys(MediaIndex.open(dry)) == AFTER[verb]
    assert steps > 3

    def killed_at(step):
        folder = tmp_path / f"killed{step}"
        shutil.copytree(original, folder)
        done = crash(folder, verb, step)
        assert done.returncode == -signal.SIGKILL, done.stderr
        index = MediaIndex.open(folder)
        index.verify()
        survived = keys(index)
        # The next writer is not held up by a lock, clears what was left, and works.
        index.add([make.item("later")], {"frame": make.rows([[0, 0, 1]])})
        index.compact()
        index.verify()
        assert keys(MediaIndex.open(folder)) == [*survived, "later"]
        assert len(list((folder / "segments").iterdir())) == 1
        assert not list(folder.glob("partial-*"))
        return survived

    chosen = range(1, steps + 1) if steps < 12 else sorted({1, *range(2, steps, steps // 10), steps - 1, steps})
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(killed_at, chosen))
    assert all(outcome in (BEFORE, AFTER[verb]) for outcome in outcomes)
    # Once it is there after one step, it is there after every later one.
    is_after = [outcome == AFTER[verb] for outcome in outcomes]
    assert is_after == sorted(is_after)
    if verb not in ("compact", "cells"):
        assert not is_after[0]
        assert is_after[-1]


def test_a_failure_while_adding_changes_nothing(make, monkeypatch):
    index = make.filled()
    with monkeypatch.context() as patch:
        patch.setattr("jaxret.index.changes.commit.write_manifest", disk_full)
        with pytest.raises(OSError, match="disk full"):
            index.add([make.item("x")], {"frame": make.rows([[1, 1, 1]])})
    assert keys(index) == keys(MediaIndex.open(index.folder)) == BEFORE
    index.add([make.item("x")], {"frame": make.rows([[1, 1, 1]])})
    assert keys(index) == [*BEFORE, "x"]


def test_a_second_writer_waits_then_gives_up_naming_the_lock(make):
    index = make.filled()
    impatient = MediaIndex.open(index.folder, lock_timeout=0.05)
    with write_lock(index.folder, 1.0):
        with pytest.raises(IndexBusyError, match=r"write.lock: another writer holds this index"):
            impatient.remove(["a"])
        assert keys(MediaIndex.open(index.folder)) == BEFORE  # reading needs no lock
    impatient.remove(["a"])
    assert keys(impatient) == ["c", "d"]


def test_writers_that_opened_the_same_revision_do_not_undo_each_other(make):
    one = make.filled()
    two = MediaIndex.open(one.folder)
    one.add([make.item("x")], {"frame": make.rows([[1, 1, 1]])})
    two.add([make.item("y")], {"frame": make.rows([[2, 2, 2]])})
    assert keys(two) == [*BEFORE, "x", "y"]
    with pytest.raises(ValueError, match="key 'y' is in the index already"):
        one.add([make.item("y")], {"frame": make.rows([[1, 1, 1]])})
    two.compact()
    assert one.refresh()
    assert not one.refresh()
    assert keys(one) == [*BEFORE, "x", "y"]


def test_writers_in_threads_and_processes_all_get_their_turn(make):
    index = make.empty()
    folder = index.folder
    code = (
        "import sys, numpy as np\n"
        "from jaxret.index import *\n"
        "for i in range(5):\n"
        "    item = MediaItem(f'{sys.argv[2]}/{i}', 'image')\n"
        "    rows = Rows(np.ones((1, 3)), [0])\n"
        "    MediaIndex.open(sys.argv[1], lock_timeout=60).add([item], {'frame': rows})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(folder), f"p{p}"]) for p in range(2)]

    def add_some(name):
        for i in range(5):
            MediaIndex.open(folder, lock_timeout=60).add([make.item(f"{name}/{i}")], {"frame": make.rows([[1, 1, 1]])})

    threads = [threading.Thread(target=add_some, args=(f"t{t}",)) for t in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    final = MediaIndex.open(folder)
    final.verify()
    assert sorted(keys(final)) == sorted(f"{w}/{i}" for w in ("p0", "p1", "t0", "t1") for i in range(5))


def test_a_reader_keeps_its_revision_while_a_writer_changes_everything(make):
    writer = make.filled()
    reader = MediaIndex.open(writer.folder)
    query = np.zeros(3, np.float32)
    before = reader.search("frame", query, 3)
    writer.compact()  # deletes the segments that the reader has mapped
    writer.remove(["a"])
    writer.add([make.item("new")], {"frame": make.rows([[0, 0, 0]])})
    after = reader.search("frame", query, 3)
    np.testing.assert_array_equal(after.ids, before.ids)
    np.testing.assert_array_equal(after.distances, before.distances)
    assert keys_of(after) == BEFORE
    assert reader.refresh()
    assert keys_of(reader.search("frame", query, 3)) == ["new", "c", "d"]


def test_readers_that_open_during_commits_always_see_one_whole_revision(make):
    """Item n always lies at (n, 0, 0); compaction deletes files under the readers' feet."""
    writer = make.empty()
    folder, stop, failures, opened = writer.folder, threading.Event(), [], []

    def read():
        while not stop.is_set():
            try:
                index = MediaIndex.open(folder)
                for item, row in zip(index.items, index.rows("frame").vectors, strict=True):
                    assert row.tolist() == [float(item.key), 0, 0]
                opened.append(index.revision)
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + 3
    n = 0
    while time.monotonic() < deadline:
        writer.add([make.item(str(n))], {"frame": make.rows([[n, 0, 0]])})
        if n > 3:
            writer.remove([str(n - 3)])
        if n % 3 == 0:
            writer.compact()
        n += 1
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures, failures
    assert len(set(opened)) > 3


def test_a_segment_deleted_between_manifest_and_opening_is_looked_for_again(make, monkeypatch):
    """The race of the test above, made certain: compaction strikes right after the manifest was read."""
    writer = make.filled()
    true_read, struck = snapshot_module.read_manifest, []

    def read_then_compact(root):
        manifest = true_read(root)
        if not struck:
            struck.append(True)
            MediaIndex(root, writer._snapshot, 10.0).compact()
        return manifest

    monkeypatch.setattr(snapshot_module, "read_manifest", read_then_compact)
    reader = MediaIndex.open(writer.folder)
    assert struck
    assert keys(reader) == BEFORE
    assert len(reader._snapshot.segments) == 1
