"""No function takes more parameters than a reader keeps in mind; what belongs together is one object."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import jaxret

PACKAGE = Path(jaxret.__file__).parent
MOST = 8
ROOMS = ("cli", "evaluation", "metrics", "recipes", "retrieval", "training")


@pytest.mark.parametrize("room", ROOMS)
def test_functions_take_few_parameters(room: str) -> None:
    too_many = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = sum(parameter.arg not in ("self", "cls") for parameter in named)
                if count > MOST:
                    too_many.append(f"{path.relative_to(PACKAGE)}: {node.name} takes {count}")
    assert not too_many


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_hold_few_modules(room: str) -> None:
    for folder in (PACKAGE / room, *(path for path in (PACKAGE / room).iterdir() if path.is_dir())):
        modules = [path.name for path in folder.glob("*.py")]
        assert len(modules) <= 15, f"{folder.relative_to(PACKAGE)} holds {len(modules)} modules"
