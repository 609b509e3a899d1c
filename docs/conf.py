"""How the documentation becomes a site: Sphinx, with what is generated from the code made first."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

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
html_static_path = ["style"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

reference.write(Path(__file__).parent)


def _lead_to_pages(text: str) -> str:
    """Has links that hold in the repository lead to pages; what is no page is only named."""
    for place, page in (
        ("](../docs/", "]("),
        ("](docs/", "]("),
        ("](../CHANGELOG.md", "](changelog.md"),
    ):
        text = text.replace(place, page)
    text = re.sub(r"\]\((?:\.\./)?benchmarks/(?:RESULTS|LATENCY|GOAL_TABLE)\.md\)", "](benchmarks.md)", text)
    text = re.sub(r"\]\((?:\.\./)?deploy/README\.md\)", "](deployment.md)", text)
    return _NO_PAGE.sub(r"\1", text)


_NO_PAGE = re.compile(
    r"\[([^]]+)\]\((?:\.\./)?(?:README\.md|peers|deploy/|kubernetes|prometheus|grafana|schemas|goalstream/|benchmarks/)[^)]*\)"
)


def setup(app: Sphinx) -> None:
    def change(*arguments: Any) -> None:
        content = arguments[-1]
        content[0] = _lead_to_pages(content[0])

    app.connect("source-read", change)
    app.connect("include-read", change)
