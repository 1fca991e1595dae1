"""Validation by group, of clips whose names do not tell their groups; and result files that are renewed in part."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from common import results_file
from studies.deep_hashing.data import MOST_OF_A_GROUP, held_out_blocks


@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_on_both_sides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels: list[int] = []
    groups: list[str] = []
    for label in range(5):
        for group in range(18):  # a class of UCF101 has 18 groups for training
            clips = int(rng.integers(1, MOST_OF_A_GROUP + 1))
            labels += [label] * clips
            groups += [f"{label}-{group}"] * clips
    train, validation = held_out_blocks(np.arange(100, 100 + len(labels)), np.array(labels), seed)
    train, validation = train - 100, validation - 100
    assert not {groups[n] for n in train} & {groups[n] for n in validation}
    for label in range(5):
        count = labels.count(label)
        assert sum(labels[n] == label for n in validation) == count // 10
        assert sum(labels[n] == label for n in train) >= count - count // 10 - 2 * MOST_OF_A_GROUP


def test_rows_without_a_new_figure_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(word: str, *figures: tuple[int, float]) -> None:
        monkeypatch.setattr(sys, "argv", ["accuracy_some.py", word])
        results_file.update("some", [results_file.row("a", "m", "mAP", value, seed=seed) for seed, value in figures])

    def written() -> list[tuple[int, float, str]]:
        """Seed and value of each row, and the last word of the command that it is of."""
        content = json.loads((tmp_path / "some.json").read_text())
        words = {one["id"]: one["command"].split()[-1] for one in content["calls"]}
        assert set(words) == {one["call"] for one in content["rows"]}  # calls without rows are not kept
        assert all({"commit", "date", "machine", "versions"} <= set(one) for one in content["calls"])
        return [(one["seed"], one["value"], words[one["call"]]) for one in content["rows"]]

    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    call("first", (0, 0.1), (1, 0.2))
    call("second", (1, 0.9), (1, 0.4))  # by two parts of a call: the last stands
    assert written() == [(0, 0.1, "first"), (1, 0.4, "second")]
    call("second", (2, 0.3))  # a call may update several times
    assert written() == [(0, 0.1, "first"), (1, 0.4, "second"), (2, 0.3, "second")]
    call("third", (0, 0.5), (1, 0.6))
    assert written() == [(2, 0.3, "second"), (0, 0.5, "third"), (1, 0.6, "third")]
    results_file.write("some", [results_file.row("a", "m", "mAP", 0.7, seed=3)])
    assert written() == [(3, 0.7, "third")]


def test_where_work_is_kept_is_no_part_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    program = str(results_file.RESULTS.parent / "accuracy_some.py")
    monkeypatch.setattr(sys, "argv", [program, "lengths", "--work", "/a b", "--cache=/c", "--seeds", "0", "1"])
    assert results_file.command() == "python benchmarks/accuracy_some.py lengths --seeds 0 1"
