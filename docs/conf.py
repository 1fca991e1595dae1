"""Sphinx's settings: `python -m sphinx -W -b html docs docs/_build`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "extensions")]

project = "jaxret"
author = "The jaxret authors"
copyright = author
release = installed_version("jaxret")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "public_api",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}  # autosummary writes in the first
exclude_patterns = ["_build", "templates", "extensions", "extending/*.py", "jupyter_execute"]
templates_path = ["templates"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "auto"
nb_execution_timeout = 120
nb_execution_raise_on_error = True

# Docstrings: Google sections, `single backticks` around code and names.
default_role = "py:obj"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_preprocess_types = False
napoleon_attr_annotations = False  # the signature has them
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("ArrayLike", "DTypeLike", "NDArray", "Mining")}
maximum_signature_line_length = 88
autosummary_generate = True
autosummary_imported_members = True
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "jaxret"
html_static_path = ["static"]
html_css_files = ["jaxret.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
