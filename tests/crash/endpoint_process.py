"""A server with a durable endpoint, in a process of its own: it says where it is, and what it does, on its output.

Started with a second argument its second step never ends: somebody kills it there.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import trio

from flowgen import App, Context, Response, Run, Steps
from flowgen.runtime import open_engine
from flowgen.runtime.http import Settings, http_app, serving

app = App("shop")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def first(cart: str) -> str:
    say("first")
    return cart.upper()


def second(cart: str) -> str:
    say("second")
    if len(sys.argv) > 2:
        sys.stdin.read()
    return f"{cart}!"


@app.endpoint("POST", "/checkout", wait="1m")
def checkout(ctx: Context) -> Steps[Response]:
    cart = yield from Run(first, ctx.event.data["body"]["cart"])
    return Response(201, {"cart": (yield from Run(second, cart))})


async def main(database: Any) -> None:
    async with (
        open_engine(app, f"sqlite:///{database}", lease="1s") as engine,
        serving(http_app(app, engine, settings=Settings()), port=0) as url,
    ):
        say(url)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
