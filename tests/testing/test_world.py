"""The journal of a simulation notices, while it happens, what no engine may do."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from flowgen import App, Run
from flowgen.history import EndCompleted, Record, Retried, Started, StepSucceeded
from flowgen.outcome import NULL
from flowgen.runs import CancelRequested, Message, RunRow
from flowgen.runtime.store import Claimed, Claims, Extended, Lease
from flowgen.testing.clock import START, VirtualClock
from flowgen.testing.faults import Dice, Faults
from flowgen.testing.world import Life, World
from flowgen.transition import NewRun, Progress, Transition
from flowgen.tree import Fiber, Step

A, B = Life("worker 1"), Life("worker 2")


def nothing() -> Any:
    yield


def world() -> World:
    """A world with one run, which worker 1 has claimed under fence 1."""
    made = World([App("shop")], VirtualClock(), Dice(Faults(), seed=0))
    row = RunRow("shop", "r1", "work", START, seed=0)
    made.committed(A, Transition("r1", create=(NewRun(row, ()),)))
    claim(made, A, fence=1)
    return made


def claim(where: World, life: Life, fence: int, strikes: int = 0) -> None:
    row = RunRow("shop", "r1", "work", START, seed=0, fence=fence, strikes=strikes)
    where.claimed(life, Claims((Claimed(row),), START))


def write(where: World, life: Life, *records: Record, fence: int = 1, position: int = 0, **options: Any) -> None:
    where.committed(life, Transition("t", Progress("shop", "r1", fence, position, records, **options)))


def outcome(step: str = "a", at: int = START) -> StepSucceeded:
    return StepSucceeded(at, step, NULL)


STARTED = Started(START, "")
DONE = EndCompleted(START)


def slotted(*claims: tuple[str, dict[str, Any]]) -> World:
    """A world in which runs that name the slot "k" are claimed one after the other; its limit is 1."""
    made = World([App("shop")], VirtualClock(), Dice(Faults(), seed=0))
    limits = {("shop", "work"): (1,)}
    for number, (run, options) in enumerate(claims):
        row = RunRow("shop", run, "work", START, seed=0, slots=("k",), due_at=START + 10, fence=number + 1)
        made.committed(A, Transition(run, create=(NewRun(attrs.evolve(row, fence=0), ()),)))
        now = options.pop("now", START)
        made.claimed(A, Claims((Claimed(row, **options),), now), limits)
    return made


def test_a_slot_above_its_limit_is_seen() -> None:
    """I24: two runs under live leases in a slot for one are a violation, which names them and the limit."""
    assert slotted(("r1", {}), ("r2", {})).violations == ["slot 'k' is held by work#0, work#1; its limit is 1"]


def test_who_holds_no_slot_is_not_counted() -> None:
    """Runs claimed slotless or codeless hold nothing, nor does one that was given back or whose lease has ended."""
    assert slotted(("r1", {"slotless": True}), ("r2", {"codeless": True}), ("r3", {})).violations == []
    assert slotted(("r1", {}), ("r2", {"now": START + 10})).violations == []
    made = slotted(("r1", {}))
    write(made, A, STARTED, release=True)
    made.claimed(A, Claims((Claimed(attrs.evolve(made.runs["r1"].row, fence=2)),), START), {("shop", "work"): (1,)})
    assert made.violations == []


def test_an_extended_lease_holds_its_slot() -> None:
    """I24: a lease that was extended counts until its new end."""
    made = slotted(("r1", {}))
    made.extended([Lease("shop", "r1", 1)], Extended((0,), START), 20)
    row = RunRow("shop", "r2", "work", START, seed=0, slots=("k",), due_at=START + 30, fence=1)
    made.committed(A, Transition("r2", create=(NewRun(attrs.evolve(row, fence=0), ()),)))
    made.claimed(A, Claims((Claimed(row),), START + 15), {("shop", "work"): (1,)})
    assert made.violations == ["slot 'k' is held by work#0, work#1; its limit is 1"]


def test_what_an_owner_writes_is_written_down() -> None:
    """A sound history has no violation; a repeated commit is written down once."""
    made = world()
    for _ in range(2):
        write(made, A, STARTED, outcome())
        write(made, A, DONE, position=2, stored="completed")
    assert made.violations == []
    assert made.runs["r1"].records == [STARTED, outcome(), DONE]
    assert [entry.what for entry in made.entries][-3:] == [
        "work#0 starts",
        "work#0 'a' succeeded: null",
        "work#0 ends: returned null",
    ]


@pytest.mark.parametrize(
    "life, options, rule",
    [
        (B, {}, "worker 2 wrote, while worker 1 owns it"),
        (A, {"fence": 0}, "worker 1 wrote under fence 0, while 1 is in force"),
        (A, {"position": 3}, "records at 3, but it has 0"),
    ],
)
def test_only_the_owner_writes(life: Life, options: Any, rule: str) -> None:
    """Under its fence, and without gaps."""
    made = world()
    write(made, life, STARTED, **options)
    assert made.violations == [f"work#0: {rule}"]


@pytest.mark.parametrize(
    "records, rule",
    [
        ([outcome()], "StepSucceeded at position 0"),
        ([STARTED, STARTED], "Started at position 1"),
        ([STARTED, outcome(), outcome()], "step 'a' has a second outcome"),
        ([STARTED, outcome(at=START - 1)], "StepSucceeded is 1 µs older than the one before"),
        ([STARTED, outcome(at=START + 1)], "StepSucceeded is 1 µs ahead of the store"),
        ([STARTED, DONE, outcome()], "StepSucceeded after its end"),
    ],
)
def test_records_that_do_not_follow_are_noticed(records: list[Record], rule: str) -> None:
    """A history begins once, ends once, and each step in it has one outcome; time does not go back."""
    made = world()
    write(made, A, *records)
    assert made.violations == [f"work#0: {rule}"]
    assert [entry.who for entry in made.entries].count("VIOLATION") == 1


def test_a_new_life_may_repeat_what_it_takes_back() -> None:
    """After a `Retried` the steps that it names are open again, and a reopening needs no owner."""
    made = world()
    write(made, A, STARTED, outcome("a"), outcome("b"), DONE, stored="failed")
    write(made, B, Retried(START, 2, 1, ("b",)), position=4, reopen=True)
    claim(made, B, fence=2)
    write(made, B, outcome("b"), fence=2, position=5)
    assert made.violations == []
    write(made, B, outcome("a"), fence=2, position=6)
    assert made.violations == ["work#0: step 'a' has a second outcome"]


def test_fences_grow() -> None:
    """Each claim has a higher one."""
    made = world()
    claim(made, B, fence=1)
    assert made.violations == ["work#0: claimed under fence 1, after 1"]


def test_an_engine_with_a_suspect_is_spared() -> None:
    """One that owns a run which one more strike would fail must come to no harm."""
    made = world()
    assert made.may_fail(A)
    claim(made, B, fence=2, strikes=4)
    assert made.may_fail(A)
    assert not made.may_fail(B)
    write(made, B, STARTED, fence=2)
    assert made.may_fail(B)


def step(**options: Any) -> Step:
    command: Any = Run("a", print)
    return Step("a", "a", command, "run", NULL, "", Fiber(nothing(), ""), **options)


def test_a_body_that_begins_again_is_noticed() -> None:
    """After its outcome nobody begins it; before that, one that does not own the run is marked as a zombie."""
    made = world()
    assert not made.body_begins(A, "r1", step(), False).zombie
    assert made.body_begins(B, "r1", step(), False).zombie
    write(made, A, STARTED, outcome("a"))
    assert made.violations == []
    made.body_begins(B, "r1", step(), False)
    assert made.violations == ["work#0: the body of 'a' begins again after its outcome was recorded"]


def test_an_early_attempt_is_noticed() -> None:
    """The next attempt has its time."""
    made = world()
    made.body_begins(A, "r1", step(failures=1, retry_at=START + 5), False)
    assert made.violations == ["work#0: attempt 2 of 'a' comes 5 µs early"]


def test_a_cancel_is_written_down_once() -> None:
    """However often its message is delivered."""
    made = world()
    message = Message("m1", "shop", "r1", CancelRequested("enough"))
    for _ in range(2):
        made.committed(B, Transition("m1", messages=(message,)))
    assert [entry.what for entry in made.entries].count("work#0 is asked to end: enough") == 1


def test_dice_are_spent() -> None:
    """After `most` faults the world is healed; what needs no healing does not count."""
    dice = Dice(Faults(crash=1, evict=1, most=3), seed=0)
    assert [dice.says("evict") for _ in range(10)] == [True] * 10
    assert [dice.says("crash") for _ in range(5)] == [True, True, True, False, False]
    assert not dice.says("evict")
    assert dice.happened == 3


def test_dice_of_one_kind_do_not_move_those_of_another() -> None:
    """So adding a kind of fault leaves the others where they were."""
    one, both = Dice(Faults(crash=0.5), seed=1), Dice(Faults(crash=0.5, delay=0.5), seed=1)
    alone = [one.says("crash") for _ in range(20)]
    beside = []
    for _ in range(20):
        both.says("delay")
        beside.append(both.says("crash"))
    assert alone == beside
