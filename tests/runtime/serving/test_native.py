"""The `flowgen` member: what one end writes the other reads, and nonsense is refused, whoever wrote it."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import (
    Backoff,
    Event,
    Invoke,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    WaitFor,
    WaitForSignal,
)
from flowgen.ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from flowgen.errors import UndecodableError
from flowgen.events import AcceptedEvent
from flowgen.fibers import Fiber
from flowgen.history import Started, StepSucceeded
from flowgen.outcome import Failure, Json
from flowgen.runs import Parent, RunRow
from flowgen.runtime.protocol import native
from flowgen.runtime.protocol.canonical import canonical
from flowgen.tree import Step
from flowgen.values import decode
from tests.bodies import act, workflow_of

AT = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def body(ctx: Any) -> Any:
    yield Run("a", act)


WORKFLOW = workflow_of(body, retries=3, backoff=Backoff.table(["1s", "5s"]))


def step_of(command: Any, id: str | None = None) -> Step:
    parent = Fiber(iter(()), "")  # type: ignore[arg-type]
    return Step(id or command.id, command.id, command, command.kind, command.arguments(), decode, parent)


COMMANDS = [
    Sleep("nap", "1h30m"),
    SleepUntil("nap", AT),
    WaitFor("w", "order/paid", timeout="1d", match="data.id", where="async.data.n > event.data.n", since=AT),
    WaitFor("w", "order/paid", timeout=timedelta(microseconds=7), since="now"),
    WaitForSignal("s", "go", timeout="5m", on_conflict="replace"),
    Invoke("i", "other/child", {"n": 1.0, "big": 2**70}, timeout="1h", on_cancel="leave"),
    Invoke("i", "child"),
    SendEvent("e", [Event("a/b", {"x": 1.0}, id="k", ts=AT), Event("c/d")]),
    SendSignal("t", "go", [1.0, None]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: repr(command)[:30])
def test_a_command_comes_back_as_it_was(command: Any) -> None:
    """With its fingerprint; also after the member has been canonical JSON."""
    step = step_of(command, f"all/0/{command.id}:3")
    sent = json.loads(canonical(json.dumps(native.asked_member(step, WORKFLOW)).encode()))
    asked = native.read_asked(sent)
    assert (asked.step, asked.name, asked.kind) == (step.id, command.id, command.kind)
    assert (asked.digest, bytes(asked.arguments)) == (step.digest, bytes(step.arguments))
    assert asked.command == command


@pytest.mark.parametrize("seen", [None, 0, 41])
def test_a_wait_says_what_the_code_has_seen_before(seen: int | None) -> None:
    """An older app says nothing of it."""
    member = native.asked_member(step_of(COMMANDS[2]), WORKFLOW, seen)
    assert native.read_asked(json.loads(json.dumps(member))).seen == seen
    assert native.read_asked({key: value for key, value in member.items() if key != "seen"}).seen is msgspec.UNSET


def test_a_run_says_when_it_is_tried_again() -> None:
    """As the step says, or else as its workflow does."""
    own = Run("a", act).options(retries=0, backoff=Backoff.exponential("2s"))
    asked = [native.read_asked(native.asked_member(step_of(command), WORKFLOW)) for command in (Run("a", act), own)]
    assert [(each.retries, each.backoff) for each in asked] == [
        (3, WORKFLOW.backoff),
        (0, Backoff.exponential("2s")),
    ]
    assert [each.command for each in asked] == [None, None]


def test_what_a_body_came_to() -> None:
    """A value exactly, a failure whole."""
    step = step_of(Run("a", act, 1.0))
    returned = native.read_asked(native.returned_member(step, WORKFLOW, Json(b'{"n":1.0}')))
    assert returned.value is not None
    assert bytes(returned.value) == b'{"n":1.0}'
    failure = Failure("ValueError", "no", "trace", Failure("KeyError", "'x'"))
    raised = native.read_asked(native.raised_member(step, WORKFLOW, failure, 2, 90_000_000))
    assert (raised.failure, raised.attempts, raised.retry_after) == (failure, 2, 90_000_000)


ENDS: list[BodyEnd] = [
    BodyReturned(Json(b"[1.0]")),
    BodyRaised(Failure("ValueError", "no", "t", Failure("E", "")), "a"),
    BodyRaised(Failure("ValueError", "no")),
    BodyRestarted(Json(b'{"n":1.0}')),
    BodyCancelled("enough"),
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_an_end_comes_back_as_it_was(end: BodyEnd) -> None:
    """Each of them."""
    assert native.read_end(json.loads(json.dumps(native.end_member(end)))) == end


def test_a_successor_is_told_what_its_waits_have_seen() -> None:
    """An older app says nothing of it; what cannot be is refused."""
    member = native.end_member(BodyRestarted(Json(b"{}")), {"paid": 7})
    assert native.read_seen(json.loads(json.dumps(member))) == {"paid": 7}
    assert native.read_seen({"end": "restarted", "value": "{}"}) is None
    assert native.read_seen(native.end_member(BodyCancelled("enough"))) is None
    with pytest.raises(UndecodableError, match="RunComplete has -1 as the position"):
        native.read_seen(member | {"seen": {"paid": -1}})


def test_a_call_tells_the_run_and_nothing_of_who_owns_it() -> None:
    """What the body may depend on; the rest of the row stays with the server."""
    row = RunRow("shop", "r", "w", 5, 7, owner="worker-1", fence=3, parent=Parent("shop", "p", "s", "c"), life=2)
    row.since = (("wait", 4),)
    event = AcceptedEvent("e", "order/placed", Json(b'{"n":1.0}'), 5, 6, "k", 3, "digest")
    records = (Started(5, "code"), StepSucceeded(6, "a", Json(b"1.0"), "run", "d", Json(b"[[1.0],{}]")))
    member = native.told_member(native.Told(row, (event,), records, 1))
    assert "worker-1" not in json.dumps(member)
    told = native.read_told(json.loads(canonical(json.dumps(member).encode())))
    assert (told.events, told.records, told.heard) == ((event,), records, 1)
    known = (told.row.app, told.row.id, told.row.workflow, told.row.created_at, told.row.seed)
    assert known == ("shop", "r", "w", 5, 7)
    assert (told.row.life, told.row.since, told.row.owner, told.row.parent) == (2, (("wait", 4),), None, None)


def test_a_standing_comes_back_as_it_was() -> None:
    """In order."""
    standing = native.Standing(("b", "a", "all/0/c:2"), {"": 5, "all/0": 7})
    assert native.read_standing(json.loads(json.dumps(native.standing_member(standing)))) == standing


def test_a_divergence_comes_back_as_it_was() -> None:
    """And another error is none."""
    diverged = native.Diverged("a", "run 'a'", "run 'b'", "shop.py:7")
    assert native.read_diverged(native.diverged_member(diverged)) == diverged
    assert native.read_diverged(None) is None
    assert native.read_diverged({"step": "a"}) is None


GOOD = native.asked_member(step_of(Sleep("nap", "1h")), WORKFLOW)
RUN = native.asked_member(step_of(Run("a", act)), WORKFLOW)
BAD: list[Any] = [
    None,
    [],
    {},
    {**GOOD, "kind": "nothing"},
    {**GOOD, "step": ""},
    {**GOOD, "step": "a\n"},
    {**GOOD, "step": 7},
    {**GOOD, "name": "a/b"},
    {**GOOD, "arguments": "{"},
    {**GOOD, "duration": -1},
    {**GOOD, "duration": 10**18},
    {**GOOD, "duration": 10**30},
    {**GOOD, "until": 5},
    {key: value for key, value in GOOD.items() if key != "duration"},
    {**RUN, "retries": 21},
    {**RUN, "backoff": {"delays": [], "factor": 1.0, "maximum": 1, "jitter": 0.0}},
    {**RUN, "backoff": {"delays": [-1], "factor": 1.0, "maximum": 1, "jitter": 0.0}},
    {**RUN, "value": "nonsense"},
    {**RUN, "failure": {"type": 1}},
    {**native.asked_member(step_of(COMMANDS[2]), WORKFLOW), "event": "flowgen/run.failed"},
    {**native.asked_member(step_of(COMMANDS[2]), WORKFLOW), "where": "1 +"},
    {**native.asked_member(step_of(COMMANDS[2]), WORKFLOW), "since": "soon"},
    {**native.asked_member(step_of(COMMANDS[2]), WORKFLOW), "seen": -1},
    {**native.asked_member(step_of(COMMANDS[2]), WORKFLOW), "seen": 2**63},
    {**native.asked_member(step_of(COMMANDS[2]), WORKFLOW), "seen": "all"},
    {**native.asked_member(step_of(COMMANDS[5]), WORKFLOW), "data": "[1]"},
    {**native.asked_member(step_of(COMMANDS[5]), WORKFLOW), "on_cancel": "maybe"},
    {**native.asked_member(step_of(COMMANDS[7]), WORKFLOW), "events": []},
    {**native.asked_member(step_of(COMMANDS[7]), WORKFLOW), "events": [{"name": "flowgen/x"}]},
    {**native.asked_member(step_of(COMMANDS[7]), WORKFLOW), "events": [{"name": "x", "ts": 10**30}]},
]


@pytest.mark.parametrize("member", BAD, ids=lambda member: str(member)[:40])
def test_an_op_that_no_command_could_ask_for_is_refused(member: Any) -> None:
    """An app that lies harms only its own run, with an error that names what is wrong."""
    with pytest.raises(UndecodableError, match="flowgen member of an op|not JSON"):
        native.read_asked(member)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted({*GOOD, *RUN, "v", "run"})), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    """With no other error than the one for it."""
    for read in (native.read_told, native.read_asked, native.read_end, native.read_standing, native.read_diverged):
        with contextlib.suppress(UndecodableError):
            read(value)


def test_another_version_is_told_apart() -> None:
    """Both ends are named."""
    with pytest.raises(UndecodableError, match="version 2, and this code reads version 1"):
        native.read_told({"v": 2, "run": ""})


def test_a_run_without_events_is_refused() -> None:
    """Its body could not even begin."""
    member = native.told_member(native.Told(RunRow("a", "r", "w", 1, 2), (), ()))
    with pytest.raises(UndecodableError, match="without an event"):
        native.read_told(member)
