"""A conformance case: a scenario with a name, run in a world of its own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from ...runtime.store import Store
from .world import Unavailable, World, WorldClock

PATIENCE = 60
"""Seconds after which a store that does not answer has failed."""

Script = Callable[[World], Awaitable[None]]
Factory = Callable[..., Store]
"""Makes a fresh, empty, unopened store; called with `clock=` if it takes that."""

Reopen = Callable[..., Store]
"""Given a store, makes another one on the same data, unopened; called with `clock=` if it takes that."""


@attrs.frozen
class Case:
    """One thing that every store does. `name` says which; `about` says it in a sentence."""

    name: str
    about: str
    script: Script = attrs.field(repr=False)

    def check(self, factory: Factory, *, reopen: Reopen | None = None) -> str | None:
        """Run the case on a fresh store; raises `AssertionError` with the scenario.

        Returns None, or why this store cannot be asked.
        """
        clock = WorldClock() if _takes_clock(factory) else None
        store = factory(clock=clock) if clock is not None else factory()
        again = None
        if reopen is not None:
            again = _reopener(reopen, store, clock)
        world = World(store, clock, again)
        try:
            trio.run(self._run, world)
        except Unavailable as reason:
            return str(reason)
        except Exception as error:
            raise AssertionError(self._story(world, error)) from error
        return None

    async def _run(self, world: World) -> None:
        with trio.move_on_after(PATIENCE) as scope:
            await world.raw.open()
            try:
                await self.script(world)
            finally:
                await world.close()
        if scope.cancelled_caught:
            world.fail(f"no answer within {PATIENCE} s")

    def _story(self, world: World, error: Exception) -> str:
        steps = "\n".join(f"  {number:2}. {entry}" for number, entry in enumerate(world.log, 1))
        trouble = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        return f"{self.name}: {self.about}\n{steps or '  (nothing was asked yet)'}\n{trouble}"


def _takes_clock(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == "clock" or p.kind is p.VAR_KEYWORD for p in parameters)


def _reopener(reopen: Reopen, store: Store, clock: WorldClock | None) -> Callable[[], Store]:
    if clock is not None and _takes_clock(reopen):
        return lambda: reopen(store, clock=clock)
    return lambda: reopen(store)


class Collection:
    """Cases in the order in which they are written."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def __call__(self, script: Script) -> Script:
        """Decorator: a function is a case; its name and docstring are the case's."""
        self.add(script.__name__, inspect.getdoc(script) or "", script)
        return script

    def add(self, name: str, about: str, script: Script) -> None:
        """Add a case that a loop makes."""
        assert about, f"case {name} does not say what it is about"
        assert all(case.name != name for case in self.cases), f"there are two cases {name}"
        self.cases.append(Case(name.replace("_", " "), " ".join(about.split()), script))
