"""The model as a case: hypothesis looks for operations that tell a store from the reference."""

from __future__ import annotations

from typing import Any

import attrs
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ...runs import Stored
from . import operations as ops
from .case import PATIENCE, Case, Collection, Factory, Reopen, made, takes_clock
from .model import Duel
from .operations import Operation
from .world import Unavailable, WorldClock

case = Collection()

EXAMPLES = 80
FRAGMENTS = 12

PRELUDE: tuple[Operation, ...] = (
    ops.Create(0, owned=True),
    ops.Create(1, due=0),
    ops.Create(2, owned=True, child=True),
    ops.Create(4, workflow=1, due=1),
)
CONTEST: tuple[Operation, ...] = (
    ops.Create(0, slots=2, wants=True, due=None),
    ops.Create(1, slots=1, wants=True, due=None, deadline=1),
    ops.Create(2, slots=2, wants=True, due=None, workflow=1, priority=5),
    ops.Create(3, slots=2, wants=True, due=None, workflow=1),
    ops.Create(4, stored="collecting", due=1),
)
"""What each list of operations begins with, so that the rest finds something to change: some runs, or a contest
for slots."""

_run = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4])
_few = st.integers(0, 3)
_leases = st.sampled_from([None, 0, 0, -1, 1, 2])
_off = st.sampled_from([0] * 14 + [-1, 1])
_stored: st.SearchStrategy[Stored] = st.sampled_from(
    ("open", "open", "open", "open", "open", "parked", "completed", "failed")
)


def _rarely(strategy: st.SearchStrategy[int], sides: int = 6) -> st.SearchStrategy[int | None]:
    """A value one time in so many."""
    return st.integers(1, sides).flatmap(lambda die: strategy if die == sides else st.none())


def _one_in(sides: int) -> st.SearchStrategy[bool]:
    return st.integers(1, sides).map(lambda die: die == sides)


_writes = st.builds(
    ops.Write,
    run=_run,
    records=st.sampled_from([0, 0, 1, 2]),
    fence=_off,
    position=_off,
    stored=_stored,
    drain=st.sampled_from(["none", "first", "all", "all"]),
    release=st.booleans(),
    due=_leases,
    reopen=_one_in(4),
    wait=_rarely(_few, 3),
    close=_rarely(_few),
    tell=_rarely(_run),
    accept=_rarely(_few),
    key=_rarely(st.integers(0, 1)),
    starts=_one_in(3),
    deadline=_rarely(st.integers(0, 2)),
    lifts=_one_in(4),
    wants=st.booleans(),
    stay=_one_in(2),
    opens=_rarely(st.integers(0, 2), 2),
)
_claims = st.builds(
    ops.Claim, worker=_few, offers=st.sampled_from([0, 0, 0, 1, 1, 2, 3]), limit=st.sampled_from([1, 2, 10])
)
_passing = st.builds(ops.Pass, leases=st.sampled_from([0, 1, 1, 1, 7]), microseconds=st.integers(0, 2))
_telling = st.builds(
    ops.Tell,
    run=_run,
    message=_few,
    cancel=_one_in(3),
    must_be_open=_one_in(3),
    event=_rarely(_few, 3),
    due=_rarely(st.integers(-1, 2), 3),
)
_priority = st.sampled_from([0, 0, 0, 5, -5])
_rest = (
    _telling,
    _telling,
    st.builds(
        ops.Create,
        run=_run,
        workflow=st.integers(0, 1),
        due=_leases,
        owned=st.booleans(),
        child=_one_in(3),
        stored=st.sampled_from(("open", "open", "open", "collecting", "schedule", "skipped")),
        slots=st.sampled_from([0, 0, 1, 2]),
        wants=_one_in(3),
        priority=_priority,
        start=_rarely(st.integers(0, 2), 3),
        deadline=_rarely(st.integers(0, 2), 3),
    ),
    st.builds(ops.Accept, event=_few, value=st.integers(0, 2), future=_one_in(4), starts=_rarely(_run)),
    st.just(ops.Route()),
    st.builds(
        ops.Take,
        key=st.integers(0, 1),
        holder=_few,
        seen=st.sampled_from(["free", "free", "current", "stale"]),
        expires=_leases,
    ),
    st.builds(ops.Drop, key=st.integers(0, 1), holder=_few, seen=st.sampled_from(["any", "current", "stale"])),
    st.builds(ops.Count, cell=st.integers(0, 1), value=st.none() | _few, stale=_one_in(4), expires=_leases),
    st.builds(ops.Extend, worker=_few, run=_run, fence=st.sampled_from([0, 0, 0, -1])),
    st.builds(ops.Pause, workflow=st.integers(0, 1), paused=st.booleans()),
    st.builds(ops.Register, worker=_few, workflows=_few, code=st.integers(0, 1)),
    st.builds(ops.Retire, worker=_few),
    st.builds(ops.Repeat, back=st.integers(0, 5)),
    st.builds(ops.Delete, leases=st.integers(0, 1), limit=st.sampled_from([1, 10])),
)

_weighted: list[st.SearchStrategy[Any]] = [*[_writes] * 8, *[_claims] * 5, *[_passing] * 3, *_rest]
OPERATION: st.SearchStrategy[Operation] = st.sampled_from(_weighted).flatmap(lambda strategy: strategy)


# Single operations rarely meet; these are some that do.


def _own_and_write(run: int, writes: list[ops.Write]) -> list[Operation]:
    return [ops.Claim(0), *(attrs.evolve(write, run=run, fence=0, position=0) for write in writes)]


def _cancel(run: int, message: int, leases: int, write: ops.Write) -> list[Operation]:
    write = attrs.evolve(write, run=run, fence=0, position=0)
    return [ops.Tell(run, message, cancel=True), ops.Pass(leases), ops.Claim(3, 3), ops.Claim(1), write]


def _wait(run: int, wait: int, event: int, value: int) -> list[Operation]:
    write = ops.Write(run, wait=wait, release=True)
    return [ops.Claim(0), write, ops.Accept(event, value), ops.Route(), ops.Claim(1)]


def _die(workers: list[int], limit: int) -> list[Operation]:
    return [op for worker in workers for op in (ops.Claim(worker, limit=limit), ops.Pass(1))]


def _drain(run: int, message: int, cancel: bool, write: ops.Write) -> list[Operation]:
    """A run is told something, and its owner reads it; then a worker without code looks for what it can end."""
    write = attrs.evolve(write, run=run, fence=0, position=0, drain="all")
    return [ops.Tell(run, message, cancel), ops.Claim(0), write, ops.Claim(3, 3)]


def _collect(run: int, event: int, due: int, write: ops.Write) -> list[Operation]:
    """A run collects an event, and its owner opens it once it is due."""
    write = attrs.evolve(write, run=run, fence=0, position=0, drain="all", stored="open")
    collecting: list[Operation] = [ops.Create(run, stored="collecting", due=0), ops.Accept(event)]
    return [*collecting, ops.Tell(run, event, event=event, due=due), ops.Pass(due), ops.Claim(1), write]


def _contend(runs: list[int], write: ops.Write, leases: int) -> list[Operation]:
    """Some runs that have a slot give it back, after a while."""
    writes = [attrs.evolve(write, run=run, fence=0, position=0, release=True) for run in runs]
    return [ops.Claim(0), ops.Pass(leases, 1), *writes, ops.Claim(1)]


def _end(run: int, message: int, write: ops.Write) -> list[Operation]:
    """A run ends; then somebody needs it open, and somebody starts it again."""
    write = attrs.evolve(write, run=run, fence=0, position=0, drain="all", stored="completed")
    told = ops.Tell(run, message, must_be_open=True)
    return [ops.Claim(0), write, told, ops.Accept(message, starts=run)]


_REST: st.SearchStrategy[Operation] = st.one_of(_rest)

FRAGMENT: st.SearchStrategy[list[Operation]] = st.one_of(
    st.lists(OPERATION, min_size=1, max_size=4),
    st.lists(_REST, min_size=3, max_size=6),
    st.builds(_end, _run, _few, _writes),
    st.builds(_own_and_write, _run, st.lists(_writes, min_size=1, max_size=3)),
    st.builds(_cancel, _run, _few, st.sampled_from([0, 0, 6, 7]), _writes),
    st.builds(_wait, _run, _few, _few, st.integers(0, 2)),
    st.builds(_die, st.lists(_few, min_size=1, max_size=5), st.sampled_from([1, 10])),
    st.builds(_drain, _run, _few, st.booleans(), _writes),
    st.builds(_collect, st.sampled_from([3, 4]), _few, st.sampled_from([0, 1]), _writes),
    st.builds(_contend, st.lists(_run, min_size=1, max_size=3), _writes, st.sampled_from([0, 0, 1])),
)


def check_against_model(factory: Factory, examples: int = EXAMPLES, fragments: int = FRAGMENTS) -> None:
    """Compare a store with the memory store on random operations; raises `AssertionError` with a scenario.

    The same examples each time: what was found once is found again. A store that differs in several ways is told the
    first one only: hypothesis would raise a group of them, which is no failure of a case.
    """
    if not takes_clock(factory):
        raise Unavailable("the store takes no clock")

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from((PRELUDE, CONTEST)), st.lists(FRAGMENT, min_size=fragments // 3, max_size=fragments))
    def play(first: tuple[Operation, ...], played: list[list[Operation]]) -> None:
        duel_of(factory, [*first, *(operation for fragment in played for operation in fragment)])

    play()


def duel_of(factory: Factory, operations: list[Operation]) -> Duel:
    """Play operations on a fresh store and the reference; raises `AssertionError` where they differ."""
    clock = WorldClock()
    store, _ = made(factory, clock)
    duel = Duel(store, clock)

    async def play() -> None:
        with trio.fail_after(PATIENCE):
            await store.open()
            try:
                await duel.play(operations)
            finally:
                await store.close()

    try:
        trio.run(play)
    except Exception as error:
        trouble = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise AssertionError(f"{duel.story()}\n{trouble}") from error
    return duel


def _judge(factory: Factory, reopen: Reopen | None) -> None:
    check_against_model(factory)


case.cases.append(
    Case(
        "it answers as the memory store does",
        "Whatever is asked, in whatever order, the answers are those of the reference, refusals included.",
        _judge,
    )
)
