"""What went wrong, as a response: `{"error": {"code", "message", "path"}}`.

One table says which error of the engine is whose fault. Messages are written for the caller; what breaks inside is
logged, and the caller gets to know its id and nothing else: no trace, no SQL, no values of other people.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from starlette.responses import JSONResponse

from ...errors import (
    DefinitionError,
    EventConflict,
    InvalidInput,
    NotFound,
    RunCancelledError,
    RunFailed,
    RunSkipped,
    StoreError,
    UnserializableError,
    WrongState,
)
from ..protocol.reading import ProtocolError
from ..store import DamagedRun
from ..strict_json import BadJson
from .bridge import EngineClosed

log = logging.getLogger("flowgen.http")


class Problem(Exception):
    """A request that is refused. `path` is a JSON pointer into the body, or the name of a parameter.

    `flaws` are the problems of single items, if there are several; `headers` go with the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        path: str = "",
        *,
        flaws: Sequence[Flaw] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.path = path
        self.flaws = tuple(flaws)
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "path": self.path}
        if self.flaws:
            error["errors"] = [attrs.asdict(flaw) for flaw in self.flaws]
        return {"error": error}

    def response(self) -> JSONResponse:
        return JSONResponse(self.document(), self.status, headers=self.headers)


@attrs.frozen
class Flaw:
    """What is wrong with one item of a request."""

    code: str
    message: str
    path: str


_KINDS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (NotFound, 404, "not_found"),
    (WrongState, 409, "wrong_state"),
    (EventConflict, 409, "conflict"),
    (InvalidInput, 400, "invalid_input"),
    (DefinitionError, 400, "invalid_input"),
    (UnserializableError, 400, "invalid_input"),
    (RunFailed, 409, "run_failed"),
    (RunCancelledError, 409, "run_cancelled"),
    (RunSkipped, 409, "run_skipped"),
    (EngineClosed, 503, "closed"),
    (DamagedRun, 500, "damaged"),
    (StoreError, 503, "store_unavailable"),
)

_PARTS: Final = re.compile(r"[^.\[\]]+")
_SAY_AGAIN: Final = {"Retry-After": "1"}


def problem_of(error: Exception) -> Problem:
    """The problem that an error is for the caller; one of ours is logged, and only named."""
    match error:
        case Problem():
            return error
        case BadJson():
            return Problem(400, error.code, error.message, error.path)
        case ProtocolError():
            return _unreadable(error)
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            if status < 500:
                return Problem(status, code, str(error))
            log.warning("a request could not be served: %s", error)
            return Problem(status, code, _WORDS[code], headers=_SAY_AGAIN if status == 503 else None)
    log.exception("a request broke", exc_info=error)
    return Problem(500, "internal", "the server broke while it served this request; its log says how")


def _unreadable(error: ProtocolError) -> Problem:
    """What is wrong with what an app or an SDK sent, at `functions[2].name`: our refusals say that as a pointer."""
    path = "".join(f"/{part}" for part in _PARTS.findall(error.place))
    return Problem(400, "invalid_body", str(error) if path else f"the body {error.reason}", path)


_WORDS: Final = {
    "closed": "the engine is closing: send it again to another one, or later",
    "damaged": "what is stored of this run is not what was written: flowgen doctor says where",
    "store_unavailable": "the store cannot answer just now: send it again later, nothing is half done",
}
