"""Debounce and batch: one collecting run a key, and what it holds so far.

The first event creates the run, which holds the unique key and is due when the time of quiet, or the
time of the batch, is over. Each further event is a message to it, and the key's detail counts: so the key's
version is what two routers compete for, and closing the run takes the key away in the same commit. No
event ever enters a run whose events are fixed.

A batch that is full is due at once, and the next event opens another run under the same key.

Pure: the key as it was read is an argument, times are microseconds.
"""

from __future__ import annotations

import attrs
import msgspec

from .events import AcceptedEvent
from .flow_control import Batch, Debounce
from .ids import derived_id
from .runs import EventCollected, Freed, Message, Parent
from .transition import Key, TakeKey

MAX_BATCH_BYTES = 10 * 1024 * 1024
"""A batch holds at most so many bytes of event data."""

_ENCODE = msgspec.json.Encoder()


@attrs.frozen
class Collection:
    """What a collecting run holds: when it was opened and is due (microseconds), and how much came in."""

    opened_at: int
    due_at: int
    count: int
    bytes: int


_COLLECTION = msgspec.json.Decoder(Collection)


@attrs.frozen
class Joined:
    """An event was taken in by `run`: a new collecting run if `opened`. `due_at` is when that is to be closed."""

    run: str
    opened: bool
    due_at: int
    take: TakeKey
    messages: tuple[Message, ...]


def collecting_key(workflow: str, value: str) -> str:
    """The name of the unique key that the collecting run of a workflow holds for a key value."""
    return f"collect/{workflow}/{value}"


def collection_of(held: Key) -> Collection:
    """What the holder of a key has collected."""
    return _COLLECTION.decode(held.detail)


def join(
    policy: Debounce | Batch,
    app: str,
    name: str,
    held: Key | None,
    event: AcceptedEvent,
    new_run: str,
    parent: Parent | None,
    now: int,
) -> Joined:
    """Let an event in: into the run that holds the key or, if there is none with room, into `new_run`."""
    size = len(event.data)
    if held is None:
        return _opened(policy, app, name, 0, event, new_run, parent, now)
    sofar = collection_of(held)
    if isinstance(policy, Batch) and (sofar.count >= policy.size or sofar.bytes + size > MAX_BATCH_BYTES):
        opened = _opened(policy, app, name, held.version, event, new_run, parent, now)
        close = Message(derived_id(held.holder, "full", new_run), app, held.holder, Freed(), due_at=now)
        return attrs.evolve(opened, messages=(close, *opened.messages))
    collection = Collection(sofar.opened_at, _due(policy, sofar, now), sofar.count + 1, sofar.bytes + size)
    return _joined(app, name, held.holder, False, held.version, collection, event, parent)


def _opened(
    policy: Debounce | Batch,
    app: str,
    name: str,
    version: int,
    event: AcceptedEvent,
    run: str,
    parent: Parent | None,
    now: int,
) -> Joined:
    wait = policy.period if isinstance(policy, Debounce) else policy.wait
    due_at = now if isinstance(policy, Batch) and policy.size == 1 else now + wait
    if isinstance(policy, Debounce) and policy.max_wait is not None:
        due_at = min(due_at, now + policy.max_wait)
    return _joined(app, name, run, True, version, Collection(now, due_at, 1, len(event.data)), event, parent)


def _joined(
    app: str,
    name: str,
    run: str,
    opened: bool,
    version: int,
    collection: Collection,
    event: AcceptedEvent,
    parent: Parent | None,
) -> Joined:
    take = TakeKey(app, name, run, _ENCODE.encode(collection).decode(), None, version)
    body = EventCollected(event, parent)
    message = Message(derived_id(run, "event", event.id), app, run, body, due_at=collection.due_at)
    return Joined(run, opened, collection.due_at, take, (message,))


def _due(policy: Debounce | Batch, sofar: Collection, now: int) -> int:
    """When the run is to be closed, now that one more event came in."""
    if isinstance(policy, Batch):
        return now if sofar.count + 1 >= policy.size else sofar.due_at
    quiet = now + policy.period
    return quiet if policy.max_wait is None else min(quiet, sofar.opened_at + policy.max_wait)
