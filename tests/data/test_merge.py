"""Several data sets as one: names of classes, splits, sources that train and are not tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import MediaItem
from jaxret.data.merge import LabelMap, RelistedDataset, merge_datasets, read_label_map, with_splits
from jaxret.data.splits import split_dataset, split_for_autoencoder
from jaxret.errors import ConfigError

Fact = tuple[str, str | None, str | None]


def listed(*items: tuple[str, str | None, str, str | None]) -> MediaFiles:
    """A data set of (key, label, source, split) that is not read."""
    return MediaFiles(
        [MediaItem(k, "video", label, source, split, path=f"/{k}") for k, label, source, split in items], probe=False
    )


def facts(dataset: MediaDataset) -> list[Fact]:
    return [(item.key, item.label, item.split) for item in dataset.items]


def test_the_papers_protocol_in_small() -> None:
    """Train on one set, test on two others: seen and unseen follow the map, shared sources are left out."""
    ucf50 = listed(
        *[(f"Punch/{n}", "Punch", f"ucf/punch_g{n:02}", None) for n in range(20)],
        *[(f"Biking/{n}", "Biking", f"ucf/biking_g{n:02}", None) for n in range(20)],
        ("YoYo/0", "YoYo", "ucf/yoyo_g01", None),
    )
    kth = listed(("a", "boxing", "kth/person01", "train"), ("b", "boxing", "kth/person22", "test"))
    ucf101 = listed(
        ("x", "Biking", "ucf/biking_g03", None), ("y", "Biking", "ucf/biking_g77", None), ("z", "Archery", "", None)
    )
    label_map = LabelMap({("kth", "boxing"): "Punch", ("", "nowhere"): None, ("ucf101", "Archery"): "archery"})
    merged = merge_datasets({"ucf50": ucf50}, {"kth": kth, "ucf101": ucf101}, label_map=label_map, least_class_size=5)
    assert facts(merged)[-6:] == [
        ("ucf50/YoYo/0", "YoYo", "unused"),
        ("kth/a", "Punch", "unused"),  # KTH names a test split of its own
        ("kth/b", "Punch", "test"),
        ("ucf101/x", "Biking", "unused"),  # a clip of UCF50
        ("ucf101/y", "Biking", "test"),
        ("ucf101/z", "archery", "test"),
    ]
    assert merged.items[-1].source == "ucf101/z"
    splits = split_dataset(merged, unseen_fraction=0.0, seed=0)
    assert (splits.seen, splits.unseen) == (("Biking", "Punch"), ("archery",))
    assert len(splits.train) + len(splits.validation) == 40
    assert len(splits.validation) == 4
    assert splits.test.tolist() == [42, 44, 45]
    assert merged.notes == (
        "1 of 3 lines of the label map name no class that is there: nowhere",
        "1 of 3 training classes have fewer than 5 items and take no part in training",
        "1 test items of sources that train were left out",
    )


def test_nothing_to_change_gives_the_data_set_itself() -> None:
    one = listed(("a", "x", "", None))
    assert merge_datasets({"one": one}) is one
    assert facts(merge_datasets({"one": one}, label_map=LabelMap({("", "x"): "y"}))) == [("a", "y", None)]


def test_training_sets_keep_their_splits_and_the_others_train_whole() -> None:
    named = listed(("a", "x", "", "train"), ("b", "x", "", "test"), ("c", "x", "", None))
    plain = listed(("a", "x", "", None), ("b", "y", "", "unused"))
    assert facts(merge_datasets({"n": named, "p": plain})) == [
        ("n/a", "x", "train"),
        ("n/b", "x", "test"),
        ("n/c", "x", None),
        ("p/a", "x", "train"),
        ("p/b", "y", "unused"),
    ]
    assert [split for _, _, split in facts(merge_datasets({"p": plain, "q": plain}))] == [None, "unused"] * 2


def test_a_small_class_of_dealt_data_takes_no_part() -> None:
    items = [
        (f"{label}{n}", label, "", None) for label, count in (("a", 20), ("b", 20), ("c", 3)) for n in range(count)
    ]
    merged = merge_datasets({"one": listed(*items)}, least_class_size=4)
    splits = split_dataset(merged, unseen_fraction=0.0, seed=0)
    assert splits.seen == ("a", "b")
    assert max(splits.train.max(), splits.validation.max(), splits.test.max()) < 40


def test_a_class_that_the_map_drops_takes_no_part() -> None:
    """Neither in a training without labels, nor by its source; what never had a label trains on."""
    one = listed(
        *[(f"{label}{n}", label, "", None) for label in "ab" for n in range(10)],
        ("dropped", "x", "film", None),
        ("unlabelled", None, "", None),
    )
    two = listed(("c", "a", "film", None), ("d", "a", "", None))
    merged = merge_datasets({"one": one}, {"two": two}, label_map=LabelMap({("", "x"): None}))
    assert facts(merged)[-4:] == [
        ("one/dropped", None, "unused"),
        ("one/unlabelled", None, "train"),
        ("two/c", "a", "test"),
        ("two/d", "a", "test"),
    ]
    data = split_for_autoencoder(merged, steps_with_labels=(), unseen_fraction=0.0, seed=0)
    assert [merged.items[n].key for n in data.unlabelled.tolist()] == ["one/unlabelled"]


def test_media_are_read_from_their_own_data_sets(tmp_path: Path) -> None:
    for number, folder in enumerate(("left", "right")):
        (tmp_path / folder / "class").mkdir(parents=True)
        for name in "ab":
            Image.new("L", (8, 8 + number), 10 * number + ord(name) - 97).save(
                tmp_path / folder / "class" / f"{name}.png"
            )
    left, right = (MediaFiles.of_folder(tmp_path / folder) for folder in ("left", "right"))
    merged = merge_datasets({"left": left}, {"right": right})
    assert [item.key for item in merged.items] == [
        "left/class/a.png",
        "left/class/b.png",
        "right/class/a.png",
        "right/class/b.png",
    ]
    assert [int(merged.read(n)[0][0, 0, 0, 0]) for n in range(4)] == [0, 1, 10, 11]
    assert [merged.info(n).height for n in range(4)] == [8, 8, 9, 9]
    assert [merged.content_hash(n) for n in range(4)] == [d.content_hash(n) for d in (left, right) for n in range(2)]
    assert merged.origin(3) == right.origin(1)
    assert merged.subset([2]).read(0)[0][0, 0, 0, 0] == 10
    with pytest.raises(ValueError, match="items must be the 2 of the data sets, got 1"):
        RelistedDataset([left], left.items[:1])


def test_dealt_splits_can_be_written_into_the_items() -> None:
    dataset = listed(*[(f"{label}{n}", label, "", None) for label in "ab" for n in range(20)], ("none", None, "", None))
    splits = split_dataset(dataset, unseen_fraction=0.0, seed=3)
    dealt = with_splits(dataset, splits)
    for name in ("train", "validation", "test"):
        assert np.flatnonzero([item.split == name for item in dealt.items]).tolist() == getattr(splits, name).tolist()
    assert dealt.items[-1].split == "unused"
    assert split_dataset(dealt, unseen_fraction=0.0, seed=9).train.tolist() == splits.train.tolist()


def test_a_label_map_is_read(tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text("label,dataset,name\nboxing,kth,Punch\n\nwalk,,\n run , hmdb51 , Run \n", encoding="utf-8")
    label_map = read_label_map(table)
    assert label_map.names == {("kth", "boxing"): "Punch", ("", "walk"): None, ("hmdb51", "run"): "Run"}
    assert [label_map.name_of("kth", label) for label in ("boxing", "walk", "run", None)] == [
        "Punch",
        None,
        "run",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,name\na,b\n", "the header must be dataset,label,name, got label,name"),
        ("", "the header must be dataset,label,name, got nothing"),
        ("dataset,label,name\na,b\n", r"map\.csv, line 2: 2 cells, but the header names 3"),
        ("dataset,label,name\na,,c\n", r"map\.csv, line 2: the label is empty"),
        ("dataset,label,name\na,b,c\na,b,d\n", r"map\.csv, line 3: the label 'b' is listed twice for a"),
    ],
)
def test_a_malformed_label_map_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_label_map(tmp_path / "map.csv")


def test_what_does_not_fit_is_named() -> None:
    one = listed(("a", "x", "", None))
    with pytest.raises(ConfigError, match="the label map names the data set 'two'; there are one"):
        merge_datasets({"one": one}, label_map=LabelMap({("two", "x"): "y"}))
    with pytest.raises(ConfigError, match="a data set to train on and one to test on are both called 'one'"):
        merge_datasets({"one": one}, {"one": one})
    with pytest.raises(ValueError, match="least_class_size must be at least 0, got -1"):
        merge_datasets({"one": one}, least_class_size=-1)
    with pytest.raises(ValueError, match="train must name a data set, got none"):
        merge_datasets({})
