"""Answers for decisions: reads from the store what a decision says that it must know.

Facts are read once and kept for one decision; when its commit is refused they are dropped, so the next
try reads them again. `Started` keeps what can never change: which runs an event has started.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from ..acceptance import is_delayed
from ..codec import decode_definition
from ..facts import Facts, Questions
from ..history import InvokeTerms, Record, open_requests
from ..routing import Route, RouteTable
from ..runs import EventCollected, RunRow
from ..transition import Transition
from .paging import Pages
from .store import TAIL, Store

Decision = TypeVar("Decision")

_EVENTS = 1000
"""The runs of so many events are remembered."""

_BATCH = 100


async def load_routes(store: Store) -> RouteTable:
    """The routes in force in a store."""
    registrations = await store.registrations()
    routes = [Route(item.app, decode_definition(bytes(item.definition))) for item in registrations.items]
    paused = frozenset((item.app, item.workflow) for item in registrations.items if item.paused)
    return RouteTable(routes, registrations.generation, paused)


async def informed(store: Store, facts: Facts, decide: Callable[[], Decision | Questions]) -> Decision:
    """What is decided once `facts` hold all that the decision must know; it is asked again until they do."""
    while isinstance(decision := decide(), Questions):
        await answer(store, decision, facts)
    return decision


async def answer(store: Store, questions: Questions, facts: Facts) -> None:
    """Put the answers to `questions` into `facts`."""
    names: dict[str, list[str]] = defaultdict(list)
    for app, name in questions.keys:
        names[app].append(name)
    for app, wanted in names.items():
        held = await store.find_keys(app, wanted)
        for name in wanted:
            facts.keys[app, name] = held.get(name)
    cells: dict[str, list[str]] = defaultdict(list)
    for app, name in questions.cells:
        cells[app].append(name)
    for app, wanted in cells.items():
        found = await store.cells(app, wanted)
        for name in wanted:
            facts.cells[app, name] = found.get(name)
    for app, run in questions.runs:
        facts.open_runs[app, run] = await open_successor(store, app, run) is not None
    for event in questions.started:
        facts.started[event] = await _any_open(store, event)
    for before in questions.positions:
        facts.positions[before] = await store.last_position(before)
    for app, run in questions.successors:
        facts.successors[app, run] = await open_successor(store, app, run)


async def open_successor(store: Store, app: str, run: str) -> str | None:
    """The run that `run` has become by restarts, if that one is open."""
    while True:
        loaded = await store.load(app, run, TAIL)
        if loaded is None:
            return None
        if loaded.row.open:
            return run
        if loaded.row.restarted_as is None:
            return None
        run = loaded.row.restarted_as


class Started:
    """The (app, id) pairs of the runs that events have started, as the store orders them: by app and id.

    The runs of an event are created by the commit that accepts it, all of them; so those of the newest
    events that were accepted here, one by one or in small batches, are known without a look at the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, list[tuple[str, str]]] = OrderedDict()

    def note(self, transition: Transition) -> None:
        """Events were accepted: those of the future and those of large batches start their runs later."""
        if len(transition.accept) > _BATCH:
            return
        for event in transition.accept:
            if not is_delayed(event) and not event.deferred:
                self._known[event.id] = []
        for new in transition.create:
            for event in new.events:
                self._link(event.id, new.row.app, new.row.id)
        for message in transition.messages:
            if isinstance(message.body, EventCollected):
                self._link(message.body.event.id, message.app, message.run)
        while len(self._known) > _EVENTS:
            self._known.popitem(last=False)

    def _link(self, event: str, app: str, run: str) -> None:
        if event in self._known:
            self._known[event].append((app, run))

    async def by(self, event: str) -> list[tuple[str, str]]:
        """The runs of an event."""
        known = self._known.get(event)
        if known is not None:
            return sorted(known)
        return [(row.app, row.id) for row in await rows_started_by(self._store, event)]


async def rows_started_by(store: Store, event: str) -> list[RunRow]:
    """The rows of all runs that an event has started, by app and id."""
    return [row async for row in Pages(partial(store.started_by, event)).items()]


async def collectors(store: Store, history: Iterable[Record]) -> dict[str, str]:
    """By the id under which a run has invoked another: the debounce or batch that has taken it in instead, if so."""
    found = {}
    for request in open_requests(history).values():
        terms = request.terms
        if isinstance(terms, InvokeTerms) and await store.load(terms.app, terms.child, TAIL) is None:
            for row in await rows_started_by(store, terms.child):
                found[terms.child] = row.id
    return found


async def _any_open(store: Store, event: str) -> bool:
    """Whether a run of the event, or one that it restarted as, is open."""
    for row in await rows_started_by(store, event):
        if row.open or (row.restarted_as is not None and await open_successor(store, row.app, row.restarted_as)):
            return True
    return False
