"""`Client`: the verbs of a server, blocking."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar, Unpack

import httpx

from ...events import AcceptedEvent
from ...history import Record
from ..bulk import BulkResult
from ..client import CancelSelection, Selection
from ..info import RunInfo
from ..naming import Target
from ..paging import Page
from ..workflows import WorkflowInfo
from .talk import Answer, Broken, Patience, Pause, Request, Talk
from .verbs import Verbs, World
from .wire import answer_of, arguments_of, broken_by, options

T = TypeVar("T")


class Client:
    """The verbs of an engine behind a server at `url`, blocking; usable from any thread.

    `key` is a token of the server, `event_key` opens its event API, where it wants one. What is lost on the way is said
    again, with an id, so that the server knows it again. `timeout` is how many seconds an answer may take, beside what
    a verb waits for. Results are plain JSON.

    Raises what the engine's verbs raise; `AccessDenied` without the right key, and `ServerUnavailable`.

    ::

        with Client("http://127.0.0.1:8288") as client:
            run = client.start("fulfil-order", {"order_id": "7"})
            print(client.result(run, timeout="30s"))
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8288",
        key: str | None = None,
        *,
        event_key: str | None = None,
        timeout: float = 10.0,
        patience: Patience | None = None,
        world: World | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._verbs = Verbs(event_key, patience, world)
        self._timeout = timeout
        self._http = httpx.Client(transport=transport, **options(url, key))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, events: Any) -> list[str]:
        """Accept one event or a list of them, all or none; their internal ids. See `Engine.send`."""
        return self._talk(self._verbs.send(events))

    def start(self, workflow: Target, data: Any = None, *, run_id: str | None = None) -> str:
        """Start one run and give its id. See `Engine.start`."""
        return self._talk(self._verbs.start(workflow, data, run_id=run_id))

    def result(self, run: str, *, timeout: str | float | timedelta | None = None) -> Any:
        """Wait for the end of a run: what it returned, as plain JSON. See `Engine.result`."""
        return self._talk(self._verbs.result(run, timeout=timeout))

    def cancel(self, run: str, *, reason: str = "cancelled by request") -> None:
        """See `Engine.cancel`."""
        self._talk(self._verbs.cancel(run, reason=reason))

    def signal(self, name: str, data: Any = None, *, app: str | None = None) -> None:
        """See `Engine.signal`."""
        self._talk(self._verbs.signal(name, data, app=app))

    def retry(self, run: str) -> None:
        """See `Engine.retry`."""
        self._talk(self._verbs.retry(run))

    def rerun(
        self,
        run: str,
        *,
        from_step: str | None = None,
        event: Any = None,
        results: Mapping[str, Any] | None = None,
    ) -> str:
        """See `Engine.rerun`."""
        return self._talk(self._verbs.rerun(run, from_step=from_step, event=event, results=results))

    def cancel_all(self, **selection: Unpack[CancelSelection]) -> BulkResult:
        """See `Engine.cancel_all`."""
        return self._talk(self._verbs.bulk("cancel", **selection))

    def retry_all(self, **selection: Unpack[Selection]) -> BulkResult:
        """See `Engine.retry_all`."""
        return self._talk(self._verbs.bulk("retry", **selection))

    def rerun_all(self, **selection: Unpack[Selection]) -> BulkResult:
        """See `Engine.rerun_all`."""
        return self._talk(self._verbs.bulk("rerun", **selection))

    def pause(self, workflow: Target) -> None:
        """See `Engine.pause`."""
        self._talk(self._verbs.pause(workflow))

    def resume(self, workflow: Target) -> None:
        """See `Engine.resume`."""
        self._talk(self._verbs.resume(workflow))

    def workflows(self) -> tuple[WorkflowInfo, ...]:
        """See `Engine.workflows`."""
        return self._talk(self._verbs.workflows())

    def run(self, run: str) -> RunInfo:
        """See `Engine.run`."""
        return self._talk(self._verbs.run(run))

    def runs(
        self,
        *,
        workflow: Target | None = None,
        status: str | None = None,
        event: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        search: str | None = None,
        where: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        app: str | None = None,
    ) -> Page[RunInfo]:
        """See `Engine.runs`."""
        return self._talk(
            self._verbs.runs(
                workflow=workflow,
                status=status,
                event=event,
                before=before,
                after=after,
                search=search,
                where=where,
                limit=limit,
                cursor=cursor,
                app=app,
            )
        )

    def children(self, run: str, *, cursor: str | None = None) -> Page[RunInfo]:
        """See `Engine.children`."""
        return self._talk(self._verbs.children(run, cursor=cursor))

    def history(self, run: str) -> list[Record]:
        """See `Engine.history`."""
        return self._talk(self._verbs.history(run))

    def export(self, run: str) -> str:
        """The run, its events and its history as JSON Lines: what `flowgen runs export` writes."""
        return self._talk(self._verbs.export(run))

    def event(self, event: str) -> AcceptedEvent:
        """See `Engine.event`."""
        return self._talk(self._verbs.event(event))

    def events(self, name: str | None = None, *, limit: int = 50, cursor: str | None = None) -> Page[AcceptedEvent]:
        """See `Engine.events`."""
        return self._talk(self._verbs.events(name, limit=limit, cursor=cursor))

    def why(self, run: str) -> str:
        """See `Engine.why`."""
        return self._talk(self._verbs.why(run))

    def _talk(self, talk: Talk[T]) -> T:
        heard: Answer | Broken | None = None
        try:
            while True:
                wanted = talk.send(heard)
                match wanted:
                    case Request():
                        heard = self._said(wanted)
                    case Pause(seconds):
                        time.sleep(seconds)
                        heard = None
        except StopIteration as end:
            value: T = end.value
            return value

    def _said(self, request: Request) -> Answer | Broken:
        try:
            return answer_of(self._http.request(**arguments_of(request, self._timeout)))
        except httpx.TransportError as error:
            return broken_by(error)
