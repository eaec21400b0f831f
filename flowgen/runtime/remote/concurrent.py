"""`AsyncClient`: the verbs of a server, for trio and for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar, Unpack

import anyio
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


class AsyncClient:
    """The verbs of an engine behind a server, each to be awaited, on trio or on asyncio. Arguments as for `Client`.

    ::

        async with AsyncClient("http://127.0.0.1:8288") as client:
            await client.send(Event("order/placed", {"order_id": "7"}))
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._verbs = Verbs(event_key, patience, world)
        self._timeout = timeout
        self._http = httpx.AsyncClient(transport=transport, **options(url, key))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, events: Any) -> list[str]:
        """Accept one event or a list of them, all or none; their internal ids. See `Engine.send`."""
        return await self._talk(self._verbs.send(events))

    async def start(self, workflow: Target, data: Any = None, *, run_id: str | None = None) -> str:
        """Start one run and give its id. See `Engine.start`."""
        return await self._talk(self._verbs.start(workflow, data, run_id=run_id))

    async def result(self, run: str, *, timeout: str | float | timedelta | None = None) -> Any:
        """Wait for the end of a run: what it returned, as plain JSON. See `Engine.result`."""
        return await self._talk(self._verbs.result(run, timeout=timeout))

    async def cancel(self, run: str, *, reason: str = "cancelled by request") -> None:
        """See `Engine.cancel`."""
        await self._talk(self._verbs.cancel(run, reason=reason))

    async def signal(self, name: str, data: Any = None, *, app: str | None = None) -> None:
        """See `Engine.signal`."""
        await self._talk(self._verbs.signal(name, data, app=app))

    async def retry(self, run: str) -> None:
        """See `Engine.retry`."""
        await self._talk(self._verbs.retry(run))

    async def rerun(
        self,
        run: str,
        *,
        from_step: str | None = None,
        event: Any = None,
        results: Mapping[str, Any] | None = None,
    ) -> str:
        """See `Engine.rerun`."""
        return await self._talk(self._verbs.rerun(run, from_step=from_step, event=event, results=results))

    async def cancel_all(self, **selection: Unpack[CancelSelection]) -> BulkResult:
        """See `Engine.cancel_all`."""
        return await self._talk(self._verbs.bulk("cancel", **selection))

    async def retry_all(self, **selection: Unpack[Selection]) -> BulkResult:
        """See `Engine.retry_all`."""
        return await self._talk(self._verbs.bulk("retry", **selection))

    async def rerun_all(self, **selection: Unpack[Selection]) -> BulkResult:
        """See `Engine.rerun_all`."""
        return await self._talk(self._verbs.bulk("rerun", **selection))

    async def pause(self, workflow: Target) -> None:
        """See `Engine.pause`."""
        await self._talk(self._verbs.pause(workflow))

    async def resume(self, workflow: Target) -> None:
        """See `Engine.resume`."""
        await self._talk(self._verbs.resume(workflow))

    async def workflows(self) -> tuple[WorkflowInfo, ...]:
        """See `Engine.workflows`."""
        return await self._talk(self._verbs.workflows())

    async def run(self, run: str) -> RunInfo:
        """See `Engine.run`."""
        return await self._talk(self._verbs.run(run))

    async def runs(
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
        return await self._talk(
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

    async def children(self, run: str, *, cursor: str | None = None) -> Page[RunInfo]:
        """See `Engine.children`."""
        return await self._talk(self._verbs.children(run, cursor=cursor))

    async def history(self, run: str) -> list[Record]:
        """See `Engine.history`."""
        return await self._talk(self._verbs.history(run))

    async def export(self, run: str) -> str:
        """The run, its events and its history as JSON Lines: what `flowgen runs export` writes."""
        return await self._talk(self._verbs.export(run))

    async def event(self, event: str) -> AcceptedEvent:
        """See `Engine.event`."""
        return await self._talk(self._verbs.event(event))

    async def events(
        self, name: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Page[AcceptedEvent]:
        """See `Engine.events`."""
        return await self._talk(self._verbs.events(name, limit=limit, cursor=cursor))

    async def why(self, run: str) -> str:
        """See `Engine.why`."""
        return await self._talk(self._verbs.why(run))

    async def _talk(self, talk: Talk[T]) -> T:
        heard: Answer | Broken | None = None
        try:
            while True:
                wanted = talk.send(heard)
                match wanted:
                    case Request():
                        heard = await self._said(wanted)
                    case Pause(seconds):
                        await anyio.sleep(seconds)
                        heard = None
        except StopIteration as end:
            value: T = end.value
            return value

    async def _said(self, request: Request) -> Answer | Broken:
        try:
            return answer_of(await self._http.request(**arguments_of(request, self._timeout)))
        except httpx.TransportError as error:
            return broken_by(error)
