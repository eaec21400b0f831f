"""What happens in a store, as messages for all who watch: one tap, however many readers.

It lives on the engine's loop, from the first reader on until a while after the last has gone. What this
process commits is known at once; what others do is found by looking at the newest runs and events when the store has
changed. Changes that come together are told together: a run that changes ten times in a moment is told once, as it
is then. When more changes than can be told, the readers are told to look at everything again (`reset`).

=========  ===================================================================================
`run`      a run was created or has changed: its row, as `run_row_document` has it
`event`    an event was accepted: what it is called, without its data
`reset`    so much happened, or so long ago, that it is not told one by one
=========  ===================================================================================

Refuses to know what a reader does with it, and HTTP.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import trio

from ...errors import StoreError
from ...events import AcceptedEvent
from ...runs import RunRow, status_of
from ...transition import Transition
from ..documents import event_row_document, run_row_document
from ..engine import Engine
from ..store import TAIL, Committed, RunFilter
from .ring import Ring

log = logging.getLogger("flowgen.http")

TOGETHER_SECONDS: Final = 0.02
OTHERS_SECONDS: Final = 0.1
LINGER_SECONDS: Final = 60.0
"""So long after the last reader has gone, one that comes back finds what it missed."""

_LOOK_SECONDS: Final = 0.5

NEWEST: Final = 100
"""So many of the newest runs, and events, are looked at when others have changed the store."""

AT_ONCE: Final = 100
PENDING: Final = 2_000
_REMEMBERED: Final = 4_096

RunKey = tuple[str, str]


class Feed:
    """Tells what happens in the store of an engine, as messages in a ring."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ring: Ring | None = None
        self._readers = 0
        self._changed = trio.Event()
        self._runs: OrderedDict[RunKey, None] = OrderedDict()
        self._events: OrderedDict[str, AcceptedEvent] = OrderedDict()
        self._lost = False
        self._told_runs: OrderedDict[RunKey, tuple[str, int]] = OrderedDict()
        self._told_events: OrderedDict[str, None] = OrderedDict()
        self._watching = False
        self._opening = trio.Lock()

    async def join(self) -> Ring:
        """The ring, for one reader more."""
        async with self._opening:
            if self._ring is None:
                await self._open()
        assert self._ring is not None
        self._readers += 1
        return self._ring

    async def _open(self) -> None:
        ring = Ring(await self._engine.store.now())
        if not self._watching:
            self._watching = True
            self._engine.watch(self._committed)
        self._ring = ring  # what is committed while we look is news
        try:
            await self._look_at_the_newest(tell=False)
        except BaseException:
            self._shut(ring)
            raise
        trio.lowlevel.spawn_system_task(self._live, ring)

    async def leave(self) -> None:
        """One reader less."""
        self._readers -= 1
        await trio.lowlevel.checkpoint()

    async def _live(self, ring: Ring) -> None:
        """Tell what happens, until nobody has listened for a while or the store is closed."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell_own, ring)
                nursery.start_soon(self._tell_others)
                await self._until_nobody_listens()
                self._shut(ring)
                nursery.cancel_scope.cancel()
        except* StoreError as group:
            log.info("the stream ends: %s", group.exceptions[0])
        except* Exception as group:
            log.exception("the stream broke", exc_info=group)
        finally:
            self._shut(ring)

    def _shut(self, ring: Ring) -> None:
        """Close a tap. Who comes from now on opens another, even before this one's tasks have ended."""
        ring.close()
        if self._ring is ring:
            self._ring = None
            for kept in (self._runs, self._events, self._told_runs, self._told_events):
                kept.clear()

    async def _until_nobody_listens(self) -> None:
        alone = 0.0
        while alone < LINGER_SECONDS and not self._engine.closing.is_set():
            with trio.move_on_after(_LOOK_SECONDS):
                await self._engine.closing.wait()
            alone = 0.0 if self._readers else alone + _LOOK_SECONDS

    # -- of this process -----------------------------------------------------------------------------

    def _committed(self, transition: Transition, committed: Committed) -> None:
        if self._ring is None:
            return
        for event in transition.accept:
            self._events[event.id] = event
        for new in transition.create:
            self._note((new.row.app, new.row.id))
        if transition.progress is not None:
            self._note((transition.progress.app, transition.progress.run))
        for message in transition.messages:
            self._note((message.app, message.run))
        while len(self._events) > PENDING:
            self._events.popitem(last=False)
            self._lost = True
        self._changed.set()

    def _note(self, run: RunKey) -> None:
        self._runs[run] = None
        if len(self._runs) > PENDING:
            self._runs.popitem(last=False)
            self._lost = True

    async def _tell_own(self, ring: Ring) -> None:
        while True:
            await self._changed.wait()
            await trio.sleep(TOGETHER_SECONDS)
            if not self._runs and not self._events:
                self._changed = trio.Event()
                continue
            await self._tell_some(ring)

    async def _tell_some(self, ring: Ring) -> None:
        messages: list[Callable[[int], bytes]] = []
        if self._lost:
            self._lost = False
            messages.append(partial(message, "reset", {}))
        for _ in range(min(AT_ONCE, len(self._events))):
            _, event = self._events.popitem(last=False)
            if _is_new(self._told_events, event.id, None):
                messages.append(partial(message, "event", event_row_document(event)))
        for _ in range(min(AT_ONCE, len(self._runs))):
            (app, run), _ = self._runs.popitem(last=False)
            loaded = await self._engine.store.load(app, run, TAIL)
            if loaded is not None and self._is_news(loaded.row):
                messages.append(partial(message, "run", run_row_document(loaded.row)))
        if messages:
            ring.add(messages)

    def _is_news(self, row: RunRow) -> bool:
        return row.stored != "schedule" and _is_new(self._told_runs, (row.app, row.id), (status_of(row), row.length))

    # -- of others -----------------------------------------------------------------------------------

    async def _tell_others(self) -> None:
        while True:
            await self._engine.store.wait_changed(LINGER_SECONDS)
            await self._look_at_the_newest(tell=True)
            await trio.sleep(OTHERS_SECONDS)

    async def _look_at_the_newest(self, tell: bool) -> None:
        """Note which of the newest runs and events have not been told as they are now."""
        store = self._engine.store
        events = (await store.find_events(None, None, NEWEST)).items
        rows = (await store.find_runs(RunFilter(), None, NEWEST)).items
        for event in reversed(events):
            if not tell:
                self._told_events[event.id] = None
            elif event.id not in self._told_events:
                self._events.setdefault(event.id, event)
        for row in reversed(rows):
            told = (status_of(row), row.length)
            if not tell:
                self._told_runs[row.app, row.id] = told
            elif self._told_runs.get((row.app, row.id)) != told:
                self._runs.setdefault((row.app, row.id))
        if self._events or self._runs:
            self._changed.set()


def _is_new(told: OrderedDict[Any, Any], key: Any, value: Any) -> bool:
    """Whether this has not been told yet; from now on it has."""
    if key in told and told[key] == value:
        return False
    told[key] = value
    told.move_to_end(key)
    while len(told) > _REMEMBERED:
        told.popitem(last=False)
    return True


def message(kind: str, document: dict[str, Any], number: int) -> bytes:
    """A message as server-sent events are written."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), msgspec.json.encode(document))
