"""Differences that are paired by seed: of what the rows hold, and written beside the rows of a result file."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from common import differences, paths, results_file
from common.differences import Comparison, paired_differences, write_differences

A, B = ("films", "a", "cut"), ("films", "b", "")
COMPARED = [Comparison("films", "a", "cut, less b", A, B), Comparison("films", "c", "less b", ("films", "c", ""), B)]
PROGRAMS = {
    "accuracy_c3d": "accuracy_c3d",
    "accuracy_convlstm": "studies.convlstm.comparisons",
    "accuracy_deep_hashing": "accuracy_deep_hashing",
    "accuracy_image_to_video": "accuracy_image_to_video",
    "accuracy_media_retrieval": "accuracy_media_retrieval",
    "accuracy_open_set": "accuracy_open_set",
    "accuracy_shots": "accuracy_shots",
}
"""Result files, and where it is said what is compared."""


def of(place: tuple[str, str, str], metric: str, value: float, seed: int) -> dict[str, Any]:
    """A row."""
    return results_file.row(place[0], place[1], metric, value, setting=place[2] or None, seed=seed)


ROWS = [
    of(A, "mAP", 0.5, 0),
    of(A, "mAP", 0.7, 1),
    of(A, "bytes", 8.0, 1),
    of(B, "bytes", 6.0, 1),
    of(B, "mAP", 0.8, 1),
    of(B, "mAP", 0.1, 2),
]


def test_only_what_both_have_with_a_seed_is_compared() -> None:
    made = paired_differences(ROWS, COMPARED)
    assert [(row["metric"], row["seed"], row["value"]) for row in made] == [("bytes", 1, 2.0), ("mAP", 1, -0.1)]
    assert {(row["data"], row["method"], row["setting"]) for row in made} == {
        ("films: differences", "a", "cut, less b")
    }
    assert [row["metric"] for row in paired_differences(ROWS, COMPARED, {"mAP"})] == ["mAP"]


def test_differences_are_of_all_rows_that_the_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (differences, results_file):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    for rows in (ROWS[:3], ROWS[3:]):  # as by two calls
        results_file.update("some", rows)
        path = write_differences("some", COMPARED, [], {"mAP"})
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert len(stored["rows"]) == len(ROWS) + 1
    assert stored["rows"][-1]["value"] == -0.1
    assert len(stored["calls"]) == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_stored_differences_are_those_of_the_stored_rows(name: str) -> None:
    program = importlib.import_module(PROGRAMS[name])
    rows = results_file.stored_rows(paths.RESULTS / f"{name}.json")
    expected = paired_differences(rows, program.compared(), getattr(program, "COMPARED", None))
    fields = ("data", "method", "setting", "metric", "seed")
    found = {
        tuple(row[field] for field in fields): row["value"] for row in rows if row["data"].endswith(": differences")
    }
    assert found == {tuple(row[field] for field in fields): row["value"] for row in expected}
    assert found
