"""What stands beside every evaluation by labels: chance and the mean of the frames; seen and unseen classes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from jaxret import Retriever, SequenceSearch, VectorSearch
from jaxret.__main__ import dispatch
from jaxret.data.merge import RelistedDataset
from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.evaluation import LabelProtocol, Ranking, chance_figures, evaluate_leave_one_out, nearest_answers
from jaxret.retrieval import LabelEvaluation
from jaxret.retrieval.encode import mean_rows_of_chunks
from jaxret.retrieval.evaluate import labelled_part

MADE_BEFORE = Path(__file__).parents[1] / "compatibility" / "made_before"


def make_index(folder: Path, **called: str) -> Retriever:
    """The media of two classes, of which `left` has training items; classes may be called anew."""
    retriever = Retriever.create(folder, Retriever.open(MADE_BEFORE / "runs" / "clips" / "index").encoder)
    media = open_dataset(MADE_BEFORE / "media")
    split_of = {"left/l0.mp4": "train", "left/l1.mp4": "validation"}
    items = [
        dataclasses.replace(item, split=split_of.get(item.key, "test"), label=called.get(str(item.label), item.label))
        for item in media.items
    ]
    retriever.add(RelistedDataset([media], items))
    return retriever


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return make_index(tmp_path_factory.mktemp("index") / "index")


@pytest.mark.parametrize("at_once", [3, 1000])
def test_the_baselines_are_what_they_say(index: Retriever, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(labelled_part, "_ITEMS_AT_ONCE", at_once)
    report = index.evaluate(ks=(1, 3))
    stored, items = index.index.rows("frame"), index.index.items
    chunks = index.index.rows("clip")
    assert len(chunks) > len(items)
    means = []
    for item, start, end in zip(chunks.items, chunks.starts, chunks.ends, strict=True):
        shown = (stored.items == item) & (stored.starts >= start) & (stored.starts < end)
        means.append(stored.vectors[shown].mean(axis=0))
    protocol = LabelProtocol((1, 3), {"seen": ["left"], "unseen": ["right"]})
    expected = evaluate_leave_one_out(Rows(np.array(means), chunks.items), items, Ranking("cosine"), protocol)
    assert list(report.figures) == ["all", "seen", "unseen"]
    for group, row in expected.items():
        assert report.baselines["mean of frames"][group] == pytest.approx(row, abs=1e-5), group
    assert report.baselines["chance"] == chance_figures(items, items, protocol)
    assert report.figures["unseen"] != pytest.approx(expected["unseen"])


def test_queries_from_elsewhere_have_the_same_baselines(index: Retriever) -> None:
    own, outside = index.evaluate(ks=(1,)), index.evaluate(open_dataset(MADE_BEFORE / "media"), ks=(1,))
    for name, groups in own.baselines.items():
        for group, row in groups.items():
            assert outside.baselines[name][group] == pytest.approx(row, abs=1e-5)


def test_without_training_items_or_frames_there_is_less_to_tell(index: Retriever) -> None:
    report = index.evaluate(options=VectorSearch("frame"), ks=(1,))
    assert list(report.baselines) == ["chance"]
    tested = index.evaluate(settings=LabelEvaluation(split="test"), ks=(1,))
    assert list(tested.figures) == ["all", "seen", "unseen"]
    assert tested.figures["all"]["queries"] == 10
    old = Retriever.open(MADE_BEFORE / "runs" / "clips" / "index").evaluate(ks=(1,))
    assert list(old.figures) == ["all"]


def test_classes_called_as_groups_are_do_not_take_their_places(index: Retriever, tmp_path: Path) -> None:
    settings = LabelEvaluation(by_class=True)
    named = index.evaluate(settings=settings, ks=(1,)).figures
    found = make_index(tmp_path / "index", left="all", right="seen").evaluate(settings=settings, ks=(1,)).figures
    new = {"left": "class all", "right": "class seen"}
    assert found == {new.get(group, group): row for group, row in named.items()}
    with pytest.raises(ValueError, match="groups must not name 'all'"):
        LabelProtocol(groups={"all": ["left"]})


def test_equal_galleries_from_the_command_line(index: Retriever, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["evaluate", str(index.index.folder), "--relevant-items", "4", "-k", "1"]) == 0
    out = capsys.readouterr().out
    assert "; galleries of 4 items a class" in out
    assert "all: chance" in out
    assert "unseen: mean of frames" in out
    report = index.evaluate(settings=LabelEvaluation(relevant_items=4), ks=(1,))
    assert {row["relevant items"] for row in report.figures.values()} == {4.0}
    assert report.baselines["chance"]["seen"]["P@1"] == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="relevant_items must be at least 1 or none, got 0"):
        LabelEvaluation(relevant_items=0)
    with pytest.raises(ConfigError, match="relevant_items draws items of each class"):
        LabelEvaluation(relevant_items=2, relevant="source")


def test_a_gallery_of_one_class_is_warned_of(
    index: Retriever, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert index.evaluate().warnings == []
    assert "warnings" not in index.evaluate().to_json()
    one = Retriever.create(tmp_path / "index", index.encoder)
    one.add(open_dataset(MADE_BEFORE / "media").select(lambda item: item.label == "left"))
    assert dispatch(["evaluate", str(tmp_path / "index"), "--json", str(tmp_path / "figures.json")]) == 0
    said = "nothing can be told apart: all that a query can find is relevant, and a random ranking has mAP 1, too"
    assert f"warning: {said}\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())["warnings"] == [said]
    assert str(one.evaluate()).endswith(said)


def test_means_of_chunks_follow_the_times() -> None:
    frames = Rows(
        np.arange(12.0, dtype=np.float32)[:, None], [0] * 5 + [1] * 4 + [3] * 3, [0, 1, 2, 3, 4, 0, 2, 4, 6, 0, 1, 9]
    )
    chunks = Rows(np.zeros((5, 2), np.float32), [0, 0, 1, 2, 3], [0, 2.5, 0, 0, 5], [2.5, 5, 8, 4, 10], n_items=4)
    means = mean_rows_of_chunks(frames, chunks)
    assert means.vectors[:, 0].tolist() == [
        1.0,
        3.5,
        6.5,
        11.0,
    ]  # item 2 has no frame; two of item 3 come before its chunk
    assert means.items.tolist() == [0, 0, 1, 3]
    assert means.starts.tolist() == [0, 2.5, 0, 5]
    assert means.n_items == 4


def test_votes_against_coverage_with_thresholds_of_the_validation_items(
    index: Retriever, capsys: pytest.CaptureFixture[str]
) -> None:
    report = index.evaluate(settings=LabelEvaluation(vote=3), ks=(1,))
    names = [f"answering {share}%" for share in (100, 90, 75, 50, 25)]
    # Where all are answered nothing is left out.
    assert list(report.votes) == [names[0], *(line for n in names[1:] for line in (n, f"{n}, rest left out"))]
    assert report.measured.endswith("; votes of the 3 nearest above a cosine, chosen on 1 validation items")
    stored, items = index.index.rows("clip"), index.index.items
    answers = nearest_answers(stored, items, stored, items, 3)
    first, half, rest = (report.votes[f"answering {share}"] for share in ("100%", "50%", "50%, rest left out"))
    assert first["all"]["coverage"] == 1
    assert first["all"]["accuracy"] == answers.votes().accuracy
    held = nearest_answers(stored.of_items(np.array([1])), items[1:2], stored, items, 3)
    assert items[1].split == "validation"
    threshold = held.threshold_for(0.5)
    assert half["unseen"]["threshold"] == threshold
    assert half["unseen"]["accuracy"] == answers.of(["right"]).votes(threshold).accuracy
    assert rest["unseen"]["accuracy"] == answers.of(["right"]).votes(threshold, empty="skip").accuracy
    assert [header[1:3] for header, _ in report.tables()][-1] == ["coverage", "accuracy"]
    assert "all: answering 50%" in report.to_json()
    assert dispatch(["evaluate", str(index.index.folder), "--vote", "3", "--par", "0.2", "-k", "1"]) == 0
    out = capsys.readouterr().out
    assert "all: above 0.2" in out
    assert "unseen: above 0.2, rest left out" in out
    assert max(map(len, out.splitlines()[1:])) <= 105


def test_votes_without_validation_items_say_that_they_are_a_curve(index: Retriever) -> None:
    report = index.evaluate(settings=LabelEvaluation(vote=3, split="test"), ks=(1,))
    assert "chosen on 0 validation" not in report.measured
    old = Retriever.open(MADE_BEFORE / "runs" / "clips" / "index").evaluate(settings=LabelEvaluation(vote=3), ks=(1,))
    assert "chosen on the queries themselves, so that they are a curve" in old.measured
    assert old.votes["answering 50%"]["all"]["coverage"] == pytest.approx(0.5, abs=0.1)


def test_a_vote_that_does_not_fit_is_refused(index: Retriever) -> None:
    codes = Retriever.open(MADE_BEFORE / "runs" / "codes" / "index")
    with pytest.raises(ConfigError, match="codes do not have: evaluate the clip space with vote"):
        codes.evaluate(settings=LabelEvaluation(vote=3))
    with pytest.raises(ConfigError, match="leave vote out where videos are compared as sequences"):
        index.evaluate(options=SequenceSearch("dtw"), settings=LabelEvaluation(vote=3))
    with pytest.raises(ConfigError, match="a vote takes the nearest by Euclidean distance: leave cosine out"):
        index.evaluate(options=VectorSearch(metric="cosine"), settings=LabelEvaluation(vote=3))
    with pytest.raises(ConfigError, match="a vote is for a class: leave vote out"):
        LabelEvaluation(vote=3, relevant="source")
    with pytest.raises(ConfigError, match="vote must be at least 1 or none, got 0"):
        LabelEvaluation(vote=0)


def test_what_trained_the_encoder_is_told_among_the_queries(index: Retriever) -> None:
    count = len(index.index)
    told = f"; 1 of the {count} queries are items of the split train: --split test measures others"
    assert told in index.evaluate(ks=(1,)).measured
    assert "split train" not in index.evaluate(ks=(1,), settings=LabelEvaluation(split="test")).measured
    assert "split train" not in index.evaluate(open_dataset(MADE_BEFORE / "media"), ks=(1,)).measured


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (LabelEvaluation(split="tst"), "has no items of the split 'tst': its items are of test, train, validation"),
        (LabelEvaluation(split="train"), "no query has a relevant item of another source .* of the split 'train'$"),
        (LabelEvaluation(relevant_items=99), "no query has 99 relevant items .* the largest class has [3-9] items"),
    ],
)
def test_settings_that_leave_nothing_say_what_there_is(
    index: Retriever, settings: LabelEvaluation, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        index.evaluate(settings=settings)
