"""A real browser. Without one (`apt-get install chromium`) the tests here are skipped, and say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.serving import PATIENCE, chromium_path, watched


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a browser if there is none."""
    if chromium_path() is None:
        skip = pytest.mark.skip(reason="no Chromium is installed: apt-get install chromium")
        for item in items:
            if item.path.is_relative_to(os.path.dirname(__file__)):
                item.add_marker(skip)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, one for all tests of a file: while it is there, an asyncio loop counts as running in this thread."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page in a fresh profile. Whatever a script should not have done fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    made = watched(context.new_page())
    yield made
    context.close()
    assert made.broken == []
