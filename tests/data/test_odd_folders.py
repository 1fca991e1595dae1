"""Folders with links, pipes, what may not be read, and our own runs and indexes among the media."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import numpy as np
import pytest
from other_user import as_another_user
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles, media_kind, open_media, read_csv, scan_folder
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.decode.depth import read_depth
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, MediaError
from jaxret.index import EncoderRecord, MediaIndex, Space
from jaxret.preprocessing import Preprocessing

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and rights as POSIX has them")


def image(path: Path, level: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (level, level, level)).save(path)
    return path


def keys(folder: Path) -> list[str]:
    return [item.key for item in scan_folder(folder)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image(tmp_path / "media" / "cat" / "a.png")
    image(tmp_path / "media" / "dog" / "b.png")
    return tmp_path / "media"


@pytest.mark.parametrize("target", ["..", "../..", "../../..", "/", ".", "../dog", "loop"])
def test_no_link_to_a_folder_adds_anything_twice(folder: Path, target: str) -> None:
    image(folder.parent / "beside.png")
    (folder / "cat" / "loop").symlink_to(target)
    (folder / "dog" / "loop").symlink_to(target)
    dataset = open_dataset(folder)
    assert [item.key for item in dataset.items] == ["cat/a.png", "dog/b.png"]
    assert dataset.skipped == ()


def test_links_to_folders_elsewhere_are_followed_each_real_folder_once(folder: Path, tmp_path: Path) -> None:
    image(tmp_path / "elsewhere" / "deep" / "c.png")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / "bird").symlink_to(tmp_path / "elsewhere")
    (folder / "crow").symlink_to(tmp_path / "elsewhere")
    (folder / "wren").symlink_to(tmp_path / "elsewhere" / "deep")
    dataset = open_dataset(folder)
    assert [item.key for item in dataset.items] == ["bird/deep/c.png", "cat/a.png", "dog/b.png"]
    assert dataset.left_out == ("3 links to files and folders that are there already",)


def test_a_file_is_never_in_train_and_test_through_links(tmp_path: Path) -> None:
    for name in ("one", "two"):
        image(tmp_path / "train" / "cat" / f"{name}.png")
    image(tmp_path / "test" / "cat" / "three.png")
    (tmp_path / "test" / "cat" / "one.png").symlink_to("../../train/cat/one.png")
    os.link(tmp_path / "train" / "cat" / "two.png", tmp_path / "test" / "cat" / "two.png")
    items = scan_folder(tmp_path)
    assert len({os.stat(item.path).st_ino for item in items}) == len(items) == 3
    assert [item.key for item in items if item.key.endswith("one.png")] == ["train/cat/one.png"]
    # Two names of one file, both of them links.
    (tmp_path / "train" / "cat" / "x.png").symlink_to(image(tmp_path.parent / "x.png"))
    (tmp_path / "test" / "cat" / "x.png").symlink_to(tmp_path.parent / "x.png")
    assert len(scan_folder(tmp_path)) == 4


@pytest.mark.parametrize("second", ["cat/../cat/a.png", "link.png", "linked/a.png", "./cat//a.png"])
def test_a_table_lists_a_file_once(folder: Path, second: str) -> None:
    (folder / "link.png").symlink_to("cat/a.png")
    (folder / "linked").symlink_to("cat")
    table = folder / "list.csv"
    table.write_text(f"path,split\ncat/a.png,train\n{second},test\n")
    with pytest.raises(ConfigError, match=r"line 3: .*(is the file that is listed as 'cat/a\.png'|listed twice)"):
        read_csv(table)


def make_pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a named pipe"


def make_socket(path: Path) -> str:
    before = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)
    return "a socket"


def make_device_link(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "a device"


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_device_link])
@pytest.mark.parametrize("name", ["x.png", "x.gif", "x.mp4", "x.csv"])
def test_only_regular_files_are_opened(folder: Path, make, name: str) -> None:
    odd = folder / "cat" / name
    kind = make(odd)
    dataset = open_dataset(folder)
    assert len(dataset) == 2
    assert [error.path for error in dataset.skipped] == ([] if name == "x.csv" else [str(odd)])
    if name == "x.csv":
        odd.rename(folder / name)
        assert len(open_dataset(folder)) == 2
        with pytest.raises(ConfigError, match=f"is no CSV: {kind}"):
            read_csv(folder / name)
        return
    assert kind in dataset.skipped[0].reason
    for read in (open_media, media_kind, lambda path: MediaFiles([scan_folder(folder)[0]]).content_hash(0)):
        if read is open_media:
            with pytest.raises(MediaError, match=kind):
                read(odd)
        else:
            read(odd)  # comes back
    with pytest.raises(MediaError, match=kind):
        read_depth(odd)
    assert stat.S_ISREG(os.stat(dataset.items[0].path).st_mode)


def test_a_folder_that_may_not_be_read_is_listed(others_folder: Path) -> None:
    for name in ("cat/a.png", "dog/b.png", "dog/deep/c.png"):
        image(others_folder / name)
    write_rgbd_folder(others_folder / "walks" / "walk", np.zeros((2, 4, 4, 3), np.uint8), np.ones((2, 4, 4)))
    (others_folder / "walks" / "secret").mkdir()
    for closed in (others_folder / "dog", others_folder / "walks" / "secret"):
        closed.chmod(0)
    with as_another_user():
        dataset = open_dataset(others_folder)
        walks = open_dataset(f"rgbd:{others_folder / 'walks'}")
    assert "cat/a.png" in [item.key for item in dataset.items]
    assert len(walks) == 1
    assert [str(error) for error in walks.skipped] == [f"{others_folder}/walks/secret: Permission denied"]
    assert f"{others_folder}/dog: Permission denied" in map(str, dataset.skipped)
    for closed in (others_folder / "dog", others_folder / "walks" / "secret"):
        closed.chmod(0o755)
    (others_folder / "dog" / "b.png").chmod(0)
    with as_another_user():
        assert [str(error) for error in open_dataset(others_folder / "dog").skipped] == [
            f"{others_folder}/dog/b.png: Permission denied"
        ]
        with pytest.raises(MediaError, match="Permission denied"):
            open_media(others_folder / "dog" / "b.png")


def test_runs_and_indexes_among_the_media_are_left_out_and_said(folder: Path) -> None:
    MediaIndex.create(folder / "index", spaces=[Space("frame", 2)], encoder=EncoderRecord("x", Preprocessing()))
    image(folder / "index" / "encoder" / "figure.png")
    run = folder / "runs" / "cnn-lstm-1"
    image(run / "gallery.png")
    image(run / "example" / "frame.png")
    (run / "config.json").write_text('{\n  "recipe": "cnn-lstm"\n}\n')
    (run / "report.html").write_text("")
    image(folder / "own" / "c.png")
    (folder / "own" / "config.json").write_text('{"camera": 3}')
    (folder / "own" / "manifest.json").write_text("{}")
    dataset = open_dataset(folder)
    assert [item.key for item in dataset.items] == ["cat/a.png", "dog/b.png", "own/c.png"]
    assert dataset.left_out == (f"{folder / 'index'}: an index of jaxret", f"{run}: a run of jaxret")
    with pytest.raises(ConfigError, match=r"holds no image or video: .*a run of jaxret"):
        open_dataset(run)
    assert len(open_dataset(run / "example")) == 1  # what is named is meant


@pytest.mark.parametrize("content", [b"x" * 200_000, b"\xff\xfep\0a\0t\0h\0", b'path\n"a\n', bytes(range(256)), b""])
def test_odd_tables_are_no_matter_beside_media(folder: Path, content: bytes) -> None:
    (folder / "long.csv").write_bytes(content)
    (folder / "folder.csv").mkdir()
    (folder / "dead.csv").symlink_to("nowhere")
    if not content.startswith((b"\xff\xfe", b"path")):
        assert len(open_dataset(folder)) == 2
    for name in ("long.csv", "folder.csv", "dead.csv"):
        with pytest.raises(ConfigError, match=name) as caught:
            read_csv(folder / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "advice"), [("latin-1", "iconv -f LATIN1"), ("utf-16", "UTF-16: save it as UTF-8")]
)
def test_a_table_in_another_encoding_gets_advice(folder: Path, encoding: str, advice: str) -> None:
    (folder / "list.csv").write_bytes("path,label\ncat/a.png,Käuzchen\n".encode(encoding))
    for named in (folder, folder / "list.csv"):
        with pytest.raises(ConfigError, match=advice):
            open_dataset(named)
