"""Listening to what functions publish: as a web socket, or as server-sent events.

Whoever has a token for topics (`?token=`) hears what is told to them from the moment at which the handshake, or the
answer, begins. One that does not take what is told to it is dropped: its connection ends, as it does when the server
stops. What it says is of no interest.

Messages on a web socket are texts; as events each is the `data` of one. What is passed on as it is (`tee`) is part of
the events, as an app writes them itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import anyio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ...protocol.reading import BadSignature
from ...protocol.realtime import Topic, read_token
from ..audience import FellBehind, Subscriber, Told
from ..problems import Problem
from ..routes import Call
from ..stream import to_this_loop, until_gone

HEARTBEAT_SECONDS: Final = 15.0
PATIENCE_SECONDS: Final = 10.0

_AGAIN_LATER: Final = 1013
"""The code of RFC 6455's registry with which a client that fell behind is sent away."""


async def connect(call: Call, socket: WebSocket) -> None:
    """Tell a web socket what is published under the topics of its token."""
    topics = _topics(call)
    with call.service.patience.place(), call.service.audience.joined(topics) as subscriber:
        await socket.accept()

        async def tell(told: Told) -> None:
            with anyio.fail_after(PATIENCE_SECONDS):
                await socket.send_text(told.text.decode(errors="replace"))

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(until_gone, socket.receive, group.cancel_scope)
                await _deliver(subscriber, tell)
        except* (TimeoutError, WebSocketDisconnect):
            """It takes nothing, or is gone: what becomes of its connection is the server's to say."""
        except* FellBehind:
            with anyio.move_on_after(PATIENCE_SECONDS), suppress(WebSocketDisconnect):
                await socket.close(_AGAIN_LATER, "it did not take what was told to it")


async def connect_plainly(call: Call) -> Response:
    """What is no handshake of a web socket is told what it lacks."""
    _topics(call)
    raise Problem(426, "upgrade_required", "this is for web sockets", headers={"Upgrade": "websocket"})


async def listen(call: Call) -> Response:
    """Tell the same as server-sent events."""
    topics = _topics(call)
    if call.request.method == "HEAD":
        return Response(media_type=_Events.media_type)
    with call.service.patience.place():
        """There is room for one more; its place is taken when the answer begins, which is at once."""
    return _Events(call, topics)


def _topics(call: Call) -> list[Topic]:
    """The topics of the token of a request."""
    token = call.query("token")
    if not token:
        raise Problem(401, "unauthorized", "this needs a token for what is listened to: say ?token=", "token")
    try:
        return read_token(token, call.service.token_keys, time.time())
    except BadSignature as bad:
        raise Problem(401, "unauthorized", str(bad), "token") from None


async def _deliver(subscriber: Subscriber, tell: Callable[[Told], Awaitable[None]], beat: Told | None = None) -> None:
    """Tell what is told to a subscriber, in order; `beat` when nothing was for a while."""
    here = to_this_loop()
    while True:
        woken = anyio.Event()
        taken = subscriber.take(partial(here, woken.set))
        for told in taken:
            await tell(told)
        if not taken:
            with anyio.move_on_after(HEARTBEAT_SECONDS):
                await woken.wait()
            if beat is not None and not woken.is_set():
                await tell(beat)


class _Events(Response):
    """An answer that goes on for as long as its reader is there and takes it."""

    media_type = "text/event-stream"

    def __init__(self, call: Call, topics: list[Topic]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._service = call.service
        self._topics = topics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            with anyio.fail_after(PATIENCE_SECONDS):
                await send(message)

        async def tell(told: Told) -> None:
            await patiently({"type": "http.response.body", "body": _as_event(told), "more_body": True})

        with self._service.patience.place(), self._service.audience.joined(self._topics) as subscriber:
            try:
                await patiently({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await tell(_BEAT)
                async with anyio.create_task_group() as group:
                    group.start_soon(until_gone, receive, group.cancel_scope)
                    await _deliver(subscriber, tell, _BEAT)
            except* (TimeoutError, FellBehind):
                """It takes nothing, or too little: what becomes of its connection is the server's to say."""


_BEAT: Final = Told(b": flowgen\n\n", raw=True)


def _as_event(told: Told) -> bytes:
    """A message as an event; its line ends are those between the parts of its JSON, where any space is as good."""
    if told.raw:
        return told.text
    return b"data: %s\n\n" % told.text.replace(b"\r", b" ").replace(b"\n", b" ")
