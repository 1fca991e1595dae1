"""Indexes and runs made before the rooms were cut by system, at c09e942: they open, search and evaluate as then.

`made_before/` holds the media, a run of each system, and in `expected_results.json` what that version printed for
them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jaxret import evaluate, search, train

MADE_BEFORE = Path(__file__).parent / "made_before"
EXPECTED = json.loads((MADE_BEFORE / "expected_results.json").read_text(encoding="utf-8"))
RENAMED = {"--weighted": "--idf"}  # flags since then
COMPARED = ("key", "kind", "label", "distance", "start", "end", "box")  # paths are of the machine that made them


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that may be written to: opening an index leaves a lock file in it."""
    return Path(shutil.copytree(MADE_BEFORE, tmp_path_factory.mktemp("made_before") / "made"))


def near(value: Any) -> Any:
    """The value, numbers approximately: other instruction sets round otherwise."""
    return pytest.approx(value, rel=1e-4, abs=1e-4) if isinstance(value, float | list) else value


@pytest.mark.parametrize("case", EXPECTED["search"], ids=lambda case: " ".join([case["index"], *case["arguments"]]))
def test_a_search_finds_the_same(
    case: dict[str, Any], made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    words = [RENAMED.get(word, word) for word in case["arguments"]]
    assert search.main([f"runs/{case['index']}", *words, "-k", "10", "--json"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result["key"] for result in results] == [result["key"] for result in case["results"]]
    for result, expected in zip(results, case["results"], strict=True):
        for name in COMPARED:
            if name in expected:
                assert result[name] == near(expected[name]), name


@pytest.mark.parametrize("case", EXPECTED["evaluate"], ids=lambda case: " ".join([case["index"], *case["arguments"]]))
def test_an_evaluation_measures_the_same(
    case: dict[str, Any], made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    assert evaluate.main([f"runs/{case['index']}", *case["arguments"], "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    for group, values in case["figures"].items():  # there may be more now, such as the chance rate
        assert {name: figures[group][name] for name in values} == pytest.approx(values, rel=1e-4, abs=1e-4)


def test_a_run_goes_on(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(made)
    assert train.main(["--resume", "runs/sequences", "--epochs", "2", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("done before") == 2  # both steps had come to their end
    assert (made / "runs" / "sequences" / "report.html").stat().st_size > 0
