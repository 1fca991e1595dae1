"""Two that change one index at once: of two additions the second waits or is refused, and none takes the place of the
other's files; what is removed meanwhile stops none."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip_encoder import make_encoder

from jaxret.cli.index_changes import prune_media, remove_media
from jaxret.data.item_columns import ItemColumns, with_columns
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError
from jaxret.index import IndexBusyError, MediaIndex
from jaxret.models.encoder_files import fingerprint_in
from jaxret.retrieval import Retriever, additions, matches

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    """An empty index beside two folders of files with the same names."""
    rng = np.random.default_rng(0)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        for name in NAMES:
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(tmp_path / folder / name)
    return Retriever.create(tmp_path / "index", make_encoder())


def again(retriever: Retriever, lock_timeout: float = 0.05) -> Retriever:
    """The index, opened by another process, as it were."""
    return Retriever(retriever.encoder, MediaIndex.open(retriever.index.folder, lock_timeout=lock_timeout))


def test_one_that_was_opened_earlier_sees_what_was_added_since(retriever: Retriever, tmp_path: Path) -> None:
    other = again(retriever)
    retriever.add(open_dataset(tmp_path / "first"))
    assert other.add(open_dataset(tmp_path / "first")).present == NAMES
    late = again(retriever)
    retriever.index.remove(["b.png"])
    assert late.add(open_dataset(tmp_path / "first")).added == ("b.png",)
    report = retriever.add(open_dataset(tmp_path / "second"))
    assert list(report.renamed) == list(NAMES)
    folders = [Path(str(item.path)).parent.name for item in retriever.index.items]
    assert folders == ["first"] * 3 + ["second"] * 3


def test_a_second_is_refused_while_one_is_under_way(retriever: Retriever, tmp_path: Path) -> None:
    other, told = again(retriever), []

    def meanwhile(number: int) -> None:
        if not told:
            with pytest.raises(IndexBusyError, match=r"add.lock: media are being added to this index") as refused:
                other.add(open_dataset(tmp_path / "second"))
            told.append(str(refused.value))

    report = retriever.add(open_dataset(tmp_path / "first"), on_item=meanwhile)
    assert (report.added, len(told)) == (NAMES, 1)
    assert other.add(open_dataset(tmp_path / "second")).added == tuple(
        str(tmp_path / "second" / name) for name in NAMES
    )


def test_a_second_waits_for_a_short_one_and_encodes_nothing_twice(retriever: Retriever, tmp_path: Path) -> None:
    reports = []

    def add() -> None:
        reports.append(again(retriever, 60.0).add(open_dataset(tmp_path / "first")))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(report.added) for report in reports) == [0, 0, 3]
    assert len(MediaIndex.open(retriever.index.folder)) == 3


@pytest.mark.parametrize("first", [("b.png",), ()], ids=["after a commit", "without one"])
def test_an_item_with_other_columns_that_is_removed_meanwhile_stays_removed(
    retriever: Retriever, tmp_path: Path, first: tuple[str, ...]
) -> None:
    dataset = open_dataset(tmp_path / "first")
    retriever.add(dataset)
    if first:
        retriever.index.remove(first)
    described, _ = with_columns(dataset, ItemColumns("key", {"a.png": {"year": 3}, "c.png": {"year": 4}}))

    def meanwhile() -> bool:
        again(retriever).index.remove({"a.png"} & set(again(retriever).index.values("key")))
        return False

    report = retriever.add(described, stop=meanwhile)
    assert report.added == first
    assert {item.key: dict(item.columns) for item in MediaIndex.open(retriever.index.folder).items} == {
        "c.png": {"year": 4},
        "b.png": {},
    }


def test_a_changed_file_whose_item_is_removed_meanwhile_is_added(
    retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additions, "_ITEMS_A_COMMIT", 1)
    retriever.add(open_dataset(tmp_path / "first"))
    for name in NAMES:
        Image.new("RGB", (16, 16)).save(tmp_path / "first" / name)
    report = retriever.add(
        open_dataset(tmp_path / "first"),
        on_item=lambda number: again(retriever).index.remove(["c.png"]) if number == 0 else None,
    )
    assert report.renewed == NAMES
    assert set(MediaIndex.open(retriever.index.folder).values("key")) == set(NAMES)


def test_of_two_that_prune_the_second_has_nothing_to_drop(retriever: Retriever, tmp_path: Path) -> None:
    retriever.add(open_dataset(tmp_path / "first"))
    (tmp_path / "first" / "a.png").unlink()
    for index in (again(retriever).index, retriever.index):
        prune_media(index, str(tmp_path / "first"), (), dry_run=False)
    assert retriever.index.values("key") == ["b.png", "c.png"]


def test_what_another_removed_meanwhile_stops_no_removal(
    retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever.add(open_dataset(tmp_path / "first"))
    match_items = matches.match_items

    def look_then_lose(*looked: object) -> matches.Matches:
        """Another program removes an item between this one's look and its removal."""
        again(retriever).index.remove(["a.png"])
        return match_items(*looked)

    monkeypatch.setattr(matches, "match_items", look_then_lose)
    remove_media(retriever.index, str(tmp_path / "first"), dry_run=False)
    assert len(retriever.index) == 0


def test_of_two_that_make_an_index_one_does(tmp_path: Path) -> None:
    refused = []

    def create(seed: int) -> None:
        try:
            Retriever.create(tmp_path / "index", make_encoder(seed))
        except ConfigError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=create, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [text.partition(" holds ")[2] for text in refused] == ["an index already: open it, or choose another"] * 2
    assert (
        fingerprint_in(tmp_path / "index" / "encoder") == Retriever.open(tmp_path / "index").index.encoder.fingerprint
    )
