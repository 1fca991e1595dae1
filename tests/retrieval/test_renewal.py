"""Files that change, move and go after they were indexed: renewed, dropped and removed from the command line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip_encoder import make_encoder

from jaxret.__main__ import dispatch
from jaxret.cli.run import run_command
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.decode.depth import write_depth
from jaxret.data.open import open_dataset
from jaxret.index import MediaIndex
from jaxret.models.store import save_encoder
from jaxret.retrieval import Retriever

NAMES = ["cat/a.png", "cat/b.png", "dog/c.png"]


def image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Three images, and an index of them."""
    for seed, name in enumerate(NAMES):
        image(tmp_path / "media" / name, seed)
    encoder = make_encoder()
    save_encoder(encoder, tmp_path / "encoder")
    call(tmp_path / "media", "--encoder", str(tmp_path / "encoder"))
    return tmp_path / "media"


def call(media: object, *words: str) -> int:
    index = Path(str(media)).parent / "index" if isinstance(media, Path) else Path("index")
    return run_command(dispatch, ["index", str(media), str(index), "--quiet", *words])


def keys(media: Path) -> list[str]:
    return [item.key for item in MediaIndex.open(media.parent / "index").items]


def test_a_bar_counts_every_item(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["index", str(media), str(media.parent / "other"), "--encoder", str(media.parent / "encoder")]
    for call_again in (words, words[:3]):  # the second finds all of them there
        capsys.readouterr()
        assert run_command(dispatch, call_again) == 0
        assert "3/3" in capsys.readouterr().err.splitlines()[-1]


def test_what_changed_is_renewed_and_nothing_else(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(media) == 0
    assert "\nrenewed" not in capsys.readouterr().out
    os.utime(media / "cat/a.png", ns=(1, 1))  # another time, the same content
    kept = (media / "cat/b.png").stat()
    image(media / "dog/c.png", 77)
    assert call(media, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "would add 0 items and renew 1; 2 are there as they are" in told
    assert "changed dog/c.png" in told
    assert Retriever.open(media.parent / "index").search(media / "dog/c.png", 1)[0].distance > 1e-3
    assert call(media) == 0
    assert "added 0 items, 2 were there already, 0 could not" in (told := capsys.readouterr().out)
    assert "renewed 1 item" in told
    assert sorted(keys(media)) == NAMES
    found = Retriever.open(media.parent / "index").search(media / "dog/c.png", 1)[0]
    assert (found.item.key, found.distance) == ("dog/c.png", pytest.approx(0, abs=1e-3))
    # A file of the same size and time counts as the same: nothing of it is read.
    content = bytearray((media / "cat/b.png").read_bytes())
    content[-1] ^= 1
    (media / "cat/b.png").write_bytes(content)
    os.utime(media / "cat/b.png", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    capsys.readouterr()
    call(media, "--dry-run")
    assert "renew 0" in capsys.readouterr().out


def test_prune_drops_what_is_gone_from_this_folder_alone(media: Path, tmp_path: Path, capsys) -> None:
    other = image(tmp_path / "other" / "x.png", 9)
    assert call(tmp_path / "other") == 0
    other.unlink()
    (media / "cat/b.png").unlink()
    image(media / "dog/d.png", 10)
    capsys.readouterr()
    assert call(media, "--prune", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "would add 1 item and" in told
    assert "would prune 1 item" in told
    assert "gone cat/b.png" in told
    assert len(keys(media)) == 4
    assert call(media, "--prune") == 0
    assert "pruned 1 item" in capsys.readouterr().out
    assert sorted(keys(media)) == ["cat/a.png", "dog/c.png", "dog/d.png", "x.png"]
    shutil.rmtree(media / "cat")
    shutil.rmtree(media / "dog")
    assert call(media) == 2  # an empty folder may be a disk that is not there
    assert call(media, "--prune") == 0
    assert keys(media) == ["x.png"]
    shutil.rmtree(tmp_path / "other")
    assert call(tmp_path / "other", "--prune") == 2
    assert keys(media) == ["x.png"]


@pytest.mark.parametrize("gone", [False, True])
def test_remove_by_path_and_by_key_reads_nothing(media: Path, tmp_path: Path, capsys, monkeypatch, gone: bool) -> None:
    for name in NAMES:
        if gone:
            (media / name).unlink()
        else:
            (media / name).write_bytes(b"no image any more")
    capsys.readouterr()
    index = str(tmp_path / "index")
    assert run_command(dispatch, ["index", str(media / "cat/a.png"), index, "--remove", "--dry-run"]) == 0
    assert "would remove 1 of 1 item; 2 are left" in capsys.readouterr().out
    assert len(keys(media)) == 3
    assert run_command(dispatch, ["index", str(media / "cat/a.png"), index, "--remove"]) == 0
    assert keys(media) == NAMES[1:]
    assert run_command(dispatch, ["index", "cat/b.png", index, "--remove"]) == 0
    assert keys(media) == NAMES[2:]
    assert run_command(dispatch, ["index", "cat/b.png", index, "--remove"]) == 2
    monkeypatch.chdir(media)
    (media / "cat").mkdir(exist_ok=True)
    assert run_command(dispatch, ["index", "dog", index, "--remove"]) == 0
    assert keys(media) == []


def test_a_folder_that_moved_is_the_same_media(media: Path, tmp_path: Path, capsys) -> None:
    media.rename(tmp_path / "moved")
    capsys.readouterr()
    assert call(tmp_path / "moved") == 0
    assert "renewed 3 items" in capsys.readouterr().out
    items = MediaIndex.open(tmp_path / "index").items
    assert sorted(item.key for item in items) == NAMES
    assert all(Path(item.path).parent.parent == tmp_path / "moved" for item in items)


def test_a_copy_is_there_already_and_cannot_remove_the_first(media: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(media, tmp_path / "copy")
    capsys.readouterr()
    assert call(tmp_path / "copy") == 0
    assert "added 0 items, 3 were there already" in capsys.readouterr().out
    assert call(tmp_path / "copy", "--remove") == 0
    assert "removed 0 of 3 items; 3 are left" in capsys.readouterr().out


def test_remove_and_prune_do_not_go_together(media: Path, capsys) -> None:
    assert call(media, "--remove", "--prune") == 2
    assert "give one" in capsys.readouterr().err


def test_what_changed_and_cannot_be_read_is_told_and_dropped_on_demand(media: Path, capsys) -> None:
    (media / "cat/a.png").write_bytes(b"a download that was begun")
    told_at = os.stat(media / "cat/b.png")
    os.utime(media / "cat/b.png", ns=(told_at.st_atime_ns, 5))  # another time alone: it is read
    capsys.readouterr()
    assert call(media) == 0
    told = capsys.readouterr().out
    assert "1 item stays as it was, though files changed and cannot be read now (--prune drops them)" in told
    assert "\n  stale cat/a.png\n" in told
    assert sorted(keys(media)) == NAMES
    assert call(media, "--prune", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "would prune 1 item whose files are gone or unreadable; 2 are left in " in told
    assert "\n  stale cat/a.png\n" in told
    assert call(media, "--prune") == 0
    assert sorted(keys(media)) == NAMES[1:]
    image(media / "cat/a.png", 0)
    assert call(media) == 0
    assert sorted(keys(media)) == NAMES


def test_prune_takes_only_a_folder_without_media_for_one_that_lost_all(media: Path, capsys) -> None:
    image(media / "new.png", 9)
    (media / "list.csv").write_text("path,label\ncat/lost.png,cat\n")
    capsys.readouterr()
    assert call(media, "--prune") == 2
    assert "cat/lost.png" in capsys.readouterr().err
    assert sorted(keys(media)) == NAMES
    (media / "list.csv").unlink()
    for path in media.rglob("*.png"):
        path.unlink()
    assert call(media, "--prune", "--dry-run") == 0
    told = capsys.readouterr().out
    assert f"note: {media} holds no image or video" in told
    assert "would prune 3 items" in told


def test_an_index_alone_is_compacted(media: Path, capsys) -> None:
    index = MediaIndex.open(media.parent / "index")
    index.remove([NAMES[0]])
    before = list(index.items)
    assert run_command(dispatch, ["index", str(index.folder), "--compact"]) == 0
    again = MediaIndex.open(index.folder)
    assert list(again.items) == before
    assert [segment.removed for segment in again._snapshot.manifest.segments] == [()]


def test_walks_of_rgbd_are_renewed_and_pruned_whole_or_cut(media: Path, tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
    for name in ("one", "two", "three..2"):
        write_rgbd_folder(tmp_path / "walks" / name, frames, np.ones((8, 32, 32)))

    def renewed(specification: str) -> list[str]:
        capsys.readouterr()
        assert run_command(dispatch, ["index", specification, str(tmp_path / "index"), "--dry-run"]) == 0
        return [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("  changed")]

    for specification, expected in (
        (f"rgbd:{tmp_path / 'walks'}", ["two"]),
        (f"rgbd,frames=4:{tmp_path / 'walks'}", ["two/000004-000007"]),
    ):
        index = MediaIndex.open(tmp_path / "index")
        Retriever.open(index.folder).add(open_dataset(specification))
        assert renewed(specification) == []
        os.utime(tmp_path / "walks/one/000002.color.png", ns=(1, 1))
        write_depth(tmp_path / "walks/two/000005.depth.png", np.full((32, 32), rng.random() + 1))
        assert renewed(specification) == expected
        Retriever.open(index.folder).add(open_dataset(specification))
        assert renewed(specification) == []
    shutil.rmtree(tmp_path / "walks/one")
    words = ["index", f"rgbd:{tmp_path / 'walks'}", str(tmp_path / "index"), "--quiet", "--prune"]
    assert run_command(dispatch, words) == 0
    told = capsys.readouterr().out
    assert [line.split()[1] for line in told.splitlines() if line.startswith("  gone")] == [
        "one", "one/000000-000003", "one/000004-000007",
    ]  # fmt: skip


def test_columns_of_a_csv_are_given_kept_and_changed(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = media.parent / "mine.csv"
    table.write_text("path,year,seen\nmedia/cat/a.png,1999,true\nmedia/dog/c.png,2000,\nmedia/none.png,1,true\n")
    image(media / "dog" / "d.png", 9)
    assert call(media, "--columns", str(table), "--dry-run") == 0
    told = capsys.readouterr().out
    assert "3 are there, 2 of them with other columns of yours\n" in told
    assert told.endswith("\n  described cat/a.png\n  described dog/c.png\n")
    assert call(media, "--columns", str(table)) == 0
    printed = capsys.readouterr().out
    assert f"of {table} name none of the media: 1 line" in printed
    assert "2 items that were there have other columns of yours now" in printed
    index = MediaIndex.open(media.parent / "index")
    assert index.values("year") == [1999, None, 2000, None]
    assert index.values("seen") == [True, None, None, None]
    image(media / "cat" / "a.png", 10)  # renewed: it keeps its columns
    table.write_text("key,year\ndog/d.png,7\n")
    assert call(media, "--columns", str(table)) == 0
    index.refresh()
    assert {item.key: dict(item.columns) for item in index.items} == {
        "cat/a.png": {"year": 1999, "seen": True},
        "cat/b.png": {},
        "dog/c.png": {"year": 2000},
        "dog/d.png": {"year": 7},
    }
    capsys.readouterr()
    assert run_command(dispatch, ["search", str(index.folder), str(media / "cat/b.png"), "--where", "year > 1990"]) == 0
    assert [name in capsys.readouterr().out for name in ("dog/d", "cat/b")] == [False, False]
    table.write_text("key,year\ndog/d.png,late\n")
    assert call(media, "--columns", str(table)) == 2
    assert "column 'year' holds numbers, got text for it" in capsys.readouterr().err


def test_media_move_and_the_index_follows(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = media.parent / "index"
    assert call(media, "--media-root", str(media)) == 0
    moved = media.rename(media.parent / "moved")
    shutil.rmtree(moved / "dog")
    capsys.readouterr()
    assert run_command(dispatch, ["index", str(folder), "--relocate", str(moved)]) == 0
    assert f"media of {folder} lie in {moved} now; 1 of 3 are not there" in capsys.readouterr().out
    index = MediaIndex.open(folder)
    assert [item.path for item in index.items] == [str(moved / name) for name in NAMES]
    assert call(moved) == 0
    assert "added 0 items, 2 were there already" in capsys.readouterr().out
    assert run_command(dispatch, ["index", str(folder), "--relocate", str(moved / "none")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    (other := moved.parent / "other").mkdir()
    assert run_command(dispatch, ["index", str(folder), "--relocate", str(other)]) == 2
    told = capsys.readouterr().err
    said = f"none of the media of {folder}, which lay in {moved}, is below it, such as {other / NAMES[0]}; name"
    assert said in told
    revision = MediaIndex.open(folder).revision
    assert run_command(dispatch, ["index", str(folder), "--upgrade", "--relocate", str(other)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, "Nothing was changed" in printed.err) == ("", True)
    assert MediaIndex.open(folder).revision == revision
    assert str(MediaIndex.open(folder).media_root) == str(moved)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["INDEX"], "name the index: jaxret index MEDIA INDEX"),
        (["MEDIA", "INDEX", "--upgrade"], "--upgrade and --relocate take an index alone"),
        (["MEDIA", "INDEX", "--relocate", "X"], "--upgrade and --relocate take an index alone"),
        (["INDEX", "--relocate", "X", "--dry-run"], "--dry-run goes with media, and --upgrade, --relocate"),
        (["MEDIA", "INDEX", "--media-root", "X"], "--media-root X: there is no such folder"),
        (["INDEX", "--upgrade", "--columns", "X.csv"], "--columns goes with media, and --upgrade, --relocate"),
        (["MEDIA", "INDEX", "--remove", "--weights", "X"], "--weights goes with media that are added, and --remove"),
        (
            ["MEDIA", "INDEX", "--remove", "--columns", "X.csv"],
            "--columns goes with media that are added, and --remove",
        ),
    ],
)
def test_calls_without_media_or_without_an_index(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(dispatch, ["index", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_index_is_upgraded(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_before = Path(__file__).parents[1] / "compatibility" / "made_before" / "runs" / "things"
    run = Path(shutil.copytree(made_before, media.parent / "things"))
    items = list(MediaIndex.open(run / "index").items)
    assert run_command(dispatch, ["index", str(run), "--upgrade"]) == 0
    assert "are as this version writes them" in capsys.readouterr().out
    index = MediaIndex.open(run / "index")
    assert index.items == items
    assert not list(run.glob("index/segments/*/items.jsonl"))
    index.verify()
