"""A conformance case: a scenario with a name, run in a world of its own."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import trio

from ...runtime.store import Store
from .world import Unavailable, World, WorldClock

PATIENCE = 60
"""Seconds after which a store that does not answer has failed."""

_HERE = str(Path(__file__).parent)

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
    judge: Callable[[Factory, Reopen | None], None] = attrs.field(repr=False)

    def check(self, factory: Factory, *, reopen: Reopen | None = None) -> str | None:
        """Run the case on a fresh store; raises `AssertionError` with the scenario.

        Returns None, or why this store cannot be asked.
        """
        try:
            self.judge(factory, reopen)
        except Unavailable as reason:
            return str(reason)
        except AssertionError as failure:
            raise AssertionError(f"{self.name}: {self.about}\n{failure}") from failure
        return None


def made(factory: Factory, clock: WorldClock) -> tuple[Store, WorldClock | None]:
    """A fresh store, and its clock if it takes one."""
    if takes_clock(factory):
        return factory(clock=clock), clock
    return factory(), None


def takes_clock(function: Callable[..., Any]) -> bool:
    """Whether a factory can be given a clock."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == "clock" or p.kind is p.VAR_KEYWORD for p in parameters)


def judge_by(script: Script) -> Callable[[Factory, Reopen | None], None]:
    """The judge that runs a script in a world of its own."""

    def judge(factory: Factory, reopen: Reopen | None) -> None:
        store, clock = made(factory, WorldClock())
        world = World(store, clock, _reopener(reopen, store, clock) if reopen is not None else None)
        try:
            trio.run(_play, script, world)
        except Exception as error:
            raise _verdict(world, error) from error

    return judge


async def _play(script: Script, world: World) -> None:
    with trio.move_on_after(PATIENCE) as scope:
        await world.raw.open()
        try:
            await script(world)
        finally:
            await world.close()
    if scope.cancelled_caught:
        world.fail(f"no answer within {PATIENCE} s")


def _verdict(world: World, error: BaseException) -> Exception:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Unavailable):
        return error
    steps = "\n".join(f"  {number:2}. {entry}" for number, entry in enumerate(world.log, 1))
    trouble = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}{_place(error)}"
    return AssertionError(f"{steps or '  (nothing was asked yet)'}\n{trouble}")


def _place(error: BaseException) -> str:
    """The line of the case at which it could not go on."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _HERE in frame.filename]
    return f"\n  in: {frames[-1].line}" if frames else ""


def _reopener(reopen: Reopen, store: Store, clock: WorldClock | None) -> Callable[[], Store]:
    if clock is not None and takes_clock(reopen):
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
        self.cases.append(Case(name.replace("_", " "), " ".join(about.split()), judge_by(script)))
