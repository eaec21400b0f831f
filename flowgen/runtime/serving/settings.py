"""What an app that is served has to know: who may call it, and where its server is.

With a signing key every request must be signed; only a look at the app (GET) is answered without, and then says no
more than that it is there. Without one the app is in development: it is served to this machine alone, under names
that it is known by, and so are requests with `INNGEST_DEV=1`, whose servers sign nothing.

The names of the environment variables are those that the field uses, behind our own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs

from ...errors import InvalidInput
from ..protocol.calls import MAX_CALL
from ..protocol.signatures import check_signing_key

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
DEV_SERVER: Final = "http://127.0.0.1:8288"
CLOUD_API: Final = "https://api.inngest.com"
CLOUD_EVENTS: Final = "https://inn.gs"

MAX_BODY: Final = 10 * MAX_CALL
"""Bytes of a request. A flowgen server tells all of a history, whose results may be 32 MiB together."""

MAX_OPEN_BYTES: Final = 4 * MAX_BODY
"""Bytes of the requests that are in hand together."""


def _signing_keys(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(check_signing_key(key) for key in keys)


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _origin(text: str) -> str:
    """Scheme and host of a server, without what may follow."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment or "@" in text:
        raise InvalidInput(f"{text!r:.200} is not the address of a server; write it like {DEV_SERVER}")
    return text.rstrip("/")


def _origin_or_none(text: str | None) -> str | None:
    return None if text is None else _origin(text)


@attrs.frozen
class ServeSettings:
    """Who may call an app, and where its server is.

    `signing_keys` are those in force (`signkey-<env>-<hex>`): the first one signs, all are accepted. `dev` says that
    requests need not be signed; without keys it is always so. Then only `hosts` and the names of the loopback are
    served. `api` and `events` are the server's addresses, and `event_key` is what lets the app send events to it.
    `origin` is where the app is reached, if that is not what its callers say (behind a proxy), and `env` the branch
    environment that it belongs to. `max_body` is in bytes; `max_open` the number of requests in hand, `max_open_bytes`
    the size of their bodies together.
    """

    signing_keys: tuple[str, ...] = attrs.field(default=(), converter=_signing_keys, repr=False)
    dev: bool = attrs.field(default=attrs.Factory(lambda self: not self.signing_keys, takes_self=True))
    hosts: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    api: str = attrs.field(
        default=attrs.Factory(lambda self: DEV_SERVER if self.dev else CLOUD_API, takes_self=True), converter=_origin
    )
    events: str = attrs.field(
        default=attrs.Factory(lambda self: DEV_SERVER if self.dev else CLOUD_EVENTS, takes_self=True),
        converter=_origin,
    )
    event_key: str | None = attrs.field(default=None, repr=False)
    origin: str | None = attrs.field(default=None, converter=_origin_or_none)
    env: str | None = None
    max_body: int = MAX_BODY
    max_open: int = 1_000
    max_open_bytes: int = MAX_OPEN_BYTES

    def __attrs_post_init__(self) -> None:
        if not self.signing_keys and not self.dev:
            raise InvalidInput(
                "an app that is served off this machine needs a signing key: set FLOWGEN_SIGNING_KEY to that of its "
                "server (signkey-<env>-<hex>)"
            )
        if self.max_open_bytes < self.max_body:
            raise InvalidInput(
                f"max_open_bytes={self.max_open_bytes} is less than max_body={self.max_body}: a body of that size "
                "would never be read; raise the one or lower the other"
            )
        if self.event_key is not None and not (self.event_key.isascii() and self.event_key.isprintable()):
            raise InvalidInput("an event key is printable ASCII text")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServeSettings:
        """As the environment says.

        `FLOWGEN_SIGNING_KEY` (with commas) or `INNGEST_SIGNING_KEY` and `INNGEST_SIGNING_KEY_FALLBACK`;
        `FLOWGEN_URL` or `INNGEST_BASE_URL` (or `INNGEST_API_BASE_URL` and `INNGEST_EVENT_API_BASE_URL`);
        `FLOWGEN_EVENT_KEY` or `INNGEST_EVENT_KEY`; `FLOWGEN_HOSTS`; `INNGEST_DEV`, `INNGEST_SERVE_ORIGIN`,
        `INNGEST_ENV`.
        """

        def first(*names: str) -> str | None:
            return next((environment[name].strip() for name in names if environment.get(name, "").strip()), None)

        keys = _several(environment, "FLOWGEN_SIGNING_KEY") or [
            key for name in ("INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK") if (key := first(name))
        ]
        dev = (first("INNGEST_DEV") or "").lower()
        base = first("FLOWGEN_URL", "INNGEST_BASE_URL") or (dev if dev.startswith("http") else None)
        given: dict[str, object] = {
            "api": first("INNGEST_API_BASE_URL") or base,
            "events": first("INNGEST_EVENT_API_BASE_URL") or base,
            "event_key": next(iter(_several(environment, "FLOWGEN_EVENT_KEY")), first("INNGEST_EVENT_KEY")),
            "origin": first("INNGEST_SERVE_ORIGIN", "INNGEST_SERVE_HOST"),
            "env": first("INNGEST_ENV"),
            "dev": None if dev in ("", *_FALSE) else True,
        }
        chosen: dict[str, object] = {name: value for name, value in given.items() if value is not None}
        if dev in _FALSE and not keys:
            chosen["dev"] = False
        return cls(keys, hosts=_several(environment, "FLOWGEN_HOSTS"), **chosen)  # type: ignore[arg-type]

    def may_be_called(self, host: str) -> bool:
        """Whether a request for this `Host` (without its port) is meant for this app."""
        return not self.dev or host in LOOPBACK or host in self.hosts or "*" in self.hosts


_FALSE: Final = ("0", "false", "no", "off")


def _several(environment: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in environment.get(name, "").split(",") if part.strip()]
