"""Calls and answers: what a server asks, and every way in which an app may answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.duration import DAY, SECOND, instant
from flowgen.outcome import Json
from flowgen.runtime.protocol.calls import (
    MAX_ANSWER,
    Answer,
    Call,
    Erred,
    Ops,
    Returned,
    build_answer,
    build_call,
    call_url,
    parse_answer,
    parse_call,
)
from flowgen.runtime.protocol.errors import UserError
from flowgen.runtime.protocol.ops import Op, Opcode
from flowgen.runtime.protocol.reading import BadRequest, BadResponse, encoded
from flowgen.runtime.protocol.steps import step_hash

from .wild import BYTES, TEXTS, VALUES, bent, refusal, wire

NOW = instant(datetime(2026, 1, 1, tzinfo=UTC), "now")
CHARGE = step_hash("charge")
SDK = ("X-Inngest-SDK", "inngest-py:v0.5.19")

# -- calls -----------------------------------------------------------------------------------------

REQUEST: dict[str, Any] = {
    "event": {"id": "e", "name": "go", "data": {}, "ts": 1, "user": {}},
    "events": [{"id": "e", "name": "go", "data": {}, "ts": 1, "user": {}}],
    "steps": {CHARGE: {"data": 1}, step_hash("nap"): None},
    "defers": {"ab": {"abortable": True}},
    "ctx": {
        "fn_id": "3b8c2f5e-0000-4000-8000-000000000000",
        "run_id": "01KDVJ5Q00000000000000000R",
        "env": "local",
        "step_id": "step",
        "attempt": 1,
        "max_attempts": 5,
        "stack": {"stack": [CHARGE, step_hash("nap")], "current": 2},
        "qi_id": "q",
        "request_id": "r",
        "generation_id": 3,
        "job_id": "j",
        "disable_immediate_execution": True,
        "use_api": False,
    },
    "version": 2,
    "use_api": False,
}


def test_a_call_of_their_server_is_read() -> None:
    """Every member."""
    assert parse_call(wire(REQUEST)) == Call(
        run_id="01KDVJ5Q00000000000000000R",
        events=(REQUEST["event"],),
        steps=REQUEST["steps"],
        stack=(CHARGE, step_hash("nap")),
        current=2,
        attempt=1,
        max_attempts=5,
        version=2,
        disable_immediate_execution=True,
        use_api=False,
        fn_id="3b8c2f5e-0000-4000-8000-000000000000",
        env="local",
        qi_id="q",
        request_id="r",
        generation_id=3,
        job_id="j",
        defers={"ab": {"abortable": True}},
    )


def test_a_call_that_is_read_and_written_is_the_same() -> None:
    """So what we write has all that their server writes."""
    assert json.loads(build_call(parse_call(wire(REQUEST)))) == REQUEST


CALLS = st.builds(
    Call,
    run_id=TEXTS.filter(bool),
    events=st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), max_size=3).map(tuple),
    steps=st.dictionaries(TEXTS, VALUES, max_size=3),
    stack=st.lists(TEXTS, max_size=3).map(tuple),
    current=st.integers(0, 9),
    attempt=st.integers(0, 9),
    max_attempts=st.none() | st.integers(0, 21),
    version=st.integers(-1, 3),
    disable_immediate_execution=st.booleans(),
    fn_id=TEXTS,
    request_id=TEXTS,
    generation_id=st.integers(0, 9),
    flowgen=st.none() | st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3),
)


@given(CALLS)
def test_what_is_written_is_read_back(call: Call) -> None:
    """Whatever is in it."""
    assert parse_call(build_call(call)) == call


def test_what_is_encoded_already_is_written_as_it_is() -> None:
    """The memo of a run is kept encoded."""
    call = Call("r", events=(Json(b'{"n":1.0}'),), steps={CHARGE: Json(b'{"data":1e3}')})
    assert b'{"n":1.0}' in build_call(call)
    assert b'{"data":1e3}' in build_call(call)


def test_a_call_that_is_too_large_sends_the_app_to_the_api() -> None:
    """Events and memo are left out, and both places say so."""
    said = json.loads(build_call(Call("r", events=({"n": 1},), steps={CHARGE: 1}, stack=(CHARGE,), use_api=True)))
    assert (said["events"], said["steps"], said["use_api"], said["ctx"]["use_api"]) == ([], {}, True, True)
    assert said["event"] == {"n": 1}
    assert said["ctx"]["stack"]["stack"] == [CHARGE]
    for place in ({"use_api": True, "ctx": {"run_id": "r"}}, {"ctx": {"run_id": "r", "use_api": True}}):
        assert parse_call(wire(place)).use_api


def test_little_is_enough_for_a_call() -> None:
    """A run and an event, in any capitals; null is nothing."""
    call = parse_call(b'{"EVENT": {"name": "go"}, "events": null, "Ctx": {"RUN_ID": "r", "stack": {"stack": null}}}')
    assert call == Call("r", events=({"name": "go"},))


@pytest.mark.parametrize(
    "document, place",
    [
        ([], ""),
        ({}, "ctx"),
        ({"ctx": {}}, "ctx.run_id"),
        ({"ctx": {"run_id": 5}}, "ctx.run_id"),
        ({"ctx": {"run_id": "r", "attempt": "1"}}, "ctx.attempt"),
        ({"ctx": {"run_id": "r", "attempt": -1}}, "ctx.attempt"),
        ({"ctx": {"run_id": "r", "attempt": 1_001}}, "ctx.attempt"),
        ({"ctx": {"run_id": "r", "stack": []}}, "ctx.stack"),
        ({"ctx": {"run_id": "r", "stack": {"stack": ["a", 1]}}}, "ctx.stack.stack[1]"),
        ({"ctx": {"run_id": "r"}, "steps": []}, "steps"),
        ({"ctx": {"run_id": "r"}, "use_api": 1}, "use_api"),
    ],
)
def test_what_is_no_call_is_refused_with_its_place(document: Any, place: str) -> None:
    """Whoever wrote that server wants to know."""
    refused = refusal(lambda: parse_call(wire(document)))
    assert isinstance(refused, BadRequest)
    assert refused.place == place


@given(BYTES | bent(REQUEST).map(wire))
def test_whatever_comes_in_as_a_call_only_our_error_comes_out(body: bytes) -> None:
    """And what is let in can be written again."""
    refused = refusal(lambda: build_call(parse_call(body)))
    assert refused is None or isinstance(refused, BadRequest)


@pytest.mark.parametrize(
    "url, called",
    [
        ("http://a/x", "http://a/x?fnId=app-f&stepId=step"),
        ("http://a/x?fnId=old&stepId=old&deployId=1", "http://a/x?fnId=app-f&stepId=step"),
        ("http://a/x?token=a%20b&fnId=app-f&stepId=step", "http://a/x?token=a+b&fnId=app-f&stepId=step"),
        ("http://a/x?empty=#top", "http://a/x?empty=&fnId=app-f&stepId=step"),
    ],
)
def test_a_call_goes_to_the_url_of_its_function(url: str, called: str) -> None:
    """With what the app has put there for itself, and aimed at a step or none."""
    assert call_url(url, "app-f") == called
    assert call_url(url, "app-f", CHARGE) == called.replace("stepId=step", f"stepId={CHARGE}")


# -- answers ---------------------------------------------------------------------------------------


def answer(status: int, body: Any, *headers: tuple[str, str], sdk: bool = True) -> Answer:
    text = body if isinstance(body, bytes) else wire(body)
    return parse_answer(status, [*([SDK] if sdk else []), *headers], text, NOW)


def result(got: Answer) -> Any:
    assert isinstance(got.outcome, Returned)
    return json.loads(bytes(got.outcome.data))


def error(got: Answer) -> UserError:
    assert isinstance(got.outcome, Erred)
    return got.outcome.error


@pytest.mark.parametrize("value", [None, 0, "", [], {}, {"a": 1}, "text"])
def test_a_function_returns_any_json(value: Any) -> None:
    """Nothing at all is null."""
    assert result(answer(200, value)) == value
    assert result(answer(200, b"")) is None


def test_ops_come_with_206() -> None:
    """A list of them, one alone, or none; and encoded twice, as some do in streams."""
    ops = [{"op": "StepRun", "id": CHARGE, "data": 1}]
    for body in (ops, ops[0], json.dumps(ops)):
        got = answer(206, body).outcome
        assert isinstance(got, Ops)
        assert [(op.op, op.id) for op in got.ops] == [(Opcode.STEP_RUN, CHARGE)]
    assert answer(206, []).outcome == Ops(())


def test_an_answer_says_with_what_it_was_made() -> None:
    """Headers in any capitals."""
    got = answer(200, 1, ("x-inngest-req-version", "2"))
    assert (got.sdk, got.version, got.no_retry, got.retry_after) == ("inngest-py:v0.5.19", 2, False, None)
    for odd in ("", "two", "2.0", "1" * 50, "\x1e2"):
        assert answer(200, 1, ("X-Inngest-Req-Version", odd)).version is None


def test_an_error_is_the_functions() -> None:
    """500 may be tried again, and 400 too: only the header counts."""
    failure = {"name": "ValueError", "message": "no", "stack": "at x"}
    for status in (400, 404, 500, 503):
        assert error(answer(status, failure)) == UserError("ValueError", "no", "at x")
        assert not answer(status, failure).no_retry
    assert answer(500, failure, ("X-INNGEST-NO-RETRY", "True")).no_retry
    assert not answer(400, failure, ("x-inngest-no-retry", "false")).no_retry


def test_an_error_may_be_text_of_json() -> None:
    """As TypeScript's SDK wraps it."""
    assert error(answer(500, json.dumps({"name": "E", "message": "no"}))) == UserError("E", "no")
    assert error(answer(500, "it broke")) == UserError("Error", "it broke")


def test_what_is_no_answer_of_an_sdk_is_a_fatal_error_of_the_app() -> None:
    """A proxy's page, or a crash: with what it said, shortened."""
    got = error(answer(502, b"<html>Bad Gateway\0</html>", sdk=False))
    assert (got.name, got.message) == ("ServerError", "The app returned a fatal error: status 502")
    assert got.stack == "<html>Bad Gateway\ufffd</html>"
    assert len(error(answer(502, b"x" * 100_000, sdk=False)).stack) == 8 * 1024 + 1
    assert "redirect" in error(answer(302, b"", sdk=False)).message
    assert error(answer(500, {"name": "E", "message": "of another"}, sdk=False)).name == "ServerError"
    assert error(answer(500, b"not json")).stack == "not json"


@pytest.mark.parametrize(
    "status, body, sdk, reason",
    [
        (200, b"1", False, "did not come from an SDK"),
        (206, b"[]", False, "did not come from an SDK"),
        (204, b"", True, "status 204"),
        (200, b"NaN", True, "NaN is not a JSON number"),
        (200, b"{", True, "is not JSON"),
        (200, b'{"a":1,"a":2}', True, "twice"),
        (206, b"", True, "is empty"),
        (206, b"5", True, "must be an object"),
        (206, b'"nothing"', True, "is not JSON"),
        (201, b"", True, "is empty"),
        (201, b"   ", True, "is empty"),
        (201, b"[]", True, "must be an object"),
        (201, b"{}", True, "status"),
        (201, b'{"status":201,"body":""}', True, "status"),
        (201, b'{"status":1000,"body":""}', True, "status"),
        (201, b'{"status":200,"body":1,"headers":[]}', True, "headers"),
        (200, b" " * (MAX_ANSWER + 1), True, "at most 8,388,608"),
    ],
)
def test_what_no_app_answers_is_refused(status: int, body: bytes, sdk: bool, reason: str) -> None:
    """With the reason, for the history of the run."""
    refused = refusal(lambda: answer(status, body, sdk=sdk))
    assert isinstance(refused, BadResponse)
    assert reason in str(refused)


@pytest.mark.parametrize("text", [True, False])
def test_a_stream_holds_an_answer(text: bool) -> None:
    """After spaces that kept the connection alive; its headers are those within, before those around it."""
    ops = [{"op": "StepRun", "id": CHARGE, "data": 1}]
    inner = {"status": 206, "body": json.dumps(ops) if text else ops, "headers": {"X-Inngest-No-Retry": "true"}}
    got = answer(201, b"   " + wire(inner), ("x-inngest-req-version", "2"), ("x-inngest-no-retry", "false"))
    assert isinstance(got.outcome, Ops)
    assert (got.no_retry, got.version) == (True, 2)
    failed = {
        "status": 500,
        "body": json.dumps({"name": "E", "message": "no"}),
        "headers": {"x-inngest-sdk": "inngest-py:v1"},
    }
    assert error(answer(201, failed, sdk=False)) == UserError("E", "no")
    assert result(answer(201, {"status": 200, "body": '"text"'})) == "text"
    assert result(answer(201, {"status": 200, "body": {"a": 1}})) == {"a": 1}


@pytest.mark.parametrize(
    "said, delay",
    [
        ("5", 5 * SECOND),
        ("0", SECOND),
        ("9999999", DAY),
        ("2026-01-01T00:00:10Z", 10 * SECOND),
        ("2026-01-01T00:00:10.250+00:00", 10_250_000),
        ("2026-01-01T00:00:10", 10 * SECOND),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60 * SECOND),
        ("2020-01-01T00:00:00Z", SECOND),
        ("2099-01-01T00:00:00Z", DAY),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("12345678", None),
        ("x" * 5000, None),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:01:00 +99999", None),
        ("0001-01-01T00:00:00+23:59", SECOND),
    ],
)
def test_when_to_try_again_is_said_in_many_ways(said: str, delay: int | None) -> None:
    """From a second to a day from now; what is none of them says nothing."""
    assert answer(500, {}, ("Retry-After", said)).retry_after == delay


OPS = st.builds(Op, op=st.just(Opcode.STEP_RUN), id=TEXTS.map(step_hash), data=VALUES.map(encoded))
OUTCOMES = (
    VALUES.map(lambda value: Returned(encoded(value)))
    | st.lists(OPS, max_size=3).map(lambda ops: Ops(tuple(ops)))
    | st.builds(
        Erred,
        st.builds(UserError, TEXTS.filter(bool), TEXTS, TEXTS),
        st.none() | st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3),
    )
)


@given(OUTCOMES, st.integers(1, 2), st.booleans(), st.none() | st.integers(1, 86_400))
def test_what_is_answered_is_read_back(outcome: Any, version: int, no_retry: bool, retry_after: int | None) -> None:
    """Every outcome, with what it says about trying again."""
    later = None if retry_after is None else retry_after * SECOND
    said = Answer(outcome, version, "flowgen:v1", no_retry and not isinstance(outcome, Returned), later)
    status, headers, body = build_answer(said)
    got = parse_answer(status, headers.items(), body, NOW)
    assert plain(got) == plain(said)


def plain(got: Answer) -> Any:
    match got.outcome:
        case Returned(data):
            outcome: Any = msgspec.json.decode(data)
        case Ops(ops):
            outcome = [(op.op, op.id, None if op.data is None else bytes(op.data)) for op in ops]
        case Erred(error, flowgen):
            outcome = error, flowgen
    return outcome, got.version, got.sdk, got.no_retry, got.retry_after


def test_a_delay_is_said_in_seconds_and_never_too_short() -> None:
    """The header knows no parts of a second."""
    _, headers, _ = build_answer(Answer(Erred(UserError("E", "")), retry_after=1_500_000))
    assert headers["Retry-After"] == "2"


HEADERS = st.dictionaries(
    st.sampled_from(["x-inngest-sdk", "x-inngest-req-version", "x-inngest-no-retry", "retry-after"]), TEXTS
)
STREAMED = {"status": 206, "body": "[]", "headers": {"retry-after": "1"}}


@given(st.sampled_from([200, 201, 204, 206, 302, 400, 500]), HEADERS, BYTES | bent(STREAMED).map(wire))
def test_whatever_comes_in_as_an_answer_only_our_error_comes_out(
    status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """And what is let in can be answered again."""
    refused = refusal(lambda: build_answer(parse_answer(status, headers.items(), body, NOW)))
    assert refused is None or isinstance(refused, BadResponse)
