"""The contents of the site of pages: `docs/conf.py`, which `make docs` uses."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from .pages import ROOT


@pytest.fixture
def conf() -> ModuleType:
    """The settings of Sphinx, read as Sphinx reads them."""
    spec = spec_from_file_location("docs_conf", ROOT / "docs" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_links_of_a_page_are_its_contents(conf: ModuleType) -> None:
    """Each page once, under the bold line above it; from the root of the project; nothing outside, no other files."""
    text = """
[Start](../README.md)
**Learn**
* [One](tutorial/one.md): and [again](tutorial/one.md), [a
  part](tutorial/two.md#part) · [Two](tutorial/two.md) · [code](../examples/app.py) · [far](https://example.org/x.md)
**Nothing**
**Look up**
* [Three](reference/three.md)
"""
    assert list(conf.tables("docs/index", text)) == [
        "\n```{toctree}\n:hidden:\n\n/README\n```",
        "\n```{toctree}\n:hidden:\n:caption: Learn\n\n/docs/tutorial/one\n/docs/tutorial/two\n```",
        "\n```{toctree}\n:hidden:\n:caption: Look up\n\n/docs/reference/three\n```",
    ]


def test_each_page_is_in_the_contents(conf: ModuleType) -> None:
    """The index, or a page of contents that it leads to, links every page under `docs/`."""
    linked = set()
    for page in conf.CONTENTS:
        text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
        linked |= {
            f"{line[1:]}.md" for table in conf.tables(page, text) for line in table.split("\n") if line[:1] == "/"
        }
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages - linked == {"docs/index.md"}


def test_only_pages_of_contents_are_changed(conf: ModuleType) -> None:
    """All others are shown as they stand."""
    source = ["[Commands](reference/commands.md)"]
    conf.add_contents(None, "docs/glossary", source)
    assert source == ["[Commands](reference/commands.md)"]
    conf.add_contents(None, "docs/index", source)
    assert source[0].endswith(":hidden:\n\n/docs/reference/commands\n```")
