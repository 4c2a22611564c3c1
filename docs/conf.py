"""How `make docs` builds these pages: everything offline, every warning an error."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

import gobelin  # noqa: E402

project = "Gobelin"
author = copyright = "The Gobelin developers"
version = release = gobelin.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "plain_docstrings",
    "generated_pages",
]
exclude_patterns = ["_build", "_generated"]
source_suffix = {".md": "markdown"}
nitpicky = True
# Types of other packages, and types of our own that no page describes: their name is enough.
nitpick_ignore_regex = [("py:.*", ".*")]

myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "fieldlist"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_use_type_comments = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"Gobelin {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
