"""The pages as a site: `make docs` (Sphinx, MyST, furo). The source is the whole project, so that links hold.

Pages are plain Markdown that reads well where code is hosted; they say nothing to Sphinx. The contents in the side bar
are the links of the pages in `CONTENTS`, under the bold lines that stand above them; so a page that no index leads to
is a warning, and warnings are errors.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

project = "flowgen"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/**.md", "examples/**/README.md"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "flowgen"
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

CONTENTS = ("docs/index", "docs/decisions/README")

_TITLE_OR_LINK = re.compile(r"^\*\*(?P<title>.+)\*\*$|\]\((?P<page>[^)#:]+)\.md\)", re.MULTILINE)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)


def add_contents(app: Any, page: str, source: list[str]) -> None:
    """Give a page of contents, at its end, the hidden tables that Sphinx makes the side bar of."""
    if page in CONTENTS:
        source[0] = "\n".join([source[0], *tables(page, source[0])])


def tables(page: str, text: str) -> Iterator[str]:
    """A table for each bold line with the pages linked under it, each page once."""
    seen = {page}
    groups: list[tuple[str, list[str]]] = [("", [])]
    for found in _TITLE_OR_LINK.finditer(text):
        if found["title"]:
            groups.append((found["title"], []))
            continue
        linked = posixpath.normpath(posixpath.join(posixpath.dirname(page), found["page"]))
        if linked not in seen:
            seen.add(linked)
            groups[-1][1].append(linked)
    for title, pages in groups:
        if pages:
            caption = [f":caption: {title}"] if title else []
            yield "\n".join(["", "```{toctree}", ":hidden:", *caption, "", *(f"/{each}" for each in pages), "```"])
