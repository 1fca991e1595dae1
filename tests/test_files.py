"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from jaxret.errors import WriteError
from jaxret.files import is_there, write_atomically, write_folder, writing


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


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_rights_are_those_of_the_umask(tmp_path, umask, mode):
    path = tmp_path / "weights"
    before = os.umask(umask)
    try:
        for _ in range(2):  # a new file, and one in the place of an old one
            with write_atomically(path) as partial:
                partial.unlink()
                partial.touch(0o600)  # as libraries do that write for the owner alone
            assert path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        ValueError("RESOURCE_EXHAUSTED: writing: no space left on device"),
    ],
    ids=str,
)
def test_a_full_disk_names_the_file_and_what_is_free(tmp_path, error):
    path = tmp_path / "rows"
    path.write_text("old")

    def fail():
        with write_atomically(path):
            raise error

    with pytest.raises(WriteError, match=r"rows: cannot be written: .*MB are free") as caught:
        fail()
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_failures_stay_what_they_are(tmp_path):
    for error in (ValueError("a name"), OSError(errno.EACCES, "no"), KeyError("x")):
        with pytest.raises(type(error)) as caught, writing(tmp_path / "rows"):
            raise error
        assert caught.value is error


def test_is_there(tmp_path, monkeypatch):
    assert is_there(tmp_path)
    assert not is_there(tmp_path / "none")
    assert not is_there(tmp_path / "a\0b")

    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", forbidden)
    with pytest.raises(PermissionError):
        is_there(Path("x"))


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    def begin() -> None:
        with write_folder(folder) as partial:
            partial.mkdir()
            (partial / "a").write_text("a")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        begin()
    assert list(tmp_path.iterdir()) == []
    with write_folder(folder, partial=tmp_path / "beside", sync=True) as partial:
        partial.mkdir()
        (partial / "a").write_text("a")
        assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (folder / "a").read_text() == "a"
