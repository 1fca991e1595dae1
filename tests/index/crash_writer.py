"""Run by test_crashes: add items to an index and be killed (SIGKILL) at the n-th step that touches the disk.

python crash_writer.py FOLDER VERB STEP     STEP 0 only counts the steps and prints their number
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from jaxret.index import MediaIndex, MediaItem, Rows, array_file

STEPS = 0


def main(folder: str, verb: str, fatal: int) -> None:
    def step() -> None:
        global STEPS
        STEPS += 1
        if fatal == STEPS:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(function):
        def wrapped(*args, **kwargs):
            step()
            return function(*args, **kwargs)

        return wrapped

    def half_written(self, data):
        """Write a part, be killed, or write the rest."""
        self_write(self, data[: len(data) // 2])
        self._file.flush()
        step()
        self_write(self, data[len(data) // 2 :])

    index = MediaIndex.open(folder)
    self_write = array_file.HashingFile.write
    array_file.HashingFile.write = half_written
    os.fsync = before(os.fsync)
    os.replace = before(os.replace)
    os.rename = before(os.rename)
    Path.rename = before(Path.rename)
    Path.mkdir = before(Path.mkdir)
    shutil.rmtree = before(shutil.rmtree)
    if verb == "add":
        rows = Rows(np.full((3, 3), 7, np.float32), [0, 1, 1])
        index.add([MediaItem("new", "image"), MediaItem("a", "video")], {"frame": rows}, replace=True)
    elif verb == "remove":
        index.remove(["d"])
    elif verb == "cells":
        index.make_cells("frame", 2)
    elif verb == "describe":
        index.set_columns({"a": {"year": 3}, "d": {"year": 4}})
    else:
        index.compact()
    print(STEPS)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
