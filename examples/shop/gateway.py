"""A fake payment gateway: somebody else's service, with a database of its own and troubles of its own.

One request in five fails: in half of these nothing was done, in the other half all was done and only the
answer is lost. So its clients repeat requests; it honours an *idempotency key*: whatever comes again
under a key that it knows is answered, and moves no money.

Each request is logged as it comes in, before anything else, so one that a kill cuts off is in the log
too. It has a number, which the answer repeats and an error's message begins with: what a workflow
recorded can be traced to the request that it came from.
"""

from __future__ import annotations

import os
import sqlite3
import time
from decimal import Decimal
from random import Random

import attrs

from flowgen import NonRetriableError

from .database import transaction

TABLES = """
create table if not exists requests (
    number integer primary key, at real, process integer, key text, kind text, order_id text, answer text
);
create table if not exists payments (key text primary key, order_id text, amount text, request integer)
"""
TROUBLE = 0.2
LATENCY = (0.04, 0.16)
DECLINED_CARDS = ("0002", "0069")


@attrs.frozen
class Receipt:
    """The answer to a request. `amount` is what moved: above zero to the shop, below zero back."""

    request: int
    order_id: str
    amount: Decimal


@attrs.frozen
class Request:
    """A line of the log. `answer` is None if the request was cut off."""

    number: int
    at: float
    process: int
    key: str
    kind: str
    order_id: str
    answer: str | None


@attrs.frozen
class Payment:
    """Money that moved, under a key, because of a request."""

    key: str
    order_id: str
    amount: Decimal
    request: int


class CardDeclined(NonRetriableError):
    """The bank said no, and will say no again."""


class ConnectionLost(Exception):
    """No answer came. Whether it was done is not known: ask again, under the same key."""


def charge(key: str, order_id: str, card: str, amount: Decimal) -> Receipt:
    """Take money for an order. Raises `CardDeclined` or `ConnectionLost`."""
    request, luck = _receive(key, "charge", order_id)
    if card in DECLINED_CARDS:
        _answer(request, "declined")
        raise CardDeclined(f"request {request}: the card ending in {card} was declined")
    return _move(request, luck, key, order_id, amount)


def refund(key: str, order_id: str) -> Receipt:
    """Give back all that was taken for an order, if anything was. Raises `ConnectionLost`."""
    request, luck = _receive(key, "refund", order_id)
    with transaction("gateway", TABLES) as connection:
        balance = sum((p.amount for p in _payments(connection) if p.order_id == order_id), Decimal(0))
    return _move(request, luck, key, order_id, -balance)


def log() -> tuple[list[Request], list[Payment]]:
    """All requests, in the order in which they came, and all money that moved."""
    with transaction("gateway", TABLES) as connection:
        requests = [Request(*row) for row in connection.execute("select * from requests order by number")]
        return requests, _payments(connection)


def _receive(key: str, kind: str, order_id: str) -> tuple[int, Random]:
    """Log a request. The luck that it will have depends on the order and on how often it was asked."""
    row = (time.time(), os.getpid(), key, kind, order_id)
    asked = "select count(*) from requests where kind = ? and order_id = ?"
    with transaction("gateway", TABLES) as connection:
        (times,) = connection.execute(asked, (kind, order_id)).fetchone()
        written = connection.execute(
            "insert into requests (at, process, key, kind, order_id) values (?, ?, ?, ?, ?)", row
        )
        assert written.lastrowid is not None
        return written.lastrowid, Random(f"{order_id} {kind} {times}")


def _move(request: int, luck: Random, key: str, order_id: str, amount: Decimal) -> Receipt:
    trouble = luck.random()
    time.sleep(luck.uniform(*LATENCY) / 2)
    if trouble < TROUBLE / 2:
        _answer(request, "lost before it was done")
        raise ConnectionLost(f"request {request}: connection lost")
    with transaction("gateway", TABLES) as connection:
        row = (key, order_id, str(amount), request)
        moved = connection.execute("insert or ignore into payments values (?, ?, ?, ?)", row).rowcount
        (known,) = connection.execute("select amount from payments where key = ?", (key,)).fetchone()
    time.sleep(luck.uniform(*LATENCY) / 2)
    if trouble < TROUBLE:
        _answer(request, "lost after it was done")
        raise ConnectionLost(f"request {request}: connection lost")
    _answer(request, "done" if moved else "done before")
    return Receipt(request, order_id, Decimal(known))


def _answer(request: int, answer: str) -> None:
    with transaction("gateway", TABLES) as connection:
        connection.execute("update requests set answer = ? where number = ?", (answer, request))


def _payments(connection: sqlite3.Connection) -> list[Payment]:
    rows = connection.execute("select key, order_id, amount, request from payments order by request")
    return [Payment(key, order_id, Decimal(amount), request) for key, order_id, amount, request in rows]
