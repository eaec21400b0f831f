"""What an endpoint may not be given."""

from __future__ import annotations

from flowgen import App, Batch, Context, Response, Run, Steps

app = App("shop")


def body(ctx: Context) -> Steps[int]:
    return (yield from Run(len, "x"))


app.endpoint("POST")(body)  # refused
app.endpoint("POST", "/x", access="everybody")(body)  # refused
app.endpoint("POST", "/x", batch=Batch(2, wait="1s"))(body)  # refused
app.endpoint("POST", "/x", retry=2)(body)  # refused
Response("201")  # refused
Response(headers=["a"])  # refused
