"""What an op asks for: the many ways in which SDKs write the same, and what none of them means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.duration import DAY, HOUR, MAX_DURATION, MINUTE, SECOND, instant
from flowgen.runtime.protocol.ops import Op, Opcode, parse_ops
from flowgen.runtime.protocol.reading import BadResponse
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.protocol.terms import (
    INVOKE_TIMEOUT,
    PROVIDERS,
    AwaitEvent,
    AwaitSignal,
    Defer,
    Fetch,
    Infer,
    InvokeFunction,
    SleepFor,
    SleepUntil,
    Undefer,
    terms_of,
)

from .wild import VALUES, bent, received, refusal

NOW = instant(datetime(2026, 1, 1, tzinfo=UTC), "now")


def op(code: Opcode, opts: Any = None, name: str | None = None) -> Op:
    return Op(code, step_hash("it"), name, "it", opts or {})


@pytest.mark.parametrize(
    "opts, name, terms",
    [
        ({"duration": "90s"}, None, SleepFor(90 * SECOND)),
        ({"duration": "1d12h"}, None, SleepFor(36 * HOUR)),
        ({"duration": "24h0m0s"}, None, SleepFor(DAY)),
        ({"duration": "1.5h"}, None, SleepFor(90 * MINUTE)),
        ({"duration": ""}, None, SleepFor(0)),
        ({}, "1s", SleepFor(SECOND)),
        ({"duration": "30"}, None, SleepFor(30 * SECOND)),
        ({}, None, SleepFor(0)),
        ({}, "2026-01-01T00:00:02.500Z", SleepUntil(NOW + 2_500_000)),
        ({"duration": "2026-01-01T01:00:00+01:00"}, "1s", SleepUntil(NOW)),
        ({}, "2026-01-02", SleepUntil(NOW + DAY)),
        ({}, "1999-01-01T00:00:00Z", SleepUntil(instant(datetime(1999, 1, 1, tzinfo=UTC), "then"))),
    ],
)
def test_a_sleep_is_a_time_or_a_date(opts: Any, name: str | None, terms: Any) -> None:
    """Python says a date as the op's name, TypeScript a time, others `duration`."""
    assert terms_of(op(Opcode.SLEEP, opts, name), NOW) == terms


@pytest.mark.parametrize("name", ["soon", "-1s", "1h30", "367d", "9999-01-01T00:00:00Z", "2026-13-01T00:00:00Z"])
def test_a_sleep_that_is_no_time_is_refused(name: str) -> None:
    """With its place and what was written."""
    with pytest.raises(BadResponse, match=r"Sleep 'it': opts\.name: .*") as refused:
        terms_of(op(Opcode.SLEEP, {}, name), NOW)
    assert name[:4] in str(refused.value)


def test_a_wait_for_an_event_says_its_name_in_one_of_two_places() -> None:
    """The timeout is a time or a date; none at all is now."""
    assert terms_of(op(Opcode.WAIT_FOR_EVENT, {"timeout": "1h", "if": "async.data.ok"}, "a/b"), NOW) == AwaitEvent(
        "a/b", "async.data.ok", HOUR
    )
    assert terms_of(op(Opcode.WAIT_FOR_EVENT, {"event": "c", "timeout": ""}, "a/b"), NOW) == AwaitEvent("c", None, 0)
    later = {"timeout": "2026-01-01T00:01:00Z", "if": ""}
    assert terms_of(op(Opcode.WAIT_FOR_EVENT, later, "a/b"), NOW) == AwaitEvent("a/b", None, MINUTE)
    gone = {"timeout": "2025-01-01T00:01:00Z"}
    assert terms_of(op(Opcode.WAIT_FOR_EVENT, gone, "a/b"), NOW) == AwaitEvent("a/b", None, 0)


@pytest.mark.parametrize(
    "opts, place",
    [
        ({}, "event"),
        ({"event": "a", "timeout": "400d"}, "timeout"),
        ({"event": "a", "timeout": "2030-01-01T00:00:00Z"}, "timeout"),
    ],
)
def test_a_wait_that_cannot_be_is_refused(opts: Any, place: str) -> None:
    """Without a name, or for longer than anything waits."""
    with pytest.raises(BadResponse) as refused:
        terms_of(op(Opcode.WAIT_FOR_EVENT, opts), NOW)
    assert refused.value.place == f"WaitForEvent 'it': opts.{place}"


def test_a_signal_is_waited_for() -> None:
    """With what is to happen when another run waits for it."""
    opts = {"signal": "go", "timeout": "2m", "conflict": "replace"}
    assert terms_of(op(Opcode.WAIT_FOR_SIGNAL, opts), NOW) == AwaitSignal("go", 2 * MINUTE, "replace")
    assert terms_of(op(Opcode.WAIT_FOR_SIGNAL, opts | {"conflict": "fail"}), NOW) == AwaitSignal(
        "go", 2 * MINUTE, "fail"
    )


def test_an_invoke_names_a_function_and_waits_for_a_year() -> None:
    """Unless it says for how long."""
    opts = {"function_id": "shop-pay", "payload": {"data": {"n": 1}, "v": None}, "timeout": None}
    assert terms_of(op(Opcode.INVOKE_FUNCTION, opts), NOW) == InvokeFunction("shop-pay", {"n": 1}, INVOKE_TIMEOUT)
    brief = {"function_id": "shop-pay", "timeout": "1m"}
    assert terms_of(op(Opcode.INVOKE_FUNCTION, brief), NOW) == InvokeFunction("shop-pay", None, MINUTE)


def test_a_request_of_a_gateway() -> None:
    """What an app wants to be sent in its place; a body that is no text is JSON."""
    opts = {"url": "https://a.example/x", "method": "POST", "headers": {"x-a": "b"}, "body": '{"n":1}'}
    assert terms_of(op(Opcode.GATEWAY, opts), NOW) == Fetch("https://a.example/x", "POST", {"x-a": "b"}, '{"n":1}')
    assert terms_of(op(Opcode.GATEWAY, opts | {"body": {"n": 1}}), NOW) == Fetch(
        "https://a.example/x", "POST", {"x-a": "b"}, '{"n":1}'
    )
    assert terms_of(op(Opcode.GATEWAY, {"url": "https://a.example/x"}), NOW) == Fetch(
        "https://a.example/x", "GET", {}, None
    )


def test_headers_are_texts() -> None:
    """A request with others is not sent."""
    with pytest.raises(BadResponse, match=r"opts\.headers\.x-a: must be text, not 1"):
        terms_of(op(Opcode.GATEWAY, {"url": "http://a", "headers": {"x-a": 1}}), NOW)


def test_an_inference_goes_to_its_provider() -> None:
    """Which the format names, where the op does not; the key is not shown."""
    opts = {"format": "openai-chat", "auth_key": "a-key", "body": {"model": "m"}, "headers": None, "url": None}
    terms = terms_of(op(Opcode.AI_GATEWAY, opts), NOW)
    assert terms == Infer(PROVIDERS["openai-chat"], "openai-chat", {}, "a-key", {"model": "m"})
    assert "a-key" not in repr(terms)
    with pytest.raises(BadResponse, match=r"opts\.url: is missing"):
        terms_of(op(Opcode.AI_GATEWAY, opts | {"format": "unheard-of"}), NOW)


def test_defers() -> None:
    """Which are made, and taken back."""
    assert terms_of(op(Opcode.DEFER_ADD, {"fn_slug": "shop-note", "input": {"n": 1}}), NOW) == Defer(
        "shop-note", {"n": 1}
    )
    assert terms_of(op(Opcode.DEFER_ABORT, {"target_hashed_id": "ab"}), NOW) == Undefer("ab")


@pytest.mark.parametrize("code", [Opcode.STEP_RUN, Opcode.STEP_PLANNED, Opcode.NONE, Opcode.RUN_COMPLETE])
def test_other_ops_ask_for_nothing(code: Opcode) -> None:
    """They report."""
    assert terms_of(op(code), NOW) is None


EXAMPLES = [
    {"op": "Sleep", "id": step_hash("it"), "name": "1h", "opts": {"duration": "1h"}},
    {"op": "WaitForEvent", "id": step_hash("it"), "name": "e", "opts": {"event": "e", "timeout": "1h", "if": "x"}},
    {"op": "WaitForSignal", "id": step_hash("it"), "opts": {"signal": "s", "timeout": "1h", "conflict": "fail"}},
    {"op": "InvokeFunction", "id": step_hash("it"), "opts": {"function_id": "a-b", "payload": {"data": {}}}},
    {"op": "Gateway", "id": step_hash("it"), "opts": {"url": "http://a", "headers": {"a": "b"}, "body": "c"}},
    {"op": "AIGateway", "id": step_hash("it"), "opts": {"url": "http://a", "format": "f", "body": {}, "headers": {}}},
    {"op": "DeferAdd", "id": "x", "opts": {"fn_slug": "a-b", "input": {}}},
    {"op": "DeferAbort", "id": "x", "opts": {"target_hashed_id": "x"}},
]


@given(bent(*([example] for example in EXAMPLES)) | VALUES, st.integers(0, 2**53))
def test_whatever_comes_in_only_our_error_comes_out(document: Any, now: int) -> None:
    """And no delay is below zero, or longer than what anything waits."""
    refused = refusal(lambda: [check(terms_of(op, now), now) for op in parse_ops(received(document))])
    assert refused is None or isinstance(refused, BadResponse)


def check(terms: Any, now: int) -> None:
    match terms:
        case SleepFor(duration=delay) | AwaitEvent(timeout=delay) | AwaitSignal(timeout=delay):
            assert 0 <= delay <= MAX_DURATION
        case InvokeFunction(timeout=delay):
            assert 0 <= delay <= MAX_DURATION
        case SleepUntil(moment=moment):
            assert moment - now <= MAX_DURATION
