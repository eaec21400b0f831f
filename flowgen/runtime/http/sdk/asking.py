"""One small request to an app, on a connection of its own: what is asked now and then, not what drives runs.

The connection is dialled (`dialing`), so it goes where it may go. No redirect is followed, no more than `MOST` bytes of
the answer are read, and all of it takes no longer than it may.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import h11
import trio

from ...addresses import AppUrl
from ...dialing import CannotDial, Dialer

MOST: Final = 4 * 1024 * 1024
"""Bytes of an answer."""

_CHUNK: Final = 65_536


@attrs.frozen
class Reply:
    """What an app answered. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(
    dialer: Dialer, method: str, url: AppUrl, headers: Mapping[str, str], body: bytes = b"", *, seconds: float
) -> Reply:
    """Send a request and read its answer. Raises `UrlRefused`, or `CannotDial` for whatever goes wrong on the way."""
    with trio.move_on_after(seconds):
        try:
            async with await dialer.connect(url) as stream:
                return await _asked(stream, method, url, headers, body)
        except (trio.BrokenResourceError, h11.ProtocolError) as error:
            raise CannotDial(f"{url.origin}: {str(error) or 'the connection broke'}") from None
    raise CannotDial(f"{url} did not answer within {seconds:g} s")


async def _asked(stream: trio.abc.Stream, method: str, url: AppUrl, headers: Mapping[str, str], body: bytes) -> Reply:
    connection = h11.Connection(h11.CLIENT)
    told = {"Host": url.authority, "Connection": "close", "Content-Length": str(len(body)), **headers}
    request = h11.Request(method=method, target=url.target, headers=list(told.items()))
    sent = b"".join(connection.send(event) or b"" for event in (request, h11.Data(data=body), h11.EndOfMessage()))
    await stream.send_all(sent)
    response: h11.Response | None = None
    parts: list[bytes] = []
    size = 0
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                data = bytes(await stream.receive_some(_CHUNK))
                if not data and response is None:
                    raise CannotDial(f"{url.origin} closed the connection before it answered")
                connection.receive_data(data)
            case h11.Response():
                response = event
            case h11.Data(data=data):
                size += len(data)
                if size > MOST:
                    raise CannotDial(f"{url} answered with more than {MOST:,} bytes")
                parts.append(bytes(data))
            case h11.EndOfMessage() if response is not None:
                said = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
                return Reply(response.status_code, said, b"".join(parts))
