"""What the package makes public, and whether it is documented. Used by the docs and by a test."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import jaxret

__all__ = ["is_value", "public_names", "public_packages", "undocumented", "value_docstring"]


def public_packages() -> dict[str, ModuleType]:
    """The packages that state in `__all__` what they offer, by name, the top one first."""
    names = [module.name for module in pkgutil.walk_packages(jaxret.__path__, "jaxret.") if module.ispkg]
    packages = {name: importlib.import_module(name) for name in ["jaxret", *sorted(names)]}
    return {name: package for name, package in packages.items() if hasattr(package, "__all__")}


def public_names(package: ModuleType) -> dict[str, Any]:
    """The classes, functions and values that a package offers, without the packages in it."""
    offered = {name: getattr(package, name) for name in package.__all__}
    return {name: value for name, value in offered.items() if not inspect.ismodule(value)}


def undocumented() -> Iterator[str]:
    """Public names, and public methods and properties of public classes, that have no docstring."""
    for package_name, package in public_packages().items():
        if not (package.__doc__ or "").strip():
            yield package_name
        for name, value in public_names(package).items():
            if not is_documented(package, name, value):
                yield f"{package_name}.{name}"
            elif inspect.isclass(value) and value.__module__.startswith("jaxret."):
                yield from (f"{package_name}.{name}.{member}" for member in undocumented_members(value))


def is_value(value: Any) -> bool:
    """Whether it is neither a class nor a function: a table, an alias of a type."""
    return not (inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "__wrapped__"))


def is_documented(package: ModuleType, name: str, value: Any) -> bool:
    """Whether a class or function has a docstring of its own, or a value a string under its assignment."""
    if is_value(value):
        return bool(value_docstring(package, name))
    if inspect.isclass(value):
        return bool(value.__dict__.get("__doc__")) and not generated_docstring(value)
    return bool(inspect.getdoc(value))


def undocumented_members(value: type) -> Iterator[str]:
    """Methods and properties of a class that say nothing and whose parents say nothing."""
    for member, function in vars(value).items():
        if member.startswith("_") or not isinstance(function, (FunctionType, property, staticmethod, classmethod)):
            continue
        if not inspect.getdoc(getattr(value, member)):
            yield member


def generated_docstring(value: type) -> bool:
    """Whether the docstring is the signature that `dataclass` writes where there is none."""
    return value.__doc__ is not None and value.__doc__.startswith(f"{value.__name__}(")


def value_docstring(package: ModuleType, name: str) -> str:
    """The string under the assignment of a value that a package offers; empty if there is none."""
    statements = ast.parse(Path(inspect.getfile(package)).read_text(encoding="utf-8")).body
    # Packages whose names are loaded on first use import them where only type checkers look.
    body = [inner for node in statements for inner in (node.body if isinstance(node, ast.If) else [node])]
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return value_docstring(importlib.import_module(node.module), alias.name)
        if name in assigned_names(node) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            return inspect.cleandoc(str(below.value.value))
    return ""


def assigned_names(node: ast.stmt) -> set[str]:
    """The plain names that a statement assigns to."""
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        targets = list(node.targets) if isinstance(node, ast.Assign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}
