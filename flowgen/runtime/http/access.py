"""Who may use which route.

Every route says one of these; what says nothing does not exist. Without tokens in the settings, whoever passes the
guard may do everything: then that is this machine alone.

=========  ==========================================================================================
`PUBLIC`   anybody: it says that the server is alive, and nothing of what it does
`SEND`     who has an event key, in the path; or anybody, if no key is configured
`READ`     who has a token: looking changes nothing
`OPERATE`  who has a token
`SDK`      who has a token or a signing key of apps, which says its hash as a bearer
`LISTEN`   who has a token for what it listens to: the handler reads it
=========  ==========================================================================================

A server for development asks apps for no key: they have none there. One that is not, and has signing keys for apps,
asks all callers of their routes for one, also where it has no token.

The token comes as `Authorization: Bearer`, or in the cookie that the login of the pages sets. It is never read from
the address, where logs and histories would keep it; but for `LISTEN`, whose callers can say it nowhere else, and whose
tokens are good for a minute (`protocol.realtime`). A request that is signed needs none (`signed`).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from starlette.requests import Request

from ..protocol.signatures import is_bearer
from .problems import Problem
from .settings import Settings, is_one_of

COOKIE: Final = "flowgen_token"


class Access(Enum):
    """What it takes to use a route."""

    PUBLIC = "public"
    SEND = "send"
    READ = "read"
    OPERATE = "operate"
    SDK = "sdk"
    LISTEN = "listen"


def check_access(access: Access, request: Request, settings: Settings, signed: bool = False) -> None:
    """Raise the problem (401) of a request that may not use its route. `signed`: it has a signature that is good."""
    match access:
        case Access.PUBLIC | Access.LISTEN:
            return
        case Access.SEND:
            check_event_key(str(request.path_params.get("key", "")), settings)
        case Access.READ | Access.OPERATE:
            if settings.auth_tokens and not signed:
                _check_token(request, settings)
        case Access.SDK:
            if not signed and not _has_app_key(request, settings):
                _check_sdk(request, settings)


def is_known(request: Request, settings: Settings, signed: bool = False) -> bool:
    """Whether whoever sent this has proved who they are. Where no token is set nobody can, but by a signature."""
    if signed or not settings.auth_tokens:
        return signed
    try:
        _check_token(request, settings)
    except Problem:
        return False
    return True


def check_event_key(key: str, settings: Settings) -> None:
    """Raise the problem (401) of a key that opens the event API to nobody. Without keys configured, any does."""
    if settings.event_keys and not is_one_of(key, settings.event_keys):
        raise Problem(401, "wrong_key", "this event key is not one of this server's")


def _has_app_key(request: Request, settings: Settings) -> bool:
    headers = request.headers.getlist("authorization")
    return len(headers) == 1 and bool(settings.app_keys) and is_bearer(headers[0], settings.app_keys)


def _check_sdk(request: Request, settings: Settings) -> None:
    if settings.auth_tokens:
        _check_token(request, settings)
    elif settings.app_keys and not settings.dev:
        raise Problem(401, "unauthorized", "this needs the signing key of this server's apps", headers=_ASK)


def _check_token(request: Request, settings: Settings) -> None:
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise Problem(401, "unauthorized", "say Authorization once", headers=_ASK)
    token = _bearer(headers[0]) if headers else request.cookies.get(COOKIE, "")
    if not token:
        raise Problem(401, "unauthorized", "this needs a token: send Authorization: Bearer TOKEN", headers=_ASK)
    if not is_one_of(token, settings.auth_tokens):
        raise Problem(401, "unauthorized", "this token is not one of this server's", headers=_ASK)


_ASK: Final = {"WWW-Authenticate": 'Bearer realm="flowgen"'}


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
