"""A process that is an engine: it works until a signal, and ends in order.

The first SIGINT or SIGTERM drains: no connection is accepted and no run is claimed any more, requests in hand and steps
that run get `GRACE` to end, all runs are given back, exit code 0. A second one stops the steps and gives the runs back
at once; should even that hang (a body that spins), the process ends a second later. Then the exit code is 128 + the
signal's number.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import attrs
import trio

from ...app import App
from ...duration import parse_duration
from ..driving.caller import SILENCE_SECONDS
from ..engine import Engine
from ..opening import open_engine
from .faults import DONE
from .feed import Feed, FeedHandler
from .output import has_colours, say
from .store_client import without_password

if TYPE_CHECKING:
    from ..driving.transport import HttpCalls
    from ..http.sdk.syncing import Syncing
    from ..http.settings import Settings

GRACE = "5s"
_LAST_SECOND = 1.0
_WIDEST_WORKFLOW = 24


@attrs.frozen
class Door:
    """Where and how HTTP is served: on sockets that listen already."""

    host: str
    sockets: Sequence[socket.socket]
    settings: Settings


@attrs.frozen
class Elsewhere:
    """Which apps elsewhere are asked to register: those at `urls` and, with `discover`, others of this machine."""

    urls: tuple[str, ...] = ()
    discover: bool = False


@attrs.frozen
class Plan:
    """What an engine process is to do. Without a `door` it serves no HTTP, and no app from elsewhere registers."""

    apps: Sequence[tuple[str, App]]
    db: str
    narrated: bool = False
    payloads: bool = False
    door: Door | None = None
    supervised: bool = False
    elsewhere: Elsewhere = Elsewhere()


async def serve(plan: Plan) -> int:
    """Do it until a signal; the answer is the exit code."""
    stop = _Stop()
    feed: Feed | None = None
    apps = [app for _, app in plan.apps]
    with stop.on_signals(supervised=plan.supervised):
        async with trio.open_nursery() as nursery:
            with stop.scope:
                async with (
                    _calls_of(plan.door) as calls,
                    open_engine(apps, plan.db, grace=GRACE, calls=calls, silence=_silence(plan.door)) as engine,
                    _door_opened(engine, plan) as url,
                ):
                    if plan.narrated:
                        feed = _feed(engine, apps, plan.payloads)
                        feed.say(_opening(plan, url))
                        nursery.start_soon(feed.run)
                    elif url is not None:
                        say("\n".join([f"ready      {url}", *_openness(plan.door)]))
                    with _logs_heard(FeedHandler(feed) if feed is not None else _standard_error()):
                        syncing = _syncing(engine, plan, url)
                        if syncing is not None:
                            nursery.start_soon(syncing.run)
                        await stop.asked.wait()
                        if feed is not None and not stop.quietly:
                            feed.say(_draining(engine))
            if feed is not None:
                if not stop.quietly:
                    feed.say("stopped at once" if stop.at_once else "stopped")
                await feed.close()
            nursery.cancel_scope.cancel()
    return 128 + stop.signal if stop.at_once else DONE


@asynccontextmanager
async def _door_opened(engine: Engine, plan: Plan) -> AsyncIterator[str | None]:
    """HTTP is served while the block lasts, if it is to be; gives the URL."""
    if plan.door is None:
        yield None
        return
    from ..http import http_app, serving

    asgi = http_app([app for _, app in plan.apps], engine, settings=plan.door.settings)
    grace = parse_duration(GRACE, "grace") / 1_000_000
    async with serving(asgi, plan.door.host, sockets=plan.door.sockets, grace=grace) as url:
        yield url


@asynccontextmanager
async def _calls_of(door: Door | None) -> AsyncIterator[HttpCalls | None]:
    """How apps that are elsewhere are called: only by a server, where they can register."""
    if door is None:
        yield None
        return
    from ..dialing import Dialer
    from ..driving.transport import HttpCalls

    settings = door.settings
    key = settings.app_keys[0] if settings.app_keys else None
    calls = HttpCalls(Dialer(settings.reach), signing_key=key, kind="dev" if settings.dev else "cloud")
    try:
        yield calls
    finally:
        await calls.aclose()


def _silence(door: Door | None) -> float:
    return SILENCE_SECONDS if door is None else door.settings.silence


def _syncing(engine: Engine, plan: Plan, url: str | None) -> Syncing | None:
    """What asks apps to register, if any are to be asked."""
    if plan.door is None or url is None or not (plan.elsewhere.urls or plan.elsewhere.discover):
        return None
    from ..addresses import AppUrl
    from ..dialing import Dialer
    from ..http.sdk.syncing import EVERY, PORTS, RARELY, Syncing

    settings, own = plan.door.settings, AppUrl.parse(url).port
    return Syncing(
        Dialer(settings.reach),
        engine.offer,
        engine.remote_apps,
        url,
        settings.dev,
        tuple(AppUrl.parse(each) for each in plan.elsewhere.urls),
        tuple(port for port in PORTS if port != own) if plan.elsewhere.discover else (),
        settings.app_keys[0] if settings.app_keys else None,
        EVERY if settings.dev else RARELY,
    )


class _Stop:
    """The signals that end an engine: the first asks, the second insists.

    A supervisor says SIGTERM, or SIGUSR1 for an end without a word, and the other one to insist; SIGINT is its own.
    """

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.scope = trio.CancelScope()
        self.signal = 0
        self.at_once = False
        self.quietly = False
        self._token = trio.lowlevel.current_trio_token()

    @contextmanager
    def on_signals(self, *, supervised: bool) -> Iterator[None]:
        numbers = (signal.SIGTERM, signal.SIGUSR1 if supervised else signal.SIGINT)
        before = [(number, signal.signal(number, self._heard)) for number in numbers]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        """Called by Python between two instructions of the main thread, whatever runs there."""
        second, self.signal = self.signal != 0, number
        self.quietly = number == signal.SIGUSR1 and not second
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


def _feed(engine: Engine, apps: Sequence[App], payloads: bool) -> Feed:
    width = min(_WIDEST_WORKFLOW, max((len(id) for app in apps for id in app.workflows), default=_WIDEST_WORKFLOW))
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


def _opening(plan: Plan, url: str | None) -> str:
    """What is at work here: the store, the workflows with what starts them, and where to look."""
    width = max((len(id) for _, app in plan.apps for id in app.workflows), default=0)
    lines = [f"store      {without_password(plan.db)}"]
    for target, app in plan.apps:
        lines.append(f"app        {app.name} ({target})")
        for workflow in app.workflows.values():
            on = [t.name + (f" where {t.where}" if t.where else "") for t in workflow.triggers]
            on += [f"cron {schedule.text}" for schedule in workflow.definition().schedules]
            started = "on " + ", ".join(on) if on else "started directly"
            lines.append(f"workflow   {workflow.id.ljust(width)}  {started}")
    lines += [f"elsewhere  {each}" for each in plan.elsewhere.urls]
    if plan.elsewhere.discover:
        lines.append("elsewhere  apps at the usual ports of this machine")
    if url is not None:
        lines.append(f"page       {url}")
    lines += _openness(plan.door)
    return "\n".join([*lines, "ready      Ctrl-C drains and stops", ""])


def _openness(door: Door | None) -> list[str]:
    """What is open on a server that has a token, though its owner may think that nothing is."""
    if door is None or not door.settings.auth_tokens or door.settings.event_keys:
        return []
    return ["open       whoever can call it may send events, without a key: set FLOWGEN_EVENT_KEY"]


def _draining(engine: Engine) -> str:
    in_hand = engine.worker.places.taken if engine.worker is not None else 0
    runs = "1 run" if in_hand == 1 else f"{in_hand} runs"
    return f"draining   {runs} in hand; running steps get {GRACE}, a second Ctrl-C stops at once"
