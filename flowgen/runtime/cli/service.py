"""A process that is an engine: it works until a signal, and ends in order.

The first SIGINT or SIGTERM drains: no run is claimed any more, steps that run get `GRACE` to end, all
runs are given back, exit code 0. A second one stops the steps and gives the runs back at once; should
even that hang (a body that spins), the process ends a second later. Then the exit code is 128 + the
signal's number.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import trio

from ...app import App
from ..engine import Engine
from ..opening import open_engine
from .faults import DONE
from .feed import Feed, FeedHandler
from .output import has_colours, say
from .store_client import without_password

GRACE = "5s"
_LAST_SECOND = 1.0
_WIDEST_WORKFLOW = 24


async def serve(app: App, target: str, db: str, narrated: bool, payloads: bool) -> int:
    """Work for `app` on the store `db` until a signal; the answer is the exit code."""
    stop = _Stop()
    feed: Feed | None = None
    with stop.on_signals():
        async with trio.open_nursery() as nursery:
            with stop.scope:
                async with open_engine(app, db, grace=GRACE) as engine:
                    if narrated:
                        feed = _feed(engine, app, payloads)
                        feed.say(_opening(app, target, db))
                        nursery.start_soon(feed.run)
                    with _logs_heard(FeedHandler(feed) if feed is not None else _standard_error()):
                        await stop.asked.wait()
                        if feed is not None:
                            feed.say(_draining(engine))
            if feed is not None:
                feed.say("stopped at once" if stop.at_once else "stopped")
                await feed.close()
            nursery.cancel_scope.cancel()
    return 128 + stop.signal if stop.at_once else DONE


class _Stop:
    """The signals that end an engine: the first asks, the second insists."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.scope = trio.CancelScope()
        self.signal = 0
        self.at_once = False
        self._token = trio.lowlevel.current_trio_token()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        before = [(number, signal.signal(number, self._heard)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        """Called by Python between two instructions of the main thread, whatever runs there."""
        second, self.signal = self.signal != 0, number
        if not second:
            self._token.run_sync_soon(self.asked.set)
            return
        self.at_once = True
        _end_the_process_soon(128 + number)
        self._token.run_sync_soon(self.scope.cancel)


def _end_the_process_soon(exit_code: int) -> None:
    timer = threading.Timer(_LAST_SECOND, os._exit, [exit_code])
    timer.daemon = True
    timer.start()


# -- what is said ---------------------------------------------------------------------------------


def _feed(engine: Engine, app: App, payloads: bool) -> Feed:
    width = min(_WIDEST_WORKFLOW, max(len(id) for id in app.workflows))
    feed = Feed(engine, say, width=width, colours=has_colours(sys.stdout), payloads=payloads)
    engine.watch(feed.committed)
    return feed


@contextmanager
def _logs_heard(handler: logging.Handler) -> Iterator[None]:
    """Hear the log lines of flowgen and of workflows, unless the user's code has said where they go."""
    logger = logging.getLogger("flowgen")
    if logger.handlers or logging.getLogger().handlers:
        yield
        return
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _standard_error() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _opening(app: App, target: str, db: str) -> str:
    """What is at work here: the store, and the workflows with what starts them."""
    width = max(len(id) for id in app.workflows)
    lines = [f"store      {without_password(db)}", f"app        {app.name} ({target})"]
    for workflow in app.workflows.values():
        on = [t.name + (f" where {t.where}" if t.where else "") for t in workflow.triggers]
        lines.append(f"workflow   {workflow.id.ljust(width)}  {'on ' + ', '.join(on) if on else 'started directly'}")
    return "\n".join([*lines, "ready      Ctrl-C drains and stops", ""])


def _draining(engine: Engine) -> str:
    in_hand = engine.worker.in_hand if engine.worker is not None else 0
    runs = "1 run" if in_hand == 1 else f"{in_hand} runs"
    return f"draining   {runs} in hand; running steps get {GRACE}, a second Ctrl-C stops at once"
