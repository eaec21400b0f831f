"""Answers for decisions: reads from the store what a decision says that it must know.

Facts are read once and kept for one decision; when its commit is refused they are dropped, so the next
try reads them again.
"""

from __future__ import annotations

from collections import defaultdict

from ..codec import decode_definition
from ..facts import Facts, Questions
from ..routing import Route, RouteTable
from ..runs import RunRow
from .store import Page, Store


async def load_routes(store: Store) -> RouteTable:
    """The routes in force in a store."""
    registrations = await store.registrations()
    routes = [Route(item.app, decode_definition(bytes(item.definition))) for item in registrations.items]
    return RouteTable(routes, registrations.generation)


async def answer(store: Store, questions: Questions, facts: Facts) -> None:
    """Put the answers to `questions` into `facts`."""
    names: dict[str, list[str]] = defaultdict(list)
    for app, name in questions.keys:
        names[app].append(name)
    for app, wanted in names.items():
        held = await store.find_keys(app, wanted)
        for name in wanted:
            facts.keys[app, name] = held.get(name)
    for event in questions.started:
        facts.started[event] = await _any_open(store, event)
    for before in questions.positions:
        facts.positions[before] = await store.last_position(before)
    for app, run in questions.successors:
        facts.successors[app, run] = await open_successor(store, app, run)


async def open_successor(store: Store, app: str, run: str) -> str | None:
    """The run that `run` has become by restarts, if that one is open."""
    while True:
        loaded = await store.load(app, run, start=1 << 60)
        if loaded is None:
            return None
        if loaded.row.open:
            return run
        if loaded.row.restarted_as is None:
            return None
        run = loaded.row.restarted_as


async def _any_open(store: Store, event: str) -> bool:
    cursor: str | None = None
    while True:
        page: Page[RunRow] = await store.started_by(event, cursor)
        if any(row.open for row in page.items):
            return True
        if page.cursor is None:
            return False
        cursor = page.cursor
