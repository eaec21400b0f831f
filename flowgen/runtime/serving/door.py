"""The door of a served app: which requests are read at all, and who has sent them.

In this order, each with the reason in its refusal: a method and a path that there are; room; a `Host` that the app is
known by; no page of another site; a body of the right kind, and no more of it than is taken; a good signature.
Whatever else there may be to say is said to those who come through. A refusal names what to mend, and nothing of
keys, settings or code.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

import attrs
import msgspec

from ..protocol import headers as names
from ..protocol.reading import BadSignature
from ..protocol.signatures import verify
from .settings import ServeSettings

Scope = Mapping[str, Any]
Receive = Any

METHODS: Final = ("GET", "POST", "PUT")
_MOST_PARAMETERS: Final = 20
_LONG_QUERY: Final = 500
_ENCODE: Final = msgspec.json.Encoder().encode
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"https?://(.*)")


class Refused(Exception):
    """A request that is refused, with a status, a code for programs, and a message."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """Its answer: our shape for refusals, and that of the protocol for errors beside it."""
        error = {"code": self.code, "message": self.message, "path": ""}
        return _ENCODE({"error": error, "name": self.code, "message": self.message})


@attrs.frozen
class Request:
    """A request that has come through the door.

    `headers` by their names in lower case, those that are there twice left out. `key` is the signing key that has
    signed it; None if none has, or none is needed.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    key: str | None


def check_line(scope: Scope, path: str) -> None:
    """Refuse what is not for this app: another path, or a method that it does not have.

    An app that is mounted somewhere is all of that place; one that is served by itself is at `path`.
    """
    root, here = str(scope.get("root_path", "")), str(scope["path"])
    rest = here[len(root) :] if root and here.startswith(root) else here
    if rest != path and not (root and rest in ("", "/")):
        raise Refused(404, "not_found", "nothing is served here")
    if scope["method"] not in METHODS:
        raise Refused(405, "method_not_allowed", "this method is not for this path", {"Allow": ", ".join(METHODS)})


def size_of(scope: Scope, most: int) -> int:
    """How many bytes of body may have to be kept; of one that does not say, all that are taken."""
    length = "0"
    for name, value in scope["headers"]:
        if name.lower() == b"transfer-encoding":
            return most
        if name.lower() == b"content-length":
            length = value.decode("latin-1")
    return min(int(length[:20]), most) if length.isascii() and length.isdigit() else most


async def read_request(scope: Scope, receive: Receive, settings: ServeSettings) -> Request:
    """Read a request, if it may be read, and find out who has sent it. Raises `Refused`."""
    headers, repeated = _headers(scope)
    _check_host(headers, repeated, settings)
    _check_origin(headers)
    method = str(scope["method"])
    if method == "POST":
        _check_kind(headers)
    body = b"" if method == "GET" else await _read(receive, headers, settings.max_body)
    key = _signer(headers, repeated, body, settings, needed=method != "GET")
    return Request(method, str(scope["path"]), _query(scope), headers, body, key)


def _query(scope: Scope) -> Mapping[str, str]:
    text: bytes = scope.get("query_string", b"")
    return _parameters(text) if len(text) > _LONG_QUERY else _known_parameters(text)


def _parameters(text: bytes) -> Mapping[str, str]:
    try:
        found = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Refused(400, "invalid_query", f"the query has more than {_MOST_PARAMETERS} parameters") from None
    return MappingProxyType(dict(found))


_known_parameters: Final = lru_cache(maxsize=256)(_parameters)
"""The same calls come again and again: those of a function's next step, and of the steps of its runs."""


def _headers(scope: Scope) -> tuple[dict[str, str], set[str]]:
    """The headers by name, and the names that are there more than once."""
    raw = scope["headers"]
    found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}
    if len(found) == len(raw):
        return found, set()
    counts = Counter(name.decode("latin-1").lower() for name, _ in raw)
    repeated = {name for name, count in counts.items() if count > 1}
    return {name: value for name, value in found.items() if name not in repeated}, repeated


def _check_host(headers: Mapping[str, str], repeated: set[str], settings: ServeSettings) -> None:
    host = headers.get("host")
    if host is None or "host" in repeated:
        raise Refused(400, "invalid_host", "a request names one Host")
    form = _HOST.fullmatch(host.strip().lower())
    if form is None:
        raise Refused(400, "invalid_host", "this is no name of a host")
    if not settings.may_be_called(form[1]):
        raise Refused(
            421,
            "unknown_host",
            f"this app is not known as {form[1]!r:.100}; if that is its name, say it in FLOWGEN_HOSTS",
        )


def _check_origin(headers: Mapping[str, str]) -> None:
    """What a browser sends on behalf of another site is refused: a page could make it call this machine."""
    origin = headers.get("origin")
    if origin is not None:
        form = _ORIGIN.fullmatch(origin.strip().lower())
        if form is None or form[1] != headers["host"].strip().lower():
            raise Refused(403, "cross_origin", "a page of another site sent this")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Refused(403, "cross_origin", "a page of another site sent this")


def _check_kind(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused(415, "unsupported_media_type", "send the body as Content-Type: application/json, and plain")


async def _read(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "incomplete", "the connection ended before the body did")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> Refused:
    return Refused(413, "too_large", f"the body has more than {limit} bytes", {"Connection": "close"})


def _signer(
    headers: Mapping[str, str], repeated: set[str], body: bytes, settings: ServeSettings, *, needed: bool
) -> str | None:
    """The key that has signed the request. A signature that is not good is refused even where none is needed."""
    name = names.SIGNATURE.lower()
    if name in repeated:
        raise Refused(401, "bad_signature", f"{names.SIGNATURE}: say it once")
    header = headers.get(name)
    if header is None and (settings.dev or not needed):
        return None
    if not settings.signing_keys:  # in development, a server that signs all the same
        return None
    try:
        return verify(header, body, settings.signing_keys, time.time())
    except BadSignature as bad:
        raise Refused(401, "bad_signature", f"{names.SIGNATURE}: it {bad.reason}") from None
