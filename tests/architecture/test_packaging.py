"""The project's metadata agree with themselves."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
if not PYPROJECT.exists():
    pytest.skip("the project's metadata are not here", allow_module_level=True)


def test_groups_are_the_extras_of_the_same_names() -> None:
    """PEP 735 groups serve developers, extras the README's one-line set-up; a group cannot name its own project."""
    metadata = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    groups, extras = metadata["dependency-groups"], metadata["project"]["optional-dependencies"]
    assert set(groups) == {"test", "bench", "docs", "parity"}
    assert {name: extras[name] for name in groups} == groups
