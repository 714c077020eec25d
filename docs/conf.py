"""The site of these pages: `make docs`. No page loads anything from elsewhere."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

from edgekit import __version__  # noqa: E402

project = "edgekit"
author = "edgekit's authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_comments"]
exclude_patterns = ["_build", "_ext"]

# The anchors that GitHub gives to headings.
myst_heading_anchors = 3
# Indented blocks hold commands, YAML and what edgekit printed.
highlight_language = "none"
# Docstrings have the backticks of Markdown.
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_rtype = False

html_theme = "furo"
html_title = "edgekit"
html_copy_source = False
html_show_sourcelink = False
