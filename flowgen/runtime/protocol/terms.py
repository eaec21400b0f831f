"""What an op asks for, read from its `opts`: one small class for each kind of request.

Times are written in many ways on the wire: `"1d12h"`, `"24h0m0s"`, an ISO date, or nothing at all, which is at once.
`terms_of` gives delays in microseconds, and moments in microseconds since the epoch; a date that has passed is at
once. Nothing here is longer than 366 days.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

import attrs

from ...duration import DAY, MAX_DURATION, SECOND, instant, parse_duration
from ...errors import DefinitionError
from .ops import Op, Opcode
from .reading import BadResponse, Members, encoded, shown

INVOKE_TIMEOUT: Final = 365 * DAY
"""How long an invoke waits that says nothing of it."""

PROVIDERS: Final[Mapping[str, str]] = {
    "openai-chat": "https://api.openai.com/v1/chat/completions",
    "anthropic": "https://api.anthropic.com/v1/messages",
}
"""Where the models of a format are, if an op does not say it."""


@attrs.frozen
class SleepFor:
    """Wait for `duration` microseconds from now."""

    duration: int


@attrs.frozen
class SleepUntil:
    """Wait until `moment`, microseconds since the epoch."""

    moment: int


@attrs.frozen
class AwaitEvent:
    """Wait for an event called `event`, for which `where` holds, at most for `timeout` microseconds."""

    event: str
    where: str | None
    timeout: int


@attrs.frozen
class AwaitSignal:
    """Wait for the signal called `signal`, at most for `timeout` microseconds."""

    signal: str
    timeout: int
    on_conflict: Literal["fail", "replace"]


@attrs.frozen
class InvokeFunction:
    """Run the function called `function_id` (`app-id`) with `data`, at most for `timeout` microseconds."""

    function_id: str
    data: Any
    timeout: int


@attrs.frozen
class Fetch:
    """Send an HTTP request on behalf of the app. `body` is text (JSON, if it was none), or None."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: str | None


@attrs.frozen
class Infer:
    """Send an inference request to a model's provider: `format` says which API it speaks."""

    url: str
    format: str
    headers: Mapping[str, str]
    auth_key: str = attrs.field(repr=False)
    body: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Defer:
    """Start the function called `function_id` with `data`, once the run has ended."""

    function_id: str
    data: Any


@attrs.frozen
class Undefer:
    """Forget the defer with this hash."""

    hash: str


Terms = SleepFor | SleepUntil | AwaitEvent | AwaitSignal | InvokeFunction | Fetch | Infer | Defer | Undefer


def terms_of(op: Op, now: int) -> Terms | None:
    """What an op asks for; None for one that asks for nothing. `now` is in microseconds since the epoch.

    Raises `BadResponse` with the place for what cannot be.
    """
    opts = Members(dict(op.opts), f"{op.op.value} {op.step_id!r}: opts", BadResponse)
    match op.op:
        case Opcode.SLEEP:
            return _sleep(opts, op, now)
        case Opcode.WAIT_FOR_EVENT:
            event = opts.text("event") or op.name
            if not event:
                opts.refuse("event", "is missing")
            return AwaitEvent(event, opts.text("if") or None, _timeout(opts, "timeout", now, 0))
        case Opcode.WAIT_FOR_SIGNAL:
            conflict: Literal["fail", "replace"] = "replace" if opts.text("conflict") == "replace" else "fail"
            return AwaitSignal(opts.needed_text("signal"), _timeout(opts, "timeout", now, 0), conflict)
        case Opcode.INVOKE_FUNCTION:
            payload = opts.members("payload")
            data = None if payload is None else payload.any("data")
            return InvokeFunction(opts.needed_text("function_id"), data, _timeout(opts, "timeout", now, INVOKE_TIMEOUT))
        case Opcode.GATEWAY:
            body = opts.any("body")
            text = body if body is None or isinstance(body, str) else bytes(encoded(body)).decode()
            return Fetch(opts.needed_text("url"), opts.text("method") or "GET", _texts(opts, "headers"), text)
        case Opcode.AI_GATEWAY:
            format = opts.needed_text("format")
            return Infer(
                url=opts.text("url") or PROVIDERS.get(format) or opts.needed_text("url"),
                format=format,
                headers=_texts(opts, "headers"),
                auth_key=opts.text("auth_key") or "",
                body=opts.mapping("body"),
            )
        case Opcode.DEFER_ADD:
            return Defer(opts.needed_text("fn_slug"), opts.any("input"))
        case Opcode.DEFER_ABORT:
            return Undefer(opts.needed_text("target_hashed_id"))
        case _:
            return None


def _sleep(opts: Members, op: Op, now: int) -> SleepFor | SleepUntil:
    name = "duration" if opts.text("duration") is not None else "name"
    text = opts.text("duration")
    if text is None:
        text = op.name or ""
    moment = _moment(text)
    if moment is not None:
        if moment - now > MAX_DURATION:
            opts.refuse(name, f"{shown(text)} is more than 366 days ahead")
        return SleepUntil(moment)
    return SleepFor(_span(opts, name, text))


def _timeout(opts: Members, name: str, now: int, default: int) -> int:
    """A delay that is written as one, or as the moment when it is over."""
    text = opts.text(name)
    if text is None:
        return default
    moment = _moment(text)
    if moment is None:
        return _span(opts, name, text)
    if moment - now > MAX_DURATION:
        opts.refuse(name, f"{shown(text)} is more than 366 days ahead")
    return max(moment - now, 0)


def _span(opts: Members, name: str, text: str) -> int:
    if not text.strip():
        return 0
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(int(text) * SECOND, MAX_DURATION)
    try:
        return parse_duration(text, name)
    except DefinitionError as error:
        opts.refuse(name, str(error).removeprefix(f"{name}: "))


def _moment(text: str) -> int | None:
    """The moment that a text of a date means, or None."""
    if len(text) < 10:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant(date if date.tzinfo is not None else date.replace(tzinfo=UTC), "date")


def _texts(opts: Members, name: str) -> dict[str, str]:
    """A member that is an object of texts."""
    found = opts.mapping(name)
    for key, value in found.items():
        if not isinstance(value, str):
            opts.refuse(f"{name}.{key}", f"must be text, not {shown(value)}")
    return found
