"""An app that answers requests of others by itself, as its server sees it: what it tells, and is asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import attrs
import msgspec
import trio

from flowgen.runtime import Engine, open_engine
from flowgen.runtime.arrivals import Arrivals
from flowgen.runtime.driving.caller import Headers, Reply
from flowgen.runtime.driving.fetching import Incoming, Outgoing
from flowgen.runtime.environment import Environment
from flowgen.runtime.protocol.arrivals import HTTP_REQUEST, Arrival, parse_arrival
from flowgen.runtime.protocol.calls import Answer, Ops, build_answer
from flowgen.runtime.protocol.ops import Op, Opcode, Userland, to_json
from flowgen.runtime.protocol.reading import BadRequest, Members
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.testing.clock import VirtualClock
from flowgen.values import encode

T = TypeVar("T")

JS = "inngest-js:v4.24.0"
APP = "127.0.0.1-3000"
RUN = "01M81CX1A7M9K896JQHATF27WW"
OTHER = "01M81CX1A7M9K896JQHATF27WX"
OUTPUT = {"headers": {"content-type": "application/json"}, "status": 200, "body": '{"done":1}', "version": 2}


def ran(step: str, value: Any) -> Op:
    return Op(Opcode.STEP_RUN, step_hash(step), data=encode(value, "x"), userland=Userland(step, 0))


def failed(step: str, error: Any, code: Opcode = Opcode.STEP_ERROR) -> Op:
    return Op(code, step_hash(step), error=error, userland=Userland(step, 0))


def nap(duration: str = "1m") -> Op:
    return Op(Opcode.SLEEP, step_hash("nap"), opts={"duration": duration}, userland=Userland("nap", 0))


def complete(output: Any = OUTPUT) -> Op:
    return Op(Opcode.RUN_COMPLETE, step_hash("complete"), data=encode(output, "x"))


def request(**said: str) -> dict[str, Any]:
    """The event of a request."""
    data = {"domain": "http://127.0.0.1:3000", "method": "GET", "path": "/carts/7", "query_params": "who=ada", **said}
    return {"name": HTTP_REQUEST, "data": data}


def document(*ops: Op, run: str = RUN, event: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A first checkpoint."""
    steps = plain(ops)
    return {"run_id": run, "event": event or request(), "steps": steps, "retries": 3, "request_version": 2, **more}


def plain(ops: Iterable[Op]) -> Any:
    """Ops as they are on the wire."""
    return msgspec.json.decode(msgspec.json.encode(to_json(ops)))


def arrival(*ops: Op, sdk: str = JS, **more: Any) -> Arrival:
    """The same, read."""
    parsed = parse_arrival(Members(document(**more), "", BadRequest), sdk)
    return attrs.evolve(parsed, ops=ops)


@attrs.frozen
class Asked:
    """A request by which an app was entered again."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def answered(*ops: Op) -> Reply:
    status, headers, content = build_answer(Answer(Ops(ops), 2, JS))
    return Reply(status, list(headers.items()), content)


@attrs.define(eq=False)
class Entered:
    """How such an app is called: it answers by `answer`, or that it has ended."""

    answer: Callable[[Asked], Reply] = lambda asked: answered(complete())
    asked: list[Asked] = attrs.Factory(list)

    async def send(self, url: str, headers: Headers, body: bytes, method: str = "POST") -> Reply:
        asked = Asked(method, url, {name.lower(): value for name, value in headers}, body)
        self.asked.append(asked)
        return self.answer(asked)

    async def fetch(self, request: Outgoing) -> Incoming:
        raise AssertionError("it asks for nothing")

    async def aclose(self) -> None:
        """Nothing is open."""


def arrivals_of(engine: Engine) -> Arrivals:
    assert engine.arrivals is not None
    return engine.arrivals


@attrs.define(eq=False)
class Place:
    """A store in virtual time, and engines on it that know no app."""

    app: Entered = attrs.Factory(Entered)
    clock: VirtualClock = attrs.Factory(VirtualClock)
    store: MemoryStore = attrs.field(init=False)
    lives: int = 0

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(clock=self.clock)

    def open(self, **options: Any) -> AbstractAsyncContextManager[Engine]:
        self.lives += 1
        options = {"grace": "0s", "lease": "6h", **options}
        environment = Environment(self.lives, threads=False)
        return open_engine([], self.store, calls=self.app, environment=environment, **options)

    def run(self, story: Callable[[Engine], Awaitable[T]], **options: Any) -> T:
        async def main() -> T:
            async with self.open(**options) as engine:
                with trio.fail_after(30 * 86_400):
                    return await story(engine)

        return trio.run(main, clock=self.clock)
