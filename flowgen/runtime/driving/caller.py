"""Makes calls: what a worker's executor is for the bodies of steps, this is for calls.

A `Caller` stands before the executor and passes on whatever is no call. What an app answers, and that it could not be
asked, comes back as `Answered`; nothing is raised but a cancellation. An app may tell of steps while its call is still
under way (`report`): then the call comes back with that, and goes on when it is awaited again, which is after the
commit that holds it.

A call may also be one that we have not made: an app that was asked something by others *leads* the run of that by
itself at first (`lead`), and tells what it does (`hear`). It does so until it says how the run ends, or what it leaves
to the server; or until it has told nothing for so long that it must have died. Then it is called like any other.

Refuses to know what an answer means (`answers`), and how a request travels (`transport`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Sequence
from functools import lru_cache, partial
from typing import Final, Protocol

import attrs
import trio

from ...errors import InvalidInput, UnserializableError
from ...outcome import Answered, Failure, Outcome, Raised, failure_of
from ...pen import Pen
from ...transition import Transition
from ...tree import Step
from ..environment import Environment
from ..executor import Bodies
from ..protocol import headers as names
from ..protocol.calls import MAX_CALL, VERSION, Answer, Call, Check, Erred, Ops, build_call, call_url, parse_answer
from ..protocol.errors import APP_UNREACHABLE, UserError
from ..protocol.ops import Op, Opcode
from ..protocol.reading import BadResponse, ProtocolError
from ..store import Committed
from .answers import record_absence, record_answer
from .calling import Calling, call_of
from .fetching import Fetching, Incoming, Outgoing, came_to
from .reentry import reentry

Headers = Sequence[tuple[str, str]]

log = logging.getLogger("flowgen")


SILENCE_SECONDS: Final = 300.0
"""How long an app that leads a run may tell nothing: as long as a step of it may take."""


class CallFailed(Exception):
    """The world: a call was not answered. The message says why."""


class AppAway(CallFailed):
    """A call that reached nobody: nothing of it was sent."""


@attrs.define
class Reply:
    """An HTTP answer, whole. `check` looks at its signature; with `signs`, an app of ours is to have signed it."""

    status: int
    headers: Headers
    body: bytes
    check: Check = lambda header, body: None
    signs: bool = False


class Calls(Protocol):
    """How calls travel."""

    async def send(self, url: str, headers: Headers, body: bytes, method: str = "POST") -> Reply:
        """Send a request and give the answer. Raises `CallFailed`, which is `AppAway` if nothing was sent, or
        `InvalidInput` for a URL that is not called."""

    async def fetch(self, request: Outgoing) -> Incoming:
        """Make a request that an app asks for. Raises as `send` does."""

    async def aclose(self) -> None:
        """Let all connections go."""


@attrs.frozen
class _Nobody:
    """No answer: the call reached nobody."""

    reason: str


@attrs.define(eq=False)
class _Told:
    """Steps that an app told of: `settled` is set when they are committed, or never will be."""

    ops: tuple[Op, ...]
    settled: trio.Event = attrs.Factory(trio.Event)
    committed: bool = False

    def settle(self, committed: bool) -> None:
        if not self.settled.is_set():
            self.committed = committed
            self.settled.set()


@attrs.define(eq=False)
class _UnderWay:
    """A call of which the app may tell before it answers: what was `told`, and is `taken` but not committed yet.

    One that the app leads ends when it has `told_all`, and that is in the records of its run once it is `recorded`. Its
    app may tell nothing for `silence` seconds.
    """

    request: str
    function: str
    generation: int
    silence: float = math.inf
    told_all: bool = False
    recorded: bool = False
    answer: Answer | _Nobody | None = None
    told: list[_Told] = attrs.Factory(list)
    taken: list[_Told] = attrs.Factory(list)
    changed: trio.Event = attrs.Factory(trio.Event)
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)

    def is_meant(self, request: str | None, function: str | None, generation: int | None) -> bool:
        """Whether it is the call of which an app says this, as far as it says it."""
        return (
            request in (None, self.request)
            and function in (None, "", self.function)
            and generation in (None, self.generation)
        )

    async def news(self) -> None:
        """Return when the app has told something, or the answer is there."""
        while self.answer is None and not self.told:
            await self.changed.wait()
            self.changed = trio.Event()

    async def settled_all(self) -> None:
        """Return when what was told is committed, or never will be: who tells the same again finds it then."""
        with trio.move_on_after(_COMMIT_SECONDS):
            for told in (*self.taken, *self.told):
                await told.settled.wait()

    def take(self) -> tuple[Op, ...]:
        """All that was told."""
        self.taken, self.told = self.told, []
        return tuple(op for told in self.taken for op in told.ops)

    def settle(self, committed: bool) -> None:
        """What was taken is committed; or nothing more will be."""
        for told in self.taken if committed else (*self.taken, *self.told):
            told.settle(committed)
        self.taken = []


class Caller:
    """Makes the calls of one engine; `bodies` runs all that is none.

    `nursery` is where calls go on of which an app may tell before it answers. An app that leads a run may tell nothing
    for `silence` seconds.
    """

    def __init__(
        self, bodies: Bodies, calls: Calls, environment: Environment, silence: float = SILENCE_SECONDS
    ) -> None:
        self.nursery: trio.Nursery | None = None
        self._silence = silence
        self._led: dict[str, _UnderWay] = {}
        self._ending: dict[str, _UnderWay] = {}
        self._bodies = bodies
        self._calls = calls
        self._environment = environment
        self._under_way: dict[tuple[str, str], _UnderWay] = {}
        self._readers: dict[str, trio.CapacityLimiter] = {}

    @property
    def abandoned(self) -> int:
        """How many threads still run a body whose attempt is over."""
        return self._bodies.abandoned

    def run(self, step: Step, run_id: str, default_loop: str) -> Awaitable[Outcome | Answered]:
        """One attempt of a body, or one call."""
        if (ending := self._ending.get(run_id)) is not None:
            ending.settle(committed=True)  # what begins now follows from what was committed
        if type(step.command) is Calling:
            return self._call(step, step.command)
        if type(step.command) is Fetching:
            return self._fetch(step.command)
        return self._bodies.run(step, run_id, default_loop)

    def close(self) -> None:
        """Let the threads go."""
        self._bodies.close()

    async def report(
        self, run: str, ops: Sequence[Op], request: str | None, function: str | None, generation: int | None
    ) -> bool:
        """Take the steps that an app tells of while its call is under way; they are committed when this returns.

        False if no such call is: it was answered, given up, or made by another engine. A call is meant if all that is
        said of it is what it said itself.
        """
        found = [
            call
            for (owner, _), call in self._under_way.items()
            if owner == run and call.answer is None and call.is_meant(request, function, generation)
        ]
        if len(found) != 1:
            return False
        (call,) = found
        told = _Told(tuple(ops))
        call.told.append(told)
        call.changed.set()
        with trio.move_on_after(_COMMIT_SECONDS):
            await told.settled.wait()
            return told.committed
        call.scope.cancel()
        return False

    def lead(self, run: str, function: str) -> bool:
        """The first call of a run that is about to be created is not made: its app is at it. False if one is led."""
        if run in self._led or run in self._ending:
            return False
        self._led[run] = _UnderWay(self._environment.new_id(), function, 0, self._silence)
        return True

    def follow(self, run: str) -> None:
        """Nobody leads a run (any more): it was not created, or has ended, or what its app told was not committed."""
        self._led.pop(run, None)

    async def hear(self, run: str, function: str, ops: Sequence[Op]) -> bool:
        """Take what an app tells of a run that it leads; that is committed when this returns.

        False if it does not lead it: it has said that it is over, or was silent for too long; or another engine has it.
        """
        call = self._led.get(run) or self._ending.get(run)
        if call is None or call.function != function:
            return False
        if call.told_all:
            await call.settled_all()
            return False
        told = _Told(tuple(ops))
        call.told.append(told)
        if not all(op.op in _GOES_ON for op in ops):
            call.told_all = True
            self._ending[run] = call
        call.changed.set()
        try:
            with trio.move_on_after(_COMMIT_SECONDS):
                await told.settled.wait()
            if not told.committed:
                self.follow(run)
            return told.committed
        finally:
            told.settle(committed=False)  # nobody looks any more
            if call.told_all and self._ending.get(run) is call:
                del self._ending[run]

    def committed(self, transition: Transition, committed: Committed) -> None:
        """A watcher of commits: what an app has told of the end of its lead is durable with that of its run."""
        if not self._ending or transition.progress is None:
            return
        call = self._ending.get(transition.progress.run)
        if call is not None and call.recorded:
            call.settle(committed=True)

    async def _fetch(self, fetching: Fetching) -> Outcome:
        """One try of a request that an app asks for."""
        try:
            return came_to(fetching.asked, await self._calls.fetch(fetching.request))
        except CallFailed as error:
            return Raised(Failure("FetchFailed", str(error)))
        except (InvalidInput, UnserializableError) as error:
            return Raised(failure_of(error), retriable=False)
        except Exception as error:  # by us: it must cost no other run anything, and this one no worker
            log.exception("a request for an app broke")
            return Raised(Failure("FetchBroke", f"{type(error).__name__}: {error}"))

    async def _call(self, step: Step, calling: Calling) -> Answered:
        led = calling.body.row.id in self._led
        if led or (self.nursery is not None and calling.body.remote.sdk.startswith(_TELLS_BEFORE)):
            return await self._call_that_tells(step, calling)
        answer = await self._answer(step, calling, self._environment.new_id())
        return _answered(answer)

    async def _call_that_tells(self, step: Step, calling: Calling) -> Answered:
        """A call, or the rest of one: what was told of it before is committed if it is awaited again."""
        key = (calling.body.row.id, step.id)
        call = self._under_way.get(key)
        if call is None:
            call = self._under_way[key] = self._begun(step, calling)
        else:
            call.settle(committed=True)
        try:
            with trio.move_on_after(call.silence):
                await call.news()
        except BaseException:
            self._end(key, call)
            raise
        if call.told_all:
            answer = Answer(Ops(call.take()), VERSION)
            self._end(key, call)
            return Answered(partial(_record_last, call, answer))
        if call.told:
            return Answered(partial(record_answer, Answer(Ops(call.take())), partly=True))
        self._end(key, call)
        return _answered(call.answer or _nothing_told(calling.body.row.id, call))

    def _begun(self, step: Step, calling: Calling) -> _UnderWay:
        """The call of a step, under way: its app leads it, or it is carried there."""
        body = calling.body
        led = self._led.get(body.row.id)
        if led is not None:
            return led
        assert self.nursery is not None
        call = _UnderWay(self._environment.new_id(), body.remote.slug, body.row.fence)
        self.nursery.start_soon(self._carry, step, calling, call)
        return call

    async def _carry(self, step: Step, calling: Calling, call: _UnderWay) -> None:
        """Carry a call that goes on while what was told of it is committed."""
        with call.scope:
            call.answer = await self._answer(step, calling, call.request)
        if call.answer is None:
            call.answer = Answer(Erred(UserError("CallGivenUp", "what the app told of its steps was not committed")))
        call.changed.set()

    def _end(self, key: tuple[str, str], call: _UnderWay) -> None:
        """A call is over, or nobody waits for it any more. What ends a lead is settled when it is committed."""
        del self._under_way[key]
        if self._led.get(key[0]) is call:
            del self._led[key[0]]
        if not call.told_all or call.told:
            call.settle(committed=False)
        if call.answer is None:
            call.scope.cancel()

    async def _read(self, reply: Reply, app: str) -> Answer:
        """What a reply says. A large one is read beside the loop, which others need, and one of an app at a time."""
        read = partial(parse_answer, reply.status, reply.headers, reply.body, self._environment.now(), reply.check)
        if len(reply.body) <= _LARGE or not self._environment.threads:
            return read()
        limit = self._readers.setdefault(app, trio.CapacityLimiter(1))
        return await trio.to_thread.run_sync(read, limiter=limit, abandon_on_cancel=True)

    async def _send(self, call: Call, calling: Calling) -> Reply:
        """Make the request of a call; that of an endpoint is the one by which it was asked first."""
        remote, headers = calling.body.remote, _headers(call, calling)
        if not remote.endpoint:
            return await self._calls.send(_url(remote.url, remote.slug, calling.target), headers, _body(call))
        again = reentry(calling)
        return await self._calls.send(again.url, [*headers, *again.headers], again.body, again.method)

    async def _answer(self, step: Step, calling: Calling, request: str) -> Answer | _Nobody:
        """What the app answers; whatever keeps it from answering is an error of the call."""
        remote = calling.body.remote
        call = call_of(calling, calling.body.counted(step), request)
        try:
            reply = await self._send(call, calling)
            answer = await self._read(reply, calling.body.row.app)
            return _believed(answer) if reply.signs and calling.body.native and not answer.signed else answer
        except AppAway as error:
            return _Nobody(str(error))
        except CallFailed as error:
            return Answer(Erred(UserError(APP_UNREACHABLE, str(error))))
        except ProtocolError as error:
            return Answer(Erred(UserError("BadResponse", str(error))))
        except InvalidInput as error:
            return Answer(Erred(UserError("UrlRefused", str(error))), no_retry=True)
        except Exception as error:  # by us: it must cost no other run anything
            log.exception("run %s: a call of %s broke", call.run_id, remote.slug)
            return Answer(Erred(UserError("CallBroke", f"{type(error).__name__}: {error}")))


_GOES_ON: Final = frozenset({Opcode.STEP, Opcode.STEP_RUN, Opcode.DEFER_ADD, Opcode.DEFER_ABORT})
"""What an app tells while it goes on by itself. With anything else it leaves the run to the server, or ends it."""

_TELLS_BEFORE: Final = ("inngest-js:", "inngest-go:", "js:", "go:")
"""What the names of SDKs begin with that tell of steps before they answer."""

_LARGE: Final = 128 * 1024
"""Bytes of an answer that may take so long to read that others would notice: 8 MiB of brackets take a second."""

_COMMIT_SECONDS: Final = 30.0
"""How long what an app tells may wait for its commit."""


def _believed(answer: Answer) -> Answer:
    """What is believed of an answer that an app of ours has not signed: that something went wrong, and no more."""
    if not isinstance(answer.outcome, Erred):
        raise BadResponse(
            "the answer", "is not signed: either its app has not the key of this server, or it is not its"
        )
    return Answer(Erred(answer.outcome.error), retry_after=answer.retry_after)


def _record_last(call: _UnderWay, answer: Answer, step_id: str, luck: float, pen: Pen) -> None:
    """Take what an app has told last of a run that it led."""
    record_answer(answer, step_id, luck, pen)
    call.recorded = True


def _nothing_told(run: str, call: _UnderWay) -> Answer:
    """The app is silent: it is asked what there is to do."""
    log.info("run %s: its app has told nothing for %g s, and is called now", run, call.silence)
    return Answer(Ops((Op(Opcode.DISCOVERY_REQUEST, ""),)))


def _answered(answer: Answer | _Nobody) -> Answered:
    """How what came of a call is recorded."""
    if isinstance(answer, _Nobody):
        return Answered(partial(record_absence, answer.reason))
    return Answered(partial(record_answer, answer))


def _body(call: Call) -> bytes:
    """The body of a request. What is too large is left out, and asked for by the app."""
    body = build_call(call)
    if len(body) > MAX_CALL and call.flowgen is None and not call.use_api:
        call.use_api = True
        body = build_call(call)
    return body


@lru_cache(maxsize=4096)
def _url(url: str, slug: str, target: str) -> str:
    return call_url(url, slug, target)


def _headers(call: Call, calling: Calling) -> list[tuple[str, str]]:
    return [
        (names.RUN_ID, call.run_id),
        (names.REQUEST_ID, call.request_id),
        (names.JOB_ID, call.job_id),
        (names.GENERATION_ID, str(call.generation_id)),
        (names.STEP_ID, calling.target),
        (names.REQUEST_VERSION, str(call.version)),
    ]
