"""The narrator: what happened, in lines, from transitions alone."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from flowgen.codec import encode_event
from flowgen.events import AcceptedEvent
from flowgen.history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCancelled,
    EndCompleted,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SendTerms,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    WaitTerms,
)
from flowgen.outcome import NULL, Failure, Json
from flowgen.runs import Parent, RunRow
from flowgen.runtime.cli.narrator import Line, Note, about, narrate, note_on
from flowgen.runtime.drive import hand_back, is_hand_back
from flowgen.transition import NewRun, Progress, Transition

S = 1_000_000
AT = 1_800_000_000 * S
EVENT = AcceptedEvent("e1", "order/placed", Json(b'{"card": "4111"}'), AT, AT, key="cart-7")
NOTE = Note("fulfil", (EVENT,), started_at=AT - 90 * S)
FAILURE = Failure("GatewayError", "no\n\x1b[31mline")


def told(*records: Record, note: Note = NOTE, payloads: bool = False, **progress: Any) -> list[Line]:
    transition = Transition("r1/1/0", Progress("shop", "r1", 1, 0, records, **progress))
    return narrate(transition, AT, lambda app, run: note, payloads)


def wait(path: str | None = None) -> WaitTerms:
    return WaitTerms("w1", "order/approved", AT + 7 * 86_400 * S, 1, path, '"secret-value"' if path else None)


@pytest.mark.parametrize(
    "record, verb, text",
    [
        (Started(AT, "d"), "started", "by order/placed; run r1"),
        (Requested(AT, "nap", "sleep", "d", SleepTerms(AT + 1800 * S)), "sleeps", "nap: for 30m"),
        (
            Requested(AT, "ok", "wait", "d", wait("data.order_id")),
            "waits",
            "ok: for event order/approved with the same data.order_id, at most 7d",
        ),
        (Requested(AT, "ok", "wait", "d", wait()), "waits", "ok: for event order/approved, at most 7d"),
        (Requested(AT, "ok", "signal", "d", SignalTerms("w", "go", AT + S)), "waits", "ok: for signal go, at most 1s"),
        (Requested(AT, "x", "invoke", "d", InvokeTerms("a", "w", "child")), "invokes", "x: a/w, run child"),
        (AttemptFailed(AT, "pay", 2, FAILURE, AT + 2 * S, "d"), "error", "pay: attempt 2, the next in 2s: "),
        (StepSucceeded(AT, "pay", NULL), "done", "pay"),
        (StepSucceeded(AT, "nap", NULL, "sleep"), "wakes", "nap"),
        (StepSucceeded(AT, "ok", NULL, "wait"), "timed out", "ok"),
        (StepSucceeded(AT, "ok", Json(encode_event(EVENT)), "wait", position=3), "got", "ok"),
        (StepSucceeded(AT, "go", NULL, "signal"), "got", "go"),
        (StepSucceeded(AT, "tell", NULL, "send"), "sent", "tell"),
        (StepFailed(AT, "pay", FAILURE, 5), "gave up", "pay: after 5 attempts: GatewayError: no \\x1b[31mline"),
        (StepFailed(AT, "x", FAILURE, kind="invoke"), "gave up", "x: GatewayError: no \\x1b[31mline"),
        (CancelAccepted(AT, "by hand", AT), "cancelling", "by hand"),
        (CleanupExpired(AT, ""), "closed", "its body: clean-up took too long"),
        (Retried(AT, 3, 1), "retried", ""),
        (EndCompleted(AT), "completed", "after 1m30s"),
        (EndCompleted(AT, restarted_as="r2"), "restarted", "as run r2"),
        (EndFailed(AT, FAILURE, "pay"), "failed", "GatewayError: no \\x1b[31mline"),
        (EndCancelled(AT, "by hand", False), "cancelled", "by hand; clean-up did not run"),
    ],
)
def test_each_record_has_its_line(record: Record, verb: str, text: str) -> None:
    """One line with the run, its workflow and the record's time; text of errors cannot steer a terminal."""
    (line,) = told(record)
    assert (line.at, line.run, line.workflow, line.verb) == (AT, "r1", "fulfil", verb)
    assert line.text.startswith(text) if verb == "error" else line.text == text


def test_what_goes_without_saying_is_not_said() -> None:
    """A send is told when it is done, in the same commit; a release tells nothing."""
    assert told(Requested(AT, "tell", "send", "d", SendTerms(("e",)))) == []
    assert told(release=True) == []


def test_no_payload_is_shown_unless_asked_for() -> None:
    """Neither events nor results nor what a wait compares; with `payloads` events and results are."""
    records: tuple[Record, ...] = (
        StepSucceeded(AT, "pay", Json(b'{"card":"4111"}')),
        StepSucceeded(AT, "ok", Json(encode_event(EVENT)), "wait", position=3),
        Requested(AT, "w", "wait", "d", wait("data.order_id")),
        EndCompleted(AT, Json(b'"4111"')),
    )
    transition = Transition("t", Progress("shop", "r1", 1, 0, records), accept=(EVENT,))
    shown, hidden = (
        " ".join(line.text for line in narrate(transition, AT, lambda app, run: NOTE, payloads))
        for payloads in (True, False)
    )
    assert "4111" not in hidden
    assert "secret-value" not in hidden
    assert shown.count("4111") == 4


def test_a_run_created_and_claimed_at_once_is_told_after_its_event() -> None:
    """Acceptance tells the event first, then what it started; what waits to be claimed is not told yet."""
    row = RunRow("shop", "r1", "fulfil", AT, 1, owner="w", started_at=AT)
    claimed = NewRun(row, (EVENT,), (Started(AT, "d"),), 10)
    waiting = NewRun(attrs.evolve(row, id="r2", owner=None), (EVENT,))
    lines = narrate(Transition("e1", accept=(EVENT,), create=(claimed, waiting)), AT, lambda app, run: NOTE)
    assert [(line.verb, line.text) for line in lines] == [
        ("event", "order/placed (id cart-7)"),
        ("started", "by order/placed; run r1"),
    ]


def test_an_event_of_the_future_says_when_it_counts() -> None:
    """It starts nothing before."""
    event = attrs.evolve(EVENT, key=None, ts=AT + 3600 * S)
    (line,) = narrate(Transition("e1", accept=(event,)), AT, lambda app, run: NOTE)
    assert line.text == "order/placed; it counts in 1h"


def test_who_started_a_run_is_told() -> None:
    """A parent's step, events by their names (each once), or somebody directly."""
    invoked = AcceptedEvent("r1", "flowgen/run.invoked", NULL, AT, AT)
    row = RunRow("shop", "r1", "fulfil", AT, 1, parent=Parent("shop", "p1", "step", "r1"))
    notes = [note_on(row, (invoked,)), Note("fulfil", (invoked,)), Note("fulfil", (EVENT, EVENT))]
    texts = [told(Started(AT, "d"), note=note)[0].text for note in notes]
    assert texts == ["by run p1; run r1", "directly; run r1", "by order/placed; run r1"]


def test_a_parked_run_and_a_reopened_one_are_told() -> None:
    """Neither needs a record."""
    assert [line.verb for line in told(stored="parked")] == ["parked"]
    assert [line.verb for line in told(reopen=True)] == ["retried"]
    assert [line.verb for line in told(Retried(AT, 1, 1), reopen=True)] == ["retried"]


def test_a_run_that_is_given_back_half_way_is_told() -> None:
    """So that a stop explains what becomes of the runs in hand."""
    owned = _Owned(RunRow("shop", "r1", "fulfil", AT, 1, owner="w", fence=3))
    transition = hand_back(owned, AT)  # type: ignore[arg-type]
    assert is_hand_back(transition)
    assert [line.verb for line in narrate(transition, AT, lambda app, run: NOTE)] == ["given back"]


@attrs.define
class _Owned:
    """As much of an owned run as is needed to give it back."""

    row: RunRow
    position: int = 4
    drained: int = 0

    @property
    def interpreter(self) -> _Owned:
        return self

    @property
    def life(self) -> int:
        return 0


@pytest.mark.parametrize(
    "micros, text",
    [
        (-5, "0ms"),
        (0, "0ms"),
        (999, "0ms"),
        (14_200, "14ms"),
        (S, "1s"),
        (2_447_000, "2.4s"),
        (12_345_678, "12s"),
        (90 * S, "1m30s"),
        (30 * 60 * S + 5 * S, "30m"),
        (7 * 86_400 * S - 1, "6d23h"),
    ],
)
def test_durations_are_rounded_for_people(micros: int, text: str) -> None:
    """No more digits than one would say."""
    assert about(micros) == text
