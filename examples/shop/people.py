"""Who is busy in the demo: the customers, the boss, and somebody with a hammer.

They know nothing of each other, and the engine may be dead while they act: what they send is in the
store when `send` returns, and is carried out when an engine lives.
"""

from __future__ import annotations

import json
import time
from random import Random

import attrs

from flowgen import Event
from flowgen.runtime import LocalClient

from . import ledger
from .app import ApprovalGiven
from .orders import OrderPlaced
from .worker import Engine

ORDERS_A_SECOND = 45


@attrs.define
class Customers:
    """They place the orders, one row of the file after the other, and all of them click twice."""

    client: LocalClient
    rows: list[OrderPlaced]
    sent: int = 0
    placed: dict[str, str] = attrs.Factory(dict)
    """The event of each order."""

    def act(self, seconds: float) -> None:
        due = min(len(self.rows), int(seconds * ORDERS_A_SECOND) + 1)
        if due > self.sent:
            events = [Event("order/placed", row, id=row.order_id) for row in self.rows[self.sent : due]]
            ids = self.client.send(events)
            if ids != self.client.send(events):
                raise AssertionError(f"orders {self.sent} to {due}: sending them again was not harmless")
            self.placed |= {row.order_id: event for row, event in zip(self.rows[self.sent : due], ids, strict=True)}
            self.sent = due


@attrs.define
class Boss:
    """Answers whoever asks for an approval; refuses some, and does not answer to some at all."""

    client: LocalClient
    seen: set[str] = attrs.Factory(set)

    def act(self, seconds: float) -> None:
        for asked in self.client.events("approval/asked", limit=100).items:
            if asked.id not in self.seen:
                self.seen.add(asked.id)
                self._answer(json.loads(bytes(asked.data))["order_id"])

    def _answer(self, order_id: str) -> None:
        luck = Random(order_id).random()
        if luck > 0.1:
            answer = ApprovalGiven(order_id, approved=luck > 0.25, by="the boss")
            self.client.send(Event("approval/given", answer, id=f"approval of {order_id}"))


@attrs.frozen
class Kill:
    """A kill: when, of which process, and how many orders were done by then."""

    seconds: float
    process: int
    done: int


@attrs.define
class Hammer:
    """Kills the engine `kills` times, at random moments while there is work, and starts it again soon after.

    A moment is a number of orders that are done: some part of those that were left at the last kill.
    """

    engine: Engine
    dice: Random
    kills: int
    orders: int
    made: list[Kill] = attrs.Factory(list)
    restart_at: float | None = None
    _moment: float | None = None

    def act(self, seconds: float) -> None:
        if self.restart_at is not None:
            if seconds >= self.restart_at:
                self.engine.start()
                self.restart_at = None
            return
        self.engine.check()
        if len(self.made) < self.kills:
            done = ledger.count()
            if self._moment is None:
                self._moment = done + self.dice.uniform(0.1, 0.4) * (self.orders - done)
            if done >= self._moment:
                self._strike(seconds)

    def _strike(self, seconds: float) -> None:
        pause = self.dice.uniform(0, 0.2)
        time.sleep(pause)
        self.engine.kill()
        self.made.append(Kill(seconds + pause, self.engine.process.pid, ledger.count()))
        self.restart_at = seconds + pause + self.dice.uniform(0.2, 0.8)
        self._moment = None
