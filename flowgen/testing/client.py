"""The client of a simulation: it sends the events and does the actions, one after the other, at their times.

It speaks to one of the engines that are up, chosen by dice, and asks again elsewhere when that one dies or
the store fails: an event is sent until it is accepted. Where answers may be lost, an event without an id is
given one, as a careful client would, so that sending it twice is harmless.

A refusal (nobody waits for the signal, the run has ended) is written down and is no failure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import attrs
import trio

from ..duration import MAX_SPAN, parse_duration
from ..errors import FlowgenError, InvalidInput, NotFound, StoreError, WrongState
from ..events import Event, as_event, is_event_class
from ..ids import derived_id
from ..runtime.engine import Engine
from ..values import encode
from .actions import Action, Cancel, Retry, Signal, Start
from .connection import EngineDied
from .words import json_text
from .world import World

_PAUSE_SECONDS = 0.5
_TRIES = 1_000


@attrs.frozen
class Task:
    """Something to do `at` so many microseconds after the start."""

    at: int
    what: Event[Any] | Action


def plan(items: Any, lossy: bool) -> list[Task]:
    """The tasks of a simulation, in the order of their times; equal times keep their order."""
    tasks = [_repeatable(_task(item), number, lossy) for number, item in enumerate(as_list(items))]
    return sorted(tasks, key=lambda task: task.at)


def as_list(items: Any) -> list[Any]:
    """What happens from outside, as a list: it may have been given as one event, or as one `(at, event)`."""
    timed = isinstance(items, tuple) and len(items) == 2 and isinstance(items[0], str | int | float | timedelta)
    return [items] if timed or not isinstance(items, Iterable) else list(items)


def _task(item: Any) -> Task:
    at = 0
    if isinstance(item, tuple):
        if len(item) != 2:
            raise InvalidInput(f"events of simulate: {item!r:.200} is not (at, event)")
        at, item = parse_duration(item[0], "time of an event of simulate", maximum=MAX_SPAN), item[1]
    if isinstance(item, Start | Cancel | Signal | Retry):
        return Task(at, item)
    if isinstance(item, Event) or is_event_class(type(item)):
        return Task(at, as_event(item))
    raise InvalidInput(f"events of simulate: {item!r:.200} is neither an event nor Start, Cancel, Signal or Retry")


def _repeatable(task: Task, number: int, lossy: bool) -> Task:
    """The same task, such that doing it twice is harmless."""
    match task.what:
        case Event(id=None) as event if lossy:
            return attrs.evolve(task, what=attrs.evolve(event, id=f"simulated-{number}"))
        case Start(run_id=None) as start:
            return attrs.evolve(task, what=attrs.evolve(start, run_id=derived_id("simulated", number)))
    return task


class Client:
    """Does what the plan says. `next_at` is when it has to do something again (None: never), and `busy`
    whether it is at it."""

    def __init__(
        self, world: World, tasks: Sequence[Task], engines: Callable[[], Awaitable[Sequence[Engine]]], seed: int
    ) -> None:
        self.next_at: int | None = tasks[0].at if tasks else None
        self._world = world
        self._tasks = tasks
        self._engines = engines
        self._dice = Random(f"{seed}/client")

    async def run(self) -> None:
        """Do all tasks."""
        for task in self._tasks:
            self.next_at = task.at
            await self._world.clock.sleep(task.at / 1_000_000 - trio.current_time())
            with self._world.working():
                self.next_at = None
                await self._until_answered(task.what)

    async def _until_answered(self, what: Event[Any] | Action) -> None:
        self._world.note("client", _text(what))
        for _ in range(_TRIES):
            engine = self._dice.choice(await self._engines())
            try:
                await self._do(engine, what)
                return
            except (EngineDied, StoreError):
                self._world.note("client", "gets no answer, and asks again")
            except (NotFound, WrongState) as refusal:
                self._world.note("client", f"is refused: {refusal}")
                return
            await self._world.clock.sleep(_PAUSE_SECONDS)
        raise FlowgenError(f"the client of the simulation got no answer in {_TRIES} tries: {_text(what)}")

    async def _do(self, engine: Engine, what: Event[Any] | Action) -> None:
        match what:
            case Event():
                await engine.send(what)
            case Start(workflow, data, run_id):
                await engine.start(workflow, data, run_id=run_id)
            case Cancel(workflow_id, n, reason):
                await engine.cancel(self._world.run_id(workflow_id, n), reason=reason)
            case Signal(name, data):
                await engine.signal(name, data)
            case Retry(workflow_id, n):
                await engine.retry(self._world.run_id(workflow_id, n))


def _text(what: Event[Any] | Action) -> str:
    match what:
        case Event(name, data):
            return f"sends {name} {json_text(encode(data, 'data'))}"
        case Start(workflow):
            return f"starts {workflow if isinstance(workflow, str) else workflow.id}"
        case Cancel(workflow_id, n):
            return f"cancels {workflow_id}#{n}"
        case Signal(name):
            return f"signals {name}"
        case Retry(workflow_id, n):
            return f"retries {workflow_id}#{n}"
