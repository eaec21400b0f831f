"""Deadlines: the heap says what a look at all pending steps would say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowgen import Sleep
from flowgen.deadlines import Deadlines
from flowgen.history import SleepTerms
from flowgen.outcome import NULL
from flowgen.tree import Fiber, Step
from flowgen.values import decode
from tests.test_tree import body


def sleeping(name: str, due_at: int | None) -> Step:
    """A step that is due then."""
    terms = None if due_at is None else SleepTerms(due_at)
    return Step(name, name, Sleep(name, 1), "sleep", NULL, decode, Fiber(body(), ""), terms=terms)


def test_a_deadline_counts_while_its_step_is_pending_and_has_it() -> None:
    """One that was moved, or whose step is gone, is passed over; one that was armed twice is due once."""
    pending = {name: sleeping(name, due_at) for name, due_at in (("moved", 1), ("gone", 2), ("twice", 3))}
    deadlines = Deadlines(pending)
    for step in (*pending.values(), pending["twice"]):
        deadlines.arm(step)
    pending["moved"].terms = SleepTerms(9)
    deadlines.arm(pending["moved"])
    del pending["gone"]
    assert deadlines.earliest() == 3
    assert deadlines.take_due(8) == [pending["twice"]]
    assert (deadlines.earliest(), deadlines.take_due(9)) == (9, [pending["moved"]])
    assert (deadlines.earliest(), deadlines.take_due(99)) == (None, [])


def test_a_step_without_a_deadline_is_never_due() -> None:
    """A step that is being executed is over when its function is."""
    step = sleeping("a", None)
    deadlines = Deadlines({"a": step})
    deadlines.arm(step)
    assert (deadlines.earliest(), deadlines.take_due(2**62)) == (None, [])


@given(
    moves=st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9)), max_size=12), now=st.integers(0, 9)
)
def test_the_heap_agrees_with_a_look_at_all_steps(moves: list[tuple[str, int | None]], now: int) -> None:
    """Whatever steps were opened, moved (a time) and ended (None) before."""
    pending: dict[str, Step] = {}
    deadlines = Deadlines(pending)
    for name, due_at in moves:
        pending.pop(name, None)
        if due_at is not None:
            pending[name] = sleeping(name, due_at)
            deadlines.arm(pending[name])
    standing = {name: step.deadline for name, step in pending.items() if step.deadline is not None}
    assert deadlines.earliest() == min(standing.values(), default=None)
    due = deadlines.take_due(now)
    assert {step.id for step in due} == {name for name, deadline in standing.items() if deadline <= now}
    assert [step.deadline for step in due] == sorted(standing[step.id] for step in due)
