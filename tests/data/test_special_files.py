"""Readers of text and records open regular files alone: a pipe that nobody writes to would hold them for ever."""

from __future__ import annotations

import os

import pytest

from jaxret.data.datasets.published.tf_records import read_tf_records
from jaxret.data.datasets.published.youtube8m import open_youtube8m, read_vocabulary
from jaxret.data.ground_truth.camera_poses import read_pose
from jaxret.data.ground_truth.instances import read_lines
from jaxret.data.ground_truth.revisited import read_revisited
from jaxret.data.ground_truth.stanford_i2v import read_ground_truth
from jaxret.errors import JaxretError
from jaxret.files import read_text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("vocabulary.csv", read_vocabulary),
        ("vocabulary.csv", lambda path: open_youtube8m(path.parent)),
        ("train.tfrecord", lambda path: list(read_tf_records(path))),
        ("pose.txt", read_pose),
        ("good.txt", read_lines),
        ("gnd.mat", read_revisited),
        ("gnd.json", read_revisited),
        ("public.txt", read_ground_truth),
    ],
)
def test_a_pipe_is_refused(name, read, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(JaxretError, match=rf"{name}.*a named pipe, not a regular file"):
        read(tmp_path / name)


def test_text_is_read_with_its_line_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\xe9\n")
    assert read_text(path, encoding="latin-1") == "one\ntwo\xe9\n"
    with pytest.raises(UnicodeDecodeError):
        read_text(path)
