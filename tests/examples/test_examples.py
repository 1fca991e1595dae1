"""Every example runs, in a process of its own, on data that it makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
if not EXAMPLES.is_dir():
    pytest.skip("the examples are not here", allow_module_level=True)
EXPECTED = {
    "kernels_only.py": "nearest codes:   [  42",
    "region_search.py": "6 of 6 results show it",
    "search_a_folder.py": "the source of an edited copy:",
    "sequences_bi_dtw.py": "the piece is three.mp4 from second 4 to 8",
    "train_and_search.py": "of them have a cosine similarity above 0.9",
}


def test_all_are_tried() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # examples make their folders with `tempfile`
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert EXPECTED[name] in done.stdout
