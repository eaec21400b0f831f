"""The wire module against what the official SDKs really say; `recorded/README.md` says how that was recorded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowgen.runtime.protocol.calls import Answer, Erred, Ops, Returned, build_call, parse_answer, parse_call
from flowgen.runtime.protocol.ops import Op, Opcode, parse_ops
from flowgen.runtime.protocol.reading import BadSignature
from flowgen.runtime.protocol.registration import parse_registration
from flowgen.runtime.protocol.signatures import event_key_hash, is_bearer, key_hash, verify
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.protocol.terms import AwaitEvent, AwaitSignal, Fetch, Infer, InvokeFunction, terms_of

RECORDED = Path(__file__).parent / "recorded"
KEY, OLD_KEY, FORGED_KEY = (f"signkey-test-{byte * 32}" for byte in ("ab", "cd", "00"))
EACH = ["py-fastapi", "py-flask", "py-signed", "py-streaming", "ts", "ts-plain", "ts-signed", "ts-streaming"]
NOW = 1_890_000_000_000_000
Exchange = dict[str, Any]


def exchanges(label: str, scene: str | None = None) -> list[Exchange]:
    """What was recorded, of one scene or of all."""
    lines = (RECORDED / f"{label}.jsonl").read_text().splitlines()
    found = [each for each in map(json.loads, lines) if scene in (None, each["scene"])]
    assert found, f"{label} has no scene {scene}"
    return found


def calls(label: str, scene: str | None = None) -> Iterator[Exchange]:
    """The calls of functions."""
    return (each for each in exchanges(label, scene) if each["to"] == "app" and "fnId=" in each["path"])


def answered(exchange: Exchange) -> Answer:
    """The app's answer, as the wire module reads it."""
    answer = exchange["answer"]
    body = answer["text"] if "text" in answer else json.dumps(answer["body"])
    return parse_answer(answer["status"], list(answer["headers"].items()), body.encode(), NOW)


def reported(label: str, scene: str) -> list[Op]:
    """All that the answers to the calls of a scene report, in their order."""
    return [op for each in calls(label, scene) for op in ops_of(answered(each))]


def ops_of(answer: Answer) -> tuple[Op, ...]:
    return answer.outcome.ops if isinstance(answer.outcome, Ops) else ()


def checkpointed(label: str) -> list[Op]:
    """What the app told beside its answers."""
    bodies = [each["body"] for each in exchanges(label) if "/v1/checkpoint" in each["path"]]
    return [op for body in bodies for op in parse_ops(body["steps"])]


@pytest.mark.parametrize("label", EACH)
def test_each_answer_is_understood(label: str) -> None:
    """Whatever the SDKs answer to a call is read; what says that it is from an SDK has its version."""
    for each in calls(label):
        answer = answered(each)
        assert isinstance(answer.outcome, Returned | Ops | Erred)
        assert answer.sdk is None or answer.sdk.startswith(("inngest-py:v", "inngest-js:v"))
        assert answer.version in (None, 1, 2)


@pytest.mark.parametrize("label", EACH)
def test_the_hash_of_a_step_is_that_of_its_id(label: str) -> None:
    """The step id that we record for an op hashes to the id that the SDK gave it, repeats included."""
    ops = [op for each in calls(label) for op in ops_of(answered(each))]
    if label == "ts":
        ops += checkpointed(label)
    assert all(step_hash(op.step_id) == op.id for op in ops)


def test_repeats_are_counted() -> None:
    """The second and third step of one name are told apart as they are here."""
    assert [op.step_id for op in reported("py-fastapi", "repeats")] == ["same", "same:1", "same:2"]


@pytest.mark.parametrize("label", EACH)
def test_the_options_of_each_step_are_understood(label: str) -> None:
    """Sleeps, waits, invocations and gateways are read as they were meant."""
    for each in calls(label):
        for op in ops_of(answered(each)):
            terms_of(op, NOW)


def test_terms() -> None:
    """What a step asks for is what the app wrote."""
    hour = 3_600_000_000
    [wait] = [terms_of(op, NOW) for op in reported("py-fastapi", "wait")]
    assert isinstance(wait, AwaitEvent)
    assert (wait.event, wait.timeout) == ("test/answer", hour // 60)
    [invoked] = [terms_of(op, NOW) for op in reported("py-fastapi", "invoke-by-id")]
    assert isinstance(invoked, InvokeFunction)
    assert invoked.function_id == "other-double"
    awaited = next(terms_of(op, NOW) for op in reported("ts", "signal"))
    assert isinstance(awaited, AwaitSignal)
    assert (awaited.signal, awaited.timeout) == ("go", hour)
    fetched = next(terms_of(op, NOW) for op in reported("ts", "fetch"))
    assert isinstance(fetched, Fetch)
    assert fetched.url == "http://127.0.0.1:9/ping"
    for label in ("py-fastapi", "ts"):
        inferred = next(terms_of(op, NOW) for op in reported(label, "infer"))
        assert isinstance(inferred, Infer)
        assert inferred.url == "http://127.0.0.1:9/v1/chat/completions"


@pytest.mark.parametrize(
    "label, scene, opcodes",
    [
        ("py-fastapi", "steps", "StepRun StepRun StepRun"),
        ("py-fastapi", "caught", "StepError StepFailed StepRun"),
        ("py-fastapi", "no-retry-step", ""),
        (
            "py-fastapi",
            "parallel",
            "InvokeFunction StepPlanned StepPlanned StepPlanned StepRun StepRun StepRun StepRun",
        ),
        ("ts", "steps", "RunComplete"),
        ("ts", "no-retry-step", "StepFailed"),
        ("ts", "caught", "StepError StepFailed RunComplete"),
        ("ts", "buffered", "StepRun RunComplete RunComplete"),
        ("ts-plain", "parallel", "InvokeFunction StepPlanned StepPlanned StepPlanned StepRun StepRun StepRun StepRun"),
        ("ts-plain", "defers", "StepRun StepRun DeferAdd DeferAbort DeferAdd DeferAbort RunComplete"),
        ("ts-streaming", "hello", "RunComplete"),
    ],
)
def test_opcodes(label: str, scene: str, opcodes: str) -> None:
    """What is reported, op for op."""
    assert " ".join(op.op.value for op in reported(label, scene)) == opcodes


@pytest.mark.parametrize("label", ["py-fastapi", "py-flask", "ts-plain"])
@pytest.mark.parametrize("scene, races", [("parallel-wait", False), ("parallel-race", True)])
def test_the_mode_of_a_group(label: str, scene: str, races: bool) -> None:
    """A group that races says so in each of its planned steps."""
    planned = [op for op in reported(label, scene) if op.op is Opcode.STEP_PLANNED]
    assert planned
    assert {op.races for op in planned} == {races}


def test_errors() -> None:
    """An error of a function has name and message, and says whether and when to try again."""
    for label, name in (("py-fastapi", "ValueError"), ("ts", "RangeError"), ("py-streaming", "ValueError")):
        [answer] = map(answered, calls(label, "fails"))
        assert isinstance(answer.outcome, Erred)
        assert (answer.outcome.error.name, answer.outcome.error.message) == (name, "this function fails")
    for label in ("py-fastapi", "ts"):
        [answer] = map(answered, calls(label, "no-retry"))
        assert answer.no_retry
        first = answered(next(calls(label, "retry-after")))
        assert first.retry_after is not None
        assert not first.no_retry


@pytest.mark.parametrize("label", EACH)
def test_calls_are_read_and_written(label: str) -> None:
    """A call that is read and written again says the same."""
    for each in calls(label):
        if "ctx" not in (each["body"] or {}):
            continue
        body = each["body"]
        again = json.loads(build_call(parse_call(json.dumps(body).encode())))
        assert {**again, "ctx": {**again["ctx"], "step_id": body["ctx"]["step_id"]}} == body


@pytest.mark.parametrize("label", ["py-fastapi", "py-flask", "ts", "ts-plain"])
def test_registrations(label: str) -> None:
    """All functions of an app are read with their options; the same registration has the same fingerprint."""
    [body] = [each["body"] for each in exchanges(label, "(register)") if each["to"] == "server"]
    raw = json.dumps(body).encode()
    app = parse_registration(raw)
    functions = {function.id: function for function in app.functions}
    assert app.name == "test"
    assert app.version == "v1"
    assert len(app.functions) == len(body["functions"])
    assert functions["flaky"].retries == 2
    assert functions["hello"].retries == 4
    assert {"mourned", "mourned-failure", "nightly", "concurrent", "singleton-cancel"} <= functions.keys()
    assert parse_registration(json.dumps(body, indent=2).encode()).fingerprint == app.fingerprint


@pytest.mark.parametrize("label", ["py-signed", "ts-signed"])
def test_signatures(label: str) -> None:
    """Both ends of a signed conversation are verified with the key that signed it, and with no other."""
    counted: Counter[str] = Counter()
    for each in exchanges(label):
        answer, headers = each["answer"], each["headers"]
        key = OLD_KEY if each["scene"] == "(fallback)" else KEY
        if "x-inngest-signature" in headers and each["scene"] != "(forged)":
            assert_signed_by(headers["x-inngest-signature"], each["text"].encode(), key, canonical=True)
            counted["asked"] += 1
        if "x-inngest-signature" in answer["headers"]:
            assert_signed_by(answer["headers"]["x-inngest-signature"], answer["text"].encode(), key, canonical=False)
            counted["answered"] += 1
    assert counted["asked"] > 5
    assert counted["answered"] > 5


def assert_signed_by(header: str, body: bytes, key: str, *, canonical: bool) -> None:
    now = int(header.removeprefix("t=").partition("&")[0])
    assert verify(header, body, [FORGED_KEY, key], now, canonical=canonical) == key
    with pytest.raises(BadSignature):
        verify(header, body, [FORGED_KEY], now, canonical=canonical)
    with pytest.raises(BadSignature):
        verify(header, body + b" 1", [key], now, canonical=False)


@pytest.mark.parametrize("label", ["py-signed", "ts-signed"])
def test_bearers(label: str) -> None:
    """An SDK shows its key to its server as we expect it, and tells hashes of its keys."""
    [registered] = [each for each in exchanges(label, "(register)") if each["to"] == "server"]
    shown = registered["headers"]["authorization"]
    assert is_bearer(shown, [OLD_KEY, KEY])
    assert not is_bearer(shown, [OLD_KEY, FORGED_KEY])
    [inspected] = [each for each in exchanges(label, "(register)") if each["method"] == "GET"]
    told = inspected["answer"]["body"]
    assert key_hash(KEY).startswith(told["signing_key_hash"])
    assert event_key_hash("test").startswith(told["event_key_hash"])
