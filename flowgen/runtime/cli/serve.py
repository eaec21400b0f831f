"""`flowgen serve`: an app's workflows for a server elsewhere, which drives them over HTTP.

It needs no store, and keeps nothing. The first SIGINT or SIGTERM drains: requests in hand get a few seconds to end.
What is cut off then is asked again by the server, of another process. A second signal ends at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .faults import DONE, Fault
from .output import say
from .settings import check_environment

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ..serving import ServedApp

GRACE_SECONDS = 5.0


@click.command()
@click.argument("target")
@click.option("--host", default="127.0.0.1", show_default=True, help="Off loopback a signing key is needed.")
@click.option("--port", type=int, default=8000, show_default=True, help="Where to listen; 0 is any free port.")
@click.option("--path", default="/api/inngest", show_default=True, help="The path of the URL that the server calls.")
def serve(target: str, host: str, port: int, path: str) -> int:
    """Serve the workflows of TARGET to a server that drives them over HTTP, one step a request.

    Tell `flowgen dev -u URL` or any server of Inngest's protocol where it is. Without FLOWGEN_SIGNING_KEY it is in
    development, and served to this machine alone; with one, every request must be signed. FLOWGEN_URL is the server
    that the app registers with, INNGEST_SERVE_ORIGIN where it is reached if that is not where it listens.
    """
    check_environment(os.environ)

    from .target import load_app

    app = load_app(target)
    try:
        from ..http.sockets import bind, is_loopback
        from ..serving import ServeSettings, serve_app
    except ImportError as error:
        raise Fault("extra", f"{error.name} is not installed: pip install 'flowgen-workflows[server]'") from None
    settings = ServeSettings.from_environment()
    if settings.dev and not is_loopback(host):
        raise Fault(
            "no_key", f"--host {host} lets other machines in, and calls are not signed; set FLOWGEN_SIGNING_KEY"
        )
    served = serve_app(app, path=path, settings=settings)

    import trio

    sockets = bind(host, port)
    try:
        return trio.run(_serve, served, host, sockets, path)
    finally:
        for each in sockets:
            each.close()


async def _serve(served: ServedApp, host: str, sockets: Sequence[socket.socket], path: str) -> int:
    """Serve until a signal; the answer is the exit code."""
    import trio

    from ..http import serving

    asked, at_once = trio.Event(), trio.CancelScope()
    last = signal.SIGTERM

    async def heed(signals: AsyncIterator[int]) -> None:
        nonlocal last
        async for number in signals:
            last = signal.Signals(number)
            if asked.is_set():
                at_once.cancel()
            asked.set()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, _logs_on_standard_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heed, signals)
            with at_once:
                async with serving(served, host, sockets=sockets, grace=GRACE_SECONDS) as url:
                    say(f"ready      {url}{path}")
                    await asked.wait()
            nursery.cancel_scope.cancel()
    return 128 + last if at_once.cancelled_caught else DONE


@contextmanager
def _logs_on_standard_error() -> Iterator[None]:
    """Log lines of flowgen and of workflows, unless the user's code has said where they go."""
    logger = logging.getLogger("flowgen")
    if logger.handlers or logging.getLogger().handlers:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
