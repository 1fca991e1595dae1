"""The benchmark programs fit the package: what they import exists, and the pages of results are those of the files."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = sorted(BENCHMARKS.rglob("*.py"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_imports_exist(path: Path) -> None:
    """Every name that a program takes from the package, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "jaxret":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_pages_of_results_are_up_to_date() -> None:
    command = [sys.executable, str(BENCHMARKS / "render_tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run benchmarks/render_tables.py\n{done.stdout}{done.stderr}"
