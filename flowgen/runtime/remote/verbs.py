"""The verbs of a server, each as a conversation (`talk`), written once for all clients.

The arguments are those of the engine's verbs, and what comes back are its values; but results are plain JSON, because
the types are where the code is.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import attrs

from ...duration import format_duration, instant, parse_duration
from ...errors import InvalidInput, RunCancelledError, RunFailed, RunSkipped
from ...events import AcceptedEvent, Event, accept_event, as_event, check_sendable
from ...history import Record
from ...ids import ENTROPY_BYTES, new_id
from ...values import decode, encode
from ..bulk import BulkResult
from ..info import RunInfo
from ..naming import Target
from ..paging import Page
from ..workflows import WorkflowInfo
from . import reading
from .talk import Patience, Request, Talk, exchange

_POLL_SECONDS: Final = 20.0
"""So long a client waits for the end of a run before it asks again."""

_LONGEST_PAGE: Final = 500
_ANY_KEY: Final = "flowgen"


def _new_id() -> str:
    return new_id(time.time_ns() // 1_000, os.urandom(ENTROPY_BYTES))


@attrs.frozen
class World:
    """Where a client's time (in seconds, from anywhere), chance and ids come from."""

    clock: Callable[[], float] = time.monotonic
    luck: Callable[[], float] = random.random
    new_id: Callable[[], str] = _new_id


class Verbs:
    """What can be asked of a server. `event_key` opens its event API, where it wants one."""

    def __init__(self, event_key: str | None, patience: Patience | None = None, world: World | None = None) -> None:
        self._event_key = event_key or _ANY_KEY
        self._patience = patience or Patience()
        self._world = world or World()
        self._luck = _lucky(self._world.luck)

    # -- events and runs ----------------------------------------------------------------------------

    def send(self, events: Any) -> Talk[list[str]]:
        batch = list(events) if isinstance(events, (list, tuple)) else [events]
        items = [self._event_document(as_event(item)) for item in batch]
        answer = yield from self._ask("POST", f"/e/{quote(self._event_key, safe='')}", body=items)
        return reading.read(answer, lambda document: [str(id) for id in document["ids"]])

    def start(self, workflow: Target, data: Any = None, *, run_id: str | None = None) -> Talk[str]:
        app, id = _workflow_place(workflow)
        body: dict[str, Any] = {"run_id": run_id or self._world.new_id()}
        if data is not None:
            body["data"] = _plain(data, f"the data of workflow {id!r}")
        answer = yield from self._ask("POST", f"/v1/workflows/{_part(id)}/invoke", _app(app), body)
        return reading.read(answer, lambda document: str(document["id"]))

    def result(self, run: str, *, timeout: str | float | timedelta | None = None) -> Talk[Any]:
        """Asks in long polls, so that nothing hangs on one connection; follows restarts."""
        left = None if timeout is None else parse_duration(timeout, "timeout of result") / 1_000_000
        until = None if left is None else self._world.clock() + left
        app, id = _run_place(run)
        while True:
            wait = _POLL_SECONDS if until is None else max(0.001, min(_POLL_SECONDS, until - self._world.clock()))
            query = {"wait": format_duration(int(wait * 1_000_000)), **_app(app)}
            answer = yield from self._ask("GET", f"/v1/runs/{_part(id)}", query, patience=wait)
            info = reading.read(answer, reading.run_info)
            if info.restarted_as is not None:
                id = info.restarted_as
            elif info.ended_at is not None:
                return _result_of(info)
            elif until is not None and self._world.clock() >= until:
                raise TimeoutError(f"run {run} did not end within {timeout}")

    def cancel(self, run: str, *, reason: str = "cancelled by request") -> Talk[None]:
        yield from self._on_run(run, "/cancel", {"reason": reason})

    def signal(self, name: str, data: Any = None, *, app: str | None = None) -> Talk[None]:
        body = {"name": name, "data": _plain(data, f"the data of signal {name!r}"), **_app(app)}
        yield from self._ask("POST", "/v1/signals", body=body, again=False)

    def retry(self, run: str) -> Talk[None]:
        yield from self._on_run(run, "/retry", {}, again=False)

    def rerun(
        self, run: str, *, from_step: str | None = None, event: Any = None, results: Mapping[str, Any] | None = None
    ) -> Talk[str]:
        body: dict[str, Any] = {}
        if from_step is not None:
            body["from_step"] = from_step
        if event is not None:
            edited = as_event(event)
            body["event"] = {"name": edited.name, "data": _plain(edited.data, "the data of the event")}
        if results:
            body["results"] = _plain(dict(results), "results")
        answer = yield from self._on_run(run, "/rerun", body, again=False)
        return reading.read(answer, lambda document: str(document["id"]))

    def bulk(
        self,
        verb: str,
        *,
        workflow: Target | None = None,
        status: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        dry_run: bool = True,
        app: str | None = None,
        reason: str | None = None,
    ) -> Talk[BulkResult]:
        """`verb` is cancel, retry or rerun."""
        body = _given(
            {
                "workflow": None if workflow is None else _workflow_name(workflow),
                "status": status,
                "before": _time(before, "before"),
                "after": _time(after, "after"),
                "app": app,
                "reason": reason,
            }
        )
        again = dry_run or verb != "rerun"
        answer = yield from self._ask("POST", f"/v1/runs/{verb}", body={**body, "dry_run": dry_run}, again=again)
        return reading.read(answer, reading.bulk)

    # -- workflows ----------------------------------------------------------------------------------

    def pause(self, workflow: Target) -> Talk[None]:
        yield from self._on_workflow(workflow, "/pause")

    def resume(self, workflow: Target) -> Talk[None]:
        yield from self._on_workflow(workflow, "/resume")

    def workflows(self) -> Talk[tuple[WorkflowInfo, ...]]:
        answer = yield from self._ask("GET", "/v1/workflows")
        return reading.read(answer, reading.page_of(reading.workflow)).items

    # -- looking ------------------------------------------------------------------------------------

    def run(self, run: str) -> Talk[RunInfo]:
        answer = yield from self._on_run(run)
        return reading.read(answer, reading.run_info)

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
    ) -> Talk[Page[RunInfo]]:
        if event is not None:
            if (workflow, status, before, after, search, where, app) != (None,) * 7:
                raise InvalidInput("the runs of an event are all there are: ask for them with nothing but a cursor")
            path, query = f"/v1/events/{_part(event)}/runs", _given({"cursor": cursor})
        else:
            path = "/v1/runs"
            query = _given(
                {
                    "workflow": None if workflow is None else _workflow_name(workflow),
                    "status": status,
                    "before": _time(before, "before"),
                    "after": _time(after, "after"),
                    "q": search,
                    "where": where,
                    "limit": str(limit),
                    "cursor": cursor,
                    "app": app,
                }
            )
        answer = yield from self._ask("GET", path, query)
        return reading.read(answer, reading.page_of(reading.run_info))

    def children(self, run: str, *, cursor: str | None = None) -> Talk[Page[RunInfo]]:
        answer = yield from self._on_run(run, "/children", **_given({"cursor": cursor}))
        return reading.read(answer, reading.page_of(reading.run_info))

    def history(self, run: str) -> Talk[list[Record]]:
        """Page by page: records are only added, so what has been read stays as it is."""
        records: list[Record] = []
        cursor: str | None = None
        while True:
            query = _given({"limit": str(_LONGEST_PAGE), "cursor": cursor})
            answer = yield from self._on_run(run, "/history", **query)
            page = reading.read(answer, reading.page_of(reading.record))
            records += page.items
            if page.cursor is None:
                return records
            cursor = page.cursor

    def export(self, run: str) -> Talk[str]:
        app, id = _run_place(run)
        answer: str = yield from self._ask("GET", f"/v1/runs/{_part(id)}/export", _app(app), text=True)
        return answer

    def event(self, event: str) -> Talk[AcceptedEvent]:
        answer = yield from self._ask("GET", f"/v1/events/{_part(event)}")
        return reading.read(answer, reading.accepted)

    def events(
        self, name: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Talk[Page[AcceptedEvent]]:
        query = _given({"name": name, "limit": str(limit), "cursor": cursor})
        answer = yield from self._ask("GET", "/v1/events", query)
        return reading.read(answer, reading.page_of(reading.accepted))

    def why(self, run: str) -> Talk[str]:
        answer = yield from self._on_run(run, "/why")
        return reading.read(answer, lambda document: str(document["why"]))

    # -- inside -------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        again: bool = True,
        patience: float = 0.0,
        text: bool = False,
    ) -> Talk[Any]:
        request = Request(method, path, dict(query or {}), body, again, patience, text)
        return (yield from exchange(request, self._patience, self._luck))

    def _on_run(self, run: str, verb: str = "", body: Any = None, *, again: bool = True, **query: str) -> Talk[Any]:
        app, id = _run_place(run)
        method = "GET" if body is None else "POST"
        path = f"/v1/runs/{_part(id)}{verb}"
        return (yield from self._ask(method, path, {**query, **_app(app)}, body, again=again))

    def _on_workflow(self, workflow: Target, verb: str) -> Talk[Any]:
        app, id = _workflow_place(workflow)
        return (yield from self._ask("POST", f"/v1/workflows/{_part(id)}{verb}", _app(app), {}))

    def _event_document(self, event: Event[Any]) -> dict[str, Any]:
        """As the server takes it; with an id, so that it may be sent again."""
        check_sendable(event.name)
        accepted = accept_event(event, "", 0)
        document = {"name": event.name, "data": decode(accepted.data), "id": event.id or self._world.new_id()}
        if event.ts is not None:
            document["ts"] = accepted.ts // 1_000
        return document


def _result_of(info: RunInfo) -> Any:
    """What a run that has ended returned, or the error that it ended with."""
    match info.status:
        case "failed" if info.error is not None:
            raise RunFailed(info.id, info.error)
        case "cancelled":
            raise RunCancelledError(info.reason or "cancelled", info.id)
        case "skipped":
            raise RunSkipped(info.reason or "skipped", info.id)
        case _:
            return info.result


def _plain(value: Any, what: str) -> Any:
    """A value as JSON data."""
    return decode(encode(value, what))


def _time(at: datetime | None, what: str) -> str | None:
    if at is None:
        return None
    instant(at, what)
    return at.astimezone(UTC).isoformat()


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _app(app: str | None) -> dict[str, str]:
    return {} if app is None else {"app": app}


def _part(id: str) -> str:
    """An id as one part of a path. One that would mean another path is nobody's."""
    if id in ("", ".", ".."):
        raise InvalidInput(f"{id!r} is no id")
    return quote(id, safe="")


def _run_place(run: str) -> tuple[str | None, str]:
    """The app that a run's id names, if it does, and the id itself."""
    app, slash, id = run.rpartition("/")
    return (app, id) if slash else (None, run)


def _workflow_name(workflow: Target) -> str:
    return workflow if isinstance(workflow, str) else workflow.id


def _workflow_place(workflow: Target) -> tuple[str | None, str]:
    return _run_place(_workflow_name(workflow))


def _lucky(luck: Callable[[], float]) -> Generator[float, None, None]:
    while True:
        yield luck()
