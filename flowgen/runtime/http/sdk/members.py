"""Bodies as SDKs write them: keys match whatever their case is, and members that nobody knows are let pass."""

from __future__ import annotations

from datetime import datetime

from ...protocol.reading import MAX_DEPTH, BadRequest, Members
from ...strict_json import parse
from ..bodies import read_body, read_optional
from ..fields import time_of
from ..routes import Call


async def members_of(call: Call, *, optional: bool = False) -> Members:
    """The members of a body, which may be left out if it is `optional`. Raises `Problem` or `BadJson`, or `BadRequest`
    with the place."""
    body = await (read_optional if optional else read_body)(call.request, call.service.settings.max_body)
    if optional and not body:
        return Members({}, "", BadRequest)
    return Members(parse(body, depth=MAX_DEPTH), "", BadRequest)


def time_in(members: Members, name: str) -> datetime | None:
    """A member that is a time with its zone, in ISO 8601; an empty one is none."""
    text = members.text(name, longest=64)
    return time_of(text, name, f"/{name}") if text else None
