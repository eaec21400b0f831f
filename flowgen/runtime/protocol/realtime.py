"""Messages that functions publish while they run, and the tokens that let a program listen to them.

A message is published on a channel, under a topic. Who listens has a token for topics of channels, as SDKs get it and
hand it on, to a page for example::

    <header>.<{"exp": 1767225660, "iss": "flowgen", "topics": {"run:7": ["progress"]}}>.<mac>

It is a JSON Web Token with HMAC-SHA256, and there is one way to write it: what it says of its algorithm is compared and
not read. It says nothing secret, and gives nothing but listening to its topics, to whoever has it, for `LIFE` seconds:
so long it opens connections, and those that it has opened stay.

Pure: the time is an argument. Refuses to know who listens, and how messages get there.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

import attrs
import msgspec

from ...outcome import Json
from .reading import BadRequest, BadSignature, Members, shown

LIFE: Final = 60
"""Seconds that a token opens connections."""

LONGEST_NAME: Final = 256
"""Characters of a channel's and of a topic's name."""

MOST_TOPICS: Final = 100
LONGEST_CLAIMS: Final = 4 * 1024
"""Bytes of what a token says: it has to fit into the first line of a request."""

RAW: Final = "$stream"
"""The topic of what is passed on as it is, with no message around it."""

_ISSUER: Final = "flowgen"
_PURPOSE: Final = b"flowgen realtime token"
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


@attrs.frozen
class Topic:
    """What can be listened to: a topic of a channel."""

    channel: str
    name: str


def topic_of(channel: str, name: str) -> Topic:
    """The topic with these names. Raises `BadRequest` if one of them is none."""
    for what, text in (("channel", channel), ("topic", name)):
        if not 1 <= len(text) <= LONGEST_NAME:
            raise BadRequest(what, f"has {len(text):,} characters; 1 to {LONGEST_NAME} are accepted")
    return Topic(channel, name)


def read_topics(document: Any) -> list[Topic]:
    """The topics that an SDK asks a token for: `[{"channel", "name", "kind": "run"}]`."""
    if not isinstance(document, list) or not 1 <= len(document) <= MOST_TOPICS:
        raise BadRequest("", f"must be a list of 1 to {MOST_TOPICS} topics, not {shown(document)}")
    return [_read_topic(Members(each, f"[{index}]", BadRequest)) for index, each in enumerate(document)]


def _read_topic(members: Members) -> Topic:
    kind = members.text("kind", "run")
    if kind != "run":
        members.refuse("kind", f"must be 'run', not {shown(kind)}: only what functions publish can be listened to")
    channel, name = (members.needed_text(each, longest=LONGEST_NAME) for each in ("channel", "name"))
    return Topic(channel, name)


# -- tokens ----------------------------------------------------------------------------------------


def token_for(topics: Iterable[Topic], key: str, now: int) -> str:
    """A token for some topics, made at `now`, in seconds since the epoch. Raises `BadRequest` if they are too much.

    >>> token_for([Topic("run:7", "progress")], "a-signing-key", 1767225600).count(".")
    2
    """
    by_channel: dict[str, list[str]] = {}
    for topic in topics:
        by_channel.setdefault(topic.channel, []).append(topic.name)
    claims = _ENCODER.encode({"exp": now + LIFE, "iss": _ISSUER, "topics": by_channel})
    if len(claims) > LONGEST_CLAIMS:
        raise BadRequest("", f"has names of {len(claims):,} bytes together; at most {LONGEST_CLAIMS:,} are accepted")
    said = f"{_HEADER}.{_text(claims)}"
    return f"{said}.{_mac(said, key)}"


def read_token(token: str, keys: Sequence[str], now: float) -> list[Topic]:
    """The topics of a token that was made with one of `keys`. `now` is in seconds since the epoch.

    Raises `BadSignature`, and never anything else, if it is none, or too old.
    """
    said, _, mac = token.rpartition(".")
    good = False
    for key in keys:
        good |= hmac.compare_digest(_mac(said, key).encode(), mac.encode(errors="surrogatepass"))
    header, _, claims = said.partition(".")
    if not good or header != _HEADER:
        raise BadSignature("token", "is not one of this server's")
    read = msgspec.json.decode(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    if now >= read["exp"]:
        raise BadSignature("token", f"expired {now - read['exp']:.0f} s ago: get another one")
    return [Topic(channel, name) for channel, names in read["topics"].items() for name in names]


def _mac(said: str, key: str) -> str:
    """The key is used for other signatures, too: this one is of a key that is made of it for this alone."""
    own = hmac.digest(key.encode(), _PURPOSE, sha256)
    return _text(hmac.digest(own, said.encode(errors="surrogatepass"), sha256))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER: Final = _text(b'{"alg":"HS256","typ":"JWT"}')


# -- messages --------------------------------------------------------------------------------------


@attrs.frozen
class Origin:
    """Where a message comes from, and when: what all messages of one publication have in common."""

    topic: Topic
    run_id: str | None
    created_at: str


def data_message(origin: Origin, data: Json) -> bytes:
    """A message as a whole."""
    return _message(origin, "data", data)


def stream_messages(origin: Origin, stream: str) -> tuple[bytes, bytes]:
    """What is told before a stream of chunks, and after it."""
    return _message(origin, "datastream-start", stream), _message(origin, "datastream-end", stream)


def chunk_message(origin: Origin, stream: str, text: str) -> bytes:
    """A part of a stream."""
    return _message(origin, "chunk", text, stream_id=stream)


def _message(origin: Origin, kind: str, data: Any, **more: str) -> bytes:
    run = {} if origin.run_id is None else {"run_id": origin.run_id}
    return msgspec.json.encode(
        {
            "kind": kind,
            "channel": origin.topic.channel,
            "topic": origin.topic.name,
            "data": data,
            **run,
            **more,
            "created_at": origin.created_at,
        }
    )
