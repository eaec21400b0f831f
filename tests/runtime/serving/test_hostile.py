"""Whatever a server says in a call: it is understood, or refused with a reason, and nothing breaks."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Invoke, Race, Run, SendSignal, Sleep, StepError, Steps, WaitFor, WaitForSignal
from flowgen.events import AcceptedEvent
from flowgen.history import Requested, SleepTerms, Started, StepFailed, StepSucceeded
from flowgen.outcome import Failure, Json
from flowgen.runs import RunRow
from flowgen.runtime.protocol import native
from flowgen.runtime.protocol.calls import Call, build_call
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.serving import ServedApp, ServeSettings
from flowgen.runtime.serving.upstream import Upstream

from .together import InlineBodies

app = App("shop")


@app.workflow
def fulfil(ctx: Context) -> Steps[Any]:
    first = yield Run("first", str, ctx.event.data.get("n", 1))
    yield All(Run("a", str, 2), Sleep("b", "1h"))
    won = yield Race(e=WaitFor("e", "a/b", timeout="1h"), s=WaitForSignal("s", "go", timeout="1h"))
    with suppress(StepError):
        yield Invoke("i", "other", {"first": first})
    yield SendSignal("t", "go", won.name)
    return first


EVENT = {"id": "e", "name": "test/started", "data": {"n": 7}, "ts": 1_800_000_000_000, "user": {}}
STEPS = {
    step_hash("first"): {"data": "7"},
    step_hash("a"): {"data": "2"},
    step_hash("b"): None,
    step_hash("e"): EVENT,
    step_hash("i"): {"error": {"name": "E", "message": "no", "data": {"attempts": 2}}},
}
MEMO = json.loads(
    build_call(Call("01KDVDNA001RKH6SAGMJHTCQ0C", (EVENT,), STEPS, tuple(STEPS), attempt=1, max_attempts=3))
)
ROW = RunRow("shop", "01KDVDNA001RKH6SAGMJHTCQ0C", "fulfil", 1, 2)
RECORDS = (
    Started(1, "code"),
    StepSucceeded(2, "first", Json(b'"7"')),
    Requested(2, "b", "sleep", "", SleepTerms(5)),
    StepFailed(3, "a", Failure("E", "no")),
)
TOLD = native.Told(ROW, (AcceptedEvent("e", "test/started", Json(b'{"n":7}'), 1, 1),), RECORDS, 1)
NATIVE = json.loads(build_call(Call(ROW.id, flowgen=native.told_member(TOLD))))
LINES = NATIVE["flowgen"]["run"].split("\n")

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([[], {}, [[]], {"data": {}}, {"error": None}, {"error": {}}, "step", *STEPS]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something may be put in place of what is there."""
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


def changed(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], by)
    return copy


def asked(body: bytes, target: str) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to a call."""
    bodies: Any = InlineBodies()
    served = ServedApp(
        app, "/api/inngest", ServeSettings(), bodies, Upstream(ServeSettings(api="http://127.0.0.1:1"), "flowgen:v0")
    )
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/inngest",
        "query_string": f"fnId=shop-fulfil&stepId={target}".encode(),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    trio.run(served, scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def check(status: int, body: Any) -> None:
    if status in (200, 206):
        return
    assert status in (400, 500), body
    assert body.get("name") != "internal", body
    assert isinstance(body["message"], str)


targets = st.sampled_from(["step", "", *STEPS, "nonsense"])


@settings(max_examples=80)
@example(("ctx", "attempt"), -1, "step")
@given(st.sampled_from(places(MEMO)), odd, targets)
def test_a_memo_that_makes_no_sense_breaks_nothing(path: tuple[Any, ...], by: Any, target: str) -> None:
    """One thing in it is another; NaN and infinity are no JSON."""
    check(*asked(json.dumps(changed(MEMO, path, by)).encode(), target))


@settings(max_examples=80)
@given(st.integers(0, len(LINES) - 1), st.data(), odd, targets)
def test_a_history_that_makes_no_sense_breaks_nothing(line: int, data: st.DataObject, by: Any, target: str) -> None:
    """One thing in one of its records is another."""
    document = json.loads(LINES[line])
    path = data.draw(st.sampled_from(places(document)))
    lines = [*LINES[:line], json.dumps(changed(document, path, by)), *LINES[line + 1 :]]
    call = changed(NATIVE, ("flowgen", "run"), "\n".join(lines))
    check(*asked(json.dumps(call).encode(), target))


@settings(max_examples=30)
@given(st.lists(st.sampled_from(LINES[1:]), max_size=8), targets)
def test_a_history_in_another_order_breaks_nothing(lines: list[str], target: str) -> None:
    """Its records are good ones, but not together."""
    call = changed(NATIVE, ("flowgen", "run"), "\n".join([LINES[0], *lines]))
    check(*asked(json.dumps(call).encode(), target))


@settings(max_examples=30)
@given(st.lists(st.sampled_from([*STEPS, "f" * 40]), max_size=8), targets)
def test_a_stack_in_any_order_breaks_nothing(stack: list[str], target: str) -> None:
    """With repeats, and with what is in no memo."""
    check(*asked(json.dumps(changed(MEMO, ("ctx", "stack", "stack"), stack)).encode(), target))


def test_the_calls_of_these_tests_are_understood() -> None:
    """As they are, both of them."""
    assert asked(json.dumps(MEMO).encode(), "step")[0] == 206
    status, ops = asked(json.dumps(NATIVE).encode(), "step")
    assert (status, [op["op"] for op in ops]) == (206, ["RunComplete"])  # type: ignore[index]
