"""What the shop sells, and how much of it is still there.

Reserving is idempotent by order, so a step that a crash repeats takes nothing twice.
"""

from __future__ import annotations

from decimal import Decimal

import attrs

from flowgen import NonRetriableError

from .database import transaction

TABLES = """
create table if not exists reservations (order_id text primary key, sku text not null, quantity integer not null)
"""


@attrs.frozen
class Product:
    """Its price in euros, and how many there were when the shop opened."""

    price: Decimal
    stock: int


CATALOGUE = {
    "beans-1kg": Product(Decimal("24.50"), 5_000),
    "filter-papers": Product(Decimal("6.50"), 5_000),
    "mug": Product(Decimal("14.90"), 5_000),
    "kettle": Product(Decimal("59.90"), 500),
    "scale": Product(Decimal("39.00"), 500),
    "grinder": Product(Decimal("219.00"), 500),
    "espresso-machine": Product(Decimal("649.00"), 200),
    "anniversary-cup": Product(Decimal("49.00"), 6),
}


class OutOfStock(NonRetriableError):
    """There is not enough of it left, and trying again does not change that."""


def reserve(order_id: str, sku: str, quantity: int) -> None:
    """Put `quantity` pieces aside for an order; `OutOfStock` if there are not so many left."""
    with transaction("warehouse", TABLES) as connection:
        if connection.execute("select 1 from reservations where order_id = ?", (order_id,)).fetchone():
            return
        (taken,) = connection.execute(
            "select coalesce(sum(quantity), 0) from reservations where sku = ?", (sku,)
        ).fetchone()
        left = CATALOGUE[sku].stock - taken
        if quantity > left:
            raise OutOfStock(f"{quantity} × {sku} was ordered, {left} are left")
        connection.execute("insert into reservations values (?, ?, ?)", (order_id, sku, quantity))


def release(order_id: str) -> None:
    """Put what was reserved for an order back on the shelf, if anything was."""
    with transaction("warehouse", TABLES) as connection:
        connection.execute("delete from reservations where order_id = ?", (order_id,))


def reservations() -> dict[str, tuple[str, int]]:
    """What is put aside: (product, quantity) for each order."""
    with transaction("warehouse", TABLES) as connection:
        return {order: (sku, quantity) for order, sku, quantity in connection.execute("select * from reservations")}
