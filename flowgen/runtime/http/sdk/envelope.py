"""Who is an SDK, and the shapes of what SDKs are answered.

A caller is one if it says so: by a header `X-Inngest-…`, as its user agent, or by a bearer made of a signing key. Where
a path is ours, too, only such a caller gets these shapes. An answer is `{"data", "metadata"}`; a refusal
`{"error": message, "status"}`, with our code for whoever looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from ..problems import Problem
from ..routes import Call, answer

_PREFIX: Final = b"x-inngest-"
_AGENT: Final = b"inngest"
_BEARER: Final = b"bearer signkey-"


def is_sdk(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request with these headers, their names in lower case, is that of an SDK."""
    for name, value in headers:
        if name.startswith(_PREFIX):
            return True
        if name == b"user-agent" and value[: len(_AGENT)].lower() == _AGENT:
            return True
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return True
    return False


def enveloped(data: Any, status: int = 200) -> Response:
    """An answer for SDKs."""
    fetched = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return answer({"data": data, "metadata": {"fetched_at": fetched, "cached_until": None}}, status)


def refused_as_sdk(call: Call, problem: Problem) -> Response:
    """How SDKs are refused: the message is for people, and the first that an SDK shows."""
    document = {"error": problem.message, "status": problem.status, "code": problem.code, "path": problem.path}
    return JSONResponse(document, problem.status, headers=problem.headers)
