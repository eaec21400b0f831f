"""Makes calls: what a worker's executor is for the bodies of steps, this is for calls.

A `Caller` stands before the executor and passes on whatever is no call. What an app answers, and that it could not be
asked, comes back as `Answered`; nothing is raised but a cancellation. An app may tell of steps while its call is still
under way (`report`): then the call comes back with that, and goes on when it is awaited again, which is after the
commit that holds it.

Refuses to know what an answer means (`answers`), and how a request travels (`transport`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import lru_cache, partial
from typing import Protocol

import attrs

from ...errors import InvalidInput
from ...outcome import Answered, Outcome
from ...tree import Step
from ..environment import Environment
from ..executor import Bodies
from ..protocol import headers as names
from ..protocol.calls import MAX_CALL, Answer, Call, Erred, build_call, call_url, parse_answer
from ..protocol.errors import UserError
from ..protocol.reading import ProtocolError
from .answers import record_answer
from .calling import Calling, call_of

Headers = Sequence[tuple[str, str]]


class CallFailed(Exception):
    """The world: a call was not answered. The message says why."""


@attrs.define
class Reply:
    """An HTTP answer, whole."""

    status: int
    headers: Headers
    body: bytes


class Calls(Protocol):
    """How calls travel."""

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        """Send a request and give the answer. Raises `CallFailed`, or `InvalidInput` for a URL that is not called."""

    async def aclose(self) -> None:
        """Let all connections go."""


class Caller:
    """Makes the calls of one engine; `bodies` runs all that is none."""

    def __init__(self, bodies: Bodies, calls: Calls, environment: Environment) -> None:
        self._bodies = bodies
        self._calls = calls
        self._environment = environment

    @property
    def abandoned(self) -> int:
        """How many threads still run a body whose attempt is over."""
        return self._bodies.abandoned

    def run(self, step: Step, run_id: str, default_loop: str) -> Awaitable[Outcome | Answered]:
        """One attempt of a body, or one call."""
        if type(step.command) is Calling:
            return self._call(step, step.command)
        return self._bodies.run(step, run_id, default_loop)

    def close(self) -> None:
        """Let the threads go."""
        self._bodies.close()

    async def _call(self, step: Step, calling: Calling) -> Answered:
        return Answered(partial(record_answer, await self._answer(step, calling)))

    async def _answer(self, step: Step, calling: Calling) -> Answer:
        """What the app answers; whatever keeps it from answering is an error of the call."""
        remote = calling.body.remote
        call = call_of(calling, step.failures, self._environment.new_id())
        url = _url(remote.url, remote.slug, calling.target)
        try:
            reply = await self._calls.send(url, _headers(call, calling), _body(call))
            return parse_answer(reply.status, reply.headers, reply.body, self._environment.now())
        except CallFailed as error:
            return Answer(Erred(UserError("AppUnreachable", str(error))))
        except ProtocolError as error:
            return Answer(Erred(UserError("BadResponse", str(error))))
        except InvalidInput as error:
            return Answer(Erred(UserError("UrlRefused", str(error))), no_retry=True)


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
