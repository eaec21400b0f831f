"""What functions publish while they run, on its way to who listens.

A message is handed to those who listen to its topic in this process when it comes (`audience`); nobody gets it later,
and the publisher is not told who did. What is JSON stays what it is, and any other text is a text, as in any server of
the protocol. A stream is told in parts, as they come.

To listen takes a token, which who may publish gets and hands on (`listening`).
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from typing import Final

import msgspec
from starlette.responses import Response

from ....outcome import Json
from ...protocol.realtime import (
    RAW,
    Origin,
    chunk_message,
    data_message,
    read_topics,
    stream_messages,
    token_for,
    topic_of,
)
from ...strict_json import BadJson, parse
from ..audience import Told
from ..bodies import read_bytes
from ..patience import while_open
from ..problems import Problem
from ..routes import Call, answer

MOST: Final = 512 * 1024
"""Bytes of a message."""

MOST_OF_STREAM: Final = 1024 * 1024
"""Bytes of a stream."""

_LONGEST_RUN: Final = 128
_MOST_TOPICS: Final = 10


async def make_token(call: Call) -> Response:
    """A token for the topics of the body."""
    topics = read_topics(await call.json())
    return answer({"jwt": token_for(topics, call.service.token_keys[0], int(time.time()))}, 201)


async def publish(call: Call) -> Response:
    """Tell a message, or a stream, to who listens."""
    origins = _origins(call)
    if call.request.headers.get("content-type", "").partition(";")[0].strip() == "text/stream":
        await _publish_stream(call, origins)
    else:
        data = _data(await read_bytes(call.request, MOST))
        for origin in origins:
            _tell(call, origin, data_message(origin, data))
    return answer({"status": 200})


async def tee(call: Call) -> Response:
    """Pass a body on as it comes, as it is."""
    topic = topic_of(call.request.query_params.get("channel", ""), RAW)
    await _read_parts(call, lambda part: call.service.audience.tell(topic, Told(part, raw=True)))
    return answer({"status": 200})


def _origins(call: Call) -> list[Origin]:
    """Where a message comes from: once for each of its topics. Without one nobody hears it."""
    query = call.request.query_params
    channel, run = query.get("channel", ""), query.get("run_id") or None
    if not channel:
        raise Problem(400, "invalid_parameter", "say the channel", "channel")
    if run is not None and len(run) > _LONGEST_RUN:
        raise Problem(400, "invalid_parameter", f"run_id has at most {_LONGEST_RUN} characters", "run_id")
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    topics = dict.fromkeys(topic_of(channel, name) for name in query.getlist("topic"))
    if len(topics) > _MOST_TOPICS:
        raise Problem(400, "invalid_parameter", f"a message has at most {_MOST_TOPICS} topics", "topic")
    return [Origin(topic, run, at) for topic in topics]


def _data(body: bytes) -> Json:
    """What is published, as JSON."""
    try:
        parse(body)
    except BadJson as bad:
        if bad.code != "invalid_json":
            raise
        return Json(msgspec.json.encode(body.decode(errors="replace")))
    return Json(body)


async def _publish_stream(call: Call, origins: list[Origin]) -> None:
    """Tell a body in parts, as they come; its end also if it breaks off."""
    stream = token_hex(8)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for origin in origins:
        _tell(call, origin, stream_messages(origin, stream)[0])

    def tell_part(part: bytes) -> None:
        text = decoder.decode(part)
        for origin in origins:
            _tell(call, origin, chunk_message(origin, stream, text))

    try:
        await _read_parts(call, tell_part)
    finally:
        for origin in origins:
            _tell(call, origin, stream_messages(origin, stream)[1])


async def _read_parts(call: Call, take: Callable[[bytes], None]) -> None:
    """Have the parts of a body taken, as they come. A server that stops does not wait for the rest."""
    if not await while_open(call.request, partial(_read_all_parts, call, take)):
        raise Problem(503, "busy", "the server stops: come again", headers={"Retry-After": "1", "Connection": "close"})


async def _read_all_parts(call: Call, take: Callable[[bytes], None]) -> bool:
    left, more = MOST_OF_STREAM, True
    while more:
        message = await call.request.receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "incomplete", "the connection ended before the body did")
        part: bytes = message.get("body", b"")
        left -= len(part)
        if left < 0:
            about = f"a stream has at most {MOST_OF_STREAM} bytes"
            raise Problem(413, "too_large", about, headers={"Connection": "close"})
        if part:
            take(part)
        more = message.get("more_body", False)
    return True


def _tell(call: Call, origin: Origin, message: bytes) -> None:
    call.service.audience.tell(origin.topic, Told(message))
