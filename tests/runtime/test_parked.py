"""Why a run is parked: its code was changed, or it does not ask for the same each time."""

from __future__ import annotations

from itertools import count

import attrs

from flowgen import App, Context, Run, Sleep, Steps
from flowgen.history import Record, Started
from flowgen.runtime.store import Loaded
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import Faults, Start, simulate


def note(number: int) -> None:
    """A step that takes a number."""


app = App("parked")
numbers = count()


@app.workflow
def counting(ctx: Context) -> Steps[None]:
    yield Run(note, next(numbers))
    yield Sleep("a while", "1h")


class RunsOfOldCode(MemoryStore):
    """A store in which every run was started on other code than today's."""

    async def load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        loaded = await super().load(app, run, start)
        return loaded and attrs.evolve(loaded, records=[_older(record) for record in loaded.records])


def _older(record: Record) -> Record:
    return attrs.evolve(record, digest="old") if isinstance(record, Started) else record


def test_code_that_was_not_changed_is_told_to_look_at_itself() -> None:
    """To deploy the code that the run was started with is no advice where that is the code."""
    run = simulate(app, Start(counting), faults=Faults(evict=1.0)).run("counting")
    assert run.status == "parked"
    assert "This is the code that the run was started with" in str(run.reason)
    assert "flowgen lint" in str(run.reason)
    assert "Deploy the code" not in str(run.reason)


def test_code_that_was_changed_is_told_to_agree_with_history() -> None:
    """Nothing is said of clocks where another deployment is the likelier reason."""
    run = simulate(app, Start(counting), store=RunsOfOldCode, faults=Faults(evict=1.0)).run("counting")
    assert run.status == "parked"
    assert "Deploy the code that this run was started with" in str(run.reason)
    assert "flowgen lint" not in str(run.reason)
