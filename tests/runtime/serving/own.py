"""A flowgen server, the least of one: it tells our history in each call, and writes what it is answered into it.

Beside the app it keeps a `shadow`, an interpreter that is fed the same records here. What the app says must be what the
shadow says: which steps are open, in their order, until when scopes may clean up, and how the body ended. What comes
next, of all that might (a planned body, a timer, an event, a cancel), is for `choose` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import httpx
import msgspec

from flowgen import App, Event
from flowgen.commands import Invoke, SendEvent, SendSignal, Sleep, SleepUntil, WaitFor, WaitForSignal
from flowgen.context import Context
from flowgen.divergence import kind_of
from flowgen.duration import SECOND
from flowgen.ends import BodyEnd
from flowgen.events import AcceptedEvent, accept_event, restore
from flowgen.fibers import CLEANUP_TIMEOUT
from flowgen.history import (
    OUTCOMES,
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    InvokeTerms,
    Record,
    Requested,
    SendSignalTerms,
    SendTerms,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    Terms,
    WaitTerms,
)
from flowgen.ids import derived_id, new_id, seed_of
from flowgen.interpreter import Interpreter
from flowgen.outcome import NULL, Failure, Json
from flowgen.runs import RunRow
from flowgen.runtime.protocol import native
from flowgen.runtime.protocol.calls import Answer, Call, Erred, Ops, build_call, parse_answer
from flowgen.runtime.protocol.events import function_id
from flowgen.runtime.protocol.ops import Op, Opcode
from flowgen.runtime.protocol.steps import DISCOVERY, step_hash
from flowgen.runtime.serving import ServedApp, ServeSettings, serve_app
from flowgen.values import encode
from flowgen.workflow import Workflow

START = 1_800_000_000 * SECOND

Choose = Callable[[int], int]
Happening = Callable[[], None] | str


def _refused(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"a flowgen server does {request.url} itself")


@attrs.define(eq=False)
class OwnServer:
    """Drives runs of one app."""

    app: App
    choose: Choose = lambda number: 0
    served: ServedApp = attrs.field(init=False)
    client: httpx.AsyncClient = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.served = serve_app(self.app, settings=ServeSettings(), transport=httpx.MockTransport(_refused))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.served), base_url="http://localhost")

    async def __aenter__(self) -> OwnServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        self.served.close()

    async def run(
        self,
        workflow: str,
        data: Any,
        *events: Event[Any],
        cancel: str | None = None,
        name: str = "flowgen/run.invoked",
    ) -> OwnRun:
        """Drive a run to its end. `events` are there when it waits for them; it is cancelled when `choose` says so."""
        run = OwnRun(self, self.app.workflows[workflow], data, list(events), cancel, name)
        await run.drive()
        return run

    async def call(self, call: Call, slug: str, target: str = DISCOVERY) -> Answer:
        url = f"/api/inngest?fnId={slug}&stepId={target}"
        answer = await self.client.post(url, content=build_call(call), headers={"Content-Type": "application/json"})
        return parse_answer(answer.status_code, list(answer.headers.items()), answer.content, START)


class OwnRun:
    """One run, with its history."""

    def __init__(
        self,
        server: OwnServer,
        workflow: Workflow[Any, Any],
        data: Any,
        events: list[Event[Any]],
        cancel: str | None,
        name: str,
    ) -> None:
        self.server, self.workflow = server, workflow
        self.slug = function_id(workflow.app, workflow.id)
        self.id = new_id(START, b"\0" * 10)
        event = AcceptedEvent(self.id, name, encode(data, "data"), START, START, position=1)
        self.events = (event,)
        self.row = RunRow(workflow.app, self.id, workflow.id, START, seed_of(self.id))
        self.history: list[Record] = []
        self.open: dict[str, native.Asked] = {}
        self.end: BodyEnd | None = None
        self.requests: list[str] = []
        self.now = START
        self.children: dict[str, Any] = {}
        self._heard = 0
        self._planned: list[str] = []
        self._cleaning: dict[str, int] = {}
        self._retry_at: dict[str, int] = {}
        self._terms: dict[str, Terms] = {}
        self._waiting = events
        self._cancel = cancel
        self.shadow = self.fresh()
        self._append(Started(START, "code"))

    def fresh(self) -> Interpreter:
        """The same run here, fed with nothing."""
        events = [restore(event, self.workflow.class_of(event.name)) for event in self.events]
        context = Context(
            events, run_id=self.id, workflow_id=self.workflow.id, seed=self.row.seed, clock=self.row.created_at
        )
        return Interpreter(self.workflow, context)

    def _append(self, record: Record) -> None:
        self.history.append(record)
        self.shadow.feed(record)

    # -- driving ------------------------------------------------------------------------------------

    async def drive(self) -> None:
        while self.end is None:
            length = len(self.history)
            await self.discover()
            if self.end is None and not any(isinstance(record, OUTCOMES) for record in self.history[length:]):
                await self._go_on()

    def call(self) -> Call:
        told = native.Told(self.row, self.events, tuple(self.history), self._heard)
        planned = len(self.open) > 1
        return Call(self.id, flowgen=native.told_member(told), disable_immediate_execution=planned)

    async def discover(self) -> None:
        self.requests.append(DISCOVERY)
        answer = await self.server.call(self.call(), self.slug)
        self._heard = len(self.history)
        assert isinstance(answer.outcome, Ops), answer
        first, *rest = answer.outcome.ops
        if first.op is Opcode.RUN_COMPLETE:
            self.end = native.read_end(first.flowgen)
            assert self.end == self.shadow.end
            return
        assert first.op is Opcode.NONE
        self._stand(native.read_standing(first.flowgen))
        for op in rest:
            self._take(op)

    def _stand(self, standing: native.Standing) -> None:
        assert list(standing.open) == list(self.shadow.pending)
        assert dict(standing.cleaning) == dict(self.shadow.cleaning)
        self._cleaning = dict(standing.cleaning)
        self.open = {id: asked for id, asked in self.open.items() if id in standing.open}
        self._planned = [id for id in self._planned if id in self.open]

    def _take(self, op: Op) -> None:
        asked = native.read_asked(op.flowgen)
        step = self.shadow.pending[asked.step]
        assert op.id == step_hash(step.id)
        assert op.step_id == step.id
        assert (asked.name, asked.kind, asked.digest) == (step.name, step.kind, step.digest)
        self.open[asked.step] = asked
        match op.op:
            case Opcode.STEP_PLANNED if asked.kind == "run":
                self._planned += [asked.step] if asked.step not in self._planned else []
            case Opcode.STEP_RUN | Opcode.STEP_ERROR | Opcode.STEP_FAILED:
                self._came_back(op.op, asked)
            case _:
                assert type(asked.command) is type(step.command)
                assert repr(asked.command) == repr(step.command) or asked.kind in (
                    "wait",
                    "invoke",
                    "send",
                    "send_signal",
                )
                self._request(asked)

    def _came_back(self, code: Opcode, asked: native.Asked) -> None:
        self.now += SECOND
        if asked.value is not None:
            self._append(StepSucceeded(self.now, asked.step, asked.value, "run", asked.digest, asked.arguments))
            return
        assert asked.failure is not None
        if code is Opcode.STEP_FAILED:
            failed = StepFailed(
                self.now, asked.step, asked.failure, asked.attempts, "run", asked.digest, asked.arguments
            )
            self._append(failed)
            return
        assert asked.backoff is not None
        delay = asked.retry_after if asked.retry_after is not None else asked.backoff.delay(asked.attempts, 0.5)
        self._retry_at[asked.step] = self.now + delay
        self._append(
            AttemptFailed(
                self.now,
                asked.step,
                asked.attempts,
                asked.failure,
                self.now + delay,
                asked.digest,
                asked.arguments,
            )
        )

    def _request(self, asked: native.Asked) -> None:
        terms = self._terms_of(asked)
        self._terms[asked.step] = terms
        self._append(Requested(self.now, asked.step, asked.kind, asked.digest, terms, asked.arguments))
        match asked.command:
            case SendEvent(events=events):
                made = [accept_event(e, derived_id(self.id, asked.step, n), self.now) for n, e in enumerate(events)]
                self._succeed(asked.step, Json(msgspec.json.encode([event.id for event in made])))
            case SendSignal():
                self._fail(asked.step, Failure("NoWaiter", "nobody waits"))

    def _terms_of(self, asked: native.Asked) -> Terms:
        wait = derived_id(self.id, asked.step)
        match asked.command:
            case Sleep(duration=duration):
                return SleepTerms(self.now + duration)
            case SleepUntil(until=until):
                return SleepTerms(until)
            case WaitFor(event=event, timeout=timeout, match=match, where=where):
                return WaitTerms(wait, event, self.now + timeout, 1, match, None, where)
            case WaitForSignal(signal=signal, timeout=timeout):
                return SignalTerms(wait, signal, self.now + timeout)
            case Invoke(workflow=workflow, timeout=timeout, on_cancel=on_cancel):
                expires = None if timeout is None else self.now + timeout
                return InvokeTerms(self.workflow.app, workflow, wait, expires, on_cancel)
            case SendEvent():
                return SendTerms(())
            case SendSignal(signal=signal):
                return SendSignalTerms(signal)
        raise AssertionError(asked)

    def _succeed(self, step: str, value: Json, position: int | None = None) -> None:
        self._append(StepSucceeded(self.now, step, value, self.open[step].kind, position=position))

    def _fail(self, step: str, failure: Failure) -> None:
        asked = self.open[step]
        self._append(StepFailed(self.now, step, failure, 1, asked.kind, asked.digest))

    # -- what may happen ----------------------------------------------------------------------------

    async def _go_on(self) -> None:
        """One of the things that may happen does."""
        happenings = list(self._happenings())
        assert happenings, f"nothing more can happen to {self.open}"
        chosen = happenings[self.server.choose(len(happenings))]
        if isinstance(chosen, str):
            await self._aim(chosen)
        else:
            chosen()

    def _happenings(self) -> Sequence[Happening]:
        found: list[Happening] = list(self._planned)
        for step, asked in self.open.items():
            terms = self._terms.get(step)
            if asked.kind == "wait":
                assert isinstance(terms, WaitTerms)
                found += [self._matched(step, e, n) for n, e in enumerate(self._waiting, 2) if e.name == terms.event]
            if asked.kind == "invoke":
                found.append(self._ended_child(step))
        due = [(terms.deadline, step) for step in self.open if (terms := self.shadow.pending.get(step)) is not None]
        timers = [(at, step) for at, step in due if at is not None]
        if timers:
            found.append(self._time_out(*min(timers)))
        found += [self._expire(scope, until) for scope, until in self._cleaning.items() if self.server.choose(4) == 3]
        if self._cancel is not None and self.server.choose(6) == 5:
            found.append(self._cancelled)
        return found

    async def _aim(self, step: str) -> None:
        self.requests.append(step)
        answer = await self.server.call(self.call(), self.slug, step_hash(step))
        assert isinstance(answer.outcome, Ops)
        (op,) = answer.outcome.ops
        self._planned.remove(step)
        self._take(op)

    def _matched(self, step: str, event: Event[Any], position: int) -> Callable[[], None]:
        def happen() -> None:
            accepted = accept_event(event, derived_id(self.id, "event", position), self.now).placed(position)
            self._waiting.remove(event)
            self._succeed(step, Json(msgspec.json.encode(accepted)), position)

        return happen

    def _ended_child(self, step: str) -> Callable[[], None]:
        def happen() -> None:
            child = self.children.get(step.rpartition("/")[2], 7)
            if isinstance(child, Failure):
                self._fail(step, child)
            else:
                self._succeed(step, encode(child, "child"))

        return happen

    def _time_out(self, at: int, step: str) -> Callable[[], None]:
        def happen() -> None:
            self.now = max(self.now, at)
            asked = self.open[step]
            if asked.kind == "run":
                self._planned += [step] if step not in self._planned else []
                self._retry_at.pop(step, None)
                self.shadow.pending[step].retry_at = None
            elif asked.kind == "invoke":
                self._fail(step, Failure("InvokeTimeout", "it did not end in time"))
            else:
                self._succeed(step, NULL)

        return happen

    def _expire(self, scope: str, until: int) -> Callable[[], None]:
        def happen() -> None:
            self.now = max(self.now, until)
            self._append(CleanupExpired(self.now, scope))

        return happen

    def _cancelled(self) -> None:
        assert self._cancel is not None
        self.now += SECOND
        self._append(CancelAccepted(self.now, self._cancel, self.now + CLEANUP_TIMEOUT))
        self._cancel = None


def story(history: Sequence[Record]) -> list[tuple[Any, ...]]:
    """What a history says of steps, without times: in the order in which they ended."""
    return [
        (record.step, kind_of(record), type(record).__name__, bytes(getattr(record, "value", NULL)))
        for record in history
        if isinstance(record, StepSucceeded | StepFailed | AttemptFailed)
    ]


def erred(answer: Answer) -> Erred:
    assert isinstance(answer.outcome, Erred)
    return answer.outcome
