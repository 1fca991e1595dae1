"""`metrics.jsonl` of a run: one JSON object a line, appended as training goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RunLog", "read_run_log"]


class RunLog:
    """Appends rows to a run's `metrics.jsonl`; after a resume, rows past the restored step are dropped."""

    def __init__(self, path: Path, *, resume_step: int = 0):
        self._path = path
        kept = [row for row in read_run_log(path) if row["step"] <= resume_step] if resume_step else []
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        partial.replace(path)

    def append(self, *, step: int, **figures: Any) -> None:
        """Write one row; `step` is the number of training steps done."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")


def read_run_log(path: Path) -> list[Mapping[str, Any]]:
    """All complete rows, oldest first; a last line cut by a kill is left out. No file gives no rows."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
