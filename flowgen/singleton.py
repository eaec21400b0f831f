"""Singletons: one open run a key, kept as a unique key that its holder drops when it ends.

With `mode="cancel"` a newcomer takes the key over at once and waits until those before it have ended: the
key's detail names them (`after`). Each of them strikes itself off when it ends; who strikes off the last
one wakes the holder. A holder that ends while others before it are still open hands the key back to one
of them, so that at no moment a key whose run is open is free.

Pure: the key as it was read is an argument, its version guards what is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .ids import derived_id
from .runs import CancelRequested, Freed, Message
from .transition import DropKey, Key, TakeKey

_ENCODE = msgspec.json.Encoder()
_AFTER = msgspec.json.Decoder(list[str])

PREFIX = "single/"


def singleton_key(workflow: str, value: str) -> str:
    """The name of the unique key of a workflow's singleton for a key value."""
    return f"{PREFIX}{workflow}/{value}"


def take_over(app: str, name: str, held: Key | None, run: str) -> tuple[TakeKey, tuple[str, ...]]:
    """`run` takes the key, with the runs that have to end before it starts: the holder and those before that."""
    if held is None:
        return _take(app, name, run, (), 0), ()
    after = (*waited_for(held), held.holder)
    return _take(app, name, run, after, held.version), after


def replaced(app: str, held: Key, by: str) -> Message:
    """The message that cancels the run whose place another takes."""
    reason = f"run {by} took its place (singleton)"
    return Message(derived_id(held.holder, "singleton", by), app, held.holder, CancelRequested(reason))


def let_go(app: str, held: Key | None, run: str) -> TakeKey | DropKey | None:
    """What becomes of the key when `run` ends; nothing if it has no part in it."""
    if held is None:
        return None
    after = waited_for(held)
    if held.holder != run:
        left = tuple(other for other in after if other != run)
        return _take(app, held.name, held.holder, left, held.version) if left != after else None
    if after:
        return _take(app, held.name, after[0], after[1:], held.version)
    return DropKey(app, held.name, run, held.version)


def hand_on(app: str, held: Key, run: str, successor: str) -> TakeKey:
    """The successor of a run that restarts takes its place in the key."""
    after = [successor if other == run else other for other in waited_for(held)]
    return _take(app, held.name, successor if held.holder == run else held.holder, after, held.version)


def freed(app: str, held: Key, change: TakeKey | DropKey, run: str) -> Message | None:
    """The message that wakes the holder of a key when `run` was the last one that it waited for."""
    if not isinstance(change, TakeKey) or change.holder != held.holder or change.detail != "[]":
        return None
    return Message(derived_id(held.holder, "freed", run), app, held.holder, Freed())


def waited_for(held: Key) -> tuple[str, ...]:
    """The open runs that the holder of a key waits for."""
    return tuple(_AFTER.decode(held.detail)) if held.detail else ()


def _take(app: str, name: str, run: str, after: Sequence[str], version: int) -> TakeKey:
    return TakeKey(app, name, run, _ENCODE.encode(list(after)).decode(), None, version)
