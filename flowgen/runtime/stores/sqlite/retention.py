"""Retention, and events from the future: what happens to rows only because time passed."""

from __future__ import annotations

from typing import Any

from ....codec import decode_events
from ....errors import UndecodableError
from .matching import add_values, remove_values
from .rows import EVENT, event_of
from .transaction import Transaction


def promote(tx: Transaction) -> None:
    """Give positions to the events whose time has come, the earliest first."""
    rows = tx.execute(EVENT + "where position is null and ts <= ? order by ts, number", (tx.now,)).fetchall()
    for columns in rows:
        event = event_of(columns)
        tx.position += 1
        tx.execute("update events set position = ? where id = ?", (tx.position, event.id))
        add_values(tx, event, tx.position)
        tx.wakes = True


def delete(tx: Transaction, before: int, limit: int) -> int:
    """Delete what is older than `before` and in nobody's way; returns how many runs and events went."""
    ended: list[Any] = tx.execute(
        "select key, app, id from runs where ended_at < ? order by ended_at, app, id limit ?", (before, limit)
    ).fetchall()
    for key, app, id in ended:
        _delete_run(tx, key, app, id)
    deleted = _delete_events(tx, before, limit - len(ended))
    _delete_expired(tx, before)
    return len(ended) + deleted


def _delete_run(tx: Transaction, key: int, app: str, id: str) -> None:
    body = tx.one("select body from inputs where run = ?", (key,))
    try:
        events: set[Any] = {event.id for event in decode_events(body)}
    except UndecodableError:
        events = set()  # a damaged run must be deletable; rows of `started` without a run are not seen
    collected = tx.execute("delete from collected where run = ? returning event", (key,)).fetchall()
    for event in events.union(*collected):
        tx.execute("delete from started where event = ? and app = ? and run = ?", (event, app, id))
    tx.execute("delete from inputs where run = ?", (key,))
    tx.execute("delete from history where run = ?", (key,))
    tx.execute("delete from mail where run = ?", (key,))
    tx.execute("delete from waits where key = ?", (key,))
    tx.execute("delete from runs where key = ?", (key,))


def _delete_events(tx: Transaction, before: int, limit: int) -> int:
    """Routed events, below those that open runs handle or collect: a wait of theirs may still look back to them."""
    horizon = tx.one("select min(looks_from) from runs where ended_at is null")
    if horizon is None:
        old = tx.execute(
            EVENT + "where accepted_at < ? and position is not null and routed = 1 order by position limit ?",
            (before, limit),
        )
    else:
        old = tx.execute(
            EVENT + "where position < ? and accepted_at < ? and routed = 1 order by position limit ?",
            (horizon, before, limit),
        )
    rows = old.fetchall()
    for columns in rows:
        remove_values(tx, event_of(columns))
        tx.execute("delete from events where id = ?", (columns[1],))
    return len(rows)


def _delete_expired(tx: Transaction, before: int) -> None:
    """Keys and cells whose time is over, less those that an event or an open run still there holds."""
    tx.execute(
        "delete from keys where expires_at < ? and not exists (select 1 from events where events.id = holder) "
        "and not exists (select 1 from runs where runs.id = holder and ended_at is null)",
        (before,),
    )
    tx.execute("delete from cells where expires_at < ?", (before,))
