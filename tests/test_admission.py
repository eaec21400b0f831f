"""Admission: the order of the policies, and what each leaves for the next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import Event
from flowgen.admission import (
    LINGER,
    NEVER,
    ONCE_FOR,
    Admitted,
    Gate,
    Start,
    cancel_waits,
    delay_of,
    due_of,
    limits_of,
    slots_of,
)
from flowgen.collecting import collection_of
from flowgen.events import AcceptedEvent, accept_event, event_document
from flowgen.facts import Facts
from flowgen.flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Policies,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from flowgen.routing import Route, RouteTable
from flowgen.runs import CancelRequested, EventCollected, Parent
from flowgen.transition import Cell, Key, Opening, TakeKey
from flowgen.workflow import Definition
from tests.bodies import SECOND, START

DAY = 24 * 3600 * SECOND


def event(number: int, **data: Any) -> AcceptedEvent:
    """An accepted event."""
    return accept_event(Event("go", {"n": number, **data}), f"event{number}", START)


class Admitting:
    """A workflow with some policies, and a store of keys and cells that answers whatever is asked."""

    def __init__(self, **policies: Any) -> None:
        self.route = Route("shop", Definition("work", policies=Policies(**policies)))
        self.table = RouteTable([self.route])
        self.keys: dict[tuple[str, str], Key] = {}
        self.cells: dict[tuple[str, str], Cell] = {}
        self.open: set[str] = set()

    def start(self, number: int, parent: Parent | None = None, **data: Any) -> Start:
        """A start by the event with this number."""
        return Start(self.route, event(number, **data), f"run{number}", parent)

    def admit(self, *starts: Start, now: int = START) -> tuple[list[Admitted], Gate]:
        """Let starts in, in one gate; whatever it asks is answered, and it begins again."""
        facts = Facts(self.table)
        for _ in range(100):
            gate = Gate(facts, now)
            answers = [gate.admit(start) for start in starts]
            if not gate.questions:
                return answers, gate
            facts.keys.update({at: self.keys.get(at) for at in gate.questions.keys})
            facts.cells.update({at: self.cells.get(at) for at in gate.questions.cells})
            facts.open_runs.update({at: at[1] in self.open for at in gate.questions.runs})
        raise AssertionError("it never ends to ask")

    def committed(self, *starts: Start, now: int = START) -> list[Admitted]:
        """The same, and what it decided is kept."""
        answers, gate = self.admit(*starts, now=now)
        for at, take in gate.take.items():
            known = self.keys.get(at)
            assert take.version == (known.version if known is not None else 0)
            self.keys[at] = Key(take.name, take.holder, take.detail, take.expires_at, take.version + 1)
        for at, cell in gate.cells.items():
            self.cells[at] = Cell(cell.app, cell.name, cell.version + 1, cell.value, cell.expires_at)
        self.open |= {new.row.id for new in gate.create if new.row.open}
        return answers


# -- without and with policies ---------------------------------------------------------------------


def test_without_policies_nothing_is_asked() -> None:
    """The run is due at once."""
    work = Admitting()
    (admitted,), gate = work.admit(work.start(1))
    (new,) = gate.create
    assert admitted == Admitted("run1")
    assert (new.row.stored, new.row.due_at, new.row.start_at, new.row.deadline) == ("open", START, None, None)
    assert (new.row.slots, new.row.holds, new.row.priority, new.row.wants) == ((), (), 0, False)
    assert (gate.take, gate.cells, gate.messages, gate.open_waits) == ({}, {}, [], [])


def test_what_must_be_known_is_asked_first() -> None:
    """Then nothing of the answer counts."""
    work = Admitting(idempotency="event.data.n", rate_limit=RateLimit(1, per="1h"), singleton=Singleton())
    gate = Gate(Facts(work.table), START)
    gate.admit(work.start(7))
    assert gate.questions.keys == {("shop", "once/work/7"), ("shop", "single/work/")}
    assert gate.questions.cells == {("shop", "rate/work/")}


def test_a_parent_is_kept() -> None:
    """Of a run that is created, and of one that is skipped."""
    parent = Parent("shop", "p", "step", "run1")
    work = Admitting(rate_limit=RateLimit(1, per="1h"))
    _, gate = work.admit(work.start(1, parent), work.start(2, parent))
    assert [(new.row.stored, new.row.parent) for new in gate.create] == [("open", parent), ("skipped", parent)]


# -- route -----------------------------------------------------------------------------------------


def test_a_start_sees_what_the_one_before_it_has_left() -> None:
    """Within one gate as from one commit to the next."""
    starts = range(6)
    together = Admitting(rate_limit=RateLimit(2, per="1h", key="event.data.k"), idempotency="event.data.n % 4")
    at_once = together.committed(*[together.start(n, k=n % 2) for n in starts])
    alone = Admitting(rate_limit=RateLimit(2, per="1h", key="event.data.k"), idempotency="event.data.n % 4")
    one_by_one = [alone.committed(alone.start(n, k=n % 2))[0] for n in starts]
    assert at_once == one_by_one
    assert {k: (c.value, c.expires_at) for k, c in together.cells.items()} == {
        k: (c.value, c.expires_at) for k, c in alone.cells.items()
    }


def test_a_rate_limit_keeps_its_cell_a_little_longer_than_its_window() -> None:
    """A decision may stand behind the store's clock, and must find what still counts for it."""
    work = Admitting(rate_limit=RateLimit(1, per="1h"))
    work.committed(work.start(1))
    assert work.cells["shop", "rate/work/"].expires_at == START + 3600 * SECOND + LINGER


def test_an_idempotency_key_is_taken_for_a_day() -> None:
    """By the run that it let in."""
    work = Admitting(idempotency="event.data.k")
    _, gate = work.admit(work.start(1, k="a"))
    assert gate.take["shop", 'once/work/"a"'] == TakeKey("shop", 'once/work/"a"', "run1", "", START + ONCE_FOR, 0)
    assert ONCE_FOR == DAY


def test_a_duplicate_is_skipped_with_the_first_run() -> None:
    """Within the day whether that is open or not; afterwards while it is."""
    work = Admitting(idempotency="event.data.k")
    work.committed(work.start(1, k="a"))
    reason = "run run1 has the same idempotency key"
    work.open.clear()
    assert work.admit(work.start(2, k="a"), now=START + DAY - 1)[0] == [Admitted("run2", reason)]
    assert work.admit(work.start(2, k="a"), now=START + DAY)[0] == [Admitted("run2")]
    work.open.add("run1")
    assert work.admit(work.start(2, k="a"), now=START + 9 * DAY)[0] == [Admitted("run2", reason)]


def test_a_collecting_run_is_who_has_the_idempotency_key() -> None:
    """Not the id that an event would have started."""
    work = Admitting(idempotency="event.data.k", batch=Batch(9, wait="1m"))
    assert work.committed(work.start(1, k="a"), work.start(2, k="b")) == [Admitted("run1"), Admitted("run1")]
    assert work.keys["shop", 'once/work/"b"'].holder == "run1"


@pytest.mark.parametrize("policy", [Debounce("10s", key="event.data.k"), Batch(9, wait="10s", key="event.data.k")])
def test_events_of_a_key_are_collected_in_one_run(policy: Debounce | Batch) -> None:
    """It is created with its first event, and each is a message."""
    option = "debounce" if isinstance(policy, Debounce) else "batch"
    work = Admitting(**{option: policy})
    answers, gate = work.admit(work.start(1, k="a"), work.start(2, k="b"), work.start(3, k="a"))
    assert [admitted.run for admitted in answers] == ["run1", "run2", "run1"]
    assert [(new.row.id, new.row.stored, new.events) for new in gate.create] == [
        ("run1", "collecting", ()),
        ("run2", "collecting", ()),
    ]
    assert [(m.run, m.body) for m in gate.messages] == [
        ("run1", EventCollected(event(1, k="a"))),
        ("run2", EventCollected(event(2, k="b"))),
        ("run1", EventCollected(event(3, k="a"))),
    ]
    assert gate.create[0].row.holds == ('collect/work/"a"',)
    held = gate.take["shop", 'collect/work/"a"']
    assert collection_of(Key(held.name, held.holder, held.detail)).count == 2


# -- open ------------------------------------------------------------------------------------------


def test_a_singleton_that_skips_names_the_open_run() -> None:
    """Nothing is taken by the one that is skipped."""
    work = Admitting(singleton=Singleton(), throttle=Throttle(1, per="1h"))
    work.committed(work.start(1))
    (second,), gate = work.admit(work.start(2))
    assert second == Admitted("run2", "run run1 is open (singleton)")
    assert (gate.take, gate.cells, gate.messages) == ({}, {}, [])


def test_a_singleton_that_cancels_waits_for_the_one_before() -> None:
    """It has the key, and no time to start; the other one is asked to end. A third replaces the second."""
    work = Admitting(singleton=Singleton(mode="cancel"))
    _, gate = work.admit(work.start(1), work.start(2), work.start(3))
    assert [new.row.start_at for new in gate.create] == [None, NEVER, NEVER]
    assert gate.create[1].row.reason == "waits for the run that it replaces (singleton)"
    assert [(m.run, type(m.body)) for m in gate.messages] == [("run1", CancelRequested), ("run2", CancelRequested)]
    (take,) = gate.take.values()
    assert (take.holder, take.detail, take.version) == ("run3", '["run1","run2"]', 0)


def test_a_throttled_run_that_waits_for_another_keeps_its_turn() -> None:
    """Both are in its start."""
    work = Admitting(singleton=Singleton(mode="cancel"), throttle=Throttle(1, per="1h"))
    _, gate = work.admit(work.start(1), work.start(2))
    assert gate.create[1].row.start_at == NEVER + START + 3600 * SECOND


def test_a_throttled_run_is_due_at_its_turn_or_at_its_latest_start() -> None:
    """Whichever is first."""
    for limit, due in (("2h", 3600), ("30m", 1800)):
        work = Admitting(throttle=Throttle(1, per="1h"), timeouts=Timeouts(start=limit))
        _, gate = work.admit(work.start(1), work.start(2))
        row = gate.create[1].row
        assert (row.start_at, row.due_at, row.reason) == (START + 3600 * SECOND, START + due * SECOND, "throttled")


def test_a_priority_that_fails_counts_as_0_and_is_counted() -> None:
    """The run is created."""
    work = Admitting(priority=Priority("event.data.a.b + 1"))
    answers, gate = work.admit(work.start(1), work.start(2, a={"b": 5}))
    assert [admitted.skipped for admitted in answers] == [None, None]
    assert [new.row.priority for new in gate.create] == [0, 6]
    assert work.table.errors["shop/work"] >= 1


def test_slots_are_named_by_workflow_number_and_key() -> None:
    """Those of the app by their key alone, so that all who ask for it share it."""
    policies = Policies(concurrency=(Concurrency(3, key="event.data.k"), Concurrency(5, scope="app")))
    document = event_document(event(1, k="a"))
    assert slots_of("work", policies, document) == ('work#0/"a"', "#/")
    assert slots_of("other", policies, document)[1] == "#/"
    assert limits_of(policies) == (3, 5)
    work = Admitting(concurrency=(Concurrency(1),))
    _, gate = work.admit(work.start(1))
    assert (gate.create[0].row.slots, gate.create[0].row.wants) == (("work#0/",), True)


def test_when_an_opened_run_is_due() -> None:
    """Now, at its start, or at its latest start."""
    assert due_of(Opening(()), 5) == 5
    assert due_of(Opening((), start_at=9), 5) == 9
    assert due_of(Opening((), start_at=9, deadline=7), 5) == 7
    assert delay_of(None) is None


# -- cancel_on -------------------------------------------------------------------------------------


def test_a_cancelling_event_is_a_wait_without_a_step() -> None:
    """It looks from the run's own event on, for as long as it says."""
    policies = {"cancel_on": (CancelOn("stop", match="data.k", timeout="1m"), CancelOn("halt"))}
    work = Admitting(**policies)
    _, gate = work.admit(work.start(1, k="a"))
    stop, halt = gate.open_waits
    assert (stop.run, stop.step, stop.event, stop.path, stop.value) == ("run1", "", "stop", "data.k", '"a"')
    assert (stop.after, stop.expires_at) == (None, START + 60 * SECOND)
    assert (halt.event, halt.path, halt.expires_at) == ("halt", None, NEVER)
    assert stop.id != halt.id


def test_a_match_on_nothing_is_no_wait() -> None:
    """An event without the value would otherwise be cancelled by every event without it."""
    work = Admitting(cancel_on=(CancelOn("stop", match="data.k"),))
    assert cancel_waits(work.start(1), event(1), START) == []


# -- keys that fail --------------------------------------------------------------------------------

BAD = "event.data.k + 1"


@pytest.mark.parametrize(
    "policies",
    [
        {"idempotency": BAD},
        {"rate_limit": RateLimit(1, per="1h", key=BAD)},
        {"debounce": Debounce("10s", key=BAD)},
        {"batch": Batch(9, wait="10s", key=BAD)},
        {"singleton": Singleton(key=BAD, mode="cancel")},
        {"throttle": Throttle(1, per="1h", key=BAD)},
        {"concurrency": (Concurrency(1), Concurrency(1, key=BAD))},
        {"batch": Batch(9, wait="10s"), "concurrency": (Concurrency(1, key=BAD),)},
        {"debounce": Debounce("9s"), "singleton": Singleton(key=BAD)},
        {"rate_limit": RateLimit(1, per="1h"), "throttle": Throttle(1, per="1h", key=BAD)},
    ],
    ids=lambda policies: "-".join(policies),
)
def test_a_key_that_fails_uses_nothing_up(policies: dict[str, Any]) -> None:
    """Its event is skipped with the error, and counted; it takes no key, writes no cell, and enters no run."""
    work = Admitting(**policies)
    (bad, good), gate = work.admit(work.start(1, k="text"), work.start(2, k=1))
    assert bad.skipped is not None
    assert bad.skipped.startswith("a key could not be worked out: 'event.data.k + 1': ")
    assert good == Admitted("run2")
    assert gate.create[0].row.stored == "skipped"
    assert work.table.errors["shop/work"] >= 1
    alone = Admitting(**policies).admit(work.start(2, k=1))[1]
    assert (gate.take, gate.cells, gate.messages) == (alone.take, alone.cells, alone.messages)


# -- the order -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=12), st.integers(1, 3))
def test_all_options_apply_in_their_order(events: list[tuple[str, int]], limit: int) -> None:
    """Idempotency, rate limit, singleton: each decides on what those before it let through, and nothing else."""
    work = Admitting(
        idempotency="event.data.once",
        rate_limit=RateLimit(limit, per="1h", key="event.data.k"),
        singleton=Singleton(key="event.data.k"),
        throttle=Throttle(60, per="1m"),
    )
    answers, gate = work.admit(*[work.start(n, k=k, once=once) for n, (k, once) in enumerate(events)])
    once: set[int] = set()
    passed: dict[str, int] = {}
    single: set[str] = set()
    starts = 0
    for (k, number), admitted, new in zip(events, answers, gate.create, strict=True):
        if number in once:
            assert "has the same idempotency key" in (admitted.skipped or "")
            continue
        if passed.get(k, 0) >= limit:
            assert "the rate limit is used up" in (admitted.skipped or "")
            continue
        passed[k] = passed.get(k, 0) + 1
        if k in single:
            assert "is open (singleton)" in (admitted.skipped or "")
            continue
        assert admitted.skipped is None
        single.add(k)
        once.add(number)
        assert new.row.start_at == (START + starts * SECOND if starts else None)
        starts += 1
