"""Events: immutable facts from outside, as users write them and as a store keeps them.

An `Event` is what a user sends and what a workflow gets: a name, data, optionally an id that dedupes and
a time. Accepting it makes an `AcceptedEvent`: with an internal id, which run and message ids derive from,
its data encoded, and a digest of the payload that tells a repeat from a conflict.

Typed events are attrs classes, dataclasses or pydantic models with `@event_type(name)`. The name is kept on
the class; there is no registry, so which class reads an event is for each trigger and wait to say.

Rules: an event is refused whole, with the reason, by whoever makes it (`InvalidInput`). Its data is a JSON
object. Names that begin with `flowgen/` are the engine's own: nobody sends them, and nobody waits for them, because
they are only emitted where a workflow triggers on them. The user's id is only a dedupe key.

Refuses to know what an event starts or resumes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Generic, cast

import attrs
from typing_extensions import TypeVar

from .duration import MILLISECOND, instant, moment
from .errors import DefinitionError, InvalidInput, UnserializableError
from .outcome import Json
from .values import decode, decoder, encode, has_fields

E = TypeVar("E", covariant=True, default=dict[str, Any])
C = TypeVar("C", bound=type)

MAX_NAME = 256
MAX_ID = 256
MAX_EVENT_BYTES = 512 * 1024
RESERVED_PREFIX = "flowgen/"
RUN_ENDS: Mapping[str, str] = {
    "completed": "flowgen/run.completed",
    "failed": "flowgen/run.failed",
    "cancelled": "flowgen/run.cancelled",
}
"""The event that flowgen emits for each way in which a run ends."""

INVOKED = "flowgen/run.invoked"
INVOKED_AFTER_END = "flowgen/run.invoked-after-end"
"""The event of a run that was started directly; and of one whose caller had been started by the end of a run."""

AFTER_END = frozenset({*RUN_ENDS.values(), INVOKED_AFTER_END})
"""The events of runs whose own end is told to nobody: what listens to it would listen to itself."""

_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_NAME_ATTRIBUTE = "__flowgen_event__"


def _no_data() -> Any:
    return {}


@attrs.frozen
class Event(Generic[E]):
    """A fact from outside: what happened (`name`), and the details (`data`).

    `data` is a dict, or an instance of the event's class. `id` makes sending it again harmless: the same id
    with the same payload starts nothing new. `ts` (an aware `datetime`) says when it happened; in the
    future, the event waits until then.

    Raises `InvalidInput` for a name, id or time that is out of bounds.

    >>> Event("order/placed", {"order_id": "7"}, id="cart-7").name
    'order/placed'
    """

    name: str
    data: E = attrs.field(factory=_no_data)
    id: str | None = None
    ts: datetime | None = None

    def __attrs_post_init__(self) -> None:
        check_event_name(self.name)
        kind = type(self.data)
        if kind is not dict and not isinstance(self.data, Mapping) and not has_fields(kind):
            raise InvalidInput(
                f"event {self.name!r}: data is a {type(self.data).__name__}; it must be a dict with text keys, "
                "or an instance of an attrs class, dataclass or pydantic model"
            )
        if self.id is not None:
            _check_id(self.name, self.id)
        if self.ts is not None:
            _check_time(self.name, self.ts)


@attrs.frozen
class AcceptedEvent:
    """An event as a store keeps it.

    `id` is the internal id; `key` the id that the user gave, if any. `ts` is when it happened and
    `accepted_at` when it was accepted (microseconds). `position` is its place among all events, given by the
    store when it becomes routable. `digest` stands for name, data and the *given* time: a repeat has the
    same one. `deferred` says that accepting it has started none of its runs: the router does.
    """

    id: str
    name: str
    data: Json
    ts: int
    accepted_at: int
    key: str | None = None
    position: int | None = None
    digest: str = ""
    deferred: bool = False

    def placed(self, position: int) -> AcceptedEvent:
        """The same event, at its position."""
        return AcceptedEvent(
            self.id, self.name, self.data, self.ts, self.accepted_at, self.key, position, self.digest, self.deferred
        )


# -- typed events ---------------------------------------------------------------------------------


def event_type(name: str) -> Callable[[C], C]:
    """Class decorator: instances of this class are the data of events called `name`.

    It goes above `@attrs.frozen` or `@dataclass`. Raises `DefinitionError` for a class without fields, or a name
    that no event can have.

    >>> @event_type("order/placed")
    ... @attrs.frozen
    ... class OrderPlaced:
    ...     order_id: str
    >>> as_event(OrderPlaced("7")).name
    'order/placed'
    """
    try:
        check_sendable(name)
    except InvalidInput as error:
        raise DefinitionError(f"event_type: {error}") from None

    def decorate(cls: C) -> C:
        if not has_fields(cls):
            raise DefinitionError(
                f"event_type({name!r}): {getattr(cls, '__qualname__', repr(cls))} is no attrs class, dataclass or "
                "pydantic model; put @event_type above the decorator that makes it one"
            )
        setattr(cls, _NAME_ATTRIBUTE, name)
        return cls

    return decorate


def is_event_class(thing: Any) -> bool:
    """Whether `thing` is a class decorated with `event_type` (itself, not a class above it)."""
    return isinstance(thing, type) and _NAME_ATTRIBUTE in vars(thing)


def event_name(cls: type) -> str:
    """The name of the events whose data are instances of `cls`; `DefinitionError` if it is no event class."""
    if not is_event_class(cls):
        raise DefinitionError(
            f'{getattr(cls, "__qualname__", repr(cls))} is no event class; decorate it with @event_type("some/name")'
        )
    return cast(str, vars(cls)[_NAME_ATTRIBUTE])


def as_event(event: Any) -> Event[Any]:
    """An `Event` as it is; an instance of an event class as the event with that data."""
    if isinstance(event, Event):
        return event
    if is_event_class(type(event)):
        return Event(event_name(type(event)), event)
    raise InvalidInput(f"{event!r:.100} is no event: send an Event, or an instance of an @event_type class")


# -- checks ---------------------------------------------------------------------------------------


def check_event_name(name: Any) -> str:
    """The name, if an event can have it; `InvalidInput` otherwise."""
    if not isinstance(name, str):
        raise InvalidInput(f"event name {name!r:.100} is no text")
    return _checked_name(name)


@lru_cache(maxsize=1024)
def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidInput(f"event name {name!r:.100} has {len(name)} characters; 1 to {MAX_NAME} are accepted")
    if not name.isprintable():  # the quick question; spaces and right-to-left marks are allowed all the same
        for position, character in enumerate(name):
            if unicodedata.category(character) in ("Cc", "Cs"):
                raise InvalidInput(f"event name {name!r} has a control character at {position + 1}: {character!r}")
    return name


def check_sendable(name: str) -> str:
    """The name, if users may send events called so; the prefix `flowgen/` is the engine's own."""
    if check_event_name(name).startswith(RESERVED_PREFIX):
        raise InvalidInput(f"event name {name!r}: the prefix {RESERVED_PREFIX!r} is reserved for flowgen's own events")
    return name


def check_waitable(name: str) -> str:
    """The name, if a run may wait for events called so, or be cancelled by them."""
    if check_event_name(name).startswith(RESERVED_PREFIX):
        raise InvalidInput(
            f"event name {name!r}: flowgen's own events are only emitted for workflows that start on them, "
            "so a run would wait in vain; to wait for another run use Invoke in a workflow, or `result` of the engine, "
            "and to start a workflow on it use OnEvent"
        )
    return name


def _check_id(name: str, id: Any) -> None:
    if not isinstance(id, str):
        raise InvalidInput(f"event {name!r}: id {id!r:.100} is no text")
    if not 1 <= len(id) <= MAX_ID:
        raise InvalidInput(f"event {name!r}: id {id!r:.100} has {len(id)} characters; 1 to {MAX_ID} are accepted")
    if not id.isprintable() and any(c == "\x00" or unicodedata.category(c) == "Cs" for c in id):
        raise InvalidInput(f"event {name!r}: id {id!r} has a NUL character or a lone surrogate")


def _check_time(name: str, ts: Any) -> None:
    if not isinstance(ts, datetime):
        raise InvalidInput(f"event {name!r}: ts {ts!r:.100} is no datetime")
    if ts.utcoffset() is None:
        raise InvalidInput(f"event {name!r}: ts {ts!r} has no time zone; write datetime(…, tzinfo=UTC)")
    if not _EARLIEST <= ts <= _LATEST:
        raise InvalidInput(f"event {name!r}: ts {ts.isoformat()} is not between 1980 and 2100")


# -- accepting, and giving back -------------------------------------------------------------------


def accept_event(event: Event[Any], internal_id: str, now: int) -> AcceptedEvent:
    """The event as it is stored when accepted at `now` under the internal id.

    Raises `InvalidInput` for data that is no JSON object, cannot be written, or is above 512 KiB.
    """
    what = f"data of event {event.name!r}"
    try:
        data = encode(event.data, what, limit=MAX_EVENT_BYTES, canonical=True)
    except UnserializableError as error:
        raise InvalidInput(str(error)) from error
    if bytes(data)[:1] != b"{":
        raise InvalidInput(f"{what}: it must be a JSON object, not {bytes(data)[:50].decode(errors='ignore')}")
    given = None if event.ts is None else instant(event.ts, what)
    return AcceptedEvent(
        id=internal_id,
        name=event.name,
        data=data,
        ts=now if given is None else given,
        accepted_at=now,
        key=event.id,
        digest=payload_digest(event.name, data, given),
    )


def payload_digest(name: str, data: Json, ts: int | None) -> str:
    """What tells a repeat from a conflict: a digest of name, data and the time that was given."""
    parts = [name.encode(), b"" if ts is None else str(ts).encode(), bytes(data)]
    return blake2b(b"\x00".join(parts), digest_size=16).hexdigest()


def restore(accepted: AcceptedEvent, event_class: type[Any] | None = None) -> Event[Any]:
    """The user's event again: its data typed if a class is given, `id` theirs or else the internal one."""
    data = decode(accepted.data) if event_class is None else decoder(event_class)(accepted.data)
    return _unchecked(accepted.name, data, accepted.key or accepted.id, moment(accepted.ts))


def _unchecked(name: str, data: Any, id: str, ts: datetime) -> Event[Any]:
    """An event that was checked when it was accepted; one is made for each run."""
    event: Event[Any] = object.__new__(Event)
    fill = object.__setattr__
    fill(event, "name", name)
    fill(event, "data", data)
    fill(event, "id", id)
    fill(event, "ts", ts)
    return event


def event_document(accepted: AcceptedEvent) -> dict[str, Any]:
    """What expressions and paths see of an event: `name`, `data`, `id` and `ts` in milliseconds."""
    return {
        "name": accepted.name,
        "data": decode(accepted.data),
        "id": accepted.key or accepted.id,
        "ts": accepted.ts // MILLISECOND,
    }
