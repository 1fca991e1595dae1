"""What the study of the LSTM's choices compares, and what it takes of an earlier call."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ablation_cnn_lstm as study
import pytest
from common.differences import paired_differences

SEEN, UNSEEN = "mAP, seen", "mAP, unseen"


def test_choices_stand_beside_the_base_and_objectives_beside_the_mean_vectors_too() -> None:
    videos: Any = SimpleNamespace(name="clips")
    rows = [
        *study.rows_of(videos, 0, *study.BASE_ROWS, {SEEN: 0.5, UNSEEN: 0.25}),
        *study.rows_of(videos, 0, "cell", "GRU", {SEEN: 0.75, UNSEEN: 0.125}),
        *study.rows_of(videos, 0, "objectives", study.MEAN, {SEEN: 0.25, UNSEEN: 0.75}),
        *study.rows_of(videos, 0, "objectives", "cross-entropy", {SEEN: 0.5, UNSEEN: 0.25}),
        *study.rows_of(videos, 0, "objectives, by cosine", "proxy anchor", {SEEN: 1.0, UNSEEN: 0.5}),
    ]
    found = {
        (row["data"], row["setting"], row["method"], row["metric"]): row["value"]
        for row in paired_differences(rows, study.compared(rows))
    }
    data = "clips: differences"
    assert found == {
        (data, "cell, less the base", "GRU", SEEN): 0.25,
        (data, "cell, less the base", "GRU", UNSEEN): -0.125,
        (data, "objectives, less the base", study.MEAN, SEEN): -0.25,
        (data, "objectives, less the base", study.MEAN, UNSEEN): 0.5,
        (data, "objectives, less the mean", "cross-entropy", SEEN): 0.25,
        (data, "objectives, less the mean", "cross-entropy", UNSEEN): -0.5,
        (data, "objectives, by cosine, less the base", "proxy anchor", SEEN): 0.5,
        (data, "objectives, by cosine, less the base", "proxy anchor", UNSEEN): 0.25,
        (data, "objectives, by cosine, less the mean", "proxy anchor", SEEN): 0.75,
        (data, "objectives, by cosine, less the mean", "proxy anchor", UNSEEN): -0.25,
    }


def test_what_was_kept_with_one_ranking_alone_is_trained_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"60": {by: {SEEN: 0.5, UNSEEN: 0.25} for by in study.RANKED}}
    calls: list[int] = []
    monkeypatch.setattr(study, "trained", lambda *_: calls.append(1) or figures)
    videos: Any = None
    (tmp_path / "gru.json").write_text(json.dumps({"60": {SEEN: 0.5, UNSEEN: 0.25}}))  # of a version of before
    for _ in range(2):
        assert study.kept(tmp_path, "GRU", videos, 0, study.BASE, (60,)) == figures
    assert len(calls) == 1
