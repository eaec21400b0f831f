"""An app that is not one: it answers requests over HTTP as it is told to, and remembers them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import attrs
import h11
import trio

SDK: Final = {"x-inngest-sdk": "inngest-stub:v1.0.0"}


@attrs.frozen
class Asked:
    """A request that a stub got."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen
class Told:
    """What a stub answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = attrs.field(factory=lambda: dict(SDK))


@attrs.define
class Stub:
    """A server at a port of its own. `answer` says what a request is answered."""

    answer: Callable[[Asked], Awaitable[Told | bytes]]
    port: int = 0
    asked: list[Asked] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        """Where its functions are."""
        return f"http://127.0.0.1:{self.port}/api/inngest"

    def methods(self) -> list[str]:
        """What was asked of it, since this was asked last."""
        methods = [f"{each.method} {each.target}" for each in self.asked]
        self.asked.clear()
        return methods


@asynccontextmanager
async def stub(answer: Callable[[Asked], Awaitable[Told | bytes]], port: int = 0) -> AsyncIterator[Stub]:
    """A stub that serves while the block lasts."""
    served = Stub(answer)
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, partial(_serve, served), port, host="127.0.0.1"))
        served.port = listener.socket.getsockname()[1]
        yield served
        nursery.cancel_scope.cancel()


async def _serve(served: Stub, stream: trio.SocketStream) -> None:
    connection = h11.Connection(h11.SERVER)
    request: h11.Request | None = None
    body = b""
    async with stream:
        try:
            while True:
                match connection.next_event():
                    case h11.NEED_DATA:
                        connection.receive_data(bytes(await stream.receive_some(65_536)))
                    case h11.Request() as request:
                        pass
                    case h11.Data(data=data):
                        body += bytes(data)
                    case h11.EndOfMessage():
                        break
                    case _:
                        return
            assert request is not None
            headers = {name.decode(): value.decode() for name, value in request.headers}
            asked = Asked(request.method.decode(), request.target.decode(), headers, body)
            served.asked.append(asked)
            told = await served.answer(asked)
            await stream.send_all(told if isinstance(told, bytes) else _written(connection, told))
        except (trio.BrokenResourceError, h11.ProtocolError):
            """The other end has gone."""


def _written(connection: h11.Connection, told: Told) -> bytes:
    headers = {"content-length": str(len(told.body)), "content-type": "application/json", **told.headers}
    events = (
        h11.Response(status_code=told.status, headers=list(headers.items())),
        h11.Data(data=told.body),
        h11.EndOfMessage(),
    )
    return b"".join(connection.send(event) or b"" for event in events)


def registration(url: str, name: str = "stub", *functions: str, **more: Any) -> dict[str, Any]:
    """What an app at a URL says of itself."""
    return {
        "v": "0.1",
        "deployType": "ping",
        "sdk": "inngest-stub:v1.0.0",
        "framework": "none",
        "appName": name,
        "url": url,
        "functions": [
            {
                "id": f"{name}-{function}",
                "name": function,
                "triggers": [{"event": f"{function}/asked"}],
                "steps": {
                    "step": {
                        "id": "step",
                        "name": "step",
                        "retries": {"attempts": 0},
                        "runtime": {"type": "http", "url": f"{url}?fnId={name}-{function}&stepId=step"},
                    }
                },
            }
            for function in functions or ("run",)
        ],
        **more,
    }


def written(document: Any) -> bytes:
    """JSON."""
    return json.dumps(document).encode()
