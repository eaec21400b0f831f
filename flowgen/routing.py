"""Which workflows an event starts, from registrations alone.

A `RouteTable` is built from the definitions in force, so that any process can route for all apps of a
store: it needs values, not code. One event starts a workflow once, even if several triggers match. An
expression that fails skips its trigger, is counted in `errors`, and stalls nobody.

Refuses to know: how a run is created (`decisions`), and what flow control says to it (`admission`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from .errors import DefinitionError, ExpressionError
from .events import RESERVED_PREFIX, AcceptedEvent, event_document
from .expression import Expression
from .triggers import NameIndex
from .workflow import Definition

_NAMES = 1000


@attrs.frozen
class Route:
    """A workflow of an app, as its registration describes it."""

    app: str
    definition: Definition

    @property
    def name(self) -> str:
        return f"{self.app}/{self.definition.id}"


class RouteTable:
    """All workflows in force, indexed by the events that start them. `generation` says which set.

    `paused` names the workflows (app, id) whose runs are to wait.
    """

    def __init__(
        self, routes: Iterable[Route] = (), generation: int = 0, paused: frozenset[tuple[str, str]] = frozenset()
    ) -> None:
        self.generation = generation
        self.paused = paused
        self.errors: Counter[str] = Counter()
        self._routes: dict[tuple[str, str], Route] = {(route.app, route.definition.id): route for route in routes}
        entries: list[tuple[str, tuple[Route, Expression | None]]] = []
        for route in self._routes.values():
            for trigger in route.definition.triggers:
                try:
                    where = Expression(trigger.where) if trigger.where else None
                except DefinitionError:
                    self.errors[route.name] += 1
                else:
                    entries.append((trigger.pattern, (route, where)))
        self._triggers = NameIndex(entries)
        self._internal = any(pattern.startswith(RESERVED_PREFIX) for pattern, _ in entries)
        self._named: dict[str, list[tuple[Route, Expression | None]]] = {}

    def find(self, app: str, workflow: str) -> Route | None:
        """The workflow called `workflow` of `app`, if its definition is in force."""
        return self._routes.get((app, workflow))

    def __iter__(self) -> Iterator[Route]:
        """All workflows, in the order of their registration."""
        return iter(self._routes.values())

    def is_paused(self, app: str, workflow: str) -> bool:
        """Whether the runs of this workflow are to wait."""
        return (app, workflow) in self.paused

    def of_app(self, app: str) -> list[Route]:
        """The workflows of an app."""
        return [route for route in self._routes.values() if route.app == app]

    def hears_of_ends(self, app: str, workflow: str) -> bool:
        """Whether anything follows from the end of a run of this workflow: a failure handler, an internal event."""
        route = self.find(app, workflow)
        return self._internal or (route is not None and route.definition.policies.on_failure is not None)

    def triggered(self, event: AcceptedEvent) -> list[Route]:
        """The workflows that `event` starts, each once, in the order of their registration."""
        started: dict[tuple[str, str], Route] = {}
        document = None
        for route, where in self._waiting_for(event.name):
            key = (route.app, route.definition.id)
            if key in started:
                continue
            if where is not None:
                document = document or event_document(event)
                try:
                    if not where.is_true({"event": document}):
                        continue
                except ExpressionError:
                    self.errors[route.name] += 1
                    continue
            started[key] = route
        return list(started.values())

    def _waiting_for(self, name: str) -> list[tuple[Route, Expression | None]]:
        """The triggers for events called so. Those of the names seen first are kept at hand."""
        found = self._named.get(name)
        if found is None:
            found = self._triggers.find(name)
            if len(self._named) < _NAMES:
                self._named[name] = found
        return found
