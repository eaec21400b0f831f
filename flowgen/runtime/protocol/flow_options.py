"""The options of flow control, as a function's registration has them, and as our `Policies`.

================  ===============  ================================================================
there             ours             what differs
================  ===============  ================================================================
`concurrency`     `Concurrency`    `scope` `env` and `account` count within one app; 0 is no limit
`throttle`        `Throttle`       `burst` counts what comes beside the first one
`rateLimit`       `RateLimit`      ours is an exact window, theirs a rate that allows bursts
`debounce`        `Debounce`       `timeout` is `max_wait`
`batchEvents`     `Batch`          no `if`
`priority.run`    `Priority`
`singleton`       `Singleton`
`idempotency`     `idempotency`    goes together with a rate limit
`cancel`          `CancelOn`       `event.x == async.x` is `match`
`timeouts`        `Timeouts`
================  ===============  ================================================================

What we do not offer is refused with its place, and so is what the field's server refuses: nothing is accepted and
ignored. Durations are whole seconds there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from ...duration import DAY, SECOND, WEEK, Micros, format_duration, parse_duration
from ...errors import DefinitionError
from ...flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Policies,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    check_policies,
)
from .events import RESERVED_PREFIX
from .reading import Members, shown

T = TypeVar("T")

_MATCH: Final = re.compile(r"\s*(event|async)\.(data(?:\.[A-Za-z_]\w*)+)\s*==\s*(event|async)\.\2\s*", re.ASCII)
_WITHOUT_BATCHES: Final = ("cancel", "debounce", "singleton", "priority")


def policies_of(function: Members, name: str, on_failure: str | None) -> Policies:
    """The policies that a function's registration says. `name` is its workflow's, `app/id`.

    Raises the error of `function` with the place of what is not accepted.
    """
    batch = function.members("batchEvents")
    options: dict[str, Any] = {
        "concurrency": _concurrency(function),
        "throttle": _option(function, "throttle", _throttle),
        "rate_limit": _option(function, "rateLimit", _rate_limit),
        "debounce": _option(function, "debounce", _debounce),
        "batch": _option(function, "batchEvents", _batch),
        "priority": _option(function, "priority", _priority),
        "singleton": _option(function, "singleton", _singleton),
        "idempotency": function.text("idempotency") or None,
        "cancel_on": [_cancel_on(item) for item in function.each("cancel")],
        "timeouts": _option(function, "timeouts", _timeouts),
        "on_failure": on_failure,
    }
    if batch is not None:
        for other in _WITHOUT_BATCHES:
            if function.any(other):
                function.refuse("batchEvents", f"does not go together with {other!r}")
    try:
        return check_policies(function.place, name, **options)
    except DefinitionError as error:
        function.refuse("", _reason(error, function.place))


def options_of(policies: Policies, app: str) -> dict[str, Any]:
    """The members of a function's registration that say these policies."""
    said: dict[str, Any] = {}
    if policies.concurrency:
        said["concurrency"] = [_concurrency_said(item, app) for item in policies.concurrency]
    if (throttle := policies.throttle) is not None:
        said["throttle"] = _some(
            limit=throttle.limit, period=_said(throttle.per), key=throttle.key, burst=throttle.burst - 1
        )
    if (rate := policies.rate_limit) is not None:
        said["rateLimit"] = _some(limit=rate.limit, period=_said(rate.per), key=rate.key)
    if (debounce := policies.debounce) is not None:
        said["debounce"] = _some(
            period=_said(debounce.period), key=debounce.key, timeout=_said_or_none(debounce.max_wait)
        )
    if (batch := policies.batch) is not None:
        said["batchEvents"] = _some(maxSize=batch.size, timeout=_said(batch.wait), key=batch.key)
    if policies.priority is not None:
        said["priority"] = {"run": policies.priority.expression}
    if (singleton := policies.singleton) is not None:
        said["singleton"] = _some(key=singleton.key, mode=singleton.mode)
    if policies.idempotency is not None:
        said["idempotency"] = policies.idempotency
    if policies.cancel_on:
        said["cancel"] = [_cancel_said(item) for item in policies.cancel_on]
    if (timeouts := policies.timeouts) is not None:
        said["timeouts"] = _some(start=_said_or_none(timeouts.start), finish=_said_or_none(timeouts.finish))
    return said


def match_of(expression: str) -> str | None:
    """The path, if an expression says only that it is the same in both events: `event.data.id == async.data.id`.

    >>> match_of("event.data.id == async.data.id")
    'data.id'
    """
    form = _MATCH.fullmatch(expression)
    return form[2] if form is not None and form[1] != form[3] else None


# -- there → ours ----------------------------------------------------------------------------------


def _option(function: Members, name: str, made: Callable[[Members], T]) -> T | None:
    """One option, made of its object; what it refuses is refused at its place."""
    members = function.members(name)
    return None if members is None else _made(members, made)


def _made(members: Members, made: Callable[[Members], T]) -> T:
    try:
        return made(members)
    except DefinitionError as error:
        members.refuse("", str(error))


def _concurrency(function: Members) -> list[Concurrency]:
    value = function.any("concurrency")
    match value:
        case None:
            return []
        case list():
            limits = list(function.each("concurrency"))
        case dict() if any(key.lower() in ("fn", "step") for key in value):
            groups = function.members("concurrency")
            assert groups is not None
            if groups.items("fn"):
                groups.refuse("fn", "limits runs from their start to their end, which is not offered; use singleton")
            limits = list(groups.each("step"))
        case dict():
            one = function.members("concurrency")
            limits = [] if one is None else [one]
        case _:
            limit = function.number("concurrency", 0) or 0
            return [_concurrency_of(function, limit)] if limit > 0 else []
    found = []
    for members in limits:
        limit = members.number("limit", 0) or 0
        if limit > 0:
            found.append(_concurrency_of(members, limit))
    return found


def _concurrency_of(members: Members, limit: int) -> Concurrency:
    key = None if not members.has("limit") else members.text("key") or None
    scope = "fn" if not members.has("limit") else members.text("scope") or "fn"
    if scope not in ("fn", "env", "account"):
        members.refuse("scope", f"{shown(scope)} is neither 'fn', 'env' nor 'account'")
    if scope != "fn" and key is None:
        members.refuse("key", f"is missing; a limit of scope {scope!r} needs one")
    return _made(members, lambda _: Concurrency(limit, key=key, scope="workflow" if scope == "fn" else "app"))


def _throttle(members: Members) -> Throttle:
    burst = members.number("burst", 0) or 0
    return Throttle(_count(members, "limit"), _span(members, "period"), key=_key(members), burst=burst + 1)


def _rate_limit(members: Members) -> RateLimit:
    return RateLimit(_count(members, "limit"), _span(members, "period", DAY), key=_key(members))


def _debounce(members: Members) -> Debounce:
    period = _span(members, "period", WEEK)
    longest = _span_or_none(members, "timeout")
    return Debounce(period, key=_key(members), max_wait=None if longest is None else max(longest, period))


def _batch(members: Members) -> Batch:
    if members.text("if"):
        members.refuse("if", "is not offered: all events of the function come in batches; give it a second function")
    size = _count(members, "maxSize")
    if size < 2:
        members.refuse("maxSize", f"{size} is no batch; at least 2 are")
    return Batch(size, _span(members, "timeout"), key=_key(members))


def _priority(members: Members) -> Priority | None:
    run = members.text("run")
    return Priority(run) if run else None


def _singleton(members: Members) -> Singleton:
    mode: Any = members.text("mode") or "skip"
    return Singleton(key=_key(members), mode=mode)


def _timeouts(members: Members) -> Timeouts | None:
    start, finish = _span_or_none(members, "start"), _span_or_none(members, "finish")
    return None if start is None and finish is None else Timeouts(start=start, finish=finish)


def _cancel_on(members: Members) -> CancelOn:
    event = members.needed_text("event")
    if event.startswith(RESERVED_PREFIX):
        members.refuse("event", f"{shown(event)} is an event of the engine's own, which cancels nothing here")
    where = members.text("if") or None
    match = None if where is None else match_of(where)
    timeout = _span_or_none(members, "timeout")
    return _made(members, lambda _: CancelOn(event, match=match, where=None if match else where, timeout=timeout))


def _key(members: Members) -> str | None:
    return members.text("key") or None


def _count(members: Members, name: str) -> int:
    value = members.number(name)
    if value is None:
        members.refuse(name, "is missing")
    return value


def _span(members: Members, name: str, longest: Micros | None = None) -> timedelta:
    span = _span_or_none(members, name)
    if span is None:
        members.refuse(name, "is missing")
    if span < timedelta(seconds=1):
        members.refuse(name, f"{shown(members.text(name))} is shorter than a second")
    if longest is not None and span > timedelta(microseconds=longest):
        members.refuse(name, f"{shown(members.text(name))} is longer than {format_duration(longest)}")
    return span


def _span_or_none(members: Members, name: str) -> timedelta | None:
    text = members.text(name)
    if not text:
        return None
    try:
        return timedelta(microseconds=parse_duration(text, name))
    except DefinitionError as error:
        members.refuse(name, str(error).removeprefix(f"{name}: "))


def _reason(error: DefinitionError, place: str) -> str:
    return str(error).removeprefix(f"{place}: ")


# -- ours → there ----------------------------------------------------------------------------------


def _concurrency_said(concurrency: Concurrency, app: str) -> dict[str, Any]:
    if concurrency.scope == "workflow":
        return _some(limit=concurrency.limit, key=concurrency.key)
    key = concurrency.key or '"' + app.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return {"limit": concurrency.limit, "key": key, "scope": "env"}


def _cancel_said(cancel: CancelOn) -> dict[str, Any]:
    conditions = [cancel.where] if cancel.where is not None else []
    if cancel.match is not None:
        conditions.insert(0, f"event.{cancel.match} == async.{cancel.match}")
    where = conditions[0] if len(conditions) == 1 else " && ".join(f"({text})" for text in conditions)
    return _some(event=cancel.event, **{"if": where or None}, timeout=_said_or_none(cancel.timeout))


def _said(span: Micros) -> str:
    """A duration in whole seconds, at least one, rounded up."""
    return format_duration(-(-span // SECOND) * SECOND)


def _said_or_none(span: Micros | None) -> str | None:
    return None if span is None else _said(span)


def _some(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
