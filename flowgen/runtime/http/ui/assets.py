"""The files that pages need, by name: there is no other way to a file."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Final

import attrs
from starlette.responses import Response

from ..problems import Problem
from ..routes import Call

TYPES: Final = {
    "flowgen.css": "text/css; charset=utf-8",
    "flowgen.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@attrs.frozen
class Asset:
    """A file as it is sent. The browser keeps it, and asks whether it is still the same."""

    body: bytes
    type: str
    tag: str


@cache
def asset(name: str) -> Asset:
    """One of the files in `TYPES`."""
    body = files(__package__).joinpath("static", name).read_bytes()
    return Asset(body, TYPES[name], f'"{blake2b(body, digest_size=8).hexdigest()}"')


async def send_asset(call: Call) -> Response:
    """The file, or 304 if the browser has it."""
    name = call.path("name")
    if name not in TYPES:
        raise Problem(404, "not_found", "nothing is served here")
    found = asset(name)
    headers = {"etag": found.tag, "cache-control": "no-cache", "content-type": found.type}
    if call.request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers)
