"""Orders: how they come in, as rows of text, and what they are once they have been checked."""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path

import attrs

from flowgen import NonRetriableError, event_type

from .warehouse import CATALOGUE

ORDERS = Path(__file__).with_name("orders.csv")
LARGE = Decimal(500)


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    """A row of the file, as the customer filled in the form. Nothing of it has been checked."""

    order_id: str
    placed_at: str
    customer: str
    email: str
    sku: str
    quantity: str
    amount: str
    card: str
    address: str
    city: str
    country: str


@attrs.frozen
class Order:
    """An order that can be carried out."""

    id: str
    customer: str
    email: str
    sku: str
    quantity: int
    total: Decimal
    card: str
    address: str
    country: str


def read_orders(file: Path = ORDERS) -> list[OrderPlaced]:
    """The rows of the file; some of them are invalid, and some are there twice."""
    with file.open(encoding="utf-8", newline="") as rows:
        return [OrderPlaced(**row) for row in csv.DictReader(rows)]


def validate(placed: OrderPlaced) -> Order:
    """The order that was meant; `NonRetriableError` says what is wrong with it."""
    product = CATALOGUE.get(placed.sku)
    if product is None:
        raise NonRetriableError(f"there is no product {placed.sku!r}")
    if not placed.quantity.isdecimal() or not 1 <= int(placed.quantity) <= 99:
        raise NonRetriableError(f"the quantity {placed.quantity!r} is not a whole number from 1 to 99")
    quantity, total = int(placed.quantity), _amount(placed.amount)
    if total != quantity * product.price:
        raise NonRetriableError(f"the amount {total} is not {quantity} × {product.price}")
    if not placed.address.strip() or not placed.city.strip():
        raise NonRetriableError("the address is missing")
    return Order(
        id=placed.order_id,
        customer=placed.customer,
        email=placed.email,
        sku=placed.sku,
        quantity=quantity,
        total=total,
        card=placed.card,
        address=f"{placed.address}, {placed.city}",
        country=placed.country,
    )


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise NonRetriableError(f"the amount {text!r} is not a number") from None
    if not amount.is_finite() or amount <= 0:
        raise NonRetriableError(f"the amount {text} is not above zero")
    return amount
