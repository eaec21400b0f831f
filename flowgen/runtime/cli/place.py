"""Where a command asks: a server (`--url`) or a store (`--db`), which have the same verbs.

Said on the command line, or else by `FLOWGEN_URL` or `FLOWGEN_DB`. With none of them: the server that `flowgen dev`
starts on this machine, if one answers at its usual address, and then the store that it would use.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs
import click

from .faults import Fault
from .options import DEFAULT_DB
from .settings import check_environment
from .store_client import ask_store

if TYPE_CHECKING:
    from ...events import AcceptedEvent
    from ...history import Record
    from ..bulk import BulkResult
    from ..info import RunInfo
    from ..paging import Page
    from ..remote import AsyncClient
    from ..workflows import WorkflowInfo

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8288"

_USUAL = ("127.0.0.1", 8288)
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 2.0


class Verbs(Protocol):
    """What commands ask of an engine or of a client of a server."""

    async def send(self, events: Any) -> list[str]: ...
    async def start(self, workflow: str, data: Any = None, *, run_id: str | None = None) -> str: ...
    async def result(self, run: str, *, timeout: str | None = None) -> Any: ...
    async def cancel(self, run: str, *, reason: str = "") -> None: ...
    async def retry(self, run: str) -> None: ...
    async def rerun(self, run: str, *, from_step: str | None = None) -> str: ...
    async def pause(self, workflow: str) -> None: ...
    async def resume(self, workflow: str) -> None: ...
    async def workflows(self) -> Sequence[WorkflowInfo]: ...
    async def run(self, run: str) -> RunInfo: ...
    async def history(self, run: str) -> list[Record]: ...
    async def why(self, run: str) -> str: ...

    async def runs(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        event: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunInfo]: ...

    async def events(
        self, name: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Page[AcceptedEvent]: ...

    async def cancel_all(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        dry_run: bool = True,
        reason: str = "",
    ) -> BulkResult: ...

    async def retry_all(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        dry_run: bool = True,
    ) -> BulkResult: ...

    async def rerun_all(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        dry_run: bool = True,
    ) -> BulkResult: ...


@attrs.frozen
class Place:
    """What was said of where to ask: at most one of the two."""

    url: str | None = None
    db: str | None = None


def place_option(command: F) -> F:
    """`--url` and `--db`, as one argument `place`."""

    def placed(url: str | None, db: str | None, **options: Any) -> Any:
        if url is not None and db is not None:
            raise Fault("usage", "say --url, which is a server, or --db, which is a store, not both")
        return command(place=Place(url, db), **options)

    placed.__doc__, placed.__name__ = command.__doc__, command.__name__
    placed.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
    db_help = f"Ask a store. Without either: {DEFAULT_URL} if a server answers there, else {DEFAULT_DB}."
    wrapped: Any = click.option("--db", metavar="URL", help=db_help)(placed)
    return click.option("--url", metavar="URL", help=f"Ask a server, such as {DEFAULT_URL}.")(wrapped)  # type: ignore[no-any-return]


def ask(place: Place, question: Callable[[Verbs], Awaitable[T]], *, create: bool = False) -> T:
    """The answer to a question, from a server or a store. Only with `create` may a store's file come into being."""
    place = settled(place)
    if place.url is None:
        assert place.db is not None
        return ask_store(place.db, question, create=create)
    return ask_server(place.url, question)


def settled(place: Place) -> Place:
    """With what the environment says, and what is there, where nothing was said."""
    check_environment(os.environ)
    if place != Place():
        return place
    url, db = os.environ.get("FLOWGEN_URL"), os.environ.get("FLOWGEN_DB")
    if url and db:
        raise Fault("usage", "FLOWGEN_URL and FLOWGEN_DB are both set: say --url or --db")
    if url or db:
        return Place(url or None, db or None)
    return Place(url=DEFAULT_URL) if _answers() else Place(db=DEFAULT_DB)


def ask_server(url: str, question: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """The answer to a question, from the server at a URL."""
    import trio

    try:
        from ..remote import AsyncClient
    except ImportError as error:
        raise Fault("extra", str(error)) from None
    key, event_key = (_first(name) for name in ("FLOWGEN_AUTH_TOKEN", "FLOWGEN_EVENT_KEY"))

    async def answered() -> T:
        async with AsyncClient(url, key, event_key=event_key) as client:
            return await question(client)

    return trio.run(answered)


def _first(name: str) -> str | None:
    """The first of the keys in a variable."""
    return os.environ.get(name, "").split(",")[0].strip() or None


def _answers() -> bool:
    """Whether a flowgen server answers at the usual address. Refused in no time if nobody listens there."""
    try:
        socket.create_connection(_USUAL, _CONNECT_SECONDS).close()
    except OSError:
        return False
    connection = http.client.HTTPConnection(*_USUAL, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        document = json.loads(answer.read(1_000))
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return answer.status == 200 and isinstance(document, dict) and document.get("status") == "ok"
