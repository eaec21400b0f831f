"""A small SDK in this process: functions as generators, memoised by hash, one step a request, over no network.

A function yields what it asks for (`run`, `sleep`, `wait`, `signal`, `invoke`) and gets its result. `parallel` takes
several of these, or generators, and `race` gives the first to end. It does what the field's SDKs do: it executes the
one new step of a discovery unless it must not, plans otherwise and in parallel groups, and executes the step that a
call is aimed at.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Generator, Mapping, Set
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs

from flowgen.runtime.driving.caller import CallFailed, Headers, Reply
from flowgen.runtime.driving.fetching import Incoming, Outgoing
from flowgen.runtime.protocol.calls import Answer, Call, Erred, Ops, Returned, build_answer, parse_call
from flowgen.runtime.protocol.errors import UserError
from flowgen.runtime.protocol.ops import Op, Opcode, Userland
from flowgen.runtime.protocol.registration import RemoteApp, RemoteFunction
from flowgen.runtime.protocol.steps import step_hash
from flowgen.values import encode
from flowgen.workflow import Definition, TriggerDefinition

Body = Generator[Any, Any, Any]
B = TypeVar("B", bound=Callable[..., Any])


class StepFailure(Exception):
    """A step failed for good: raised where the function waits for it."""


class Fatal(Exception):
    """Raised by a step or a function that is not to be tried again."""


class RetryIn(Exception):
    """Raised by a step or a function that is to be tried again after so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


@attrs.frozen(eq=False)
class Ask:
    """One thing that a function asks for."""

    code: Opcode
    id: str
    opts: Mapping[str, Any] = attrs.Factory(dict)
    fn: Callable[[], Any] | None = None


@attrs.frozen(eq=False)
class Several:
    """Things that a function asks for at once."""

    branches: tuple[Any, ...]
    race: bool = False


def run(id: str, fn: Callable[[], Any] | None = None, **opts: Any) -> Ask:
    return Ask(Opcode.STEP_RUN, id, opts, fn or (lambda: id))


def sleep(id: str, duration: str) -> Ask:
    return Ask(Opcode.SLEEP, id, {"duration": duration})


def wait(id: str, event: str, timeout: str = "1h", **opts: Any) -> Ask:
    return Ask(Opcode.WAIT_FOR_EVENT, id, {"event": event, "timeout": timeout, **opts})


def signal(id: str, name: str, timeout: str = "1h", conflict: str = "fail") -> Ask:
    return Ask(Opcode.WAIT_FOR_SIGNAL, id, {"signal": name, "timeout": timeout, "conflict": conflict})


def invoke(id: str, function: str, data: Any = None, **opts: Any) -> Ask:
    return Ask(Opcode.INVOKE_FUNCTION, id, {"function_id": function, "payload": {"data": data}, **opts})


def fetch(id: str, url: str, **opts: Any) -> Ask:
    return Ask(Opcode.GATEWAY, id, {"url": url, **opts})


def infer(id: str, url: str, format: str, auth_key: str, body: dict[str, Any]) -> Ask:
    return Ask(Opcode.AI_GATEWAY, id, {"url": url, "format": format, "auth_key": auth_key, "body": body})


def parallel(*branches: Any) -> Several:
    return Several(branches)


def race(*branches: Any) -> Several:
    return Several(branches, race=True)


@attrs.define(eq=False)
class Function:
    id: str
    body: Callable[[dict[str, Any]], Body]
    event: str | None = None
    retries: int = 4
    max_steps: int = 1_000
    definition: Definition | None = None


@attrs.define(eq=False)
class FakeApp:
    """An app of such functions. `calls` are the requests that came; `executed` the steps that were.

    `mode` is the `parallelMode` of its ops, `version` the request version that it answers with. Without `plans_groups`
    it executes a step of a parallel group, if it is the only one left, like any other. `before` is awaited
    with each call before it is looked at: it may take time, raise `CallFailed`, or give a `Reply` of its own.
    """

    name: str = "there"
    functions: dict[str, Function] = attrs.Factory(dict)
    version: int = 2
    mode: str | None = None
    sdk: str = "fake:v1"
    plans_groups: bool = True
    calls: list[tuple[str, Call]] = attrs.Factory(list)
    executed: list[str] = attrs.Factory(list)
    fetched: list[Outgoing] = attrs.Factory(list)
    answers: Callable[[Outgoing], Incoming] | None = None
    before: Callable[[str, Call], Awaitable[Reply | None]] | None = None
    after: Callable[[str, Call, Reply], Awaitable[Reply]] | None = None

    def function(self, id: str, event: str | None = None, **options: Any) -> Callable[[B], B]:
        def define(body: B) -> B:
            self.functions[id] = Function(id, body, event, **options)
            return body

        return define

    def registered(self, fingerprint: str = "1") -> RemoteApp:
        functions = []
        for function in self.functions.values():
            triggers = () if function.event is None else (TriggerDefinition(function.event),)
            definition = function.definition or Definition(function.id, triggers)
            url = "http://127.0.0.1:3000/api/inngest"
            slug = f"{self.name}-{function.id}"
            functions.append(
                RemoteFunction(function.id, slug, function.id, url, function.retries, definition, function.max_steps)
            )
        return RemoteApp(
            self.name, "", self.sdk, "http://127.0.0.1:3000/api/inngest", "fake", tuple(functions), fingerprint
        )

    # -- as `Calls` -----------------------------------------------------------------------------------

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        query = parse_qs(urlsplit(url).query)
        target, slug = query["stepId"][0], query["fnId"][0]
        call = parse_call(body)
        self.calls.append((target, call))
        if self.before is not None and (reply := await self.before(target, call)) is not None:
            return reply
        answer = self.answer(target, call, self.functions[slug.removeprefix(f"{self.name}-")])
        if inspect.isawaitable(answer):
            answer = await answer
        status, answered, content = build_answer(answer)
        reply = Reply(status, list(answered.items()), content)
        return reply if self.after is None else await self.after(target, call, reply)

    async def fetch(self, request: Outgoing) -> Incoming:
        self.fetched.append(request)
        assert self.answers is not None
        return self.answers(request)

    async def aclose(self) -> None:
        """Nothing is open."""

    @property
    def targets(self) -> list[str]:
        """What the calls were aimed at, in order: names of steps, or `step`."""
        names = {step_hash(id): id for id in self.names}
        return [names.get(target, target) for target, _ in self.calls]

    names: set[str] = attrs.Factory(set)

    # -- as an SDK --------------------------------------------------------------------------------------

    def answer(self, target: str, call: Call, function: Function) -> Any:
        """What an app answers to a call."""
        outcome = _Turn(self, call).outcome(function.body)
        if isinstance(outcome, _Open):
            return self._open(target, call, list(outcome.asks.values()), outcome.planned)
        if isinstance(outcome, Exception):
            return self._answer(Erred(_error(outcome)), outcome)
        return self._answer(Returned(encode(outcome, "result")))

    def _open(self, target: str, call: Call, asks: list[tuple[str, Ask]], planned: Set[str]) -> Any:
        self.names.update(id for id, _ in asks)
        if target != "step":
            found = [(id, ask) for id, ask in asks if step_hash(id) == target]
            return self._execute(*found[0], call) if found else self._answer(Ops((Op(Opcode.STEP_NOT_FOUND, target),)))
        alone = (
            len(asks) == 1 and asks[0][1].code is Opcode.STEP_RUN and not (self.plans_groups and asks[0][0] in planned)
        )
        if alone and not call.disable_immediate_execution:
            return self._execute(*asks[0], call)
        ops = tuple(
            self._op(id, ask, Opcode.STEP_PLANNED if ask.code is Opcode.STEP_RUN else ask.code) for id, ask in asks
        )
        return self._answer(Ops(ops))

    def _op(self, id: str, ask: Ask, code: Opcode) -> Op:
        opts = {**ask.opts, **({"parallelMode": self.mode} if self.mode else {})}
        return Op(code, step_hash(id), opts=opts, display_name=ask.id, userland=Userland(id, 0))

    def _execute(self, id: str, ask: Ask, call: Call) -> Any:
        self.executed.append(id)
        assert ask.fn is not None
        try:
            value = ask.fn()
        except Exception as error:
            return self._failed(id, ask, call, error)
        if not inspect.isawaitable(value):
            return self._ran(id, ask, value)

        async def finish() -> Answer:
            try:
                return self._ran(id, ask, await value)
            except CallFailed:
                raise
            except Exception as error:
                return self._failed(id, ask, call, error)

        return finish()

    def _ran(self, id: str, ask: Ask, value: Any) -> Answer:
        op = self._op(id, ask, Opcode.STEP_RUN)
        op.data = encode(value, "value")
        return self._answer(Ops((op,)))

    def _failed(self, id: str, ask: Ask, call: Call, error: Exception) -> Answer:
        last = isinstance(error, Fatal) or call.attempt + 1 >= (call.max_attempts or 1)
        op = self._op(id, ask, Opcode.STEP_FAILED if last else Opcode.STEP_ERROR)
        op.error = _error(error)
        return self._answer(Ops((op,)), error)

    def _answer(self, outcome: Any, error: Exception | None = None) -> Answer:
        answer = Answer(outcome, self.version, self.sdk)
        answer.no_retry = isinstance(error, Fatal | StepFailure) and isinstance(outcome, Erred)
        if isinstance(error, RetryIn):
            answer.retry_after = error.seconds * 1_000_000
        return answer


def _error(error: Exception) -> UserError:
    return UserError(type(error).__name__, str(error), "at line 1")


@attrs.define
class _Open:
    """The body waits for these; those in a parallel group are planned, never executed by a discovery."""

    asks: dict[str, tuple[str, Ask]]
    planned: Set[str] = frozenset()


class _Turn:
    """One evaluation of a function on the memo of a call."""

    def __init__(self, app: FakeApp, call: Call) -> None:
        self._call = call
        self._steps: Mapping[str, Any] = call.steps

    def outcome(self, body: Callable[[dict[str, Any]], Body]) -> Any:
        """What the body came to: its value, an exception, or what it waits for."""
        event = dict(self._call.events[0]) if self._call.events else {}
        return self._run(body(event), self._call.stack, {})

    def _run(self, body: Body, stack: tuple[str, ...], counts: dict[str, int]) -> Any:
        value: Any = None
        while True:
            try:
                asked = body.throw(value) if isinstance(value, Exception) else body.send(value)
            except StopIteration as stop:
                return stop.value
            except Exception as error:
                return error
            value = self._of(asked, stack, counts)
            if isinstance(value, _Open):
                body.close()
                return value

    def _of(self, asked: Any, stack: tuple[str, ...], counts: dict[str, int]) -> Any:
        """The value of what a body asks for, an exception, or `_Open`."""
        if isinstance(asked, Ask):
            return self._one(asked, stack, counts)
        if isinstance(asked, types.GeneratorType):
            return self._run(asked, stack, counts)
        assert isinstance(asked, Several)
        assert not asked.race or all(callable(branch) for branch in asked.branches)
        if asked.race:
            return self._first(asked, stack, counts)
        results = [self._of(branch, stack, counts) for branch in asked.branches]
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            return failed[0]
        asks = {id: ask for result in results if isinstance(result, _Open) for id, ask in result.asks.items()}
        return _Open(asks, asks.keys()) if asks else results

    def _first(self, asked: Several, stack: tuple[str, ...], counts: dict[str, int]) -> Any:
        """The first of several to end, in the order of the stack; branches are functions that make them."""
        for length in range(len(stack) + 1):
            for branch in asked.branches:
                result = self._of(branch(), stack[:length], dict(counts))
                if not isinstance(result, _Open):
                    return result
        opened = [self._of(branch(), stack, counts) for branch in asked.branches]
        asks = {id: ask for result in opened for id, ask in result.asks.items()}
        return _Open(asks, asks.keys())

    def _one(self, ask: Ask, stack: tuple[str, ...], counts: dict[str, int]) -> Any:
        number = counts.get(ask.id, 0)
        counts[ask.id] = number + 1
        id = f"{ask.id}:{number}" if number else ask.id
        hash = step_hash(id)
        if hash not in stack:
            return _Open({id: (id, ask)})
        memo = self._steps[hash]
        if isinstance(memo, dict) and "error" in memo:
            return StepFailure(memo["error"]["message"])
        return memo["data"] if isinstance(memo, dict) and "data" in memo and ask.code not in BARE else memo


BARE = (Opcode.WAIT_FOR_EVENT, Opcode.SLEEP)
