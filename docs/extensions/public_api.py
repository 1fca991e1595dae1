"""Writes the pages of the Python API from the packages' `__all__`, and refuses to build if a name has no docstring."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from public_names import is_value, public_names, public_packages, undocumented, value_docstring
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

_MARKUP = re.compile(r"(`+[^`]*`+)|([*|](?![ *|])|_(?!\w))")  # in backticks, or a sign that would be markup
_SEVERAL = re.compile(r"( +)(\w+(?:, \w+)+):( .*)")  # "  height, width: of the frame"
_ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", write_pages)  # before Sphinx and autosummary look for pages
    app.connect("autodoc-process-docstring", escape_markup, priority=100)  # before napoleon reads the sections
    app.connect("autodoc-process-signature", name_aliases)
    return {"parallel_read_safe": True}


def write_pages(app: Sphinx, config: Config) -> None:
    """`api/index.rst` and a page for each package."""
    if missing := list(undocumented()):
        raise ExtensionError("public names without a docstring: " + ", ".join(missing))
    packages = public_packages()
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    write(folder / "index.rst", index_page(packages))
    described: dict[int, str] = {}  # what a page describes already, to its name there: each thing has one page
    for name, package in packages.items():
        write(folder / f"{name}.rst", package_page(name, package, described))
    for path in (folder / "generated").glob("*.rst"):
        if path.stem not in described.values():  # of an earlier build
            path.unlink()


def write(path: Path, text: str) -> None:
    """Write a page, unless it is as it was: Sphinx reads again what is newer."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def index_page(packages: dict[str, ModuleType]) -> str:
    """The list of packages with their first sentences."""
    lines = ["Python API", "==========", "", ".. toctree::", "   :hidden:", ""]
    lines += [f"   {name}" for name in packages]
    lines += ["", ".. list-table::", "   :widths: 25 75", ""]
    for name, package in packages.items():
        lines += [f"   * - :doc:`{name}`", f"     - {escaped(first_sentence(package))}"]
    return "\n".join([*lines, ""])


def package_page(name: str, package: ModuleType, described: dict[int, str]) -> str:
    """The docstring of a package and a table of what it offers, each name with a page of its own."""
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:", "   :no-index:", ""]
    lines += [f".. currentmodule:: {name}", ""]
    offered = public_names(package)
    own = [each for each, value in offered.items() if not is_value(value) and id(value) not in described]
    elsewhere = [described[id(value)] for value in offered.values() if id(value) in described]
    described |= {id(offered[each]): f"{name}.{each}" for each in own}
    if own:
        lines += [
            ".. autosummary::",
            "   :toctree: generated",
            "   :nosignatures:",
            "",
            *(f"   {each}" for each in own),
        ]
    if elsewhere:
        lines += ["", "Also here:", "", ".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   ~{each}" for each in elsewhere]
    for each, value in offered.items():
        if is_value(value):
            lines += ["", f".. py:data:: {each}", "", textwrap.indent(escaped(value_docstring(package, each)), "   ")]
    return "\n".join([*lines, ""])


def first_sentence(package: ModuleType) -> str:
    """The first line of a docstring."""
    return (package.__doc__ or "").strip().splitlines()[0]


def escape_markup(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Stars, bars and underscores in docstrings are arithmetic and names, never markup; an example is code."""
    lines[:] = separate_attributes(lines)
    lines[:] = example_as_code([line if is_prompt(line) else escaped(line) for line in lines], lines)


def separate_attributes(lines: list[str]) -> list[str]:
    """The lines, with an entry for each name where a section `Attributes:` describes several at once."""
    if "Attributes:" not in lines:
        return lines
    start = lines.index("Attributes:") + 1
    separated, place = lines[:start], start
    while place < len(lines):
        end = place + 1
        if entry := _SEVERAL.fullmatch(lines[place]):
            while end < len(lines) and lines[end].startswith(entry[1] + " "):
                end += 1
            for name in entry[2].split(", "):
                separated += [f"{entry[1]}{name}:{entry[3]}", *lines[place + 1 : end]]
        else:
            separated.append(lines[place])
        place = end
    return separated


def name_aliases(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Aliases of types (`autodoc_type_aliases`) by their names, in unions as well."""
    return signature and _ALIAS.sub(r"\1", signature), returned and _ALIAS.sub(r"\1", returned)


def example_as_code(prose: list[str], lines: list[str]) -> list[str]:
    """The escaped lines, but those of a last section `Example:` without prompts as they were, marked as Python."""
    if "Example:" not in lines:
        return prose
    start = lines.index("Example:") + 1
    if any(is_prompt(line) for line in lines[start:]):
        return prose
    return [*prose[:start], "  .. code-block:: python", "", *("  " + line for line in lines[start:])]


def is_prompt(line: str) -> bool:
    """Whether a line is input of a doctest."""
    return line.lstrip().startswith((">>>", "..."))


def escaped(line: str) -> str:
    """A line with `*`, `|` and `_` escaped outside of backticks, and backticks closed where a letter follows them."""

    def replaced(match: re.Match[str]) -> str:
        if match[2]:
            return "\\" + match[2]
        follows = line[match.end() : match.end() + 1]
        return match[1] + ("\\ " if follows.isalnum() else "")

    return _MARKUP.sub(replaced, line)
