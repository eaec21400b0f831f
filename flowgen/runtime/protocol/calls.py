"""A call: one request of a server to an app, and what the app answers.

A call says which run it is about, what has happened in it (`steps` by hash, and `stack`, the order in which they
ended), and which step it is aimed at: none (`DISCOVERY`), or the one with that hash. An answer is one of three things:
the function returned, it reports ops, or it failed. It comes as a status, headers and a body, and may be wrapped into
a stream that begins before the answer is known (status 201).

What cannot be understood as an answer is a `BadResponse`; what is understood as a failure is `Erred`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs
import msgspec

from ...duration import SECOND, instant
from ...outcome import NULL, Json
from ...retry import clamp_retry_after
from . import headers as names
from .errors import UserError, error_to_json, read_error, readable
from .ops import Op, parse_ops, to_json
from .reading import BadRequest, BadResponse, Members, encoded, read_json, shown
from .steps import DISCOVERY

MAX_CALL: Final = 4 * 1024 * 1024
"""Bytes of a call's body; what is larger leaves out events and steps, which the app then asks for (`use_api`)."""

MAX_STATE: Final = MAX_CALL - 1024
"""Bytes of events and steps that a call carries."""

MAX_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of an answer."""

MOST_ATTEMPTS: Final = 1_000
"""No server tries anything so often."""

VERSION: Final = 2
"""The request version that we speak."""

UNKNOWN_VERSION: Final = -1
"""The request version of a run that no app has answered yet."""

_ASIDE: Final = frozenset({"fnId", "stepId", "deployId", "probe"})
_ENCODE: Final = msgspec.json.Encoder().encode


# -- calls -----------------------------------------------------------------------------------------


@attrs.define
class Call:
    """One request about a run.

    `events` are event documents, and `steps` the memo by hash; both are plain JSON, or `Json`. `current` counts the
    steps of the stack up to the one that caused the call. `attempt` counts from 0. `flowgen` is what only our own apps
    read.
    """

    run_id: str
    events: tuple[Any, ...] = ()
    steps: Mapping[str, Any] = attrs.field(factory=dict)
    stack: tuple[str, ...] = ()
    current: int = 0
    attempt: int = 0
    max_attempts: int | None = None
    version: int = UNKNOWN_VERSION
    disable_immediate_execution: bool = False
    use_api: bool = False
    fn_id: str = ""
    env: str = ""
    qi_id: str = ""
    request_id: str = ""
    generation_id: int = 0
    job_id: str = ""
    defers: Mapping[str, Any] = attrs.field(factory=dict)
    flowgen: Mapping[str, Any] | None = None


def build_call(call: Call) -> bytes:
    """The body of a request. It is not canonical: sign it with `signatures.sign`, which takes care of that."""
    ctx = {
        "run_id": call.run_id,
        "fn_id": call.fn_id,
        "env": call.env,
        "step_id": DISCOVERY,
        "attempt": call.attempt,
        "stack": {"stack": call.stack, "current": call.current},
        "qi_id": call.qi_id,
        "request_id": call.request_id,
        "generation_id": call.generation_id,
        "job_id": call.job_id,
        "disable_immediate_execution": call.disable_immediate_execution,
        "use_api": call.use_api,
    }
    if call.max_attempts is not None:
        ctx["max_attempts"] = call.max_attempts
    document: dict[str, Any] = {
        "event": call.events[0] if call.events else {},
        "events": [] if call.use_api else call.events,
        "steps": {} if call.use_api else call.steps,
        "ctx": ctx,
        "version": call.version,
        "use_api": call.use_api,
    }
    if call.defers:
        document["defers"] = call.defers
    if call.flowgen is not None:
        document["flowgen"] = call.flowgen
    return _ENCODE(document)


def parse_call(body: bytes) -> Call:
    """What a request says. Raises `BadRequest` with the place of what cannot be read."""
    call = Members(read_json(body, "the call", BadRequest), "", BadRequest)
    ctx = call.members("ctx")
    if ctx is None:
        raise BadRequest("ctx", "is missing")
    stack = ctx.members("stack")
    events = tuple(call.items("events"))
    first = call.any("event")
    return Call(
        run_id=ctx.needed_text("run_id", longest=200),
        events=events or (() if not first else (first,)),
        steps=call.mapping("steps"),
        stack=() if stack is None else _texts(stack, "stack"),
        current=0 if stack is None else stack.number("current", 0) or 0,
        attempt=_attempt(ctx),
        max_attempts=ctx.number("max_attempts"),
        version=call.number("version", UNKNOWN_VERSION) or 0,
        disable_immediate_execution=ctx.truth("disable_immediate_execution"),
        use_api=call.truth("use_api") or ctx.truth("use_api"),
        fn_id=ctx.text("fn_id", "") or "",
        env=ctx.text("env", "") or "",
        qi_id=ctx.text("qi_id", "") or "",
        request_id=ctx.text("request_id", "") or "",
        generation_id=ctx.number("generation_id", 0) or 0,
        job_id=ctx.text("job_id", "") or "",
        defers=call.mapping("defers"),
        flowgen=call.mapping("flowgen") or None,
    )


def _attempt(ctx: Members) -> int:
    attempt = ctx.number("attempt", 0) or 0
    if not 0 <= attempt <= MOST_ATTEMPTS:
        ctx.refuse("attempt", f"is {shown(attempt)}; attempts are counted from 0, and up to {MOST_ATTEMPTS:,}")
    return attempt


def _texts(members: Members, name: str) -> tuple[str, ...]:
    items = members.items(name)
    for index, item in enumerate(items):
        if not isinstance(item, str):
            members.refuse(f"{name}[{index}]", f"must be text, not {shown(item)}")
    return tuple(items)


def call_url(url: str, fn_id: str, step: str = DISCOVERY) -> str:
    """Where a call goes: the URL that a function has registered, aimed at a step by its hash, or at none.

    What an SDK has put there to tell one registration from the next (`deployId`) is left out.
    """
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query, True) if key not in _ASIDE]
    return urlunsplit(parts._replace(query=urlencode([*query, ("fnId", fn_id), ("stepId", step)]), fragment=""))


# -- answers ---------------------------------------------------------------------------------------


@attrs.define
class Returned:
    """The function came back with a value."""

    data: Json


@attrs.define
class Ops:
    """The function reports steps, or asks for them."""

    ops: tuple[Op, ...]


@attrs.define
class Erred:
    """The function failed, outside of its steps. `flowgen` is what only our own apps say of it."""

    error: UserError
    flowgen: Mapping[str, Any] | None = None


Outcome = Returned | Ops | Erred


@attrs.define
class Answer:
    """What an app answers.

    `version` is the request version that it speaks, `sdk` what it is made with. `no_retry` says that what failed is not
    to be tried again; `retry_after` (microseconds, clamped) when it may be. `signed`: there is a signature.
    """

    outcome: Outcome
    version: int | None = None
    sdk: str | None = None
    no_retry: bool = False
    retry_after: int | None = None
    signed: bool = False


Check = Callable[[str | None, bytes], None]
"""Looks at the signature of a body, None if there is none, and raises `BadResponse` if it is not good."""


def parse_answer(
    status: int, headers: Iterable[tuple[str, str]], body: bytes, now: int, check: Check = lambda header, body: None
) -> Answer:
    """What an app answered. `now` is in microseconds since the epoch; `check` looks at its signature.

    Raises `BadResponse` for what no app would answer.
    """
    return _answer(status, names.lowered(headers), body, now, check)


def build_answer(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    headers = {"Content-Type": "application/json", names.REQUEST_VERSION: str(answer.version or VERSION)}
    if answer.sdk is not None:
        headers[names.SDK] = answer.sdk
    if answer.retry_after is not None:
        headers[names.RETRY_AFTER] = str(-(-answer.retry_after // SECOND))
    match answer.outcome:
        case Returned(data):
            return 200, headers, bytes(data)
        case Ops(ops):
            if answer.no_retry:
                headers[names.NO_RETRY] = "true"
            return 206, headers, _ENCODE(to_json(ops))
        case Erred(error, flowgen):
            headers[names.NO_RETRY] = "true" if answer.no_retry else "false"
            document = error_to_json(error) | ({} if flowgen is None else {"flowgen": dict(flowgen)})
            return 400 if answer.no_retry else 500, headers, _ENCODE(document)


def _answer(status: int, headers: Mapping[str, str], body: bytes, now: int, check: Check) -> Answer:
    if len(body) > MAX_ANSWER:
        raise BadResponse("the answer", f"has {len(body):,} bytes; at most {MAX_ANSWER:,} are accepted")
    if status == 201:
        return _unwrapped(headers, body, now, check)
    signature = headers.get(names.SIGNATURE.lower())
    check(signature, body)
    sdk = headers.get(names.SDK.lower())
    if 200 <= status < 300 and sdk is None:
        raise BadResponse("the answer", f"did not come from an SDK: status {status}, but no header {names.SDK}")
    return Answer(
        _outcome(status, sdk, body),
        version=_version(headers.get(names.REQUEST_VERSION.lower())),
        sdk=sdk,
        no_retry=headers.get(names.NO_RETRY.lower(), "").strip().lower() == "true",
        retry_after=_retry_after(headers.get(names.RETRY_AFTER.lower()), now),
        signed=signature is not None,
    )


def _outcome(status: int, sdk: str | None, body: bytes) -> Outcome:
    match status:
        case 200:
            return Returned(encoded(read_json(body, "the result", BadResponse)) if body.strip() else NULL)
        case 206:
            value = read_json(body, "the answer", BadResponse)
            if isinstance(value, str):  # encoded twice, as some do in streams
                value = read_json(value.encode(), "the answer", BadResponse)
            return Ops(parse_ops(value))
        case _ if 200 <= status < 300:
            raise BadResponse("the answer", f"has status {status}; an app answers 200, 201 or 206, or an error")
        case _:
            return _erred(status, sdk, body)


def _erred(status: int, sdk: str | None, body: bytes) -> Erred:
    """The error that an answer of another status means."""
    value = None if sdk is None else _json_or_none(body)
    if isinstance(value, str):
        value = _json_or_none(value.encode()) or value
    if value is None:
        what = "redirects, which is not followed" if 300 <= status < 400 else "returned a fatal error"
        return Erred(UserError("ServerError", f"The app {what}: status {status}", readable(body)))
    flowgen = value.get(names.OUR_SDK) if isinstance(value, dict) else None
    return Erred(read_error(value), flowgen if isinstance(flowgen, dict) else None)


def _json_or_none(body: bytes) -> Any:
    try:
        return read_json(body, "the error", BadResponse)
    except BadResponse:
        return None


def _unwrapped(headers: Mapping[str, str], body: bytes, now: int, check: Check) -> Answer:
    """The answer in a stream: space while the app was at work, then status, headers and body as JSON."""
    stream = Members(read_json(body, "the stream", BadResponse), "the stream", BadResponse)
    status = stream.number("status")
    if status is None or status == 201 or not 100 <= status <= 599:
        stream.refuse("status", f"must be a status of an answer, not {shown(status)}")
    inner = stream.mapping("headers")
    merged = {**headers, **{key.lower(): value for key, value in inner.items() if isinstance(value, str)}}
    content = stream.any("body")
    text = content.encode("utf-8", "replace") if isinstance(content, str) else bytes(encoded(content))
    return _answer(status, merged, text, now, check)


def _version(text: str | None) -> int | None:
    text = (text or "").strip(" ")
    return int(text) if re.fullmatch(r"-?[0-9]{1,4}", text) else None


def _retry_after(text: str | None, now: int) -> int | None:
    """The delay that a header asks for: seconds, an ISO date or an HTTP date. What is none of them says nothing."""
    text = (text or "").strip()
    if not text or len(text) > 100:
        return None
    if re.fullmatch(r"[0-9]{1,7}", text):
        return clamp_retry_after(int(text) * SECOND)
    moment = _date(text)
    return None if moment is None else clamp_retry_after(moment - now)


def _date(text: str) -> int | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            return instant(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC), "Retry-After")
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
