"""A real browser, and a whole server for it to look at: engine and pages, in a thread of their own.

Without Debian's Chromium (`apt-get install chromium`) the tests here are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import pytest
import trio

from flowgen import App
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.server import serving

T = TypeVar("T")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 30_000
"""Milliseconds that a page may take for anything, on a machine that is busy."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a browser if there is none."""
    if chromium_path() is None:
        skip = pytest.mark.skip(reason="no Chromium is installed: apt-get install chromium")
        for item in items:
            if item.path.is_relative_to(os.path.dirname(__file__)):
                item.add_marker(skip)


def chromium_path() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, one for all tests of a process."""
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


def watched(page: Any) -> Any:
    """The page, with `broken`: dialogs, errors of scripts and breaches of the policy, as they happen."""
    page.broken = []
    page.on("dialog", lambda dialog: (page.broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: page.broken.append(f"error: {error}"))
    page.on("console", lambda line: page.broken.append(f"console: {line.text}") if _is_breach(line) else None)
    return page


def _is_breach(line: Any) -> bool:
    """A refusal by the server is an answer like any other, and servers end; what the browser refuses is a breach."""
    return line.type == "error" and not any(each in line.text for each in ("the server responded with", "net::ERR_"))


@attrs.define
class Site:
    """A server: its address, and the engine behind it."""

    url: str
    engine: Engine
    token: trio.lowlevel.TrioToken

    def ask(self, verb: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run a verb of the engine."""
        return trio.from_thread.run(verb, *arguments, trio_token=self.token)


@contextmanager
def site_of(app: App | list[App], settings: Settings | None = None) -> Iterator[Site]:
    """A server for an app, on a port of its own, until the block is left."""
    opened = threading.Event()
    made: list[Site] = []
    broke: list[BaseException] = []
    closing: list[trio.Event] = []

    async def serve() -> None:
        async with open_engine(app, "memory://", grace=0.1) as engine:
            asgi = http_app(app, engine, settings=settings or Settings())
            async with serving(asgi, port=0, grace=1) as url:
                closing.append(trio.Event())
                made.append(Site(url, engine, trio.lowlevel.current_trio_token()))
                opened.set()
                await closing[0].wait()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:
            broke.append(error)
        finally:
            opened.set()

    thread = threading.Thread(target=run, name="site")
    thread.start()
    opened.wait()
    try:
        if broke:
            raise broke[0]
        yield made[0]
    finally:
        if made:
            made[0].token.run_sync_soon(closing[0].set)
        thread.join()
