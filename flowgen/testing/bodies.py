"""What runs the bodies of a simulated engine: stubs, or the real functions, on virtual time.

A stub stands for a step's function. It is found by the step's id, by its name (the id without scope and
occurrence), or by the name of its function, in this order; it is

* an exception, or a class of exceptions: that is raised;
* a function, sync or async: it is called with the step's arguments;
* anything else: that is returned.

What a stub gives goes through JSON and comes back as the annotation of the real function says. A step
without a stub runs its real function, sync ones right here instead of in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs

from ..commands.base import changed
from ..outcome import Outcome, Returned
from ..runtime.environment import Environment
from ..runtime.executor import Executor, is_async
from ..tree import Step
from .connection import Connection
from .words import json_text, short
from .world import Life, World

Stubs = Mapping[str, Any]


class Stubbed:
    """The stubs of a simulation, and which of them were asked for."""

    def __init__(self, stubs: Stubs) -> None:
        self._stubs = stubs
        self.unused = set(stubs)

    def find(self, step: Step) -> Callable[..., Any] | None:
        """The function that stands for a step's own, if there is one."""
        for name in (step.id, step.name, getattr(step.command.fn, "__name__", "")):
            if name in self._stubs:
                self.unused.discard(name)
                return as_function(self._stubs[name])
        return None

    def enough(self, elapsed: int) -> bool:
        """Whether the simulation is to stop, though it is not at rest; asked each time before its clock moves."""
        return False


def as_function(stub: Any) -> Callable[..., Any]:
    """A stub as the function that a step calls."""
    if isinstance(stub, BaseException) or (isinstance(stub, type) and issubclass(stub, BaseException)):

        def fail(*args: Any, **kwargs: Any) -> Any:
            raise stub

        return fail
    if callable(stub):
        return stub  # type: ignore[no-any-return]
    return lambda *args, **kwargs: stub


class SimulatedExecutor:
    """The executor of one life of an engine: it writes down each body that starts and ends.

    Without a `connection` nothing happens to the engine in a body.
    """

    def __init__(
        self, environment: Environment, world: World, life: Life, connection: Connection | None, stubs: Stubbed
    ) -> None:
        self._executor = Executor(environment)
        self._world = world
        self._life = life
        self._connection = connection
        self._stubs = stubs

    @property
    def abandoned(self) -> int:
        """No body runs in a thread that could be abandoned."""
        return self._executor.abandoned

    async def run(self, step: Step, run_id: str, default_loop: str) -> Outcome:
        """Run a body once: the stub's or the step's own."""
        with self._world.working():
            return await self._run(step, run_id, default_loop)

    async def _run(self, step: Step, run_id: str, default_loop: str) -> Outcome:
        function = self._stubs.find(step)
        execution = self._world.body_begins(self._life, run_id, step, function is not None)
        connection = self._connection
        if connection is not None and connection.body_kills():
            connection.die(f"in the body of {step.id!r}")
        if function is not None:
            step = attrs.evolve(step, command=changed(step.command, fn=function, loop="trio"))
        if connection is not None:
            await self._be_slow()
            await connection.wait_while_it_stands()
        with self._standing(step, default_loop):
            outcome = await self._executor.run(step, run_id, default_loop)
        if connection is not None:
            await connection.wait_while_it_stands()
        text = (
            f"returns {json_text(outcome.data)}"
            if isinstance(outcome, Returned)
            else f"raises {short(outcome.failure)}"
        )
        self._world.body_ends(self._life, execution, text)
        return outcome

    def _standing(self, step: Step, default_loop: str) -> AbstractContextManager[None]:
        """Virtual time stands still while a real function works on the asyncio thread."""
        elsewhere = (step.command.loop or default_loop) == "asyncio" and is_async(step.command.fn)
        return self._world.clock.held() if elsewhere else nullcontext()

    async def _be_slow(self) -> None:
        dice = self._world.dice
        if dice.says("slow"):
            seconds = dice.between("slow", 0.0, 30.0)
            self._world.note(self._life.name, f"its body takes {seconds:.1f} s longer")
            await self._world.clock.sleep(seconds)

    def close(self) -> None:
        """The life is over."""
        self._executor.close()
