"""Queries and relevance of the published layouts and of boxes, written out small, and figures worked out by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instance_making import PICTURES, make_pictures, map_encoder, scene
from PIL import Image
from reference import retrieval_metrics as slow

from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError
from jaxret.metrics import box_iou
from jaxret.recipes.instances.fit_words import fit_words
from jaxret.retrieval import (
    Region,
    RegionEvaluation,
    RegionQueries,
    RegionQuery,
    RegionSearch,
    Relevance,
    Retriever,
    read_region_queries,
)


@pytest.fixture(scope="module")
def retriever(word_retriever: Retriever, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """An index of the seven images alone, a to g with the ids 0 to 6."""
    folder = make_pictures(tmp_path_factory.mktemp("judged") / "pictures")
    found = Retriever.create(tmp_path_factory.mktemp("judged_index") / "index", word_retriever.encoder)
    found.add(open_dataset(folder))
    return found


def pictures_of(retriever: Retriever) -> Path:
    path = retriever.index.items[0].path
    assert path is not None
    return Path(path).parent


def ranking(retriever: Retriever, name: str, region: Region | None) -> list[int]:
    """Ids in the order that a search returns them."""
    keys = [item.key for item in retriever.index.items]
    found = retriever.search(pictures_of(retriever) / name, len(keys), options=RegionSearch(region))
    return [keys.index(match.item.key) for match in found]


def trapezoidal(order: list[int], relevant: set[int]) -> float:
    """The published compute_ap program, line by line."""
    old_recall, old_precision, found, value = 0.0, 1.0, 0, 0.0
    for place, item in enumerate(order):
        found += item in relevant
        recall, precision = found / len(relevant), found / (place + 1)
        value += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return value


def write(folder: Path, files: dict[str, list[str]]) -> Path:
    for name, lines in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


def oxford(folder: Path) -> Path:
    files = {
        "flag_1_query.txt": ["a 8 8 32 32"],
        "flag_1_good.txt": ["a", "e"],
        "flag_1_ok.txt": ["g"],
        "flag_1_junk.txt": ["b"],
        "sea_1_query.txt": ["d 36 4 60 28"],
        "sea_1_good.txt": ["f"],
        "sea_1_ok.txt": ["c"],
        "sea_1_junk.txt": [],
    }
    return write(folder, files)


@pytest.mark.parametrize("without_query", [False, True])
def test_oxford_layout(retriever: Retriever, tmp_path: Path, without_query: bool) -> None:
    judged = read_region_queries(f"oxford:{oxford(tmp_path)}", retriever.index.items, without_query=without_query)
    assert [(query.name, query.box) for query in judged.queries] == [
        ("flag_1", (8, 8, 32, 32)),
        ("sea_1", (36, 4, 60, 28)),
    ]
    lists = judged.relevance["all"]
    own = {} if without_query else {0: 2.0}
    assert list(lists.relevant) == [{**own, 4: 2.0, 6: 1.0}, {5: 2.0, 2: 1.0}]
    assert list(lists.junk) == [{1, 0} if without_query else {1}, {3} if without_query else set()]
    figures = retriever.evaluate(judged).figures["all"]
    expected: dict[str, list[float]] = {"mAP": [], "mAP (trapezoidal)": [], "NDCG": []}
    for query, good, junk in zip(judged.queries, lists.relevant, lists.junk, strict=True):
        left, top, right, bottom = query.box
        order = ranking(retriever, Path(query.path).name, Region(left, top, right - left, bottom - top))
        kept = [item for item in order if item not in junk]
        expected["mAP"].append(slow.average_precision(kept, set(good)))
        expected["mAP (trapezoidal)"].append(trapezoidal(kept, set(good)))
        expected["NDCG"].append(slow.ndcg(kept, good))
    assert figures.pop("queries") == 2
    assert figures == {name: pytest.approx(np.mean(values)) for name, values in expected.items()}


def boxes_csv(folder: Path, extra: Sequence[str] = ()) -> Path:
    rows = ["path,left,top,right,bottom,label,split"]
    for name, (_, parts) in PICTURES.items():
        split = "test" if name in {"a.png", "d.png"} else "train"
        for thing, sides in parts.items():
            rows.append(f"{name},{','.join(map(str, sides))},{thing},{split}")
    return write(folder, {"boxes.csv": [*rows, *extra]}) / "boxes.csv"


def test_boxes_of_ones_own(retriever: Retriever) -> None:
    table = boxes_csv(pictures_of(retriever))
    judged = read_region_queries(f"boxes:{table}", retriever.index.items)
    assert [(query.name, query.box) for query in judged.queries] == [
        ("a.png_1", (8, 8, 32, 32)),
        ("d.png_1", (36, 4, 60, 28)),
    ]
    lists = judged.relevance["all"]
    assert (list(lists.relevant), list(lists.junk)) == ([{1: 1.0}, {2: 1.0}], [{0}, {3}])
    seen: list[int] = []
    figures = retriever.evaluate(judged, on_query=seen.append).figures["all"]
    assert seen == [0, 1]
    # One relevant image each, first when the query's own is left out: by hand, everything is 1.
    assert (figures["mAP"], figures["mAP (trapezoidal)"], figures["NDCG"], figures["queries"]) == (1, 1, 1, 2)
    overlaps = []
    for name, box, other in (("a.png", (8, 8, 32, 32), "b.png"), ("d.png", (36, 4, 60, 28), "c.png")):
        region = Region(box[0], box[1], box[2] - box[0], box[3] - box[1])
        found = retriever.search(pictures_of(retriever) / name, 7, options=RegionSearch(region))
        (match,) = (match for match in found if match.item.key == other)
        (truth,) = PICTURES[other][1].values()
        overlaps.append(float(box_iou(match.box, truth)))
    assert figures["mean IoU"] == pytest.approx(np.mean(overlaps))
    assert figures["IoU >= 0.5"] == np.mean([value >= 0.5 for value in overlaps])
    plain = retriever.evaluate(judged, options=RegionSearch(candidates=0)).figures["all"]
    assert set(plain) == {"mAP", "mAP (trapezoidal)", "NDCG", "queries"}
    whole = retriever.evaluate(judged, settings=RegionEvaluation(whole_images=True)).figures["all"]
    expected = []
    for name, good, own in (("a.png", 1, 0), ("d.png", 2, 3)):
        order = [item for item in ranking(retriever, name, None) if item != own]
        expected.append(1 / (order.index(good) + 1))
    assert whole["mAP"] == pytest.approx(np.mean(expected))
    assert whole["mAP"] < 1


def test_images_of_boxes_are_known_by_their_files(retriever: Retriever, tmp_path: Path) -> None:
    """Another folder with images of the same names is another folder; its images may be queries all the same."""
    folder = make_pictures(tmp_path / "others")
    Image.open(folder / "a.png").save(folder / "a.jpg")
    table = boxes_csv(folder, ["a.jpg,8,8,32,32,flag,test"])
    judged = read_region_queries(f"boxes:{table}", retriever.index.items)
    assert list(judged.relevance["all"].relevant) == [{}, {}, {}]
    with pytest.raises(ConfigError, match="nothing to measure: no query has a relevant item in the index"):
        retriever.evaluate(judged)
    own = Retriever.create(tmp_path / "index", retriever.encoder)
    own.add(open_dataset(folder))  # the CSV of boxes in it does not list what is to be indexed
    keys = [item.key for item in own.index.items]
    judged = read_region_queries(f"boxes:{table}", own.index.items)
    shown = [
        ({keys[item] for item in good}, {keys[item] for item in bad})
        for good, bad in zip(judged.relevance["all"].relevant, judged.relevance["all"].junk, strict=True)
    ]
    assert shown == [
        ({"a.jpg", "b.png"}, {"a.png"}),
        ({"c.png"}, {"d.png"}),
        ({"a.png", "b.png"}, {"a.jpg"}),
    ]
    shutil.move(folder / "boxes.csv", tmp_path / "boxes.csv")
    with pytest.raises(ConfigError, match="images that are not in"):
        read_region_queries(f"boxes:{tmp_path / 'boxes.csv'}", own.index.items)


def test_images_of_boxes_that_cannot_be_read_are_told(retriever: Retriever, tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "pictures")
    (folder / "broken.png").write_bytes(b"no picture")
    table = boxes_csv(folder, ["broken.png,0,0,1,1,flag,test"])
    own = Retriever.create(tmp_path / "index", retriever.encoder)
    own.add(open_dataset(folder))
    judged = read_region_queries(f"boxes:{table}", own.index.items)
    assert [query.name for query in judged.queries] == ["a.png_1", "d.png_1"]
    (told,) = own.evaluate(judged).warnings
    assert re.search(r"^1 of the images with boxes could not be read: first .*broken\.png \(.+\)$", told)


def revisited(folder: Path, truth: list[dict[str, Any]], names: list[str]) -> Path:
    path = folder / "gnd.json"
    path.write_text(json.dumps({"imlist": list("gfedcba"), "qimlist": names, "gnd": truth}))
    return path


def test_revisited_layout(retriever: Retriever, tmp_path: Path) -> None:
    queries = tmp_path / "queries[1]"
    queries.mkdir()
    shutil.copy(pictures_of(retriever) / "b.png", queries / "flag.v2.png")
    (queries / "flag.v2.json").write_text("{}")  # no image, and before it in the alphabet
    (queries / "flag.v2.old.png").write_bytes(b"another")
    # Rows of the gallery g, f, ... a; a box that begins outside its image.
    truth = [{"bbx": [36, -3, 60, 28], "easy": [6], "hard": [0, 2], "junk": [5]}]
    path = revisited(tmp_path, truth, ["flag.v2"])
    judged = read_region_queries(f"revisited:{path}", retriever.index.items, query_folder=queries)
    order = ranking(retriever, "b.png", Region(36, 0, 24, 28))
    figures = retriever.evaluate(judged).figures
    assert list(figures) == ["easy", "medium", "hard"]
    for name, good, junk in (
        ("easy", {0}, {6, 4, 1}),
        ("medium", {0, 6, 4}, {1}),
        ("hard", {6, 4}, {0, 1}),
    ):
        kept = [item for item in order if item not in junk]
        assert figures[name]["mAP"] == pytest.approx(slow.average_precision(kept, good)), name
        assert figures[name]["mAP (trapezoidal)"] == pytest.approx(trapezoidal(kept, good)), name
    with pytest.raises(ConfigError, match="not in their galleries: name the folder of their images"):
        read_region_queries(f"revisited:{path}", retriever.index.items)
    path = revisited(tmp_path, truth, ["other"])
    with pytest.raises(ConfigError, match=r"queries\[1\] lacks the query image 'other'"):
        read_region_queries(f"revisited:{path}", retriever.index.items, query_folder=queries)


def instre(root: Path) -> Path:
    """Two objects of S1, one of which S2 and M show as well."""
    made = {
        "INSTRE-S1/01a_flag/001.jpg": ("a.png", ["8 8 24 24"]),
        "INSTRE-S1/01a_flag/002.jpg": ("b.png", ["36 4 24 24"]),
        "INSTRE-S1/01b_sea/001.jpg": ("d.png", ["36 4 24 24"]),
        "INSTRE-S2/wood/001.jpg": ("e.png", ["8 4 24 24"]),
        "INSTRE-S2/wood/002.jpg": ("f.png", ["4 8 24 24"]),
        "INSTRE-M/01/001.jpg": ("c.png", ["0 0 8 8", "4 24 24 24"]),
    }
    root.mkdir()
    images = make_pictures(root / "made")
    for name, (source, boxes) in made.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(images / source).save(root / name, quality=95)
        (root / name).with_suffix(".txt").write_text("\n".join(boxes) + "\n")
    shutil.rmtree(images)
    return root


def test_instre_layout(retriever: Retriever, tmp_path: Path) -> None:
    root = instre(tmp_path / "instre")
    own = Retriever.create(tmp_path / "index", retriever.encoder)
    own.add(open_dataset(root))
    keys = [item.key for item in own.index.items]
    judged = read_region_queries(f"instre:{root}", own.index.items)
    assert [query.name for query in judged.queries] == [
        "S1-01a_1", "S1-01a_2", "S1-01a_3", "S1-01b_1", "S1-01b_2", "S2-wood_1", "S2-wood_2",
    ]  # fmt: skip
    lists = judged.relevance["all"]
    values = []
    for query, good, junk in zip(judged.queries, lists.relevant, lists.junk, strict=True):
        assert [keys[item] for item in junk] == [Path(query.path).relative_to(root).as_posix()]
        left, top, right, bottom = query.box
        found = own.search(
            query.path, 6, options=RegionSearch(Region(left, top, right - left, bottom - top, shares=False))
        )
        order = [keys.index(match.item.key) for match in found]
        values.append(slow.average_precision([item for item in order if item not in junk], set(good)))
    assert {keys[item] for item in lists.relevant[0]} == {"INSTRE-S1/01a_flag/002.jpg", "INSTRE-M/01/001.jpg"}
    assert own.evaluate(judged).figures["all"]["mAP"] == pytest.approx(np.mean(values))
    with pytest.raises(ConfigError, match="INSTRE-S1 holds no images"):
        read_region_queries(f"instre:{tmp_path}", own.index.items)
    with pytest.raises(
        ConfigError, match=r"the index of 7 items lacks 'INSTRE-S1/01a_flag/001', which the ground truth"
    ):
        read_region_queries(f"instre:{root}", retriever.index.items)


def items(*keys: str) -> list[MediaItem]:
    return [MediaItem(key, "image", path=f"/pictures/{key}") for key in keys]


def test_how_names_are_found(tmp_path: Path) -> None:
    files = {"t_query.txt": ["oxc1_tower.v1 0 0 9 9"], "t_good.txt": ["tower.v1", "sub/b", "c"]}
    spec = f"oxford:{write(tmp_path, files)}"
    judged = read_region_queries(spec, items("x/tower.v1.jpg", "sub/b.jpg", "other/b.jpg", "deep/down/c.png"))
    assert judged.queries == [RegionQuery("t", "/pictures/x/tower.v1.jpg", (0, 0, 9, 9))]
    assert list(judged.relevance["all"].relevant[0]) == [0, 1, 3]
    for keys, message in (
        (("x/tower.v1.jpg", "sub/b.jpg"), "the index of 2 items lacks 'c', which the ground truth names"),
        (
            ("x/tower.v1.jpg", "sub/b.jpg", "p/c.jpg", "q/c.jpg"),
            "the ground truth names 'c', which may be 'p/c.jpg' or 'q/c.jpg' of the index",
        ),
        (("tower.v1.jpg", "sub/b.jpg", "sub/b.png", "c.png"), "'sub/b', which may be 'sub/b.jpg' or 'sub/b.png'"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_region_queries(spec, items(*keys))
    pathless = [MediaItem("tower.v1", "image"), *items("sub/b.jpg", "c.png")]
    with pytest.raises(ConfigError, match=r"'tower.v1' is a query, and the index does not know its file"):
        read_region_queries(spec, pathless)


@pytest.mark.parametrize(
    ("spec", "settings", "message"),
    [
        (
            "boxes",
            {},
            "are named oxford:PATH, revisited:PATH, instre:PATH, holidays:PATH, ukbench:PATH, boxes:PATH, got 'boxes'",
        ),
        ("boxes:", {}, "got 'boxes:'"),
        ("paris:{here}", {}, "queries with boxes are named oxford:PATH"),
        ("oxford:{here}", {}, "holds no ground truth: no file is named"),
        ("boxes:{here}/none.csv", {}, r"none\.csv: No such file"),
        ("revisited:{here}/x.pkl", {"query_folder": Path()}, "a pickle may run code"),
        ("oxford:{here}", {"query_folder": Path("q")}, "of oxford it is known where the query images lie: leave"),
        ("boxes:{here}", {"without_query": True}, "the query image never counts of boxes: leave without_query"),
        ("instre:{here}", {"without_query": True}, "the query image never counts of instre"),
        (
            "revisited:{here}",
            {"without_query": True, "query_folder": Path()},
            "the query image is not in the gallery of revisited: leave without_query out",
        ),
    ],
)
def test_specs_that_say_nothing(tmp_path: Path, spec: str, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_region_queries(spec.format(here=tmp_path), items("a.png"), **settings)


def test_ground_truth_without_queries(retriever: Retriever, tmp_path: Path) -> None:
    make_pictures(tmp_path / "p", ["a.png"])
    table = tmp_path / "p" / "boxes.csv"
    table.write_text("path,left,top,right,bottom,label\na.png,8,8,32,32,flag\n")
    with pytest.raises(ConfigError, match="no image is in the split test, whose boxes are the queries"):
        read_region_queries(f"boxes:{table}", retriever.index.items)
    root = tmp_path / "instre"
    for subset, folder, boxes in (
        ("S1", "01a_x", "1 1 9 9"),
        ("S2", "duck", "1 1 9 9"),
        ("M", "02", "1 1 9 9\n2 2 9 9"),
    ):
        place = root / f"INSTRE-{subset}" / folder
        place.mkdir(parents=True)
        shutil.copy(tmp_path / "p" / "a.png", place / "001.jpg")
        (place / "001.txt").write_text(boxes)
    with pytest.raises(ConfigError, match="no object is shown by two images, so none can be searched with the other"):
        read_region_queries(f"instre:{root}", retriever.index.items)


def test_a_query_that_holds_too_little_is_named(retriever: Retriever) -> None:
    path = str(pictures_of(retriever) / "a.png")
    judged = RegionQueries([RegionQuery("q", path, (0.0, 0.0, 1.0, 1.0))], {"all": Relevance([{1: 1.0}], [set()])})
    with pytest.raises(ValueError, match=r"query 'q': the region 0,0,1,1 holds 0 visual words"):
        retriever.evaluate(judged)


def test_a_query_that_holds_too_little_finds_nothing(retriever: Retriever) -> None:
    """The others are measured as without it, and it counts with a precision of 0."""
    path = str(pictures_of(retriever) / "a.png")
    flag, speck = RegionQuery("flag", path, (8.0, 8.0, 32.0, 32.0)), RegionQuery("q", path, (0.0, 0.0, 1.0, 1.0))
    boxes = {1: np.array([PICTURES["b.png"][1]["flag"]], float)}
    seen: list[int] = []
    alone = retriever.evaluate(RegionQueries([flag], {"all": Relevance([{1: 1.0}], [{0}])}, [boxes]))
    both = retriever.evaluate(
        RegionQueries([speck, flag], {"all": Relevance([{1: 1.0}] * 2, [{0}] * 2)}, [boxes] * 2), on_query=seen.append
    )
    assert seen == [0, 1]
    assert both.figures["all"]["queries"] == 2
    for name in ("mAP", "mAP (trapezoidal)", "NDCG"):
        assert both.figures["all"][name] == pytest.approx(alone.figures["all"][name] / 2)
    assert both.figures["all"]["mean IoU"] == alone.figures["all"]["mean IoU"]
    assert alone.warnings == []
    (told,) = both.to_json()["warnings"]
    assert told.startswith("1 of 2 queries hold too little to find anything: first query 'q': the region 0,0,1,1 holds")


def test_groups_of_photographs(tmp_path: Path) -> None:
    """Holidays and UKBench, whose queries are whole images of the index."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(["100000", "100001", "ukbench00000", "ukbench00001", "ukbench00002", "ukbench00003"]):
        Image.fromarray(scene(number, (64, 64), {"flag": (8, 8, 40, 40)})).save(folder / f"{name}.jpg")
    dataset = open_dataset(folder)
    encoder = map_encoder(20)
    fit_words(encoder, dataset, range(len(dataset)), log=lambda line: None)
    made = Retriever.create(tmp_path / "index", encoder)
    made.add(dataset)
    for kind, count, relevant in (("holidays", 1, 1), ("ukbench", 4, 4)):
        queries = read_region_queries(f"{kind}:{folder}", made.index.items)
        assert len(queries.queries) == count
        assert queries.queries[0].box == (0, 0, 64, 64)
        assert [len(one) for one in queries.relevance["all"].relevant] == [relevant] * count
    report = made.evaluate(read_region_queries(f"ukbench:{folder}", made.index.items))
    assert 0 < report.figures["all"]["mAP"] <= 1
