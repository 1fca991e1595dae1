"""UCF50, UCF101, HMDB51 and KTH in the layout that they are published in: classes, sources, official splits."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import pytest

from jaxret.data.datasets.published.action_videos import open_action_videos
from jaxret.data.open import open_dataset
from jaxret.data.splits import split_dataset
from jaxret.errors import ConfigError


def made(folder: Path, names: Iterable[str]) -> Path:
    """Empty files: nothing is read with probe=False."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def facts(folder: Path | str) -> dict[str, tuple[str | None, str, str | None]]:
    """Label, source and split of each item, by the name of its file."""
    dataset = open_dataset(folder, probe=False)
    return {item.key.rpartition("/")[2]: (item.label, item.source, item.split) for item in dataset.items}


UCF = [
    f"{label}/v_{label}_g{group:02}_c{clip:02}.avi"
    for label in ("Biking", "YoYo")
    for group in (1, 2, 3)
    for clip in (1, 2)
]


def test_ucf50_has_classes_and_groups(tmp_path: Path) -> None:
    found = facts(f"ucf50:{made(tmp_path / 'UCF50', UCF)}")
    assert len(found) == 12
    assert found["v_YoYo_g02_c01.avi"] == ("YoYo", "ucf/yoyo_g02", None)
    assert len({source for _, source, _ in found.values()}) == 6


def test_clips_of_a_group_never_stand_on_both_sides_and_as_a_plain_folder_they_would(tmp_path: Path) -> None:
    names = [
        f"{label}/v_{label}_g{g:02}_c{c:02}.avi" for label in ("A", "B", "C") for g in range(1, 9) for c in range(1, 5)
    ]
    folder = made(tmp_path / "UCF-101", names)

    def shared(spec: str) -> set[str]:
        dataset = open_dataset(spec, probe=False)
        splits = split_dataset(dataset, unseen_fraction=0.0, seed=0)
        groups = [
            {dataset.items[n].key.rpartition("_c")[0] for n in part}
            for part in (splits.train, splits.validation, splits.test)
        ]
        assert all(groups)
        return (groups[0] & groups[1]) | (groups[0] & groups[2]) | (groups[1] & groups[2])

    assert not shared(f"ucf101:{folder}")
    assert shared(str(folder))
    note = f"file names look like those of UCF101: opened as ucf101:{folder}, clips of one source do not stand on both"
    assert [line.startswith(note) for line in open_dataset(folder, probe=False).notes] == [True]
    assert open_dataset(f"ucf101:{folder}", probe=False).notes == ()


def ucf101(folder: Path, lists: Path) -> Path:
    files = [*UCF, "HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    lists.mkdir(parents=True)
    for number in (1, 2):
        test = f"_g{number:02}_"
        (lists / f"testlist{number:02}.txt").write_text(
            "".join(f"{f}\n" for f in files if test in f and "YoYo" not in f)
        )
        (lists / f"trainlist{number:02}.txt").write_text("".join(f"{f} 1\r\n" for f in files if test not in f))
    return made(folder, files)


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_ucf101_has_its_official_splits(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "UCF-101"
    ucf101(folder, (folder if place == "inside" else tmp_path) / "ucfTrainTestlist")
    first, second, none = (facts(f"ucf101{option}:{folder}") for option in ("", ",split=2", ",split=none"))
    assert first["v_HandStandPushups_g01_c01.avi"] == ("HandstandPushups", "ucf/handstandpushups_g01", "test")
    assert [first[f"v_Biking_g0{g}_c01.avi"][2] for g in (1, 2, 3)] == ["test", "train", "train"]
    assert [second[f"v_Biking_g0{g}_c01.avi"][2] for g in (1, 2, 3)] == ["train", "test", "train"]
    assert first["v_YoYo_g01_c02.avi"][2] == "unused"  # in no list
    assert {split for _, _, split in none.values()} == {None}
    with pytest.raises(ConfigError, match=r"trainlist03\.txt: No such file"):
        open_dataset(f"ucf101,split=3:{folder}", probe=False)
    with pytest.raises(ConfigError, match="split of ucf101 cannot be '4'"):
        open_dataset(f"ucf101,split=4:{folder}", probe=False)


def test_a_malformed_list_names_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "UCF-101"
    ucf101(folder, tmp_path / "ucfTrainTestlist")
    (tmp_path / "ucfTrainTestlist" / "testlist01.txt").write_text("Biking/v_Biking_g01_c01.avi\n\na b c\n")
    with pytest.raises(ConfigError, match=r"testlist01\.txt, line 3: expected CLASS/FILE .*, got 'a b c'"):
        open_dataset(f"ucf101:{folder}", probe=False)


HMDB = [
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1.avi",
    "brush_hair/#20_brush_hair_h_cm_np2_le_bad_0.avi",
    "pour/How_to_pour_beer_pour_u_nm_np1_fr_goo_0.avi",
    "hug/April_09_hug_f_cm_np2_ri_med_10.avi",
]


def test_hmdb51_names_films_and_its_official_splits(tmp_path: Path) -> None:
    folder = made(tmp_path / "hmdb51_org", HMDB)
    assert facts(f"hmdb51:{folder}")["#20_brush_hair_h_cm_np2_le_bad_0.avi"] == ("brush_hair", "hmdb/#20", None)
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    for label in ("brush_hair", "pour", "hug"):
        names = [name.partition("/")[2] for name in HMDB if name.startswith(label)]
        text = "".join(f"{name} {(2, 1, 0)[place % 3]} \n" for place, name in enumerate(names))
        (lists / f"{label}_test_split1.txt").write_text(text)
    found = facts(f"hmdb51:{folder}")
    assert [found[Path(name).name] for name in HMDB] == [
        ("brush_hair", "hmdb/April_09", "test"),
        ("brush_hair", "hmdb/April_09", "train"),
        ("brush_hair", "hmdb/#20", "unused"),
        ("pour", "hmdb/How_to_pour_beer", "test"),
        ("hug", "hmdb/April_09", "test"),  # one film shows both classes
    ]
    with pytest.raises(ConfigError, match=r"holds no list <class>_test_split2\.txt"):
        open_dataset(f"hmdb51,split=2:{folder}", probe=False)
    (lists / "pour_test_split1.txt").write_text("How_to_pour_beer_pour_u_nm_np1_fr_goo_0.avi 3\n")
    with pytest.raises(ConfigError, match=r"pour_test_split1\.txt, line 1: expected FILE and 0, 1 or 2"):
        open_dataset(f"hmdb51:{folder}", probe=False)


@pytest.mark.parametrize("layout", ["walking/{}", "{}", "KTH/all/{}"])
def test_kth_has_persons_and_their_split_in_any_layout(tmp_path: Path, layout: str) -> None:
    names = [
        layout.format(f"person{n:02}_{label}_d{s}_uncomp.avi")
        for n in range(1, 26)
        for label in ("walking", "boxing")
        for s in (1, 4)
    ]
    found = facts(f"kth:{made(tmp_path, names)}")
    assert found["person16_boxing_d4_uncomp.avi"] == ("boxing", "kth/person16", "train")
    persons = {
        split: {source[-2:] for _, source, own in found.values() if own == split}
        for split in ("train", "validation", "test")
    }
    assert {split: len(people) for split, people in persons.items()} == {"train": 8, "validation": 8, "test": 9}
    assert "01" in persons["validation"]
    assert "22" in persons["test"]
    assert {split for _, _, split in facts(f"kth,split=none:{tmp_path}").values()} == {None}
    with pytest.raises(ConfigError, match="no lists of split 2 of KTH lie in it or beside it"):
        open_dataset(f"kth,split=2:{tmp_path}", probe=False)


def test_files_of_other_names_are_left_out_and_told(tmp_path: Path) -> None:
    folder = made(tmp_path, [*UCF, "Biking/holiday.avi", "notes.txt"])
    dataset = open_dataset(f"ucf50:{folder}", probe=False)
    assert len(dataset) == 12
    assert dataset.left_out == ("1 files that are not named as those of UCF50 are",)
    assert dict(dataset.passed_over) == {".txt": 1}
    with pytest.raises(ConfigError, match=r"holds no file named as those of KTH are, such as person01_walking_d1"):
        open_dataset(f"kth:{folder}", probe=False)
    with pytest.raises(ConfigError, match="options of ucf50 are none"):
        open_dataset(f"ucf50,split=1:{folder}", probe=False)
    with pytest.raises(ConfigError, match="action videos are ucf50, ucf101, hmdb51, kth, got 'ucf'"):
        open_action_videos("ucf", folder)


def test_broken_files_are_listed(tmp_path: Path) -> None:
    folder = made(tmp_path, UCF)
    dataset = open_dataset(f"ucf50:{folder}")
    assert (len(dataset), len(dataset.skipped)) == (0, 12)


@pytest.mark.parametrize(
    ("names", "note"),
    [(HMDB, "HMDB51: opened as hmdb51:"), (["a/b.avi", *HMDB[:1]], None), (["a/person01_walking_d1.png"], None)],
)
def test_only_a_folder_of_such_names_gets_the_note(tmp_path: Path, names: list[str], note: str | None) -> None:
    notes = open_dataset(made(tmp_path, names), probe=False).notes
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


def test_sources_and_splits_of_real_hmdb51_names(shared_media: Path, tmp_path: Path) -> None:
    """JHMDB keeps HMDB51's file names: its own list of sources and splits is the reference."""
    with open(shared_media / "data" / "jhmdb" / "clips.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    folder = made(tmp_path / "hmdb51_org", [row["path"] for row in rows])
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    number_of = {"train": 1, "test": 2, "unused": 0, "": 0}
    for label in {row["label"] for row in rows}:
        text = [f"{Path(row['path']).stem}.avi {number_of[row['split2']]}\n" for row in rows if row["label"] == label]
        (lists / f"{label}_test_split2.txt").write_text("".join(text))
    found = facts(f"hmdb51,split=2:{folder}")
    differing = [
        row
        for row in rows
        if found[Path(row["path"]).name] != (row["label"], f"hmdb/{row['source']}", row["split2"] or "unused")
    ]
    # That list cuts a name at the first word that is the class, as in "How_to_pour_beer_pour".
    assert len(differing) <= 9
    assert all(
        row["label"] in Path(row["path"]).stem.removesuffix(row["label"]).rpartition(f"_{row['label']}_")[0]
        for row in differing
    )
