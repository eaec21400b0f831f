"""What the memory store is beyond the contract: cheap lookups, a door for a thread, changes heard at once.

That it keeps the contract is shown in `tests/conformance`.
"""

from __future__ import annotations

import threading

import attrs
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from flowgen.events import AcceptedEvent
from flowgen.expression import match_key
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime.store import Lease, Offer, Registration, Store, Who
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.runtime.stores.memory.indexes import Agenda, EventLog, WaitIndex
from flowgen.transition import NewRun, Progress, Transition, Wait

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
WHO = Who("w1", {("shop", "fulfil"): "code-1"})


def row(run: str, **changes: object) -> RunRow:
    return attrs.evolve(RunRow("shop", run, "fulfil", NOW, 7, due_at=NOW), **changes)


def creating(*rows: RunRow) -> Transition:
    return Transition(rows[0].id, create=tuple(NewRun(r, (), (), 10 * SECOND) for r in rows))


def test_it_is_a_store() -> None:
    """It has every verb of the contract."""
    assert isinstance(MemoryStore(), Store)


async def test_without_a_clock_it_goes_by_the_wall_clock() -> None:
    """Its times are microseconds since the epoch: of this century, and growing."""
    store = MemoryStore()
    first = await store.now()
    assert 1_600_000_000 * SECOND < first < 4_102_444_800 * SECOND
    assert await store.now() >= first


async def test_each_verb_is_a_checkpoint() -> None:
    """A task that commits in a loop lets others run, and can be cancelled."""
    store = MemoryStore(lambda: NOW)
    with trio.testing.assert_checkpoints():
        await store.commit(creating(row("r1")))
    with trio.testing.assert_checkpoints():
        await store.claim(WHO, 1, SECOND)
    with trio.testing.assert_checkpoints():
        await store.wait_changed(0)


async def test_the_extender_works_beside_commits() -> None:
    """The heartbeat thread extends while the loop commits; both end with consistent rows."""
    store = MemoryStore(lambda: NOW)
    await store.commit(creating(row("r1", owner="w1", fence=1)))
    extender = store.extender()
    stop = threading.Event()
    answers: set[int | None] = set()

    def beat() -> None:
        while not stop.is_set():
            answers.update(extender.extend("w1", [Lease("shop", "r1", 1)], 30 * SECOND).mail)

    thread = threading.Thread(target=beat)
    thread.start()
    for position in range(300):
        await store.commit(Transition(f"t{position}", Progress("shop", "r1", 1, 0, drained=0)))
    stop.set()
    thread.join()
    assert answers == {0}
    loaded = await store.load("shop", "r1")
    assert loaded is not None
    assert loaded.row.due_at == NOW + 30 * SECOND


async def test_a_release_for_later_is_heard() -> None:
    """Other engines on the same object learn that there is a new time to look at."""
    store = MemoryStore(lambda: NOW)
    await store.commit(creating(row("r1", owner="w1", fence=1)))
    heard = trio.Event()

    async def listen() -> None:
        await store.wait_changed(3600)
        heard.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await trio.testing.wait_all_tasks_blocked()
        await store.commit(Transition("t", Progress("shop", "r1", 1, 0, release=True, due_at=NOW + SECOND)))
        with trio.fail_after(50):
            await heard.wait()


async def test_a_step_of_an_owner_is_not_news(autojump_clock: trio.testing.MockClock) -> None:
    """A record that an owner writes wakes nobody: an engine of ten thousand running steps does not spin."""
    store = MemoryStore(lambda: NOW)
    await store.commit(creating(row("r1", owner="w1", fence=1)))
    await store.wait_changed(0)
    await store.commit(Transition("t", Progress("shop", "r1", 1, 0)))
    await store.extend("w1", [Lease("shop", "r1", 1)], SECOND)
    before = trio.current_time()
    await store.wait_changed(3600)
    assert trio.current_time() == before + 3600


async def test_a_registration_is_heard() -> None:
    """Routers learn of new definitions."""
    store = MemoryStore(lambda: NOW)
    await store.wait_changed(0)
    await store.register(Registration("shop", "w1", (Offer("fulfil", "d1", Json(b"{}")),)))
    with trio.fail_after(50):
        await store.wait_changed(3600)


# -- agendas ----------------------------------------------------------------------------------------

KEYS = st.sampled_from([("shop", "r1"), ("shop", "r2"), ("other", "r1")])


@given(st.lists(st.tuples(KEYS, st.none() | st.integers(0, 5)), max_size=30), st.integers(0, 4))
def test_an_agenda_is_a_sorted_dictionary(changes: list[tuple[tuple[str, str], int | None]], read: int) -> None:
    """Whatever is put and discarded, and however far it is read, the entries are the last ones, in order."""
    agenda = Agenda()
    due: dict[tuple[str, str], int] = {}
    for run, due_at in changes:
        if due_at is None:
            agenda.discard(run)
            due.pop(run, None)
        else:
            agenda.put(run, due_at)
            due[run] = due_at
        upcoming = agenda.upcoming()
        for _ in range(read):
            next(upcoming, None)
        upcoming.close()
    assert list(agenda.upcoming()) == sorted((due_at, run) for run, due_at in due.items())
    assert len(agenda) == len(due)


def test_an_agenda_does_not_grow_with_what_was() -> None:
    """A run that is given another time again and again takes the room of one."""
    agenda = Agenda()
    for due_at in range(10_000):
        agenda.put(("shop", "r1"), NOW + due_at)
    assert list(agenda.upcoming()) == [(NOW + 9_999, ("shop", "r1"))]
    assert len(agenda._heap) < 100


def test_a_claim_looks_at_no_more_than_it_takes() -> None:
    """Reading the first entries of a large agenda leaves the others alone."""
    agenda = Agenda()
    for number in range(1_000):
        agenda.put(("shop", f"r{number:04}"), NOW + number)
    upcoming = agenda.upcoming()
    assert [next(upcoming)[1][1] for _ in range(3)] == ["r0000", "r0001", "r0002"]
    assert len(agenda._heap) == 997
    upcoming.close()
    assert len(agenda._heap) == 1_000


# -- waits and events -------------------------------------------------------------------------------


def wait(id: str, value: object = None, path: str | None = "data.id", event: str = "paid") -> Wait:
    return Wait(id, "shop", "r1", "step", event, 0, NOW, path, match_key(value) if path else None)


def event(id: str, data: bytes = b"{}", name: str = "paid", position: int | None = None) -> AcceptedEvent:
    return AcceptedEvent(id, name, Json(data), NOW, NOW, position=position)


def test_an_event_meets_no_wait_that_does_not_match() -> None:
    """Among many waits on one name, only those under the event's value are looked at."""
    index = WaitIndex()
    for number in range(1_000):
        index.put(wait(f"w{number}", number))
    index.put(wait("any", path=None))
    index._waits["paid"]["data.id"] = {
        value: waits for value, waits in index._waits["paid"]["data.id"].items() if value == match_key(7)
    } | {"looked at": None}  # type: ignore[dict-item]
    found = index.matching(event("e1", b'{"id":7}', position=1))
    assert sorted(wait.id for wait in found) == ["any", "w7"]


@given(st.permutations([wait("a", 1), wait("b", 1), wait("c", 2), wait("d", path=None), wait("e", 1, event="x")]))
def test_an_empty_wait_index_is_empty(waits: list[Wait]) -> None:
    """Taking out what was put in, in whatever order, leaves nothing behind."""
    index = WaitIndex()
    for one in sorted(waits, key=lambda wait: wait.id):
        index.put(one)
    for one in waits:
        index.discard(one)
    assert index._waits == {}


def test_deleted_events_leave_the_indexes() -> None:
    """An event that is deleted is found by nobody."""
    log = EventLog()
    log.add(event("e1", b'{"id":1}'), 1)
    log.add(event("e2", b'{"id":1}'), 2)
    assert [e.id for e in log.between("paid", 0, None, "data.id", match_key(1))] == ["e1", "e2"]
    log.delete("e1")
    assert log.get("e1") is None
    assert [e.id for e in log.between("paid", 0, None, "data.id", match_key(1))] == ["e2"]
    assert [e.id for e in log.between("paid", 0, None, None, None)] == ["e2"]
    assert [e.id for _, e in log.newest_first()] == ["e2"]
