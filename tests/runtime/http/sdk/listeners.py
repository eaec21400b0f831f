"""Who listens to what functions publish, at the other side of ASGI: as a web socket, and as a reader of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import attrs
import httpx
import trio

from flowgen.runtime import open_engine
from flowgen.runtime.http import Settings, http_app
from tests.runtime.http.sdk.callers import DEV, JS

TOKEN = "/v1/realtime/token"
PUBLISH = "/v1/realtime/publish"


@attrs.define
class Listener:
    """A client that listens. `paused`: it takes nothing. `heard` is what it was told; `status` how that began."""

    served: Any
    path: str
    kind: str = "websocket"
    status: int = 0
    heard: list[str] = attrs.field(factory=list)
    closed: int | None = None
    paused: trio.Event | None = None
    gone: trio.Event = attrs.field(factory=trio.Event)
    ended: trio.Event = attrs.field(factory=trio.Event)
    begun: trio.Event = attrs.field(factory=trio.Event)
    _more: trio.Event = attrs.field(factory=trio.Event)
    _connected: bool = False
    says: list[str] = attrs.field(factory=list)

    async def listen(self, **query: str) -> None:
        scope = {
            "type": self.kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "headers": [(b"host", b"localhost")],
            "scheme": "http",
            "server": ("localhost", 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }
        if self.kind == "http":
            scope["method"] = "GET"
        await self.served(scope, self.receive, self.send)
        self.ended.set()

    async def receive(self) -> dict[str, Any]:
        if not self._connected and self.kind == "websocket":
            self._connected = True
            return {"type": "websocket.connect"}
        if self.says:
            return {"type": "websocket.receive", "text": self.says.pop()}
        await self.gone.wait()
        return {"type": f"{self.kind}.disconnect", "code": 1001}

    async def send(self, message: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        match message:
            case {"type": "websocket.accept"}:
                self.status = 101
            case {"type": "http.response.start" | "websocket.http.response.start", "status": status}:
                self.status = status
                return
            case {"type": "websocket.http.response.body", "body": body}:
                self.heard.append(body.decode())
            case {"type": "websocket.close", "code": code}:
                self.closed = code
            case {"type": "websocket.send", "text": text}:
                await self._take(text)
            case {"type": "http.response.body", "body": body}:
                await self._take(body.decode())
        self.begun.set()
        self._more.set()
        self._more = trio.Event()

    async def _take(self, text: str) -> None:
        if self.paused is not None and self.begun.is_set():
            await self.paused.wait()
        self.heard.append(text)

    async def hears(self, count: int) -> list[Any]:
        """The first messages, when there are so many."""
        with trio.fail_after(30):
            while len(self.messages()) < count:
                await self._more.wait()
        return self.messages()

    def messages(self) -> list[Any]:
        if self.kind == "websocket":
            return [json.loads(text) for text in self.heard]
        events = [part for part in "".join(self.heard).split("\n\n") if part.startswith("data: ")]
        return [json.loads(event.removeprefix("data: ")) for event in events]


@attrs.frozen
class House:
    """A server of which functions and listeners are clients."""

    client: httpx.AsyncClient
    served: Any
    nursery: trio.Nursery

    async def token(self, channel: str = "c", *topics: str) -> str:
        asked = [{"channel": channel, "name": name, "kind": "run"} for name in topics or ("t",)]
        response = await self.client.post(TOKEN, json=asked)
        assert response.status_code == 201, response.text
        jwt: str = response.json()["jwt"]
        return jwt

    async def listener(self, token: str, kind: str = "websocket", **more: Any) -> Listener:
        """One who listens from now on, or has been refused."""
        path = "/v1/realtime/connect" if kind == "websocket" else "/v1/realtime/sse"
        listener = Listener(self.served, path, kind, **more)
        self.nursery.start_soon(lambda: listener.listen(token=token))
        await listener.begun.wait()
        return listener

    async def publish(self, data: Any, channel: str = "c", topic: str = "t", **more: Any) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        query = {"channel": channel, "topic": topic, **more}
        headers = {"content-type": "application/json"}
        response = await self.client.post(PUBLISH, params=query, content=content, headers=headers)
        assert (response.status_code, response.json()) == (200, {"status": 200})


@asynccontextmanager
async def house(settings: Settings = DEV, headers: dict[str, str] = JS) -> AsyncIterator[House]:
    """A server without apps; all listeners are gone after the block."""
    async with open_engine([], "memory://") as engine, trio.open_nursery() as nursery:
        served = http_app([], engine, settings=settings)
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288", headers=headers) as client:
            yield House(client, served, nursery)
        nursery.cancel_scope.cancel()
