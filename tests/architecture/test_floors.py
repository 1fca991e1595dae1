"""Imports point only downward, rooms of one floor do not know each other, and ranking needs no JAX."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxret

PACKAGE = Path(jaxret.__file__).parent
FLOORS = [
    {"errors", "lazy", "plain_text"},
    {"files", "progress", "ranges"},
    {"remote"},
    {"preprocessing", "cli.shell"},
    {"data", "models", "metrics", "rank"},
    {"losses"},
    {"index", "evaluation", "visual_words", "training", "reporting"},
    {"retrieval"},
    {"recipes"},
    {"cli"},
    {"train", "build_index", "search", "evaluate", "export", "weights", "serve"},
    {"__main__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return room(".".join(parts))


def room(name: str) -> str:
    """The room that a module, named from the package on, stands in: `cli.shell` lies floors below the rest of `cli`."""
    return "cli.shell" if name.startswith("cli.shell") else name.split(".")[0]


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a module imports, wherever in the file the import stands."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            names = [node.module] if node.module != "jaxret" else [f"jaxret.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {room(name.removeprefix("jaxret.")) for name in names if name and name.startswith("jaxret.")}
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = room_of(path)
    assert own in FLOOR_OF, f"{own} has no floor: say where it belongs"
    for other in imported_rooms(path) - {own}:
        if path == PACKAGE / "__main__.py" and other == "__version__":
            continue
        assert FLOOR_OF[other] < FLOOR_OF[own], f"{own} imports {other}, which is not below it"


@pytest.mark.parametrize(
    "name",
    ["rank", "metrics", "index", "evaluation", "visual_words", "data", "data.datasets.folders", "data.batches.cache"],
)
def test_rooms_without_jax(name: str) -> None:
    code = f"import sys, jaxret.{name}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_pickle_but_in_the_one_restricted_reader() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(
            (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "pickle" for a in node.names))
            or (isinstance(node, ast.ImportFrom) and node.module == "pickle")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert all(Path(user).stem == "unpickle" for user in users), users


def test_errors_of_commands_name_flags() -> None:
    """A command whose arguments have fields of several words tells of them by their flags."""
    for command in ("train", "build_index", "search", "evaluate", "export", "serve/__main__"):
        assert "as_typed(" in (PACKAGE / f"{command}.py").read_text(encoding="utf-8"), command


def test_whether_somebody_looks_is_told_in_one_place() -> None:
    """A stream of another program may have no `isatty`, and there may be none at all."""
    users = {path.relative_to(PACKAGE).as_posix() for path in MODULES if "isatty" in path.read_text(encoding="utf-8")}
    assert users == {"plain_text.py"}


def test_commands_are_short() -> None:
    for command in ("train", "build_index", "search", "evaluate", "export", "weights"):
        lines = (PACKAGE / f"{command}.py").read_text(encoding="utf-8").count("\n")
        assert lines <= 160, f"{command}.py has {lines} lines: move work to a lower floor"
