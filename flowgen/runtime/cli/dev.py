"""`flowgen dev` and `flowgen worker`: an engine for one app, with and without a running commentary.

The first SIGINT or SIGTERM drains: no run is claimed any more, steps that run get `GRACE` to end, all
runs are given back, exit code 0. A second one stops the steps and gives the runs back at once; should
even that hang, the process ends a second later. Then the exit code is 128 + the signal's number.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from .faults import DONE
from .options import db_option
from .output import has_colours, say
from .store_client import without_password

if TYPE_CHECKING:
    from ...app import App
    from ..engine import Engine

GRACE = "5s"
_LAST_SECOND = 1.0


@click.command()
@click.argument("target")
@db_option
@click.option("--payloads", is_flag=True, help="Show also what events carry and steps return.")
def dev(target: str, db: str, payloads: bool) -> int:
    """Run an engine for TARGET and print what happens as it happens.

    TARGET is module:app or path/to/file.py:app; ":app" may be left out where there is one App.
    Ctrl-C drains and stops; a second one stops at once.
    """
    return _serve(target, db, narrated=True, payloads=payloads)


@click.command()
@click.argument("target")
@db_option
def worker(target: str, db: str) -> int:
    """Run an engine for TARGET; log lines go to standard error.

    TARGET is module:app or path/to/file.py:app; ":app" may be left out where there is one App.
    SIGTERM drains and stops; a second one stops at once.
    """
    return _serve(target, db, narrated=False, payloads=False)


def _serve(target: str, db: str, *, narrated: bool, payloads: bool) -> int:
    from .target import load_app

    app = load_app(target)

    import trio

    return trio.run(_engine_until_stopped, app, target, db, narrated, payloads)


async def _engine_until_stopped(app: App, target: str, db: str, narrated: bool, payloads: bool) -> int:
    import trio

    from ..opening import open_engine

    stop = _Stop()
    with stop.on_signals():
        async with trio.open_nursery() as nursery:
            stop.scope = nursery.cancel_scope
            async with open_engine(app, db, grace=GRACE) as engine:
                commentary = _Commentary(engine, app, payloads) if narrated else None
                if commentary is not None:
                    say(_opening(app, target, db))
                    nursery.start_soon(commentary.feed.run)
                else:
                    _log_to_standard_error()
                await stop.asked.wait()
                if commentary is not None:
                    commentary.feed.say(_draining(engine))
            if commentary is not None:
                await commentary.close()
            nursery.cancel_scope.cancel()
    if narrated:
        say("stopped at once" if stop.at_once else "stopped")
    return 128 + stop.signal if stop.at_once else DONE


class _Stop:
    """The signals that end an engine: the first asks, the second insists."""

    def __init__(self) -> None:
        import trio

        self.asked = trio.Event()
        self.scope: trio.CancelScope | None = None
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
        self._token.run_sync_soon(self._cancel)

    def _cancel(self) -> None:
        if self.scope is not None:
            self.scope.cancel()


def _end_the_process_soon(exit_code: int) -> None:
    import os
    import threading

    timer = threading.Timer(_LAST_SECOND, os._exit, [exit_code])
    timer.daemon = True
    timer.start()


class _Commentary:
    """The feed of an engine, and the log lines that go into it."""

    def __init__(self, engine: Engine, app: App, payloads: bool) -> None:
        from .feed import Feed, FeedHandler

        width = min(24, max(len(id) for id in app.workflows))
        self.feed = Feed(engine, say, width=width, colours=has_colours(sys.stdout), payloads=payloads)
        engine.watch(self.feed.committed)
        self._unhook = _hook_logs(FeedHandler(self.feed))

    async def close(self) -> None:
        self._unhook()
        await self.feed.close()


def _hook_logs(handler: object) -> Callable[[], None]:
    """Hear flowgen's log lines, unless the user's code has said where they go."""
    import logging

    assert isinstance(handler, logging.Handler)
    logger = logging.getLogger("flowgen")
    if logger.handlers or logging.getLogger().handlers:
        return lambda: None
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return lambda: logger.removeHandler(handler)


def _log_to_standard_error() -> None:
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _hook_logs(handler)


def _opening(app: App, target: str, db: str) -> str:
    """What is at work here: the store, and the workflows with what starts them."""
    width = max(len(id) for id in app.workflows)
    lines = [f"store      {without_password(db)}", f"app        {app.name} ({target})"]
    for workflow in app.workflows.values():
        on = [t.name + (f" where {t.where}" if t.where else "") for t in workflow.triggers]
        lines.append(f"workflow   {workflow.id.ljust(width)}  {'on ' + ', '.join(on) if on else 'started directly'}")
    return "\n".join([*lines, "ready      Ctrl-C drains and stops", ""])


def _draining(engine: Engine) -> str:
    in_hand = len(engine.worker.drives) if engine.worker is not None else 0
    runs = "1 run" if in_hand == 1 else f"{in_hand} runs"
    return f"draining   {runs} in hand; running steps get {GRACE}, a second Ctrl-C stops at once"
