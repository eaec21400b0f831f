"""What an endpoint may be given, and that the decorator leaves a workflow of the function's types."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypedDict, assert_type

from flowgen import App, Concurrency, Context, Response, Run, Steps, Workflow

app = App("shop")


class Body(TypedDict):
    cart: str


@app.endpoint("POST", "/checkout", wait="10s", access="public", retries=2, concurrency=Concurrency(10))
def checkout(ctx: Context) -> Steps[Response]:
    body: Body = ctx.event.data["body"]
    number = yield from Run(len, body["cart"])
    return Response(201, {"number": number}, {"Location": f"/carts/{number}"})


@app.endpoint("GET", "/prices/{item}", wait=timedelta(seconds=1))
def price(ctx: Context) -> Steps[int]:
    return (yield from Run(len, ctx.event.data["params"]["item"]))


assert_type(checkout, Workflow[dict[str, Any], Response])
assert_type(price, Workflow[dict[str, Any], int])
assert_type(Response().status, int)
