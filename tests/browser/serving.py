"""What browser tests look at: a whole server, engine and pages, in a thread of its own; and which browser does."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import trio

from flowgen import App
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.server import serving

T = TypeVar("T")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 30_000
"""Milliseconds that a page may take for anything, on a machine that is busy."""


def chromium_path() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


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
