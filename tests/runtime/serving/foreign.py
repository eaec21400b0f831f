"""A server that knows nothing of flowgen: the least that drives an app by the protocol, on virtual time.

It keeps a memo and a stack for each run, and a queue of jobs by the time they are due; nothing is clever about it.
What it does is the list in the protocol's own words: discover; save what ended, the first write wins; one discovery
when a group is over, or after each step of one that races; tries again what may be.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

import attrs
import httpx

from flowgen import App
from flowgen.duration import SECOND
from flowgen.errors import ExpressionError
from flowgen.expression import Expression
from flowgen.ids import new_id
from flowgen.runtime.protocol import headers as names
from flowgen.runtime.protocol.calls import (
    UNKNOWN_VERSION,
    Answer,
    Call,
    Erred,
    Ops,
    Returned,
    build_call,
    call_url,
    parse_answer,
)
from flowgen.runtime.protocol.errors import UserError, error_to_json
from flowgen.runtime.protocol.memo import INVOKE_TIMEOUT
from flowgen.runtime.protocol.ops import FIRST, LAZY, Op, Opcode
from flowgen.runtime.protocol.registration import RemoteFunction, parse_registration
from flowgen.runtime.protocol.signatures import sign
from flowgen.runtime.protocol.steps import DISCOVERY
from flowgen.runtime.protocol.terms import AwaitEvent, AwaitSignal, InvokeFunction, SleepFor, SleepUntil, terms_of
from flowgen.runtime.serving import ServedApp, ServeSettings, serve_app

START = 1_800_000_000 * SECOND
PLACE = "http://127.0.0.1:8000/api/inngest"
BACKOFF = 15 * SECOND

Job = Callable[[], Awaitable[None]]


@attrs.define(eq=False)
class ForeignRun:
    """One run, as such a server has it. `requests` are the steps that its calls were aimed at."""

    id: str
    function: RemoteFunction
    events: list[dict[str, Any]]
    steps: dict[str, Any] = attrs.Factory(dict)
    stack: list[str] = attrs.Factory(list)
    version: int = UNKNOWN_VERSION
    planned: bool = False
    pending: set[str] = attrs.Factory(set)
    asked: set[str] = attrs.Factory(set)
    names: dict[str, str] = attrs.Factory(dict)
    requests: list[str] = attrs.Factory(list)
    answers: list[Answer] = attrs.Factory(list)
    result: Any = None
    error: UserError | None = None
    status: str = "running"
    parents: list[Callable[[Any], None]] = attrs.Factory(list)

    @property
    def order(self) -> list[str]:
        """The steps that have ended, in their order, by their names."""
        return [self.names[hash] for hash in self.stack]


class ForeignServer:
    """Drives one app, which is served in this process.

    `use_api` leaves events and memo out of each call, and `twice` sends each one a second time, first.
    """

    def __init__(
        self, app: App, *, key: str | None = None, use_api: bool = False, twice: bool = False, start: int = START
    ) -> None:
        self.now = start
        self.runs: list[ForeignRun] = []
        self.sent: list[dict[str, Any]] = []
        self.refuse_events = 0
        self._key, self._use_api, self._twice = key, use_api, twice
        self._numbers = count()
        self._jobs: list[tuple[int, int, Job]] = []
        self._waits: dict[tuple[str, str], tuple[ForeignRun, Op, AwaitEvent]] = {}
        self._signals: dict[str, tuple[ForeignRun, Op]] = {}
        settings = ServeSettings(() if key is None else (key,), event_key="an-event-key")
        self.served: ServedApp = serve_app(app, settings=settings, transport=httpx.MockTransport(self._asked))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.served), base_url="http://127.0.0.1:8000")
        self.functions: dict[str, RemoteFunction] = {}

    async def __aenter__(self) -> ForeignServer:
        body = b"{}"
        headers = {} if self._key is None else {names.SIGNATURE: sign(self._key, body, _seconds())}
        answer = await self.client.put("/api/inngest", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"message": "Successfully registered", "modified": True}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        self.served.close()

    # -- what happens from outside ------------------------------------------------------------------

    async def run(self, slug: str, data: dict[str, Any], *later: tuple[int, str, dict[str, Any]]) -> ForeignRun:
        """Start a run of a function, send events (after so many microseconds), and go on until nothing is due."""
        run = self.start(slug, {"name": "test/started", "data": data})
        for after, name, fields in later:
            self._soon(self._arrive({"name": name, "data": fields}), after)
        await self.settle()
        return run

    def start(self, slug: str, event: dict[str, Any]) -> ForeignRun:
        run = ForeignRun(self._id(), self.functions[slug], [self._accepted(event)])
        self.runs.append(run)
        self._soon(self._discovery(run))
        return run

    async def settle(self) -> None:
        """Do what is due, until nothing is."""
        while self._jobs:
            due, _, job = heappop(self._jobs)
            self.now = max(self.now, due)
            await job()

    def deliver(self, event: dict[str, Any]) -> None:
        """Give an event to the waits that it matches, and to the functions that it starts."""
        accepted = self._accepted(event)
        for (name, hash), (run, op, terms) in list(self._waits.items()):
            if name == terms.event == accepted["name"] and _holds(terms.where, run.events[0], accepted):
                del self._waits[name, hash]
                self._save(run, op, accepted)
        for function in self.functions.values():
            if accepted["name"] in [trigger.pattern for trigger in function.definition.triggers]:
                self.start(function.slug, accepted)

    def _arrive(self, event: dict[str, Any]) -> Job:
        async def arrive() -> None:
            self.deliver(event)

        return arrive

    def _accepted(self, event: dict[str, Any]) -> dict[str, Any]:
        return {"id": self._id(), "ts": self.now // 1_000, "user": {}, **event}

    # -- jobs ---------------------------------------------------------------------------------------

    def _soon(self, job: Job, after: int = 0) -> None:
        heappush(self._jobs, (self.now + after, next(self._numbers), job))

    def _discovery(self, run: ForeignRun) -> Job:
        return self._call(run, DISCOVERY, 0)

    def _call(self, run: ForeignRun, target: str, attempt: int) -> Job:
        async def call() -> None:
            if run.status != "running" or target in run.steps:
                return
            if self._twice:
                await self._request(run, target, attempt)
            run.requests.append(target)
            answer = await self._request(run, target, attempt)
            run.answers.append(answer)
            if run.version == UNKNOWN_VERSION and answer.version is not None:
                run.version = answer.version
            match answer.outcome:
                case Returned(data):
                    self._end(run, "completed", json.loads(bytes(data)), None)
                case Erred(error):
                    self._erred(run, target, attempt, answer, error)
                case Ops(ops):
                    self._handle(run, ops, target, attempt, answer)

        return call

    async def _request(self, run: ForeignRun, target: str, attempt: int) -> Answer:
        call = Call(
            run_id=run.id,
            events=tuple(run.events),
            steps=run.steps,
            stack=tuple(run.stack),
            current=len(run.stack),
            attempt=attempt,
            max_attempts=run.function.retries + 1,
            version=run.version,
            disable_immediate_execution=run.planned,
            use_api=self._use_api,
        )
        body = build_call(call)
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers[names.SIGNATURE] = sign(self._key, body, _seconds())
        url = call_url(run.function.url, run.function.slug, target)
        answer = await self.client.post(url, content=body, headers=headers)
        return parse_answer(answer.status_code, list(answer.headers.items()), answer.content, self.now)

    def _erred(self, run: ForeignRun, target: str, attempt: int, answer: Answer, error: UserError) -> None:
        if answer.no_retry or attempt >= run.function.retries:
            self._end(run, "failed", None, error)
        else:
            self._soon(self._call(run, target, attempt + 1), answer.retry_after or BACKOFF)

    # -- ops ----------------------------------------------------------------------------------------

    def _handle(self, run: ForeignRun, ops: tuple[Op, ...], target: str, attempt: int, answer: Answer) -> None:
        several = [op for op in ops if op.op not in LAZY]
        if len(several) > 1:
            run.planned = True
            if any(op.op is Opcode.STEP_PLANNED for op in several):
                run.pending |= {op.id for op in several if op.id not in run.steps}
        for op in sorted(ops, key=lambda op: op.op not in FIRST):
            run.names[op.id] = op.step_id
            self._one(run, op, target, attempt, answer)

    def _one(self, run: ForeignRun, op: Op, target: str, attempt: int, answer: Answer) -> None:
        match op.op:
            case Opcode.STEP_RUN:
                assert op.data is not None
                self._save(run, op, {"data": json.loads(bytes(op.data))})
            case Opcode.STEP_FAILED:
                self._fail(run, op)
            case Opcode.STEP_ERROR if attempt >= run.function.retries:
                self._fail(run, op)
            case Opcode.STEP_ERROR:
                self._soon(self._call(run, target, attempt + 1), answer.retry_after or BACKOFF)
            case Opcode.STEP_PLANNED if self._is_new(run, op):
                self._soon(self._call(run, op.id, 0))
            case Opcode.SLEEP | Opcode.WAIT_FOR_EVENT | Opcode.WAIT_FOR_SIGNAL | Opcode.INVOKE_FUNCTION if self._is_new(
                run, op
            ):
                self._open(run, op)
            case Opcode.STEP_NOT_FOUND:
                raise AssertionError(f"the app does not know {op.id}")

    def _is_new(self, run: ForeignRun, op: Op) -> bool:
        if op.id in run.asked:
            return False
        run.asked.add(op.id)
        return True

    def _open(self, run: ForeignRun, op: Op) -> None:
        match terms_of(op, self.now):
            case SleepFor(duration):
                self._soon(self._saving(run, op, None), duration)
            case SleepUntil(moment):
                self._soon(self._saving(run, op, None), max(0, moment - self.now))
            case AwaitEvent() as terms:
                self._waits[terms.event, f"{run.id}{op.id}"] = (run, op, terms)
                self._soon(self._saving(run, op, None), terms.timeout)
            case AwaitSignal(signal, timeout, _):
                if signal in self._signals and self._signals[signal][0].status == "running":
                    self._end(run, "failed", None, UserError("SignalConflict", signal))
                    return
                self._signals[signal] = (run, op)
                self._soon(self._saving(run, op, None), timeout)
            case InvokeFunction(function, data, timeout):
                self._invoke(run, op, function, data, timeout)

    def _invoke(self, run: ForeignRun, op: Op, function: str, data: Any, timeout: int) -> None:
        if function not in self.functions:
            self._save(run, op, {"error": error_to_json(UserError("NotFound", f"no function {function}"))})
            return
        told = {"_inngest": {"fn_id": function}, **data}
        child = self.start(function, {"name": "inngest/function.invoked", "data": told})
        child.parents.append(lambda memo: self._save(run, op, memo))
        self._soon(self._saving(run, op, {"error": error_to_json(INVOKE_TIMEOUT)}), timeout)

    def _saving(self, run: ForeignRun, op: Op, memo: Any) -> Job:
        async def save() -> None:
            self._save(run, op, memo)

        return save

    def _fail(self, run: ForeignRun, op: Op) -> None:
        assert op.error is not None
        document = json.loads(httpx.Response(200, json=error_to_json(_plain(op.error))).content)
        self._save(run, op, {"error": document})

    def _save(self, run: ForeignRun, op: Op, memo: Any) -> None:
        """Keep what a step came to, and find out what the code does then. The first write wins."""
        if run.status != "running" or op.id in run.steps:
            return
        run.steps[op.id] = memo
        run.stack.append(op.id)
        run.names[op.id] = op.step_id
        run.pending.discard(op.id)
        if not run.pending:
            run.planned = False
        if not run.pending or op.races:
            self._soon(self._discovery(run))

    def _end(self, run: ForeignRun, status: str, result: Any, error: UserError | None) -> None:
        run.status, run.result, run.error = status, result, error
        memo = {"data": result} if error is None else {"error": error_to_json(_plain(error))}
        for told in run.parents:
            told(memo)

    # -- what the app asks of its server --------------------------------------------------------------

    async def _asked(self, request: httpx.Request) -> httpx.Response:
        assert request.headers[names.SDK].startswith("flowgen:v")
        if self._key is not None:
            assert request.headers["authorization"].startswith("Bearer signkey-")
        match request.url.path.split("/")[1:]:
            case ["fn", "register"]:
                registered = parse_registration(request.content)
                assert registered.url == PLACE
                self.functions = {function.slug: function for function in registered.functions}
                return httpx.Response(200, json={"ok": True, "modified": True})
            case ["e", key]:
                assert key == "an-event-key"
                return self._take_events(json.loads(request.content))
            case ["v1", "signals"]:
                return self._take_signal(json.loads(request.content))
            case ["v0", "runs", id, "batch"]:
                return httpx.Response(200, json=self._run(id).events)
            case ["v0", "runs", id, "actions"]:
                return httpx.Response(200, json=self._run(id).steps)
        return httpx.Response(404)

    def _take_events(self, events: list[dict[str, Any]]) -> httpx.Response:
        if self.refuse_events:
            self.refuse_events -= 1
            return httpx.Response(503, text="come again")
        for event in events:
            if event["id"] not in [sent["id"] for sent in self.sent]:
                self.sent.append(event)
                self._soon(self._arrive(event))
        return httpx.Response(200, json={"ids": [event["id"] for event in events], "status": 200})

    def _take_signal(self, body: dict[str, Any]) -> httpx.Response:
        waiter = self._signals.pop(body["signal"], None)
        if waiter is None or waiter[0].status != "running" or waiter[1].id in waiter[0].steps:
            return httpx.Response(404, json={"error": "nobody waits"})
        self._save(*waiter, {"data": {"signal": body["signal"], "data": body["data"]}})
        return httpx.Response(200, json={"data": {"run_id": waiter[0].id}})

    def _run(self, id: str) -> ForeignRun:
        return next(run for run in self.runs if run.id == id)

    def _id(self) -> str:
        return new_id(self.now, next(self._numbers).to_bytes(10))


def _plain(error: UserError) -> UserError:
    """An error whose data is plain JSON, as it is when it has been over the wire."""
    data: Any = None if error.data is None else json.loads(bytes(error.data))
    return attrs.evolve(error, data=data)


def _holds(where: str | None, event: dict[str, Any], arrived: dict[str, Any]) -> bool:
    if where is None:
        return True
    try:
        return Expression(where, ("event", "async")).is_true({"event": event, "async": arrived})
    except ExpressionError:
        return False


def _seconds() -> int:
    import time

    return int(time.time())
