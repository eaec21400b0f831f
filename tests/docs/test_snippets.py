"""Every Python block in README.md and docs/ runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .pages import PAGES, blocks, page_name, run_page


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=page_name)
def test_the_code_on_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page shows can be typed in and works, in the order in which it is shown."""
    monkeypatch.chdir(tmp_path)
    assert run_page(page, tmp_path) > 0
