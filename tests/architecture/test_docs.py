"""Every public name is documented, in one dialect."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import jaxret

DOCS = Path(__file__).parents[2] / "docs"
if not DOCS.is_dir():
    pytest.skip("the docs are not here", allow_module_level=True)
sys.path.append(str(DOCS / "extensions"))

from public_names import public_names, public_packages, undocumented  # noqa: E402

PACKAGE = Path(jaxret.__file__).parent
OTHER_DIALECTS = re.compile(r"^\s*(:param |:returns?:|:raises? |(Parameters|Returns|Raises|Attributes)\n\s*---)", re.M)


def test_public_names_have_docstrings() -> None:
    assert list(undocumented()) == []


def test_packages_offer_what_they_say() -> None:
    """`undocumented` looks at something: a package without `__all__` would pass unseen."""
    named = public_packages()
    rooms = {
        "data",
        "visual_words",
        "reporting",
        "rank",
        "metrics",
        "losses",
        "models",
        "index",
        "evaluation",
        "training",
        "retrieval",
        "recipes",
    }
    assert {f"jaxret.{room}" for room in rooms} <= set(named)
    assert all(public_names(package) for name, package in named.items() if name != "jaxret")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_are_in_the_one_dialect(path: Path) -> None:
    """Sections are `Args:`, `Returns:`, `Raises:`, `Attributes:`, not those of reST or numpydoc."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            assert not OTHER_DIALECTS.search(ast.get_docstring(node) or ""), getattr(node, "name", "the module")


def test_lines_of_prose_are_wrapped() -> None:
    """Tables, code, and the changelog apart, no line is longer than 125 characters."""
    root, long = DOCS.parent, []
    pages = [*DOCS.glob("*.md"), *DOCS.glob("systems/*.md"), *DOCS.glob("extending/*.md"), root / "README.md"]
    for page in pages:
        prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        long += [f"{page.name}: {line[:60]}" for line in prose.splitlines() if len(line) > 125 and line[:1] not in "|<"]
    assert len(pages) > 20
    assert long == []


def test_the_readme_fits_on_two_screens_and_its_links_lead_somewhere() -> None:
    root = DOCS.parent
    text = (root / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 250
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(links) > 10
    assert [link for link in links if not (root / link).exists() and (root / ".ci").is_dir()] == []
