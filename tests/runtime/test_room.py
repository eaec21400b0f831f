"""An engine drives at most `max_runs` runs, however slow its store is and however many come at once.

One that is full claims the next run beside the commit that gives another back, or ends it. Until that is answered both
are the engine's, and one of them waits.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen import All, App, Context, Event, OnEvent, Race, Run, Steps, WaitFor
from flowgen.errors import RunCancelledError, StoreError
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.drive import is_hand_back
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import Claims, Committed, Conflict, Loaded, RunFilter, Who
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock
from flowgen.transition import Transition

app = App("room")


@app.workflow(on=OnEvent("go"))
def work(ctx: Context[Any]) -> Steps[str]:
    yield Run("one", body)
    return (yield from Run("two", body))


async def body() -> str:
    await hands.work()
    return "done"


class Slow(MemoryStore):
    """Takes its time, `claims` seconds for claims and loads, and notes the most runs that had an owner at a moment.

    The first `refusals` commits that end a run, or give it back, are refused, as if others had changed what they
    rely on; `refused` is awaited before. `given` is how often a run was given to a worker.
    """

    def __init__(self, clock: VirtualClock, seconds: float, claims: float | None = None, refusals: int = 0) -> None:
        super().__init__(clock)
        self.seconds = seconds
        self.claims = seconds if claims is None else claims
        self.refusals = refusals
        self.refused: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
        self.most = self.given = 0
        self.ending = self.beside_an_end = 0

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        beside = self.ending
        await trio.sleep(self.claims)
        claims = await super().claim(who, limit, lease)
        self.given += len(claims.runs)
        self.beside_an_end += len(claims.runs) if beside else 0
        await self._count()
        await trio.sleep(self.claims)
        return claims

    async def load(self, app: str, run: str, since: int = 0) -> Loaded | None:
        await trio.sleep(self.claims)
        return await super().load(app, run, since)

    async def commit(self, transition: Transition) -> Committed:
        ends = transition.progress is not None and transition.progress.release and bool(transition.progress.records)
        self.ending += ends
        try:
            await trio.sleep(self.seconds)
            if ends and self.refusals:
                self.refusals -= 1
                await self.refused()
                raise Conflict("planned by this test")
            committed = await super().commit(transition)
            await self._count()
            await trio.sleep(self.seconds)
        finally:
            self.ending -= ends
        return committed

    async def _count(self) -> None:
        self.most = max(self.most, await self.owned())

    async def owned(self) -> int:
        """How many runs have an owner."""
        rows = (await self.find_runs(RunFilter(), limit=100)).items
        return sum(row.owner is not None for row in rows)


class Hands:
    """Counts the bodies that are at work at once, of runs that have one at a time."""

    def __init__(self) -> None:
        self.rest()

    def rest(self) -> None:
        """Begin to count anew."""
        self.now = self.most = self.bodies = 0

    async def work(self) -> None:
        self.bodies += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(1)
        finally:
            self.now -= 1


hands = Hands()


async def finish(engine: Engine, ids: list[str]) -> None:
    for id in ids:
        (run,) = await engine.started(id)
        assert await engine.result(run) == "done"


def go(count: int) -> list[Event]:
    return [Event("go", {}) for _ in range(count)]


SECONDS = st.sampled_from([0.0, 0.1, 2.0])


async def drive_waiting(store: Slow, runs: int, room: int) -> None:
    """Let an engine with so much room end runs that wait already."""
    async with open_engine(app, store, environment=Environment(1, threads=False)):
        """Now the store knows what the event starts."""
    async with open_engine(app, store, work=False, environment=Environment(2, threads=False)) as engine:
        ids = await engine.send(go(runs)) if runs else []
    hands.rest()
    async with open_engine(app, store, max_runs=room, lease="1h", environment=Environment(3, threads=False)) as engine:
        with trio.fail_after(1_800):  # nothing waits for a lease that runs out
            await finish(engine, ids)


@given(st.integers(1, 5), st.integers(0, 12), SECONDS, SECONDS)
def test_runs_that_wait_already(room: int, runs: int, seconds: float, claims: float) -> None:
    """While those that were claimed are loaded, no others are claimed in their place; only of runs that are about to
    leave."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, seconds, claims)
        await drive_waiting(store, runs, room)
        assert hands.most == min(room, runs)
        assert hands.bodies == 2 * runs
        assert store.most <= min(2 * room, runs)

    trio.run(main, clock=clock)


@given(st.integers(1, 5), st.integers(1, 12), SECONDS, SECONDS, st.integers(1, 12))
def test_a_run_whose_place_does_not_become_free_is_given_back(
    room: int, runs: int, seconds: float, claims: float, refusals: int
) -> None:
    """The end of another was refused, so that one stays: whoever has room may take the one that was claimed."""
    clock = VirtualClock()

    async def main() -> None:
        await drive_waiting(Slow(clock, seconds, claims, refusals), runs, room)
        assert hands.most == min(room, runs)
        assert hands.bodies == 2 * runs

    trio.run(main, clock=clock)


def test_the_next_run_is_claimed_beside_the_end_of_another() -> None:
    """On a store that commits together what comes together, that costs no commit of its own. It is claimed once."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, 1.0, claims=0.1)
        await drive_waiting(store, 6, room=2)
        assert store.beside_an_end == 4
        assert store.given == 6

    trio.run(main, clock=clock)


def test_a_run_that_stays_after_all_keeps_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """It is about to wait, and does not because its event comes just then: another is not driven beside it.

    That one is the first in line again, and what it had to say before its first step is said once.
    """
    caplog.set_level(logging.INFO, "flowgen.run")
    clock = VirtualClock()
    staying = App("staying")
    done: list[str] = []

    @staying.workflow(on=OnEvent("go"))
    def work(ctx: Context[Any]) -> Steps[None]:
        ctx.logger.info("begin")
        yield All(Run("one", body), WaitFor("more", "more", timeout="1d"))
        for number in range(5):
            yield Run(f"two-{number}", body)

    @staying.workflow(on=OnEvent("next"))
    def after(ctx: Context[Any]) -> Steps[None]:
        ctx.logger.info("begin")
        yield Run("done", note, ctx.run_id)

    async def note(run: str) -> None:
        done.append(run)

    async def main() -> None:
        store = Slow(clock, 0.5, claims=0.1, refusals=1)
        hands.rest()
        async with open_engine(
            staying, store, max_runs=1, lease="1h", environment=Environment(1, threads=False)
        ) as engine:

            async def more() -> None:
                assert await store.owned() == 2, "the other one is claimed"
                await engine.send(Event("more"))
                await trio.sleep(10)  # until it is in the mailbox

            store.refused = more
            events = await engine.send([Event("go"), *[Event("next") for _ in range(4)]])
            _, *runs = [run for event in events for run in await engine.started(event)]
            while hands.bodies < 3:  # noqa: ASYNC110
                await trio.sleep(0.1)
            assert await store.owned() == 1
            for run in runs:
                await engine.result(run)
        assert store.refusals == 0
        assert hands.bodies == 6
        assert hands.most == 1
        assert done == runs

    trio.run(main, clock=clock)
    assert [record.getMessage() for record in caplog.records].count("begin") == 5


@pytest.mark.parametrize("grace", ["0s", "1h"])
def test_what_waits_for_a_place_is_given_back_at_the_end(grace: str) -> None:
    """The engine stops, or is drained, while one run waits for another to leave: it does not begin."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, 5.0, claims=0.1)
        hands.rest()
        async with open_engine(
            app, store, max_runs=1, lease="1h", grace=grace, environment=Environment(1, threads=False)
        ) as engine:
            await engine.send(go(2))
            while not (store.ending and await store.owned() == 2):  # noqa: ASYNC110
                await trio.sleep(0.1)
            await trio.sleep(1)
        assert await store.owned() == 0
        assert hands.bodies == 2

    trio.run(main, clock=clock)


def test_a_cancel_that_comes_as_a_run_waits_for_its_place_is_heard() -> None:
    """It never begins a body."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, 5.0, claims=0.1)
        hands.rest()
        async with open_engine(app, store, max_runs=1, lease="1h", environment=Environment(1, threads=False)) as engine:
            _, second = await engine.send(go(2))
            (run,) = await engine.started(second)
            while not (store.ending and await store.owned() == 2):  # noqa: ASYNC110
                await trio.sleep(0.1)
            store.seconds = 0.0
            await engine.cancel(run)
            assert store.ending
            with pytest.raises(RunCancelledError):
                await engine.result(run)
        assert hands.bodies == 2

    trio.run(main, clock=clock)


def test_a_run_that_cannot_be_given_back_at_once_is_given_back_later() -> None:
    """The store fails just then: nothing waits for a lease that runs out."""
    clock = VirtualClock()

    class Failing(Slow):
        failures = 3

        async def commit(self, transition: Transition) -> Committed:
            if is_hand_back(transition) and self.failures:
                self.failures -= 1
                raise StoreError("planned by this test")
            return await super().commit(transition)

    async def main() -> None:
        store = Failing(clock, 0.5, claims=0.1, refusals=1)
        await drive_waiting(store, 4, room=1)
        assert store.failures == 0
        assert hands.bodies == 8

    trio.run(main, clock=clock)


@given(st.integers(1, 5), st.integers(1, 12), SECONDS)
def test_runs_that_are_created_at_once(room: int, runs: int, seconds: float) -> None:
    """Senders that come together share the room that there is; what has none is claimed later."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, seconds)
        hands.rest()
        async with open_engine(
            app, store, max_runs=room, lease="1h", environment=Environment(1, threads=False)
        ) as engine:
            ids: list[str] = []

            async def send() -> None:
                ids.extend(await engine.send(go(1)))

            async with trio.open_nursery() as nursery:
                for _ in range(runs):
                    nursery.start_soon(send)
            await finish(engine, ids)
        assert hands.most <= room
        assert store.most <= min(2 * room, runs)

    trio.run(main, clock=clock)


racing = App("racing")


@racing.workflow(on=OnEvent("go"))
def raced(ctx: Context[Any]) -> Steps[str]:
    yield Race(won=Run("won", body), lost=Run("lost", trio.sleep, 60))
    return "done"


@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_beside_a_run_that_has_bodies_to_stop_none_is_claimed(seconds: float) -> None:
    """It takes longer to leave than its commit does: who was claimed for its place would be given back each time."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, seconds)
        hands.rest()
        async with open_engine(
            racing, store, max_runs=1, lease="1h", environment=Environment(1, threads=False)
        ) as engine:
            events = await engine.send(go(6))
            with trio.fail_after(100):
                await finish(engine, events)
            fences = [(await engine.load((await engine.started(event))[0])).row.fence for event in events]
        assert fences == [1] * 6
        assert hands.most == 1

    trio.run(main, clock=clock)
