"""Pages of results say which call a table is of, and beside times the processor where there are several."""

from __future__ import annotations

from typing import Any

from common import results_file
from render_tables import accuracy_tables, calls_of, numbered, ratio_tables, rows_with_processors

CALLS = [
    {
        "id": number,
        "command": f"python benchmarks/some.py {number}",
        "commit": "abc",
        "date": "2026-11-30",
        "machine": {"processor": processor, "cores": 2},
        "versions": {"jaxret": "0.1.0"},
    }
    for number, processor in ((1, "old"), (2, "old"), (4, "new"))
]


def of(call: int, data: str, method: str, metric: str, value: float) -> dict[str, Any]:
    """A row of a call."""
    return {**results_file.row(data, method, metric, value), "call": call}


def test_times_of_several_processors_say_theirs() -> None:
    rows = [
        of(1, "steps", "ours", "ms", 2.0),
        of(4, "steps", "theirs", "ms", 3.0),
        of(1, "steps", "ours", "mAP", 0.5),
        of(4, "steps", "ours", "mAP", 0.7),  # no time: a mean of both
        of(1, "others", "ours", "ms", 5.0),
        of(2, "others", "ours", "ms", 7.0),
    ]
    tables = list(accuracy_tables(rows_with_processors({"calls": CALLS, "rows": rows}, False)))
    text = "\n".join(line for table in tables for line in table.lines)
    assert "| method | processor | ms |" in text
    assert "| ours | old | 2.00 |" in text
    assert "| theirs | new | 3.00 |" in text
    assert "| ours | 0.600 ± 0.141 |" in text
    assert "| ours | 6.00 ± 1.41 |" in text
    assert [table.calls for table in tables] == [{1, 4}, {1, 4}, {1, 2}]


def test_ratios_of_several_processors_say_theirs() -> None:
    rows = [of(1, "a", "ours", "times faster", 2.0), of(4, "b", "ours", "share measured", 0.5)]
    for calls, line in (
        (rows, "| a | ours | old | times faster | 2.00 |"),
        (rows[:1], "| a | ours | times faster | 2.00 |"),
    ):
        (table,) = ratio_tables(rows_with_processors({"calls": CALLS, "rows": calls}, True))
        assert line in table.lines


def test_calls_stand_by_machine() -> None:
    lines = list(calls_of(CALLS))
    assert lines[0] == "Calls 1, 2, on old, 2 cores; jaxret 0.1.0:"
    assert lines[2] == "- 1: `python benchmarks/some.py 1`, 2026-11-30, at abc"
    assert lines[5] == "Call 4, on new, 2 cores; jaxret 0.1.0:"
    assert next(calls_of(CALLS[:1])) == "On old, 2 cores; jaxret 0.1.0:"


def test_numbers_of_calls() -> None:
    assert numbered({3, 1, 2, 7}) == "Calls 1 to 3, 7"
    assert numbered([5]) == "Call 5"
