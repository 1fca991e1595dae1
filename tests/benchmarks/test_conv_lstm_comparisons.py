"""Rows of the ConvLSTM benchmark, compared within each seed and drawn against the strength of changes."""

from __future__ import annotations

from typing import Any

import pytest
from common import results_file
from common.differences import paired_differences
from studies.convlstm.comparisons import (
    SECOND_PASS,
    THREE_STEPS,
    THUMBNAIL,
    TWO_STEPS,
    UNTRAINED,
    compared,
    strength_curves,
)

VIDEOS, ABLATIONS = "JHMDB, 6 classes", "JHMDB, 6 classes: ablations"


def row(data: str, method: str, setting: str, seed: int | None, value: float, metric: str) -> dict[str, Any]:
    return results_file.row(data, method, metric, value, setting=setting, seed=seed)


def test_differences_are_of_the_same_seed_and_metric() -> None:
    rows = [
        row(ABLATIONS, "M2", THUMBNAIL, 0, 0.5, "mAP by class"),
        row(ABLATIONS, "M2", THUMBNAIL, 1, 0.4, "mAP by class"),
        row(ABLATIONS, "M2", THUMBNAIL, 1, 0.9, "mAP by clip"),
        row(VIDEOS, "M2", f"{UNTRAINED}, Bi-DTW", 0, 0.2, "mAP by class"),
        row(VIDEOS, "M3", f"{UNTRAINED}, Bi-DTW", 1, 0.1, "mAP by class"),  # of another model
        row(VIDEOS, "SIFT words", "cosine", 1, 0.3, "mAP by class"),
        row(VIDEOS, "SIFT words", "cosine", 1, 1.0, "mAP by clip"),
        row("full size", "M1", "", None, 132.0, "million parameters"),
    ]
    found = {(each["setting"], each["seed"], each["metric"]): each for each in paired_differences(rows, compared())}
    assert {key: each["value"] for key, each in found.items()} == {
        ("two steps and a thumbnail, less untrained", 0, "mAP by class"): pytest.approx(0.3),
        ("two steps and a thumbnail, less SIFT words", 1, "mAP by class"): pytest.approx(0.1),
        ("two steps and a thumbnail, less SIFT words", 1, "mAP by clip"): pytest.approx(-0.1),
    }
    assert {(each["data"], each["method"]) for each in found.values()} == {(f"{VIDEOS}: differences", "M2")}


def test_each_number_of_steps_is_taken_from_the_next() -> None:
    rows = [
        row(ABLATIONS, "M3", setting, 2, value, "mAP by class")
        for setting, value in ((TWO_STEPS, 0.3), (THREE_STEPS, 0.4), (SECOND_PASS, 0.7))
    ]
    assert {each["setting"]: each["value"] for each in paired_differences(rows, compared())} == {
        "three steps, less two": pytest.approx(0.1),
        "four steps, less three": pytest.approx(0.3),
        "four steps, less two": pytest.approx(0.4),
    }


def test_curves_are_of_what_was_measured_at_several_strengths() -> None:
    rows = [
        row(ABLATIONS, "M3", TWO_STEPS, 0, 0.9, "mAP by clip"),
        row(ABLATIONS, "M3", TWO_STEPS, 1, 0.7, "mAP by clip"),
        row(ABLATIONS, "M3", TWO_STEPS, 0, 0.5, "strength 0.5: mAP by clip"),
        row(ABLATIONS, "M3", TWO_STEPS, 0, 0.4, "mAP by class"),
        row("RGB-D walk", "SIFT words", "cosine", 0, 1.0, "mAP by clip"),
        row("RGB-D walk", "SIFT words", "cosine", 0, 1.0, "backwards: mAP by clip"),  # no strength
        row(VIDEOS, "NDVR-DML", "mean vector, cosine", 0, 1.0, "mAP by clip"),  # at one strength
    ]
    assert strength_curves(rows) == {VIDEOS: {"M3, two steps": {0.0: [0.9, 0.7], 0.5: [0.5]}}}
