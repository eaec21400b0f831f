"""The demo's web page: flowgen's own, for the shop's store, served by the process that outlives the engines.

It needs the extra `server`. Without that the demo goes on without a page, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from queue import Queue

import trio

from flowgen import FlowgenError
from flowgen.runtime import LocalClient

from .app import app

PORTS = 20
"""So many ports are tried, from the wanted one on, before any free one is taken."""


class NoPage(Exception):
    """Why there is no page."""


@contextmanager
def page(client: LocalClient, port: int) -> Iterator[str]:
    """Serve the page of a client's store until the block is left; gives its URL. Raises `NoPage`."""
    opened: Queue[_Opened | BaseException] = Queue()
    thread = threading.Thread(target=partial(trio.run, _serve, client, port, opened), name="page", daemon=True)
    thread.start()
    answer = opened.get()
    if isinstance(answer, BaseException):
        raise answer
    url, token, closing = answer
    try:
        yield url
    finally:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(closing.set)
        thread.join()


_Opened = tuple[str, trio.lowlevel.TrioToken, trio.Event]


async def _serve(client: LocalClient, port: int, opened: Queue[_Opened | BaseException]) -> None:
    try:
        async with _served(client, port) as url:
            closing = trio.Event()
            opened.put((url, trio.lowlevel.current_trio_token(), closing))
            await closing.wait()
    except BaseException as error:
        opened.put(error)


@asynccontextmanager
async def _served(client: LocalClient, port: int) -> AsyncIterator[str]:
    """The page is there, at this port or at one that is free."""
    try:
        from flowgen.runtime.http import Settings, http_app, serving

        asgi = http_app(app, client, settings=Settings())
    except ImportError as error:
        raise NoPage(f"{error.name} is not installed, see the extra `server` of flowgen-workflows") from None
    async with AsyncExitStack() as stack:
        for each in (*range(port, port + PORTS), 0):
            with suppress(FlowgenError):
                url = await stack.enter_async_context(serving(asgi, port=each, grace=1))
                break
        else:
            raise NoPage("no port is free")
        yield url
