"""The memo of a run: each outcome in the shape in which SDKs read it, in the order of the history."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from flowgen.events import AcceptedEvent
from flowgen.history import (
    AttemptFailed,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    WaitTerms,
)
from flowgen.outcome import NULL, Failure, Json
from flowgen.runtime.protocol.memo import Memo, memo_of_history
from flowgen.runtime.protocol.steps import step_hash

AT = 1_767_225_600_000_000
LATER = AT + 1_000_000
MATCHED = AcceptedEvent("internal", "order/paid", Json(b'{"n":1}'), AT, AT, key="theirs", position=7)


def memo_of_step(*records: Record) -> Any:
    memo = memo_of_history([Started(AT, ""), *records])
    assert memo.stack == [step_hash("it")]
    return json.loads(bytes(memo.steps[step_hash("it")]))


def requested(kind: Any, terms: Any) -> Requested:
    return Requested(AT, "it", kind, "", terms)


SLEEP = requested("sleep", SleepTerms(LATER))
WAIT = requested("wait", WaitTerms("w", "order/paid", LATER, 0))
SIGNAL = requested("signal", SignalTerms("w", "go", LATER))
INVOKE = requested("invoke", InvokeTerms("shop", "pay", "c"))


@pytest.mark.parametrize(
    "records, memo",
    [
        ([StepSucceeded(AT, "it", Json(b'{"paid":1.0}'))], {"data": {"paid": 1.0}}),
        ([StepSucceeded(AT, "it", NULL)], {"data": None}),
        ([SLEEP, StepSucceeded(LATER, "it", NULL, "sleep")], None),
        ([WAIT, StepSucceeded(LATER, "it", NULL, "wait")], None),
        ([SIGNAL, StepSucceeded(AT, "it", Json(b"[1]"), "signal")], {"data": {"signal": "go", "data": [1]}}),
        ([SIGNAL, StepSucceeded(AT, "it", NULL, "signal")], {"data": {"signal": "go", "data": None}}),
        ([SIGNAL, StepSucceeded(LATER, "it", NULL, "signal")], None),
        ([INVOKE, StepSucceeded(AT, "it", Json(b'"done"'), "invoke")], {"data": "done"}),
        (
            [StepFailed(AT, "it", Failure("ValueError", "no", "at x", Failure("OSError", "disk")))],
            {
                "error": {
                    "name": "ValueError",
                    "message": "no",
                    "stack": "at x",
                    "cause": {"name": "OSError", "message": "disk", "stack": ""},
                }
            },
        ),
        (
            [INVOKE, StepFailed(LATER, "it", Failure("InvokeTimeout", "run c did not end in time"), 1, "invoke")],
            {
                "error": {
                    "name": "InngestInvokeTimeoutError",
                    "message": "Timed out waiting for invoked function to complete",
                    "stack": "",
                }
            },
        ),
    ],
)
def test_each_outcome_has_its_shape(records: list[Record], memo: Any) -> None:
    """Wrapped or not, as the SDKs expect."""
    assert memo_of_step(*records) == memo


def test_a_matched_event_is_not_wrapped() -> None:
    """It is the event itself, as it is on the wire."""
    value = Json(msgspec.json.encode(MATCHED))
    assert memo_of_step(WAIT, StepSucceeded(AT, "it", value, "wait", position=7)) == {
        "id": "theirs",
        "name": "order/paid",
        "data": {"n": 1},
        "ts": AT // 1000,
        "user": {},
    }


def ran(step: str, n: int = 0) -> StepSucceeded:
    return StepSucceeded(AT + n, step, Json(b"%d" % n))


HISTORY: list[Record] = [
    Started(AT, ""),
    ran("b", 1),
    AttemptFailed(AT, "a", 1, Failure("E", ""), AT, ""),
    ran("a:1", 2),
    ran("a", 3),
]


def test_the_stack_is_the_order_of_outcomes() -> None:
    """Attempts and requests are no outcomes."""
    memo = memo_of_history(HISTORY)
    assert memo.stack == [step_hash(step) for step in ("b", "a:1", "a")]
    assert memo.size == sum(len(bytes(value)) for value in memo.steps.values())


def test_it_folds_record_by_record() -> None:
    """And says which step has ended with a record."""
    memo = Memo()
    assert [memo.feed(record) for record in HISTORY] == [
        None,
        step_hash("b"),
        None,
        step_hash("a:1"),
        step_hash("a"),
    ]
    whole = memo_of_history(HISTORY)
    assert {key: bytes(value) for key, value in memo.steps.items()} == {
        key: bytes(value) for key, value in whole.steps.items()
    }
    assert memo.stack == whole.stack


def test_an_outcome_counts_once() -> None:
    """The first one stays."""
    memo = memo_of_history([*HISTORY, ran("a", 9)])
    assert bytes(memo.steps[step_hash("a")]) == b'{"data":3}'
    assert len(memo.stack) == 3


def test_what_a_retry_takes_back_is_not_in_it() -> None:
    """The failed step is asked for again."""
    failed = [*HISTORY, StepFailed(AT, "c", Failure("E", "")), EndFailed(AT, Failure("E", ""), "c")]
    assert step_hash("c") in memo_of_history(failed).steps
    assert step_hash("c") not in memo_of_history([*failed, Retried(AT, 4, 1, ("c",))]).steps
