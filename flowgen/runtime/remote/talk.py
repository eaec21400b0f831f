"""A conversation with a server, without IO: a generator that says what to send, and is told what came back.

It yields a `Request` and is sent the `Answer`, or `Broken` if there was none; or it yields a `Pause`, and is
sent None when it is over. What it returns is the value of the verb, what it raises its error. A shell (`blocking`,
`concurrent`) does the sending and the waiting, and knows nothing else; so sync, trio and asyncio cannot differ.

**When it is said again.** A request that may be repeated is, with growing pauses, when no answer came, or 429, 502, 503
or 504 did. One that may not (`again=False`) is only when it cannot have been received, or the server said that it has
done nothing: no connection, 429, 503. Pauses have jitter, and honour `Retry-After`. What is repeated carries an id, so
that the server knows it again: events their `id`, a run that is started its `run_id`.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any, Final, NoReturn, TypeVar

import attrs

from ...errors import (
    AccessDenied,
    EventConflict,
    FlowgenError,
    InvalidInput,
    NotFound,
    ServerUnavailable,
    WrongState,
)

T = TypeVar("T")


@attrs.frozen
class Request:
    """What to send. `again`: whether it does no harm to send it twice. `patience` is in seconds, beside the usual.
    `text`: the answer is no JSON."""

    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: Any = None
    again: bool = True
    patience: float = 0.0
    text: bool = False

    def content(self) -> bytes | None:
        """The body as it is sent."""
        if self.body is None:
            return None
        return json.dumps(self.body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    content: bytes
    retry_after: str | None = None


@attrs.frozen
class Broken:
    """Nothing came back. `sent`: whether the request may have been received all the same."""

    reason: str
    sent: bool


@attrs.frozen
class Pause:
    """Wait so many seconds."""

    seconds: float


Talk = Generator[Request | Pause, Answer | Broken | None, T]


@attrs.frozen
class Patience:
    """How often something is said, and how long the pauses between are, in seconds."""

    tries: int = 6
    first: float = 0.1
    longest: float = 5.0

    def pause(self, attempt: int, retry_after: str | None, luck: float) -> float:
        """Before the try after this one (1 is the first). `luck` is from 0 to 1."""
        grown = min(self.longest, self.first * 2.0 ** (attempt - 1))
        asked = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
        return max(grown * (0.5 + luck / 2), min(asked, self.longest))


_DONE_NOTHING: Final = frozenset({429, 503})
_PERHAPS: Final = frozenset({502, 504})


def exchange(request: Request, patience: Patience, luck: Generator[float, None, None]) -> Talk[Any]:
    """Say it, again where that helps; the document in the answer. Raises what the server's refusal means."""
    for attempt in range(1, patience.tries + 1):
        heard = yield request
        match heard:
            case Answer(status, content) if status < 300:
                return content.decode(errors="replace") if request.text else document_of(content)
            case Answer(status) if not _is_worth_repeating(request, status):
                refuse(heard)
            case Broken(reason, sent) if sent and not request.again:
                raise ServerUnavailable(
                    f"{request.method} {request.path}: {reason}; whether it was done is not known, and doing it twice "
                    "may do harm: look, and say it again if it was not"
                )
        if attempt < patience.tries:
            after = heard.retry_after if isinstance(heard, Answer) else None
            yield Pause(patience.pause(attempt, after, next(luck)))
    raise ServerUnavailable(f"{request.method} {request.path}: tried {patience.tries} times; {_why(heard)}")


def _is_worth_repeating(request: Request, status: int) -> bool:
    return status in _DONE_NOTHING or (request.again and status in _PERHAPS)


def _why(heard: Answer | Broken | None) -> str:
    match heard:
        case Answer(status, content):
            return f"the server answered {status}: {_message(content)[1]}"
        case Broken(reason):
            return reason
        case None:
            raise AssertionError("a request is answered")


def document_of(content: bytes) -> Any:
    """The JSON in an answer. Raises `ServerUnavailable` for what no flowgen server says."""
    try:
        return json.loads(content)
    except ValueError:
        raise ServerUnavailable(f"what answered is no flowgen server: it said {content[:60]!r}") from None


def refuse(answer: Answer) -> NoReturn:
    """Raise the error that a refusal stands for."""
    code, message = _message(answer.content)
    match answer.status, code:
        case ((401 | 403 | 421), _):
            raise AccessDenied(message)
        case 404, _:
            raise NotFound(message)
        case 409, "conflict":
            raise _conflict(message)
        case 409, _:
            raise WrongState("", "", message)
        case 400 | 413 | 415 | 422, _:
            raise InvalidInput(message)
        case status, _:
            raise ServerUnavailable(f"the server answered {status}: {message}")


def _conflict(message: str) -> FlowgenError:
    """An `EventConflict` that says what the server said."""
    error = EventConflict.__new__(EventConflict)
    InvalidInput.__init__(error, message)
    error.event_id = message.partition("'")[2].partition("'")[0]
    return error


def _message(content: bytes) -> tuple[str, str]:
    """The code and the message of a refusal."""
    try:
        error = json.loads(content)["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "", f"it said {content[:60]!r}, which is no answer of flowgen"
