"""Cancelling, signalling and invoking as SDKs and tools ask for it.

A function is named there by its app's and its own id together, `shop-fulfil`. A signal names no app: the run that waits
for it is looked for in all of the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.responses import Response

from ....errors import NotFound, WrongState
from ....signals import decode_waiter, signal_key
from ...engine import Engine
from ...info import RunInfo
from ...paging import Page, Pages
from ...protocol.events import function_id
from ..routes import LONGEST_PAGE, Call, answer
from .envelope import enveloped
from .looking import run_document
from .members import members_of, time_in

_ENDED: Final = frozenset({"completed", "failed", "cancelled", "skipped"})


async def cancel_run(call: Call) -> Response:
    """202 also while it is being cancelled; 409 when it has ended."""
    engine, id = call.service.engine, call.path("id")
    await call.service.ask(engine.cancel, id)
    return enveloped(run_document(await call.service.ask(engine.run, id)), 202)


async def send_signal(call: Call) -> Response:
    """The answer names the run that waited for it; 404 if none did."""
    members = await members_of(call)
    name, engine = members.needed_text("signal", longest=256), call.service.engine
    app, run = await call.service.ask(_waiter, engine, name)
    await call.service.ask(partial(engine.signal, name, members.any("data"), app=app))
    return enveloped({"run_id": run})


async def cancel_runs(call: Call) -> Response:
    """Cancel the open runs of a function that were begun in a span of time, and for whose event `if` holds.

    It is done when it is answered: runs that begin later go on, also those within the span.
    """
    members, engine = await members_of(call), call.service.engine
    named = members.needed_text("function_id", longest=1_000)
    app, workflow = await call.service.ask(_found, engine, named, members.text("app_id") or None)
    after, before = time_in(members, "started_after"), time_in(members, "started_before")
    where = members.text("if", longest=10_000) or None
    select = partial(engine.runs, workflow=f"{app}/{workflow}", after=after, before=before, where=where)
    count = await call.service.ask(_cancel_each, engine, select)
    return enveloped({"app_id": app, "function_id": function_id(app, workflow), "cancelled": count}, 201)


async def invoke(call: Call) -> Response:
    """Start a run of a function with the data of an event; the answer has the run's id."""
    members, engine = await members_of(call, optional=True), call.service.engine
    app, workflow = await call.service.ask(_found, engine, call.path("id"), None)
    id = await call.service.ask(partial(engine.start, f"{app}/{workflow}", members.mapping("data")))
    return answer({"id": id, "status": 200})


async def _waiter(engine: Engine, signal: str) -> tuple[str, str]:
    """The app and the id of the run that waits for a signal."""
    name = signal_key(signal)
    for app in sorted({item.app for item in (await engine.store.registrations()).items}):
        key = (await engine.store.find_keys(app, [name])).get(name)
        if key is not None:
            return app, decode_waiter(key).run
    raise NotFound(f"no run waits for signal {signal!r:.100}")


async def _found(engine: Engine, named: str, app: str | None) -> tuple[str, str]:
    """The app and id of the workflow that a function's id names, be it with its app's or without."""
    for each in await engine.workflows():
        if app in (None, each.app) and named in (each.id, function_id(each.app, each.id)):
            return each.app, each.id
    raise NotFound(f"there is no function {named!r:.100}" + (f" in app {app!r:.100}" if app else ""))


async def _cancel_each(engine: Engine, select: Callable[..., Awaitable[Page[RunInfo]]]) -> int:
    """Cancel the open ones among some runs, page after page; how many were."""
    pages = Pages(lambda cursor: select(limit=LONGEST_PAGE, cursor=cursor))
    return sum([await _cancel(engine, run) async for run in pages.items()])


async def _cancel(engine: Engine, run: RunInfo) -> bool:
    if run.status in _ENDED:
        return False
    try:
        await engine.cancel(f"{run.app}/{run.id}")
    except WrongState:
        return False
    return True
