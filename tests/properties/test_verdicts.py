"""`flowgen check` is right: a run is said to break if, and only if, an engine could not go on with it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import event, given, settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Event, Run, Sleep, Steps
from flowgen.codec import Exported
from flowgen.commands import Command
from flowgen.ends import BodyRaised
from flowgen.errors import NondeterminismError
from flowgen.events import accept_event
from flowgen.history import Record
from flowgen.runs import RunRow
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock
from flowgen.verdicts import Breaks, Same, judge
from flowgen.workflow import Changes
from tests.bodies import START, interpreter_of, workflow_of
from tests.properties.edits import EDITS, edited
from tests.properties.happenings import play
from tests.properties.programs import Block, blocks, body_of

choices = st.lists(st.integers(0, 1000), max_size=20)


def exported(history: list[Record]) -> Exported:
    placed = accept_event(Event("order/placed", {"id": "7"}), "event-1", START)
    row = RunRow("shop", "run-1", "program", START, 7, started_at=START, due_at=START, length=len(history))
    return Exported(row, (placed,), tuple(history))


def parks_or_fails(block: Block, history: list[Record], changes: Changes) -> bool:
    """What an engine would come to that takes the run over: by replaying, and nothing else."""
    interpreter = interpreter_of(body_of(block), {"id": "7"}, changes=changes)
    try:
        interpreter.replay(history)
        return isinstance(interpreter.end, BodyRaised)
    except NondeterminismError:
        return True
    finally:
        interpreter.close()


@settings(max_examples=200)
@given(blocks(), choices, st.sampled_from(EDITS), st.integers(0, 50), st.sampled_from(["strict", "additive"]))
def test_an_edit_is_said_to_break_a_run_if_and_only_if_it_does(
    block: Block, choices: list[int], edit: str, place: int, changes: Changes
) -> None:
    """For generated programs, histories and edits, in both ways of taking changes."""
    played = play(block, choices)
    history = list(played.history)
    played.close()
    changed = edited(block, edit, place)
    verdict = judge(workflow_of(body_of(changed), changes=changes), exported(history)).verdict
    assert isinstance(verdict, Breaks) == parks_or_fails(changed, history, changes)
    event(f"{edit}, {changes}: {type(verdict).__name__}")


@settings(max_examples=100)
@given(blocks(), choices)
def test_code_that_has_not_changed_breaks_nothing_and_is_the_same(block: Block, choices: list[int]) -> None:
    """Unless the run has failed already, which its terminal record would say."""
    played = play(block, choices)
    history, end = list(played.history), played.end
    played.close()
    if end is None:
        assert judge(workflow_of(body_of(block)), exported(history)).verdict == Same()


WAITING: Block = [
    ["step", "run", "a"],
    ["all", {"limit": None, "collect": False, "named": False}, [["command", ["step", "run", "b"]]]],
    ["step", "sleep", "c"],
    ["step", "run", "b"],
]
CASES = [(edit, place) for edit in EDITS for place in range(5)]


@pytest.mark.parametrize("edit, place", CASES)
def test_an_engine_parks_what_was_said_to_break_and_no_other(edit: str, place: int) -> None:
    """The whole way: an engine records, another one with the edited code takes over on the same store."""
    changed = edited(WAITING, edit, place)
    clock = VirtualClock()
    said, status = trio.run(_deployed, changed, clock, clock=clock)
    assert (status in ("parked", "failed")) == isinstance(said, Breaks), (said, status)


async def _deployed(changed: Block, clock: VirtualClock) -> tuple[Any, str]:
    """Bodies have no thread of their own: for them virtual time does not wait."""
    store, environment = _KeptOpen(clock=clock), Environment(seed=1, threads=False)
    async with open_engine(_app(WAITING), store, environment=environment) as engine:
        run = await engine.start("program", {"id": "7"})
        await _until(engine, run, "waiting")
        loaded = await engine.load(run)
    said = judge(_app(changed).workflows["program"], loaded).verdict
    async with open_engine(_app(changed), store, environment=environment) as engine:
        await trio.sleep(120)
        return said, (await engine.run(run)).status


class _KeptOpen(MemoryStore):
    """What it holds outlives the engine."""

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


def _app(block: Block) -> App:
    """The program as a workflow whose steps can be done."""
    app = App("shop", retries=0)

    def program(ctx: Context) -> Steps[None]:
        for node in block:
            yield _command(node)

    app.workflow(program)
    return app


def _command(node: Any) -> Command[Any]:
    match node:
        case ["all", _, branches]:
            return All(*[_command(branch) for _, branch in branches])
        case [_, "sleep", name]:
            return Sleep(name, "1m")
        case [word, _, name]:
            return Run(name, str, f"{name} {word}")
    raise AssertionError(node)


async def _until(engine: Engine, run: str, status: str) -> None:
    while (await engine.run(run)).status != status:
        await engine.store.wait_changed(1)
