"""Messages that functions publish while they run, for whoever listens.

Nobody can listen here: subscriptions, which are web sockets, are not offered. A message without a listener vanishes in
any server of the protocol, so it is taken, bounded like any other, and dropped; a function that tells of its progress
runs as it does elsewhere.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..bodies import read_bytes
from ..problems import Problem
from ..routes import Call, answer

MOST: Final = 512 * 1024
"""Bytes of a message."""


async def publish(call: Call) -> Response:
    """Take a message of any kind. It has to say its channel."""
    if not call.request.query_params.get("channel"):
        raise Problem(400, "invalid_parameter", "say the channel", "channel")
    await read_bytes(call.request, MOST)
    return answer({"status": 200})
