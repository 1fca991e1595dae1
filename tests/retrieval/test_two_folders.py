"""Two folders with files of the same names in one index: every file is found as itself, and removed by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip_encoder import make_encoder

from jaxret import build_index
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.retrieval import Retriever
from jaxret.retrieval.matches import match_items, query_items


def image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    for number, folder in enumerate(("first", "second")):
        for name in ("cat/a.png", "cat/b.png", "c.png"):
            image(tmp_path / folder / name, seed=100 * number + len(name) + ord(name[-5]))
    return Retriever.create(tmp_path / "index", make_encoder())


def paths(retriever: Retriever) -> set[str]:
    return {str(item.path) for item in retriever.index.items}


def test_both_are_indexed_and_each_file_finds_itself(retriever: Retriever, tmp_path: Path) -> None:
    first, second = open_dataset(tmp_path / "first"), open_dataset(tmp_path / "second")
    assert retriever.add(first).renamed == {}
    report = retriever.add(second)
    assert (len(report.added), report.present) == (3, ())
    assert report.renamed == {item.key: item.path for item in second.items}
    assert [item.key for item in retriever.index.items[:3]] == ["c.png", "cat/a.png", "cat/b.png"]
    for path in sorted(paths(retriever)):
        assert retriever.search(path, 1)[0].item.path == path
    # Again: both are there, by their own keys.
    assert retriever.add(first).present == tuple(item.key for item in first.items)
    assert retriever.add(second).present == tuple(item.path for item in second.items)
    assert len(retriever.index) == 6
    assert [item.source for item in query_items(second, retriever.index)] == [item.path for item in second.items]


def test_remove_takes_the_named_folder_alone(retriever: Retriever, tmp_path: Path, capsys) -> None:
    retriever.add(open_dataset(tmp_path / "first"))
    argv = [str(tmp_path / "second"), str(tmp_path / "index"), "--remove"]
    assert build_index.main(argv) == 0
    told = capsys.readouterr().out
    assert "removed 0 of 3" in told
    assert "3 names belong to other files" in told
    retriever.index.refresh()
    assert len(retriever.index) == 3
    assert build_index.main([str(tmp_path / "second"), str(tmp_path / "index"), "--quiet"]) == 0
    assert "3 names belonged to other files" in capsys.readouterr().out
    assert build_index.main(argv) == 0
    assert "removed 3 of 3" in capsys.readouterr().out
    retriever.index.refresh()
    assert paths(retriever) == {str(path) for path in (tmp_path / "first").rglob("*.png")}


def test_a_folder_within_an_indexed_one_is_there_already(retriever: Retriever, tmp_path: Path) -> None:
    retriever.add(open_dataset(tmp_path / "first"))
    report = retriever.add(open_dataset(tmp_path / "first" / "cat"))
    assert report.present == ("cat/a.png", "cat/b.png")
    assert report.added == ()


def test_an_index_of_before_knows_files_by_path_and_others_by_key(retriever: Retriever, tmp_path: Path) -> None:
    retriever.add(open_dataset(tmp_path / "first"))
    for item in retriever.index.items:
        old = {name: value for name, value in item.to_json().items() if name not in ("origin", "file")}
        assert set(old) == {"key", "kind", "label", "source", "split", "path", "duration"}
        assert MediaItem.from_json(old).path == item.path
    with pytest.raises(ValueError, match="an item must be an object with the fields"):
        MediaItem.from_json({**old, "other": 1})


def test_walks_cut_out_of_two_folders_do_not_meet(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("first", "second"):
        frames = rng.integers(0, 255, (8, 32, 32, 3), np.uint8)
        write_rgbd_folder(tmp_path / folder / "walk", frames, np.ones((8, 32, 32)))
    retriever = Retriever.create(tmp_path / "index", make_encoder())
    cut = [open_dataset(f"rgbd,rate=15,frames=4:{tmp_path / folder}") for folder in ("first", "second")]
    assert [len(retriever.add(dataset).added) for dataset in cut] == [2, 2]
    assert [len(match_items(dataset, retriever.index).present) for dataset in cut] == [2, 2]
    assert len(Retriever.open(tmp_path / "index").index) == 4
