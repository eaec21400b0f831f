"""The request by which an endpoint of an app elsewhere is entered again, in place of a call.

Such a function answers HTTP requests. Its app began a run with one of them; from when the server drives the run, the
same request is made again, with headers that say which run it is for, and what is to be done: the app then asks for
what the run remembers. So the request tells nothing of the run, and is signed as it is.

* Where it goes is what the run's event says, at the place where the app is; nowhere else. The event of a run that was
  started by other means, or edited, may say anything: what is no path is refused, as it would be read as a part of the
  host, or of the port.
* Of bodies only a JSON object is sent again: what is no JSON no SDK lets through there.
* A request that only looks (HEAD) is made as GET, because the answer to it has no body.

Pure. Refuses to know how a request travels, and what is signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from ..addresses import AppUrl, UrlRefused
from ..protocol import headers as names
from ..protocol.arrivals import METHOD, target_of
from .calling import Calling

_WITH_BODY: Final = ("POST", "PUT")
_UNSIGNED: Final = ""
"""An app knows such a request by its header of a signature, also where nobody signs."""


@attrs.frozen
class Reentry:
    """A request, but for the headers that every call has."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def reentry(calling: Calling) -> Reentry:
    """The request that stands for a call. Raises `UrlRefused` if the run's event says no path of its app."""
    event = msgspec.json.decode(calling.body.telling.events[0])
    data: dict[str, Any] = event["data"]
    method = _method(data.get("method"))
    headers = [(names.SIGNATURE, _UNSIGNED)]
    if calling.plans:
        headers.append((names.FORCE_STEP_PLAN, "true"))
    body = _body(data.get("body")) if method in _WITH_BODY else b""
    return Reentry(method, _url(AppUrl.parse(calling.body.remote.url).origin, data), tuple(headers), body)


def _url(origin: str, data: Mapping[str, Any]) -> str:
    """Where a request goes that was made of an app at `origin`."""
    path, query = data.get("path") or "/", data.get("query_params") or ""
    if not isinstance(path, str) or not path.startswith("/"):
        raise UrlRefused(f"event.data.path: {path!r:.100} is no path of {origin}; it begins with a slash")
    if not isinstance(query, str):
        raise UrlRefused(f"event.data.query_params: {query!r:.100} is no query; it is text, as in 'who=ada'")
    return origin + target_of(data)


def _method(asked: Any) -> str:
    if not isinstance(asked, str) or not METHOD.fullmatch(asked):
        return "POST"
    return "GET" if asked == "HEAD" else asked


def _body(text: Any) -> bytes:
    """What is sent again of a body."""
    try:
        good = isinstance(text, str) and isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        good = False
    return text.encode() if good else b""
