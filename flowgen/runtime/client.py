"""The blocking client: an engine in a thread of its own, for programs without trio.

`start_engine` opens an engine on its own event loop in its own thread; the client has the same verbs,
blocking. It is safe to use from many threads.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack

import trio

from ..app import App
from ..errors import FlowgenError
from ..events import AcceptedEvent
from ..history import Record
from .bulk import BulkResult
from .counting import Bucket
from .engine import Engine
from .info import RunInfo
from .naming import Target
from .opening import open_engine
from .paging import Page
from .store import Store
from .workflows import WorkflowInfo

T = TypeVar("T")


class Selection(TypedDict, total=False):
    """Which runs a bulk verb is for; without `dry_run=False` it changes nothing."""

    workflow: Target | None
    status: str | None
    before: datetime | None
    after: datetime | None
    dry_run: bool
    app: str | None


class CancelSelection(Selection, total=False):
    """The same, and why they are cancelled."""

    reason: str


class LocalClient:
    """The verbs of an `Engine`, blocking. Made by `start_engine`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def send(self, events: Any) -> list[str]:
        """See `Engine.send`."""
        return self._call(self.engine.send, events)

    def start(self, workflow: Target, data: Any = None, *, run_id: str | None = None) -> str:
        """See `Engine.start`."""
        return self._call(partial(self.engine.start, workflow, data, run_id=run_id))

    def started(self, event: str) -> list[str]:
        """See `Engine.started`."""
        return self._call(self.engine.started, event)

    def result(self, run: str, *, timeout: str | float | timedelta | None = None) -> Any:
        """See `Engine.result`."""
        return self._call(partial(self.engine.result, run, timeout=timeout))

    def cancel(self, run: str, *, reason: str = "cancelled by request") -> None:
        """See `Engine.cancel`."""
        self._call(partial(self.engine.cancel, run, reason=reason))

    def signal(self, name: str, data: Any = None, *, app: str | None = None) -> None:
        """See `Engine.signal`."""
        self._call(partial(self.engine.signal, name, data, app=app))

    def retry(self, run: str) -> None:
        """See `Engine.retry`."""
        self._call(self.engine.retry, run)

    def rerun(
        self,
        run: str,
        *,
        from_step: str | None = None,
        event: Any = None,
        results: Mapping[str, Any] | None = None,
    ) -> str:
        """See `Engine.rerun`."""
        return self._call(partial(self.engine.rerun, run, from_step=from_step, event=event, results=results))

    def cancel_all(self, **selection: Unpack[CancelSelection]) -> BulkResult:
        """See `Engine.cancel_all`."""
        return self._call(partial(self.engine.cancel_all, **selection))

    def retry_all(self, **selection: Unpack[Selection]) -> BulkResult:
        """See `Engine.retry_all`."""
        return self._call(partial(self.engine.retry_all, **selection))

    def rerun_all(self, **selection: Unpack[Selection]) -> BulkResult:
        """See `Engine.rerun_all`."""
        return self._call(partial(self.engine.rerun_all, **selection))

    def pause(self, workflow: Target) -> None:
        """See `Engine.pause`."""
        self._call(self.engine.pause, workflow)

    def resume(self, workflow: Target) -> None:
        """See `Engine.resume`."""
        self._call(self.engine.resume, workflow)

    def workflows(self) -> tuple[WorkflowInfo, ...]:
        """See `Engine.workflows`."""
        return self._call(self.engine.workflows)

    def purge(self, older_than: str | float | timedelta) -> int:
        """See `Engine.purge`."""
        return self._call(self.engine.purge, older_than)

    def run(self, run: str) -> RunInfo:
        """See `Engine.run`."""
        return self._call(self.engine.run, run)

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
        return self._call(
            partial(
                self.engine.runs,
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
        return self._call(partial(self.engine.children, run, cursor=cursor))

    def counts(
        self,
        *,
        after: datetime,
        before: datetime,
        buckets: int = 48,
        workflow: Target | None = None,
        app: str | None = None,
    ) -> tuple[Bucket, ...]:
        """See `Engine.counts`."""
        ask = partial(self.engine.counts, after=after, before=before, buckets=buckets, workflow=workflow, app=app)
        return self._call(ask)

    def history(self, run: str) -> list[Record]:
        """See `Engine.history`."""
        return self._call(self.engine.history, run)

    def event(self, event: str) -> AcceptedEvent:
        """See `Engine.event`."""
        return self._call(self.engine.event, event)

    def events(self, name: str | None = None, *, limit: int = 50, cursor: str | None = None) -> Page[AcceptedEvent]:
        """See `Engine.events`."""
        return self._call(partial(self.engine.events, name, limit=limit, cursor=cursor))

    def why(self, run: str) -> str:
        """See `Engine.why`."""
        return self._call(self.engine.why, run)

    def _call(self, verb: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        try:
            return trio.from_thread.run(verb, *arguments, trio_token=self.engine.token)
        except trio.RunFinishedError:
            raise FlowgenError("this engine has been closed: use the client inside its `with` block") from None


@contextmanager
def start_engine(app: App | Iterable[App], store: str | Store = "memory://", **options: Any) -> Iterator[LocalClient]:
    """Open an engine in a thread of its own and give its blocking client; options as for `open_engine`.

    ::

        with start_engine(app, store="sqlite:///shop.db") as client:
            run = client.start(fulfil, {"order_id": "7"})
            print(client.result(run, timeout="30s"))
    """
    opened = threading.Event()
    state: dict[str, Any] = {}

    async def serve() -> None:
        async with open_engine(app, store, **options) as engine:
            state["client"] = LocalClient(engine)
            closing = state["closing"] = trio.Event()
            opened.set()
            await closing.wait()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:
            state["error"] = error
        finally:
            opened.set()

    thread = threading.Thread(target=run, name="flowgen-engine", daemon=True)
    thread.start()
    opened.wait()
    if "client" not in state:
        raise _single(state["error"])
    client: LocalClient = state["client"]
    try:
        yield client
    finally:
        with suppress(trio.RunFinishedError):
            client.engine.token.run_sync_soon(state["closing"].set)
        thread.join()
    if "error" in state:
        raise _single(state["error"])


def _single(error: BaseException) -> BaseException:
    """The one error inside of groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
