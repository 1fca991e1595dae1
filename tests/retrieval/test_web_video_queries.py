"""The queries of CC_WEB_VIDEO against an index: each among the videos coded for it, or among all."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_clip_encoder import make_encoder

from jaxret import evaluate
from jaxret.cli.run import run_command
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.datasets.published.cc_web_video import NEAR_DUPLICATES
from jaxret.data.decode.write import write_video
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError
from jaxret.retrieval import LabelEvaluation, Retriever, SequenceSearch

CODES = {
    1: {1: "E", 2: "S", 3: "X", 4: "L", 5: "X", 6: "V", 99: "-1"},
    2: {11: "E", 12: "M", 13: "X", 14: "S", 15: "X"},
}
SEEDS = {1: 1, 2: 11}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two queries of eight listed videos each, of which some have codes; digits are in the place of web videos."""
    root = tmp_path_factory.mktemp("web")
    (root / "GT").mkdir()
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, size=48)
    lines = []
    for video in (*range(1, 9), *range(11, 19)):
        query = 1 + video // 10
        name = f"{query}_{video % 10}_Y.mp4"
        lines.append(f"{video}\t{query}\tYouTube\t{name}\thttp://x/{video}\n")
        (root / str(query)).mkdir(exist_ok=True)
        write_video(root / str(query) / name, digits.render([3 * video])[0], fps=12)
    (root / "Video_List.txt").write_text("".join(lines))
    (root / "Seed.txt").write_text("".join(f"{query}\t{seed}\n" for query, seed in SEEDS.items()))
    for query, codes in CODES.items():
        (root / "GT" / f"GT_{query}.rst").write_text("".join(f"{video}\t{code}\n" for video, code in codes.items()))
    return root


@pytest.fixture(scope="module")
def retriever(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    retriever = Retriever.create(tmp_path_factory.mktemp("index") / "index", make_encoder())
    retriever.add(open_dataset(f"cc-web-video:{root}"))
    return retriever


def mean_average_precision(retriever: Retriever, *, everything: bool) -> float:
    """The published definition in a loop: of the whole data set or of the videos with a code for the query."""
    rows = retriever.index.rows("clip")
    keys = [item.key for item in retriever.index.items]
    of = {key: rows.vectors[rows.items == number] for number, key in enumerate(keys)}
    numbers = {f"{1 + v // 10}_{v % 10}_Y.mp4": v for v in (*range(1, 9), *range(11, 19))}
    total = 0.0
    for query, codes in CODES.items():
        seed = next(key for key in keys if numbers[key] == SEEDS[query])

        def distance(key: str, seed: str = seed) -> float:
            return min(float(((a - b) ** 2).sum()) for a in of[seed] for b in of[key])

        rank = hits = 0
        precisions = 0.0
        for key in sorted((key for key in keys if key != seed), key=distance):
            if everything or numbers[key] in codes:
                rank += 1
                if codes.get(numbers[key]) in NEAR_DUPLICATES:
                    hits += 1
                    precisions += hits / rank
        total += precisions / hits
    return total / len(CODES)


def test_each_query_is_annotated_among_its_own_videos_or_all(root: Path, retriever: Retriever) -> None:
    queries = open_dataset(f"cc-web-video,seeds=yes:{root}")
    report = retriever.evaluate(queries, ks=(1,))
    among, whole = (mean_average_precision(retriever, everything=everything) for everything in (False, True))
    assert among != whole
    assert report.figures["all"]["mAP"] == pytest.approx(among)
    assert report.figures["all"]["queries"] == 2
    assert report.rows()["all: unannotated wrong"]["mAP"] == pytest.approx(whole)
    assert "; 9 annotated results of 2 queries, unannotated ones left out" in report.measured
    wrong = retriever.evaluate(queries, settings=LabelEvaluation(unannotated="wrong"), ks=(1,))
    assert wrong.figures["all"]["mAP"] == pytest.approx(whole)
    assert "all: unannotated wrong" not in wrong.rows()
    # By chance a query finds a near-duplicate among its own six or four coded videos, or among 15.
    assert report.rows()["all: chance"]["P@1"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert wrong.rows()["all: chance"]["P@1"] == pytest.approx((3 / 15 + 2 / 15) / 2)
    sequences = retriever.evaluate(queries, options=SequenceSearch("bi-dtw"), ks=(1,))
    assert sequences.figures["all"]["mAP"] == pytest.approx(among)  # one clip a video


def test_an_index_of_the_plain_folder_is_annotated_as_well(root: Path, retriever: Retriever, tmp_path: Path) -> None:
    """By the names of the files: its labels are those of folders."""
    plain = Retriever.create(tmp_path / "index", make_encoder())
    for number in ("1", "2"):
        plain.add(open_dataset(root / number))
    queries = open_dataset(f"cc-web-video,seeds=yes:{root}")
    ours, theirs = (r.evaluate(queries, ks=(1,)) for r in (plain, retriever))
    assert ours.figures["all"]["mAP"] == pytest.approx(theirs.figures["all"]["mAP"])


def test_training_videos_among_the_relevant_are_told(root: Path, retriever: Retriever, tmp_path: Path) -> None:
    copy = tmp_path / "web"
    shutil.copytree(root, copy)
    trained = Retriever.create(tmp_path / "index", make_encoder())
    dataset = open_dataset(f"cc-web-video:{copy}")
    dataset.items = tuple(
        dataclasses.replace(item, split="train" if item.key[0] == "1" else "test") for item in dataset.items
    )
    trained.add(dataset)
    report = trained.evaluate(open_dataset(f"cc-web-video,seeds=yes:{copy}"), ks=(1,))
    assert "; 3 of the 5 relevant items are items of the split train" in report.measured
    assert "split train" not in retriever.evaluate(open_dataset(f"cc-web-video,seeds=yes:{root}"), ks=(1,)).measured


def test_the_command(root: Path, retriever: Retriever, tmp_path: Path, capsys) -> None:
    words = [str(retriever.index.folder), "--queries", f"cc-web-video,seeds=yes:{root}", "-k", "1"]
    assert evaluate.main([*words, "--json", str(tmp_path / "a.json")]) == 0
    assert evaluate.main([*words, "--json", str(tmp_path / "b.json"), "--unannotated", "wrong"]) == 0
    among, whole = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert among["all: unannotated wrong"]["mAP"] == whole["all"]["mAP"] != among["all"]["mAP"]
    assert np.isfinite(among["all: mean of frames"]["mAP"])
    capsys.readouterr()
    assert run_command(lambda _: evaluate.main([words[0], "--unannotated", "wrong"])) == 2
    assert "--unannotated wrong is of queries that a part of the gallery is annotated for" in capsys.readouterr().err


def test_what_is_of_classes_is_refused(root: Path, retriever: Retriever) -> None:
    queries = open_dataset(f"cc-web-video,seeds=yes:{root}")
    for settings in ({"vote": 3}, {"relevant_items": 2}):
        with pytest.raises(ConfigError, match="is of classes, and these queries have a ground truth of their own"):
            retriever.evaluate(queries, settings=LabelEvaluation(**settings))
    with pytest.raises(ConfigError, match=r"unannotated=wrong is of queries .*, and of relevance by it: leave it out"):
        retriever.evaluate(queries, settings=LabelEvaluation(unannotated="wrong", relevant="source"))
