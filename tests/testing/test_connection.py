"""A simulated engine's connection: what happens on the way to the store and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from flowgen import App
from flowgen.errors import StoreError
from flowgen.runs import RunRow
from flowgen.runtime.store import Committed, Lease, LeaseLost, RunFilter, Store, Who
from flowgen.runtime.stores import MemoryStore
from flowgen.testing.clock import START, VirtualClock
from flowgen.testing.connection import Connection, EngineDied
from flowgen.testing.faults import Dice, Faults
from flowgen.testing.world import Life, World
from flowgen.transition import NewRun, Transition

SECOND = 1_000_000


class Setting:
    """A store with one due run, and a connection to it on which these faults happen."""

    def __init__(self, nursery: trio.Nursery, clock: VirtualClock, dice: Dice, store: MemoryStore) -> None:
        self.world = World([App("shop")], clock, dice)
        self.store = store
        self.killed = False
        self.connection = Connection(self.world, self.store, Life("worker 1"), nursery, self._kill)

    def _kill(self) -> None:
        self.killed = True

    async def run_is_there(self) -> bool:
        return await self.store.load("shop", "r1") is not None

    def faults(self) -> list[str]:
        return [entry.what for entry in self.world.entries if entry.what.startswith("FAULT")]


def create() -> Transition:
    return Transition("r1", create=(NewRun(RunRow("shop", "r1", "work", START, seed=0, due_at=START), ()),))


WHO = Who("w1", {("shop", "work"): "code"})


def check(
    script: Callable[[Setting], Awaitable[None]],
    faults: Faults,
    seed: int = 0,
    make_store: Callable[[VirtualClock], MemoryStore] = MemoryStore,
) -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await script(Setting(nursery, clock, Dice(faults, seed), make_store(clock)))

    trio.run(main, clock=clock)


def test_it_is_a_store() -> None:
    """Engines cannot tell it from one; without faults it passes everything on."""

    async def script(setting: Setting) -> None:
        connection: Any = setting.connection
        assert isinstance(connection, Store)
        await connection.open()
        await connection.commit(create())
        assert [claimed.row.id for claimed in (await connection.claim(WHO, 1, SECOND)).runs] == ["r1"]
        assert (await connection.extend("w1", [Lease("shop", "r1", 1)], SECOND)).mail == (0,)
        assert len((await connection.find_runs(RunFilter())).items) == 1
        assert await connection.event("none") is None
        assert await connection.cells("shop", ["none"]) == {}
        assert await connection.open_waits("shop", "r1") == ()
        assert (await connection.children("shop", "r1")).items == ()
        assert (await connection.find_events()).items == ()
        assert await connection.delete(START) == 0
        connection.extender().close()
        await connection.close()
        assert await setting.run_is_there()

    check(script, Faults())


@pytest.mark.parametrize("seed", range(6))
def test_a_dead_engine_is_dead(seed: int) -> None:
    """It dies before or after a commit takes effect; from then on nothing gets through, in either direction."""

    async def script(setting: Setting) -> None:
        with pytest.raises(EngineDied):
            await setting.connection.commit(create())
        before = await setting.run_is_there()
        assert setting.faults()[0].endswith("before its answer arrives" if before else "before it takes effect")
        assert setting.killed
        for request in (
            lambda: setting.connection.commit(create()),
            lambda: setting.connection.claim(WHO, 1, SECOND),
            lambda: setting.connection.extend("w1", [], SECOND),
            lambda: setting.connection.load("shop", "r1"),
            lambda: setting.connection.wait_changed(1),
            setting.connection.open,
        ):
            with pytest.raises(EngineDied):
                await request()
        assert await setting.run_is_there() is before

    check(script, Faults(crash=1), seed)


def test_death_is_no_exception() -> None:
    """No `except Exception` in an engine outlives it."""
    assert not issubclass(EngineDied, Exception)


@pytest.mark.parametrize("seed", range(6))
def test_a_failing_store_may_have_done_it(seed: int) -> None:
    """A store error says nothing about whether the write took effect."""

    async def script(setting: Setting) -> None:
        with pytest.raises(StoreError, match="simulated: the store failed at commit, before") as error:
            await setting.connection.commit(create())
        assert await setting.run_is_there() is ("before its answer arrives" in str(error.value))

    check(script, Faults(store_error=1, most=1), seed)


def test_both_halves_happen() -> None:
    """Some errors come before, and some after."""
    found: set[bool] = set()

    async def script(setting: Setting) -> None:
        with pytest.raises(StoreError):
            await setting.connection.commit(create())
        found.add(await setting.run_is_there())

    for seed in range(8):
        check(script, Faults(store_error=1, most=1), seed)
    assert found == {True, False}


def test_a_repeated_commit_changes_nothing() -> None:
    """At once or late; what a store makes of it is no news to the engine, and no violation."""
    texts: set[str] = set()

    async def script(setting: Setting) -> None:
        await setting.connection.commit(create())
        await trio.sleep(60)
        texts.update(setting.faults())
        assert setting.world.violations == []

    for seed in range(8):
        check(script, Faults(duplicate=1, most=1), seed)
    assert texts == {"FAULT: a commit is delivered twice", "FAULT: a commit is delivered once more"}


class Forgetful(MemoryStore):
    """Does not know its own transitions again."""

    async def commit(self, transition: Transition) -> Committed:
        if await self.load("shop", "r1") is not None:
            raise LeaseLost("no")
        return await super().commit(transition)


def test_a_repeated_commit_that_is_refused_is_a_violation() -> None:
    """The identity of a transition has to be known: the engine repeats it after an error of unknown effect."""
    violations: list[str] = []

    async def script(setting: Setting) -> None:
        await setting.connection.commit(create())
        violations.extend(setting.world.violations)

    for seed in range(8):
        check(script, Faults(duplicate=1, most=1), seed, Forgetful)
    assert violations[0].startswith("commit r1 was accepted, and refused when it was repeated: LeaseLost")


def test_a_late_answer_takes_time() -> None:
    """Up to 100 ms on the way, and as much back."""

    async def script(setting: Setting) -> None:
        await setting.connection.load("shop", "r1")
        assert 0 < trio.current_time() <= 0.2

    check(script, Faults(delay=1))


@pytest.mark.parametrize("seed", range(6))
def test_a_lost_lease_is_longer_than_a_lease(seed: int) -> None:
    """Extending takes one to three leases then; in half of the cases nothing else gets through either."""

    async def script(setting: Setting) -> None:
        await setting.connection.extend("w1", [], SECOND)
        assert trio.current_time() == 0
        await setting.connection.extend("w1", [Lease("shop", "r1", 1)], SECOND)
        assert 1 <= trio.current_time() <= 3
        assert len(setting.faults()) == 1

    check(script, Faults(lost_lease=1), seed)


def test_an_engine_with_a_suspect_is_not_harmed() -> None:
    """No fault that costs a strike happens to an engine that owns a run which the next strike would fail."""

    async def script(setting: Setting) -> None:
        connection = setting.connection
        await setting.store.commit(create())
        setting.world.committed(Life("nobody"), create())
        for worker in range(4):
            await setting.store.claim(Who(f"dead {worker}", WHO.offers), 1, SECOND)
            await trio.sleep(1)
        setting.world.dice.healed = True
        (claimed,) = (await connection.claim(WHO, 1, SECOND)).runs
        assert claimed.row.strikes == 4
        setting.world.dice.healed = False
        await connection.load("shop", "r1")
        await connection.extend("w1", [Lease("shop", "r1", 5)], SECOND)
        assert not connection.body_kills()
        assert setting.faults() == []

    check(script, Faults(crash=1, store_error=1, lost_lease=1))
