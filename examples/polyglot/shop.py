"""The shop: flowgen workflows in a FastAPI app. `python -m polyglot.shop PORT` serves it.

It has no engine and no store: the server calls it, one step a request, as it calls the other two apps.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from flowgen import App, Event, Invoke, OnEvent, Run, SendEvent, WaitFor
from flowgen.runtime import serve_app

if TYPE_CHECKING:
    from flowgen import Context, Steps

PRICES = {"mug": 12, "poster": 8, "lamp": 40}

app = App("shop")


def price_of(items: list[str]) -> int:
    return sum(PRICES[item] for item in items)


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context[Any]) -> Steps[dict[str, Any]]:
    """Price an order, have it packed by the warehouse and brought by the courier."""
    order = ctx.event.data
    price = yield Run("price", price_of, order["items"])
    parcel = yield Invoke("pack", "warehouse/pack", {"order": order["order"], "items": order["items"]})
    packed = {**order, "grams": parcel["grams"]}
    yield SendEvent("hand-over", Event("parcel/packed", packed))
    delivered = yield WaitFor("delivered", "parcel/delivered", match="data.order", timeout="1h")
    if delivered is None:
        return {"order": order["order"], "price": price, "delivered": False}
    return {
        "order": order["order"],
        "price": price,
        "postage": parcel["postage"],
        "delivered": True,
        "insured": delivered.data["insured"],
    }


@app.workflow
def insure(ctx: Context[Any]) -> Steps[int]:
    """What the courier asks: for how much is this order insured?"""
    worth = yield Run("worth", price_of, ctx.event.data["items"])
    return worth * 2


@app.workflow(on=OnEvent("stock/low"))
def reorder(ctx: Context[Any]) -> Steps[str]:
    """What the warehouse tells: something is running out."""
    return (yield Run("reorder", str.upper, ctx.event.data["item"]))


api = FastAPI(title="Shop")
api.add_route("/api/inngest", serve_app(app))


@api.get("/")
def home() -> dict[str, Any]:
    """The app goes on being a web app."""
    return {"prices": PRICES}


if __name__ == "__main__":
    uvicorn.run(api, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
