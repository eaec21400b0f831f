"""A commit that is refused costs a replay, and never a body that has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flowgen import All, App, Context, Run, Steps
from flowgen.history import StepSucceeded
from flowgen.runtime import open_engine
from flowgen.runtime.store import Committed, Conflict
from flowgen.runtime.stores import MemoryStore
from flowgen.transition import Transition

Data = dict[str, Any]


class Refusing(MemoryStore):
    """Refuses the first commit that holds the outcome of `step`, as if others had changed what it relies on."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step
        self.refused = 0

    async def commit(self, transition: Transition) -> Committed:
        progress = transition.progress
        records = progress.records if progress is not None else ()
        if not self.refused and any(isinstance(r, StepSucceeded) and r.step == self.step for r in records):
            self.refused += 1
            raise Conflict("planned by this test")
        return await super().commit(transition)


def _alone(body: Callable[[str], Awaitable[str]]) -> Any:
    def workflow(ctx: Context[Data]) -> Steps[Any]:
        first = yield from Run("a", body, "a")
        return [first, (yield from Run("b", body, "b"))]

    return workflow


def _beside(body: Callable[[str], Awaitable[str]]) -> Any:
    def workflow(ctx: Context[Data]) -> Steps[Any]:
        return list((yield All(Run("a", body, "a"), Run("b", body, "b"))))

    return workflow


@pytest.mark.parametrize("made", [_alone, _beside])
@pytest.mark.parametrize("step", ["a", "b"])
async def test_an_outcome_outlives_the_refusal_of_its_commit(made: Any, step: str) -> None:
    """The body ran, its commit was refused: it is recorded by the next one, and the body does not run again."""
    ran: list[str] = []

    async def body(name: str) -> str:
        ran.append(name)
        return name

    app = App("refused", retries=0)
    workflow = app.workflow(id="flow")(made(body))
    store = Refusing(step)
    async with open_engine(app, store) as engine:
        assert await engine.result(await engine.start(workflow)) == ["a", "b"]
    assert store.refused == 1
    assert sorted(ran) == ["a", "b"]
