"""The shop's ledger: how each order ended. Append-only, one entry an order, whoever writes it how often."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import attrs

from .database import transaction

Ending = Literal["shipped", "rejected", "refused", "declined", "refunded"]

TABLES = """
create table if not exists entries (
    order_id text primary key, run text, ending text, paid text, detail text
)
"""


@attrs.frozen
class Entry:
    """How an order ended: `paid` is what the shop kept of the customer's money, `detail` says more."""

    order_id: str
    run: str
    ending: Ending
    paid: Decimal
    detail: str


def write(entry: Entry) -> None:
    """Add the one entry of an order. The same ending again, of a rerun too, changes nothing; another is refused."""
    row = (entry.order_id, entry.run, entry.ending, str(entry.paid), entry.detail)
    with transaction("ledger", TABLES) as connection:
        connection.execute("insert or ignore into entries values (?, ?, ?, ?, ?)", row)
        written = connection.execute("select ending, paid from entries where order_id = ?", row[:1]).fetchone()
    if written != (entry.ending, str(entry.paid)):
        raise ValueError(f"order {entry.order_id} is in the ledger already, as {written}; now it should be {row}")


def entries() -> list[Entry]:
    """All entries, in the order in which they were written."""
    with transaction("ledger", TABLES) as connection:
        rows = connection.execute("select * from entries order by rowid")
        return [Entry(order_id, run, ending, Decimal(paid), detail) for order_id, run, ending, paid, detail in rows]


def count() -> int:
    """How many entries there are."""
    with transaction("ledger", TABLES) as connection:
        return int(connection.execute("select count(*) from entries").fetchone()[0])
