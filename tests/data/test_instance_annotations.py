"""Published annotation layouts, written out small, and read back."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from jaxret.data.ground_truth.instances import InstanceQuery, relevance_lists
from jaxret.data.ground_truth.instre import instre_boxes, instre_queries, read_instre
from jaxret.data.ground_truth.oxford import read_oxford_queries
from jaxret.data.ground_truth.photo_groups import holidays_queries, ukbench_queries
from jaxret.data.ground_truth.revisited import read_revisited
from jaxret.errors import ConfigError


def write(folder, files):
    for name, lines in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def oxford(tmp_path):
    write(
        tmp_path,
        {
            "all_souls_1_query.txt": ["oxc1_all_souls_000013 136.5 34.1 648.5 955.7"],
            "all_souls_1_good.txt": ["all_souls_000013", "all_souls_000026"],
            "all_souls_1_ok.txt": ["all_souls_000002"],
            "all_souls_1_junk.txt": ["all_souls_000008", ""],
            "keble_2_query.txt": ["oxc1_keble_000214 0 0 10 20.0 "],
            "keble_2_good.txt": ["keble_000214"],
            "keble_2_ok.txt": [],
            "keble_2_junk.txt": [],
        },
    )
    return tmp_path


def test_oxford_layout(oxford):
    first, second = read_oxford_queries(oxford)
    assert first == InstanceQuery(
        "all_souls_1",
        "all_souls_000013",
        (136.5, 34.1, 648.5, 955.7),
        good=("all_souls_000013", "all_souls_000026"),
        ok=("all_souls_000002",),
        junk=("all_souls_000008",),
    )
    assert (second.name, second.box, second.ok) == ("keble_2", (0, 0, 10, 20), ())
    names = ["all_souls_000002", "all_souls_000008", "all_souls_000013", "all_souls_000026", "keble_000214", "other"]
    relevant, junk = relevance_lists([first, second], [f"{name}.jpg" for name in names])
    assert relevant == [{0: 1, 2: 1, 3: 1}, {4: 1}]
    assert junk == [{1}, set()]
    relevant, junk = relevance_lists([first, second], names, graded=True, without_query=True)
    assert relevant == [{0: 1, 3: 2}, {}]
    assert junk == [{1, 2}, {4}]
    with pytest.raises(ConfigError, match=r"gallery of 5 items lacks 1 images .* such as 'keble_000214'"):
        relevance_lists([first, second], [name for name in names if name != "keble_000214"])
    relevant, _ = relevance_lists([second], ["other"], allow_missing=True)
    assert relevant == [{}]
    with pytest.raises(ConfigError, match="names 'other' twice: items 5 and 6"):
        relevance_lists([first], [*names, "other.png"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"keble_2_query.txt": ["keble 1 2 3"]}, "keble_2_query.txt: expected one line with an image and a box"),
        ({"keble_2_query.txt": ["keble 1 2 3 x"]}, "a box is four numbers, got .*'x'"),
        ({"keble_2_query.txt": ["keble 5 2 3 4"]}, r"the box \(5.0, 2.0, 3.0, 4.0\) has no area"),
        ({"keble_2_ok.txt": ["keble_000214"]}, "query keble_2 lists 'keble_000214' as good and as ok"),
        ({"new_1_query.txt": ["a 0 0 1 1"], "new_1_good.txt": ["a"]}, "new_1_ok.txt is missing"),
    ],
)
def test_damaged_oxford_layouts_are_named(oxford, files, message):
    write(oxford, files)
    with pytest.raises(ConfigError, match=message):
        read_oxford_queries(oxford)


def test_a_layout_without_ok_and_junk(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no ground truth: no file is named \*_query.txt"):
        read_oxford_queries(tmp_path)
    write(tmp_path, {"moore_1_query.txt": ["Henry_Moore_0001 1 2 3 4"]})
    with pytest.raises(ConfigError, match="holds no list of good images"):
        read_oxford_queries(tmp_path)
    write(tmp_path, {"moore_1_good.txt": ["Henry_Moore_0002"]})
    (query,) = read_oxford_queries(tmp_path)
    assert (query.image, query.good, query.ok, query.junk) == ("Henry_Moore_0001", ("Henry_Moore_0002",), (), ())


GALLERY = ["a", "b", "c", "d", "e"]
TRUTH = [
    {"bbx": [1.0, 2.0, 30.0, 40.0], "easy": [0, 2], "hard": [1], "junk": []},
    {"bbx": [0.0, 0.0, 5.0, 5.0], "easy": [], "hard": [4], "junk": [0, 1, 2]},
]


def write_mat(path, gallery, names, truth):
    entries = np.empty((1, len(truth)), dtype=[(key, object) for key in truth[0]])
    for n, entry in enumerate(truth):
        for key, value in entry.items():
            entries[key][0, n] = np.array(value, float)[None] + (key != "bbx")
    cells = {}
    for key, strings in (("imlist", gallery), ("qimlist", names)):
        cells[key] = np.empty((1, len(strings)), object)
        cells[key][0, :] = strings
    savemat(path, {**cells, "gnd": entries})


@pytest.mark.parametrize("kind", ["mat", "json"])
@pytest.mark.parametrize("count", [1, 2])
def test_revisited_layout(tmp_path, kind, count):
    path = tmp_path / f"gnd_roxford5k.{kind}"
    names = ["q1", "q2"][:count]
    if kind == "mat":
        write_mat(path, GALLERY, names, TRUTH[:count])
    else:
        path.write_text(json.dumps({"imlist": GALLERY, "qimlist": names, "gnd": TRUTH[:count]}))
    truth = read_revisited(path)
    assert truth.gallery == tuple(GALLERY)
    assert len(truth.queries) == count
    for query, name, entry in zip(truth.queries, names, TRUTH, strict=False):
        assert (query.image, list(query.box)) == (name, entry["bbx"])
        assert [list(query.easy), list(query.hard), list(query.junk)] == [entry["easy"], entry["hard"], entry["junk"]]


def test_pickles_are_refused_and_damage_is_named(tmp_path):
    stolen = tmp_path / "gnd_roxford5k.pkl"
    stolen.write_bytes(pickle.dumps({"gnd": TRUTH}))
    with pytest.raises(ConfigError, match="a pickle may run code when it is read, so it is not"):
        read_revisited(stolen)
    with pytest.raises(ConfigError, match=r"expected a .mat or .json file"):
        read_revisited(tmp_path / "truth.txt")
    path = tmp_path / "truth.json"
    with pytest.raises(ConfigError, match=r"truth.json: cannot be read \(No such file"):
        read_revisited(path)
    good = {"imlist": GALLERY, "qimlist": ["q1", "q2"], "gnd": TRUTH}
    for change, message in (
        ({"qimlist": ["q1"]}, "1 query images and ground truth of 2 queries"),
        ({"imlist": ["a"]}, "easy of query q1 names rows outside the gallery of 1"),
        ({"gnd": [TRUTH[0], {"bbx": [0, 0, 1, 1]}]}, "query q2 must have bbx, easy, hard and junk"),
        ({"gnd": [TRUTH[0], {**TRUTH[1], "bbx": [3, 3, 1, 1]}]}, "query q2: the box .* has no area"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(ConfigError, match=message):
            read_revisited(path)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="expected imlist, qimlist and gnd"):
        read_revisited(path)
    damaged = tmp_path / "truth.mat"
    damaged.write_bytes(b"MATLAB 5.0" + bytes(300))
    with pytest.raises(ConfigError, match=r"truth\.mat: "):
        read_revisited(damaged)


def test_instre_layout(tmp_path):
    files = {
        "INSTRE-S1/01a_canada_book/001": ["10 20 30 40"],
        "INSTRE-S1/01a_canada_book/002": ["1 2 3 4", "5 6 7 8"],
        "INSTRE-S1/01b_clock/001": ["0 0 9 9"],
        "INSTRE-S2/7_duck/001": ["3 3 2 2"],
        "INSTRE-S2/7_duck/002": ["3 3 2 2"],
        "INSTRE-M/01/001": ["1 1 2 2", "4 4 5 5"],
    }
    write(tmp_path, {f"{name}.txt": lines for name, lines in files.items()} | {f"{name}.jpg": [] for name in files})
    images = read_instre(tmp_path)
    assert len(images) == 6
    by_name = {image.name: image for image in images}
    assert by_name["INSTRE-S1/01a_canada_book/001"].objects == (("S1-01a", (10, 20, 40, 60)),)
    assert by_name["INSTRE-S1/01a_canada_book/002"].boxes_of("S1-01a") == ((1, 2, 4, 6), (5, 6, 12, 14))
    assert by_name["INSTRE-M/01/001"].objects == (("S1-01a", (1, 1, 3, 3)), ("S1-01b", (4, 4, 9, 9)))
    assert by_name["INSTRE-S1/01b_clock/001"].boxes_of("S1-01a") == ()
    queries = {query.name: query for query in instre_queries(images)}
    assert sorted(queries) == ["S1-01a_1", "S1-01a_2", "S1-01b_1", "S1-01b_2", "S2-7_duck_1", "S2-7_duck_2"]
    first = queries["S1-01a_1"]
    assert first.image == "INSTRE-S1/01a_canada_book/001"
    assert set(first.good) == {"INSTRE-S1/01a_canada_book/002", "INSTRE-M/01/001"}
    assert queries["S1-01a_2"].box == (1, 1, 3, 3)  # the image that shows it twice is no query
    relevant, junk = relevance_lists([first], [f"{image.name}.jpg" for image in images])
    assert {images[row].name for row in relevant[0]} == set(first.good)
    assert {images[row].name for row in junk[0]} == {first.image}
    assert len(read_instre(tmp_path, ["INSTRE-S2"])) == 2
    for name in files:
        Image.new("RGB", (45, 50)).save(tmp_path / f"{name}.jpg")
    annotated = instre_boxes(tmp_path)
    assert annotated.classes == ("S1-01a", "S1-01b", "S2-7_duck")
    shown = {item.key: n for n, item in enumerate(annotated.images.items)}
    both = shown["INSTRE-M/01/001.jpg"]
    np.testing.assert_array_equal(annotated.boxes[both], [[1, 1, 3, 3], [4, 4, 9, 9]])
    assert annotated.labels[both].tolist() == [0, 1]
    np.testing.assert_array_equal(annotated.boxes[shown["INSTRE-S1/01a_canada_book/001.jpg"]], [[10, 20, 40, 50]])
    Image.new("RGB", (9, 9)).save(tmp_path / "INSTRE-S1/01a_canada_book/001.jpg")
    with pytest.raises(ConfigError, match="a box lies outside the image of 9 x 9 pixels"):
        instre_boxes(tmp_path)
    with pytest.raises(ConfigError, match="unknown subset 'S1' of INSTRE"):
        read_instre(tmp_path, ["S1"])
    write(tmp_path, {"INSTRE-M/01/001.txt": ["1 1 2 2"]})
    with pytest.raises(ConfigError, match=r"001.txt: a class of INSTRE-M is a number, and its images have 2 boxes"):
        read_instre(tmp_path)
    (tmp_path / "INSTRE-S2/7_duck/002.txt").unlink()
    with pytest.raises(ConfigError, match=r"002.txt: No such file"):
        read_instre(tmp_path, ["INSTRE-S2"])


def test_holidays_groups_are_named_by_four_digits(tmp_path):
    for name in ("100000", "100001", "100002", "100100", "100200", "100201", "readme"):
        Image.new("RGB", (20, 10)).save(tmp_path / f"{name}.jpg")
    first, second = holidays_queries(tmp_path)  # 100100 has nothing to find
    assert (first.name, first.image, first.good, first.junk) == ("1000", "100000", ("100001", "100002"), ("100000",))
    assert second.good == ("100201",)
    assert first.box == (0, 0, 20, 10)
    with pytest.raises(ConfigError, match=r"holds no images named like 100000\.jpg"):
        holidays_queries(tmp_path / "nothing")


def test_a_photograph_that_is_stored_on_its_side_is_a_query_as_it_is_shown(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "100000.jpg", exif=turned)
    Image.new("RGB", (20, 10)).save(tmp_path / "100001.jpg")
    (query,) = holidays_queries(tmp_path)
    assert query.box == (0, 0, 10, 20)


def test_ukbench_groups_are_four_in_a_row(tmp_path):
    for number in (0, 1, 2, 3, 4, 5, 7):
        Image.new("RGB", (20, 10)).save(tmp_path / f"ukbench{number:05}.jpg")
    queries = ukbench_queries(tmp_path)
    assert [query.image for query in queries] == [f"ukbench0000{n}" for n in range(4)]
    assert all(query.good == tuple(f"ukbench0000{n}" for n in range(4)) for query in queries)
    relevant, junk = relevance_lists(queries[:1], [f"ukbench0000{n}.jpg" for n in range(6)], without_query=True)
    assert sorted(relevant[0]) == [1, 2, 3]
    assert junk == [{0}]
    (tmp_path / "ukbench00002.jpg").write_bytes(b"broken")
    with pytest.raises(ConfigError, match=r"ukbench00002\.jpg: the query cannot be read"):
        ukbench_queries(tmp_path)
    with pytest.raises(ConfigError, match=r"holds no images named like ukbench00000\.jpg"):
        ukbench_queries(tmp_path / "nothing")
