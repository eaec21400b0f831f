"""The memory store's queues change what a claim costs, never what it gives; and a claim looks at few runs."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from flowgen.runs import SUSPECT_STRIKES, RunRow
from flowgen.runtime.store import Claims, Who
from flowgen.runtime.stores.memory import MemoryStore, ownership
from flowgen.runtime.stores.memory.indexes import Agenda, RunKey
from flowgen.runtime.stores.memory.order import chores_at, ready_at
from flowgen.runtime.stores.memory.state import Run, State
from flowgen.testing.conformance import check_against_model
from flowgen.transition import NewRun, Progress, Transition

SECOND = 1_000_000
NAME = ("shop", "fulfil")

Given = tuple[RunKey, bool, bool]
"""A run, and whether it is given codeless and slotless."""


class SimpleClaims(MemoryStore):
    """A memory store that foretells each claim in the simplest way: it looks at all runs, and knows no queue."""

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        foretold = foretell(self._state, who, limit)
        claims = await super().claim(who, limit, lease)
        given = [((claimed.row.app, claimed.row.id), claimed.codeless, claimed.slotless) for claimed in claims.runs]
        assert given == foretold, f"{foretold} was foretold, {given} was given"
        return claims


def foretell(state: State, who: Who, limit: int) -> list[Given]:
    """What a claim gives: go through all ready runs by rank, and count the holders of their slots for each."""
    now = state.now()
    held = suspect = state.suspect_of(who.worker)
    holding = {run.key: run.holding for run in state.runs.values() if run.row.owner and (run.row.due_at or 0) > now}
    given: list[Given] = []
    for _, key, codeless in sorted(ready_runs(state, who, now)):
        run = state.runs[key]
        strikes = ownership._strikes(state, run, who.worker, held)
        if len(given) == limit:
            break
        if key in holding:
            continue
        if not codeless and strikes >= SUSPECT_STRIKES and suspect not in (None, key):
            continue
        full = not codeless and not has_room(run.row, holding, who)
        if full and not is_due(chores_at(run.row), now):
            continue
        if not codeless and strikes >= SUSPECT_STRIKES:
            suspect = key
        given.append((key, codeless, full))
        holding[key] = () if full or codeless else run.row.slots
    return given


def ready_runs(state: State, who: Who, now: int) -> list[tuple[int, RunKey, bool]]:
    """All runs that are ready for a worker, with their ranks; true: codeless."""
    found: list[tuple[int, RunKey, bool]] = []
    for run in state.runs.values():
        codeless_at = state._codeless_at(run)
        if ownership._has_code(who, run):
            if run.row.open and is_due(ready_time(run), now):
                found.append((state.rank_of(run), run.key, False))
        elif codeless_at is not None and codeless_at <= now:
            found.append((codeless_at, run.key, True))
    return found


def ready_time(run: Run) -> int | None:
    return ready_at(run.row, run.wanted_at)


def is_due(time: int | None, now: int) -> bool:
    return time is not None and time <= now


def has_room(row: RunRow, holding: dict[RunKey, tuple[str, ...]], who: Who) -> bool:
    limits = who.limits[row.app, row.workflow]
    counts = [sum(key[0] == row.app and slot in slots for key, slots in holding.items()) for slot in row.slots]
    return all(count < limit for count, limit in zip(counts, limits, strict=False))


def test_a_claim_gives_what_looking_at_everything_gives() -> None:
    """Queues, heads and marks of room make no difference: each claim is what the simplest one would be."""
    check_against_model(lambda clock: SimpleClaims(clock), examples=100)


# -- what a claim costs -----------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each look at the first of an agenda: the unit in which claims are paid."""
    seen: list[int] = []
    first = Agenda.first

    def counted(self: Agenda) -> Any:
        seen.append(len(self))
        return first(self)

    monkeypatch.setattr(Agenda, "first", counted)
    return seen


async def _create(store: MemoryStore, count: int, **fields: Any) -> None:
    rows = [RunRow(*_key(number), "fulfil", 0, 0, **fields) for number in range(count)]
    await store.commit(Transition("create", create=tuple(NewRun(row, ()) for row in rows)))


def _key(number: int) -> RunKey:
    return "shop", f"r{number:06}"


@pytest.mark.parametrize("count", [100, 5000])
def test_a_claim_looks_at_few_runs_however_many_are_blocked(count: int, looks: list[int]) -> None:
    """Once they are blocked, the runs that wait for a slot cost nothing: neither a release nor the next claim."""
    who = Who("w1", {NAME: "code"}, {NAME: (1,)})

    async def play() -> None:
        store = MemoryStore(lambda: SECOND)
        await _create(store, count, slots=("k",), wants=True)
        (first,) = (await store.claim(who, 1, SECOND)).runs
        while (await store.next_due(who) or 0) <= SECOND:
            assert (await store.claim(who, 64, SECOND)).runs == ()
        looks.clear()
        release = Progress(first.row.app, first.row.id, first.row.fence, 0, release=True)
        await store.commit(Transition("release", release))
        (second,) = (await store.claim(who, 64, SECOND)).runs
        assert second.row.id == _key(1)[1]

    trio.run(play)
    assert len(looks) < 40


@pytest.mark.parametrize("count", [100, 5000])
def test_a_claim_looks_at_what_it_gives_however_many_are_ready(count: int, looks: list[int]) -> None:
    """Ranked runs that are ready cost a claim nothing that it does not give."""
    who = Who("w1", {NAME: "code"})

    async def play() -> None:
        store = MemoryStore(lambda: SECOND)
        await _create(store, count, due_at=0, priority=7)
        looks.clear()
        assert len((await store.claim(who, 10, SECOND)).runs) == 10

    trio.run(play)
    assert len(looks) < 40


def test_nothing_is_kept_of_a_slot_that_nobody_holds_or_waits_for() -> None:
    """Slots have names without number, such as customers: one that is idle again is forgotten."""
    who = Who("w1", {NAME: "code"}, {NAME: (1, 1)})

    async def play() -> None:
        store = MemoryStore(lambda: SECOND)
        await _create(store, 3, slots=("k", "j"), wants=True)
        for _ in range(3):
            (claimed,) = (await store.claim(who, 10, SECOND)).runs
            assert store._state.slots._slots
            end = Progress(claimed.row.app, claimed.row.id, claimed.row.fence, 0, stored="completed")
            await store.commit(Transition("end", end))
        assert store._state.slots._slots == {}

    trio.run(play)
