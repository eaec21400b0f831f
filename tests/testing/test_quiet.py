"""Worlds in which nothing goes wrong: as cheap as they are, they are as those with a store of their own."""

from __future__ import annotations

import pytest

from flowgen import All, App, Context, Event, OnEvent, Restart, Run, Sleep, Steps, WaitFor
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.testing import Start, Trace, check_workflow, simulate, world

app = App("quiet")
EVENTS = [Event("order/placed", {"id": "7"}), ("1h", Event("order/approved", {"id": "7"}))]


def label() -> str:
    return "label"


def weigh() -> int:
    return 3


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context) -> Steps[str]:
    yield Sleep("settle", "30m")
    yield All(Run(label), Run(weigh))
    approval = yield WaitFor("approval", "order/approved", match="data.id", timeout="7d")
    return "late" if approval is None else "done"


@app.workflow
def spins(ctx: Context) -> Steps[None]:
    yield Restart(ctx.event.data)


@app.workflow
def counts_down(ctx: Context) -> Steps[str]:
    left, pause = ctx.event.data["left"], ctx.event.data["pause"]
    if left == 0:
        return "over"
    if pause:
        yield Sleep("pause", pause)
    yield Restart({"left": left - 1, "pause": pause})


def told(trace: Trace) -> list[tuple[str, int]]:
    """What happened to runs, without who did it in which order within one moment."""
    return sorted((entry.what, entry.at) for entry in trace.entries if "#" in entry.what)


@pytest.mark.parametrize("seed", range(5))
def test_what_happens_is_the_same_with_a_store_that_lets_others_come_in_between(seed: int) -> None:
    """The same bodies at the same virtual times, the same records, and nothing that was seen broken."""
    quiet, other = simulate(app, EVENTS, seed=seed), simulate(app, EVENTS, seed=seed, store=MemoryStore)
    assert quiet.run("fulfil").result == "done"
    assert [what for what in told(quiet) if "claimed" not in what[0]] == [
        what for what in told(other) if "claimed" not in what[0]
    ]
    assert quiet.violations == () == other.violations
    assert quiet.ended_at == other.ended_at


def test_a_seed_tells_the_order_in_quiet_worlds_too() -> None:
    """An equal seed gives an equal timeline, and other seeds run the branches in another order."""
    assert simulate(app, EVENTS, seed=3).timeline() == simulate(app, EVENTS, seed=3).timeline()
    assert len({tuple(e.step for e in simulate(app, EVENTS, seed=seed).executions) for seed in range(12)}) > 1


def test_a_run_that_only_restarts_is_told_so() -> None:
    """It would keep its engine at work for ever: the simulation ends with the name of the workflow and a way out."""
    with pytest.raises(AssertionError, match=r"1001 restarts in a row of workflow 'spins'.*Let it wait"):
        simulate(app, [Start("spins", {})])


def test_a_run_that_only_restarts_is_told_so_with_faults_about_and_several_engines() -> None:
    """The bound is the world's, whatever its store."""
    with pytest.raises(AssertionError, match="restarts in a row"):
        simulate(app, [Start("spins", {})], workers=2, store=MemoryStore)


def test_a_check_of_a_run_that_only_restarts_fails_with_the_scenario() -> None:
    """It is a failure like any other: with the story that leads to it."""
    with pytest.raises(AssertionError, match="restarts in a row") as failure:
        check_workflow(spins)()
    assert "The scenario:" in "\n".join(failure.value.__notes__)


def test_restarts_are_counted_while_no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are allowed in a row are no harm, and any number of them if each waits."""
    monkeypatch.setattr(world, "MOST_RESTARTS", 4)
    assert simulate(app, [Start("counts-down", {"left": 4, "pause": None})]).runs[-1].result == "over"
    assert simulate(app, [Start("counts-down", {"left": 9, "pause": "1s"})]).runs[-1].result == "over"
    with pytest.raises(AssertionError, match="5 restarts in a row"):
        simulate(app, [Start("counts-down", {"left": 5, "pause": None})])
