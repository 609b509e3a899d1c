"""How the documentation becomes a site: Sphinx, with what is generated from the code made first."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs import reference
from goalstream import __version__

project = "goalstream"
release = version = __version__
copyright = "the goalstream authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.githubpages"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
suppress_warnings = ["myst.header"]  # pages that are included begin below the first level

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "goalstream"
html_static_path: list[str] = []
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

reference.write(Path(__file__).parent)


def _lead_to_pages(_: Sphinx, __: Path, ___: str, content: list[str]) -> None:
    """Has links of included files, which hold in the repository, lead to pages; what is no page is only named."""
    text = content[0].replace("](docs/", "](").replace("](benchmarks/RESULTS.md)", "](benchmarks.md)")
    content[0] = re.sub(r"\[([^]]+)\]\((?:README\.md|peers|deploy|schemas)[^)]*\)", r"\1", text)


def setup(app: Sphinx) -> None:
    app.connect("include-read", _lead_to_pages)
