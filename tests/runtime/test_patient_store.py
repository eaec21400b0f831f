"""`PatientStore`: what is asked again and what is not, and what is said about it."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import StoreError
from flowgen.runtime.committer import Committer
from flowgen.runtime.environment import Environment
from flowgen.runtime.patient_store import PatientStore
from flowgen.runtime.store import Committed, DamagedRun, LeaseLost, Refused, StoreUnusable
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock
from flowgen.transition import Transition

FINAL = (LeaseLost("gone"), DamagedRun("r1", "record 3"), StoreUnusable("full"), ZeroDivisionError())
"""What asking again would not change."""


@attrs.define
class Requests:
    """Raises what it was given, one after the other, and then answers."""

    errors: list[Exception]
    asked_at: list[float] = attrs.Factory(list)

    async def __call__(self) -> str:
        self.asked_at.append(trio.current_time())
        if self.errors:
            raise self.errors.pop(0)
        return "yes"


class Failing(MemoryStore):
    """The first so many commits fail: every other one although it took effect."""

    def __init__(self, clock: VirtualClock, failures: int) -> None:
        super().__init__(clock)
        self.failures = failures
        self.asked: list[str] = []

    async def commit(self, transition: Transition) -> Committed:
        self.asked.append(transition.id)
        fails = len(self.asked) <= self.failures
        if fails and len(self.asked) % 2:
            raise StoreError("out of order")
        committed = await super().commit(transition)
        if fails:
            raise StoreError("no answer")
        return committed

    async def commit_many(self, transitions: Sequence[Transition]) -> tuple[Committed | Refused, ...]:
        raise StoreError("out of order")


def patiently(check: Callable[[PatientStore, Failing], Awaitable[None]], failures: int = 0) -> None:
    """Run `check` in virtual time."""
    clock = VirtualClock()

    async def main() -> None:
        store = Failing(clock, failures)
        await check(PatientStore(Committer(store, Environment(1, threads=False))), store)

    trio.run(main, clock=clock)


@given(st.integers(0, 20))
def test_it_asks_until_there_is_an_answer(failures: int) -> None:
    """The pauses grow from 10 ms to 2 s, and no further."""

    async def check(patient: PatientStore, store: Failing) -> None:
        assert await patient.ask(requests) == "yes"

    requests = Requests([StoreError("out of order")] * failures)
    patiently(check)
    pauses = [round(later - earlier, 3) for earlier, later in itertools.pairwise(requests.asked_at)]
    assert pauses == [min(0.01 * 2**n, 2.0) for n in range(failures)]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_what_would_not_change_is_raised(error: Exception) -> None:
    """Also after the store has failed; it is asked no more. A bug is not waited for either."""

    async def check(patient: PatientStore, store: Failing) -> None:
        with pytest.raises(type(error)):
            await patient.ask(requests)

    requests = Requests([StoreError("out of order"), error])
    patiently(check)
    assert len(requests.asked_at) == 2


@given(st.integers(0, 8))
def test_a_commit_is_the_same_transition_each_time(failures: int) -> None:
    """Whether it took effect is not known, so nothing else may be asked for."""

    async def check(patient: PatientStore, store: Failing) -> None:
        await patient.commit(Transition("t1"))
        assert store.asked == ["t1"] * (failures + 1)

    patiently(check, failures)


def test_several_commits_are_not_repeated() -> None:
    """Who committed them has each of them as it was, and decides what becomes of it."""

    async def check(patient: PatientStore, store: Failing) -> None:
        assert await patient.commit_many([Transition("t1"), Transition("t2")]) == [None, None]

    patiently(check)


def test_each_trouble_is_told_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """All who wait for the store meet the same error: one line for all, and one more every ten seconds."""

    async def check(patient: PatientStore, store: Failing) -> None:
        for seconds in (0, 1, 8, 2, 0):
            await trio.sleep(seconds)
            patient.failed(StoreError("disk"))
        patient.failed(StoreError("network"))

    patiently(check)
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["disk", "disk", "network"]
