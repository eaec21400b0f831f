"""A server to be killed, again and again: a process that has everything imported forks one each time it is told to.

`python forked_server.py DATABASE` prints the port; then for each line that it reads, the process id of a new server,
and `ready` when that answers. All of them listen on the same sockets.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import trio

from flowgen import App, OnEvent, Run
from flowgen.runtime import open_engine
from flowgen.runtime.http.app import http_app
from flowgen.runtime.http.server import serving
from flowgen.runtime.http.settings import Settings
from flowgen.runtime.http.sockets import bind

app = App("killed")


def double(number: int) -> int:
    return 2 * number


@app.workflow(on=OnEvent("counted"))
def count(ctx: Any) -> Any:
    return (yield Run("double", double, ctx.event.data["number"]))


async def serve(database: str, sockets: list[Any]) -> None:
    async with (
        open_engine(app, f"sqlite:///{database}", lease="1s") as engine,
        serving(http_app(app, engine, settings=Settings()), sockets=sockets),
    ):
        print("ready", flush=True)
        await trio.sleep_forever()


def main(database: str) -> None:
    sockets = bind("127.0.0.1", 0)
    print(sockets[0].getsockname()[1], flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            trio.run(serve, database, sockets)
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
