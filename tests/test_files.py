"""Files that appear whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.files import write_atomically


def test_the_new_file_takes_the_place_of_the_old_one_when_it_is_done(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")
    for sync in (False, True):
        with write_atomically(path, sync=sync) as partial:
            partial.write_text(f"new {sync}")
            assert path.read_text() in ("old", "new False")
        assert path.read_text() == f"new {sync}"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")

    def fail():
        with write_atomically(path) as partial:
            partial.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_that_choose_a_format_by_the_ending_write_to_the_right_name(tmp_path):
    with write_atomically(tmp_path / "rows.npy") as partial:
        np.save(partial, np.arange(3))
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), [0, 1, 2])


def test_a_writer_may_name_its_own_partial_file(tmp_path):
    own, path = tmp_path / "own", tmp_path / "folder" / "rows"
    path.parent.mkdir()
    with write_atomically(path, partial=own) as partial:
        assert partial == own
        own.write_text("x")
    assert not own.exists()
    assert path.read_text() == "x"
