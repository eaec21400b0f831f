"""Requests that are made here on behalf of an app, as a step's command: `step.fetch` and `step.ai.infer`.

An app that must not stay open while a slow service answers lets its server ask. To whoever drives the run it is a step
with a body. Any answer to a `Fetch` is its result; an `Infer` fails on an error of the provider, and is tried again if
that may help. Of the request only where it goes is recorded: its headers have keys.

Pure but for `Exchange`, which is given. Refuses to know where a request may go (`dialing`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

import attrs
import msgspec

from ...errors import InvalidInput
from ...outcome import Failure, Json, Outcome, Raised, Returned
from ...retry import Backoff
from ...values import encode
from ..protocol.reading import ProtocolError, read_json
from ..protocol.terms import Fetch, Infer

_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8000}")
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade", "te", "expect"}
)
"""Headers of the connection, which the app does not have."""

_KEYS: Final[Mapping[str, tuple[str, str]]] = {
    "anthropic": ("x-api-key", ""),
    "azure-openai": ("api-key", ""),
    "gemini": ("x-goog-api-key", ""),
}
"""How providers want their key, where that is not a bearer."""

_AGAIN: Final = frozenset({408, 409, 425, 429})


@attrs.frozen
class Outgoing:
    """A request: headers without those of the connection."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@attrs.frozen
class Incoming:
    """The answer to it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


Exchange = Callable[[Outgoing], Awaitable[Incoming]]


@attrs.define(eq=False)
class Fetching:
    """The command of such a step."""

    kind: ClassVar[str] = "run"
    asked: Fetch | Infer
    request: Outgoing
    retries: int | None = None
    backoff: Backoff | None = None

    fn: ClassVar[None] = None
    timeout: ClassVar[None] = None
    loop: ClassVar[None] = None
    args: ClassVar[tuple[Any, ...]] = ()
    kwargs: ClassVar[dict[str, Any]] = {}

    def arguments(self) -> Json:
        """Where it goes."""
        return encode({"method": self.request.method, "url": self.request.url}, "a request")


def fetching(asked: Fetch | Infer) -> Fetching:
    """The command for what an app asks for. Raises `InvalidInput` for what is no request."""
    if isinstance(asked, Fetch):
        body = b"" if asked.body is None else asked.body.encode()
        return Fetching(asked, _outgoing(asked.method.upper(), asked.url, asked.headers, body))
    name, scheme = _KEYS.get(asked.format, ("authorization", "Bearer "))
    headers = {"content-type": "application/json", **{key.lower(): value for key, value in asked.headers.items()}}
    if asked.auth_key:
        headers[name] = scheme + asked.auth_key
    if asked.format == "anthropic":
        headers.setdefault("anthropic-version", "2023-06-01")
    return Fetching(asked, _outgoing("POST", asked.url, headers, msgspec.json.encode(asked.body)))


def came_to(asked: Fetch | Infer, answer: Incoming) -> Outcome:
    """What an answer means to the step."""
    if isinstance(asked, Fetch):
        text = answer.body.decode(errors="replace").replace("\x00", "\ufffd")
        value = {"status_code": answer.status, "headers": dict(answer.headers), "body": text}
        return Returned(encode(value, "the answer to a fetch"))
    if not 200 <= answer.status < 300:
        shown = answer.body[:2_000].decode(errors="replace").replace("\x00", "\ufffd")
        retriable = answer.status >= 500 or answer.status in _AGAIN
        return Raised(Failure("AIGatewayError", f"the provider answered {answer.status}: {shown}"), retriable)
    try:
        return Returned(encode(read_json(answer.body, "the answer of the provider", ProtocolError), "the answer"))
    except ProtocolError as error:
        return Raised(Failure("AIGatewayError", str(error)))


def _outgoing(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Outgoing:
    if not _METHOD.fullmatch(method) or method in ("CONNECT", "HEAD", "TRACE"):
        raise InvalidInput(f"{method!r:.50} is no method that is sent on behalf of an app")
    kept = []
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise InvalidInput(f"the header {name!r:.100} cannot be sent")
        if name.lower() not in _OURS:
            kept.append((name, value))
    return Outgoing(method, url, tuple(kept), body)
