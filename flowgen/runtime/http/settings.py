"""How a server is set up: who may call it, and how much it takes.

Without a token it serves this machine alone: the guard then lets only loopback names through as `Host`. Keys are
compared in constant time; several of each kind may be in force at once, so that they can be rotated.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from ...duration import SECOND, parse_duration
from ...errors import DefinitionError, InvalidInput
from ..addresses import Reach
from ..driving.caller import SILENCE_SECONDS

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes that the body of a request may have, unless a server is set up otherwise."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})

_SHORTEST: Final = 8
_APP_KEY: Final = re.compile(r"signkey-[A-Za-z0-9_]+-(?:[0-9a-fA-F]{2})+")


def _keys(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(keys)


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _check_keys(settings: Settings, attribute: attrs.Attribute[tuple[str, ...]], keys: tuple[str, ...]) -> None:
    for key in keys:
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise InvalidInput(
                f"{attribute.name}: a key of {len(key)} characters is refused; say at least {_SHORTEST} printable "
                "ASCII characters without spaces"
            )


def _check_hosts(settings: Settings, attribute: attrs.Attribute[tuple[str, ...]], hosts: tuple[str, ...]) -> None:
    Reach.server(hosts)


def _seconds(name: str, text: str) -> float:
    """What a variable says, as a duration."""
    try:
        return parse_duration(text, name) / SECOND if text else SILENCE_SECONDS
    except DefinitionError as error:
        raise InvalidInput(str(error)) from None


@attrs.frozen
class Settings:
    """Who may call a server, and how much it takes.

    `auth_tokens` open everything (`Authorization: Bearer`); `event_keys` open `/e/{key}`, which without any is open to
    whoever may call the server at all. `signing_keys` are for signed calls. `hosts` are the names, beside
    those of the loopback, under which the server is called. `max_body` is in bytes, `max_open` the number of requests
    that are worked on at once and `max_open_bytes` the size of their bodies together: what comes beyond is answered 503
    (small ones always have room). While more than about
    `max_unrouted` accepted events wait to be routed, no more are accepted (503).

    Apps that are driven over HTTP are called at public addresses, and at those that `app_hosts` allow: networks,
    addresses and names. They may tell nothing for `silence` seconds of a request that they answer by themselves. A
    server for development (`dev`) calls this machine alone, and lets apps register without a key.
    """

    auth_tokens: tuple[str, ...] = attrs.field(default=(), converter=_keys, validator=_check_keys, repr=False)
    event_keys: tuple[str, ...] = attrs.field(default=(), converter=_keys, validator=_check_keys, repr=False)
    signing_keys: tuple[str, ...] = attrs.field(default=(), converter=_keys, validator=_check_keys, repr=False)
    hosts: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    max_body: int = MAX_BODY
    max_open: int = 1_000
    max_open_bytes: int = 16 * MAX_BODY
    max_unrouted: int = 100_000
    app_hosts: tuple[str, ...] = attrs.field(default=(), converter=_keys, validator=_check_hosts)
    silence: float = SILENCE_SECONDS
    dev: bool = False

    def __attrs_post_init__(self) -> None:
        if self.max_open_bytes < self.max_body:
            raise InvalidInput(
                f"max_open_bytes={self.max_open_bytes} is less than max_body={self.max_body}: a body of that size "
                "would never be read; raise the one or lower the other"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """As `FLOWGEN_AUTH_TOKEN`, `FLOWGEN_EVENT_KEY`, `FLOWGEN_SIGNING_KEY`, `FLOWGEN_HOSTS` and `FLOWGEN_APP_HOSTS`
        say, with commas, and `FLOWGEN_SILENCE`, a duration."""

        def several(name: str) -> list[str]:
            return [part.strip() for part in environment.get(name, "").split(",") if part.strip()]

        return cls(
            several("FLOWGEN_AUTH_TOKEN"),
            several("FLOWGEN_EVENT_KEY"),
            several("FLOWGEN_SIGNING_KEY"),
            several("FLOWGEN_HOSTS"),
            app_hosts=several("FLOWGEN_APP_HOSTS"),
            silence=_seconds("FLOWGEN_SILENCE", environment.get("FLOWGEN_SILENCE", "").strip()),
        )

    @property
    def app_keys(self) -> tuple[str, ...]:
        """The signing keys of the form that apps know, `signkey-<env>-<hex>`: the first signs, all are known."""
        return tuple(key for key in self.signing_keys if _APP_KEY.fullmatch(key))

    @property
    def reach(self) -> Reach:
        """Where apps are called."""
        return Reach.dev() if self.dev else Reach.server(self.app_hosts)

    def may_be_called(self, host: str) -> bool:
        """Whether a request for this `Host` (without its port) is meant for this server."""
        return self.is_named(host) or "*" in self.hosts

    def is_named(self, host: str) -> bool:
        """Whether this is a name of this server's own, and not just any under which it may be called."""
        return host in LOOPBACK or host in self.hosts


def is_one_of(secret: str, keys: Iterable[str]) -> bool:
    """Whether a secret is one of these, in a time that tells nothing of which or how nearly."""
    given = secret.encode(errors="surrogatepass")
    found = False
    for key in keys:
        found |= hmac.compare_digest(given, key.encode())
    return found
