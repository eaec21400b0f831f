"""A server that tests flood: `python flooded.py DATABASE` serves it, prints its port and ends with its standard input.

Nobody works on what it accepts, and there is room for little, so it is over capacity soon.
"""

from __future__ import annotations

import sys
from typing import Any

import trio

from flowgen import App, WaitFor
from flowgen.runtime import open_engine
from flowgen.runtime.http import Limits, Settings, http_app, intake, serving

ROOM = 8 * 1024 * 1024
UNROUTED = 20

app = App("flooded")


@app.workflow
def drink(ctx: Any) -> Any:
    yield WaitFor("enough", "water", where="async.data.enough == true", timeout="1h")


async def serve(database: str) -> None:
    intake.LOOKED_EVERY = 1
    settings = Settings(max_open_bytes=ROOM, max_unrouted=UNROUTED)
    store = f"sqlite:///{database}"
    async with open_engine(app, store) as engine:
        run = await engine.start(drink)
        while (await engine.run(run)).status != "waiting":
            await engine.store.wait_changed(0.05)
    async with (
        open_engine([], store, work=False) as engine,
        serving(http_app([], engine, settings=settings), port=0, limits=Limits(body_seconds=600)) as url,
    ):
        print(url.rpartition(":")[2], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    trio.run(serve, sys.argv[1])
