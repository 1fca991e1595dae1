"""Figures that a training gives epoch by epoch are kept one by one, and shown by the first and the last ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from common import results_file
from render_tables import accuracy_tables


def training(accuracies: list[float], setting: str = "wide") -> list[dict[str, Any]]:
    """A row an epoch."""
    return [
        {
            **results_file.row("clips", "training", "accuracy", value, setting=setting, seed=0),
            "epoch": number,
            "call": 1,
        }
        for number, value in enumerate(accuracies, start=1)
    ]


def test_every_epoch_is_a_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    results_file.update("some", training([0.1, 0.2, 0.3]))
    rows = results_file.stored_rows(results_file.update("some", training([0.1, 0.5])))
    assert sorted((row["epoch"], row["value"]) for row in rows) == [(1, 0.1), (2, 0.5), (3, 0.3)]


def test_tables_show_the_ends() -> None:
    rows = training([0.1, 0.2, 0.3, 0.9, 0.4, 0.6, 0.8])[::-1] + training([0.5, 0.7], "narrow")
    rows.append({**results_file.row("clips", "chance", "accuracy", 0.25), "call": 2})
    tables = list(accuracy_tables(rows))
    assert [table.calls for table in tables] == [{2}, {1}]
    text = "\n".join(line for table in tables for line in table.lines)
    assert "| setting | method | accuracy, first 3 epochs | accuracy, last 3 epochs |" in text
    assert "| wide | training | 0.200 | 0.600 |" in text
    assert "| narrow | training | 0.600 | 0.600 |" in text  # fewer than three: all of them
    assert "| chance | 0.250 |" in text
    assert text.count("| wide |") == 1
