"""Signals: one open waiter a name, kept as a unique key; a signal without a waiter is not kept.

Whoever waits holds the key `signal/<name>`. To deliver is to put the data into the waiter's mailbox and
to mark the key in the same commit, under the version that was seen: so a signal is given once, and a
waiter that times out at that moment finds out.
"""

from __future__ import annotations

import attrs
import msgspec

from .ids import derived_id
from .outcome import Json
from .runs import Message, SignalArrived
from .transition import Key, TakeKey

_ENCODE = msgspec.json.Encoder()


@attrs.frozen
class Waiter:
    """Who waits for a signal, as kept with its key. `delivered`: the signal is in its mailbox."""

    run: str
    step: str
    wait: str
    delivered: bool = False


_WAITER = msgspec.json.Decoder(Waiter)


def signal_key(signal: str) -> str:
    """The name of the unique key that the waiter of a signal holds."""
    return f"signal/{signal}"


def hold(app: str, signal: str, waiter: Waiter, version: int) -> TakeKey:
    """Take the key of a signal for a waiter; `version` is that of the key as it was seen, 0 if it was free."""
    return TakeKey(app, signal_key(signal), waiter.wait, _ENCODE.encode(waiter).decode(), None, version)


def deliver_signal(app: str, held: Key, waiter: Waiter, data: Json, cause: str) -> tuple[TakeKey, Message]:
    """Give a signal to its waiter: into its mailbox, and marked on its key so that it is given once."""
    detail = _ENCODE.encode(attrs.evolve(waiter, delivered=True)).decode()
    take = TakeKey(app, held.name, held.holder, detail, None, held.version)
    message = Message(
        derived_id(waiter.wait, "signal", cause), app, waiter.run, SignalArrived(waiter.wait, waiter.step, data), True
    )
    return take, message


def decode_waiter(held: Key) -> Waiter:
    """Who holds the key of a signal."""
    return _WAITER.decode(held.detail)
