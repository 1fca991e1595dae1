"""The plan of the house: rooms that one takes in at a glance, functions of few parameters, one road of a training."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import jaxret

PACKAGE = Path(jaxret.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_PARAMETERS, MOST_MODULES, MOST_LINES = 8, 15, 460
LARGE_ROOMS = {"rank"}  # a kernel is a handful of files of one stem
ROAD = ("train", "model", "fit", "features", "projection")


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """What a caller gives; `self` and `cls` are not among them."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [one for one in named if one.arg not in ("self", "cls")]


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_take_few_parameters(path: Path) -> None:
    model = path.relative_to(PACKAGE).parts[0] == "models"  # a network's constructor names its sizes
    many = {
        function.name: count
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if (count := len(parameters(function))) > MOST_PARAMETERS and not (model and function.name == "__init__")
    }
    assert not many


def test_the_count_sees_what_it_should() -> None:
    tree = ast.parse("class A:\n    def f(self, a, /, b, *, c, d=1): ...\ndef g(a, *rest, b): ...")
    assert {function.name: len(parameters(function)) for function in functions(tree)} == {"f": 4, "g": 2}


def test_rooms_hold_few_modules() -> None:
    sizes = Counter(path.parent.relative_to(PACKAGE).as_posix() for path in MODULES if path.name != "__init__.py")
    assert not {room: size for room, size in sizes.items() if size > MOST_MODULES and room not in LARGE_ROOMS}


def test_files_are_small() -> None:
    lines = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}, "what part has a name of its own?"


@pytest.mark.parametrize("module", ROAD)
def test_a_training_of_clips_takes_values_and_no_way_back_into_its_recipe(module: str) -> None:
    """From command to run folder a recipe hands down what it has made: no function to call for it later."""
    tree = ast.parse((PACKAGE / "recipes" / "clips" / f"{module}.py").read_text(encoding="utf-8"))
    taken = {
        f"{function.name}({one.arg})"
        for function in functions(tree)
        for one in parameters(function)
        if one.annotation is not None and "Callable" in ast.unparse(one.annotation)
    }
    assert not taken
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    recipes = {f"jaxret.recipes.clips.{name}" for name in ("c3d", "cnn_lstm", "deep_hash", "ndvr_dml", "moving_digits")}
    assert not imported & recipes
