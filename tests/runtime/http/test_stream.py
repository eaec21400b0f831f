"""The stream: what happens is told as it does, once, to all who are there, and to those who come back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import pytest
import trio
import trio.testing

from flowgen import Event
from flowgen.runtime import Engine, open_engine, start_engine
from flowgen.runtime.http import Settings, feed, http_app, stream
from flowgen.runtime.http.ring import Ring
from flowgen.runtime.stores import MemoryStore
from tests.runtime.http.serving import app, fulfil, listen, serving


@attrs.define
class Reader:
    """A client of the stream, at the other side of ASGI. `paused`: it takes nothing."""

    messages: list[dict[str, Any]] = attrs.field(factory=list)
    comments: int = 0
    status: int = 0
    ended: trio.Event = attrs.field(factory=trio.Event)
    paused: trio.Event | None = None
    _more: trio.Event = attrs.field(factory=trio.Event)
    gone: trio.Event = attrs.field(factory=trio.Event)

    async def send(self, message: dict[str, Any]) -> None:
        if self.paused is not None:
            await self.paused.wait()
        await trio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        for part in message.get("body", b"").decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
            if lines:
                self.messages.append({**json.loads(lines["data"]), "kind": lines["event"], "number": int(lines["id"])})
            elif part:
                self.comments += 1
        self._more.set()
        self._more = trio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def until(self, found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message of a kind, as soon as it is there; half a minute is for ever."""
        with trio.fail_after(50):
            while True:
                for message in self.messages:
                    if found(message):
                        return message
                await self._more.wait()

    async def read(self, served: Any, last: int | None = None) -> None:
        headers = [(b"host", b"localhost")] + ([(b"last-event-id", str(last).encode())] if last is not None else [])
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/v1/stream",
            "raw_path": b"/v1/stream",
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "scheme": "http",
            "server": ("localhost", 80),
        }
        await served(scope, self.receive, self.send)
        self.ended.set()


@asynccontextmanager
async def reading(served: Any, last: int | None = None) -> AsyncIterator[Reader]:
    """A reader that is there, and has gone after the block."""
    reader = Reader()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.read, served, last)
        while not reader.comments:
            await reader._more.wait()
        yield reader
        reader.gone.set()


@asynccontextmanager
async def streamed() -> AsyncIterator[tuple[Engine, Any]]:
    async with open_engine(app, "memory://") as engine:
        yield engine, http_app(app, engine, settings=Settings())


def run_is(id: str, status: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["kind"] == "run" and message["id"] == id and message["status"] == status


async def test_events_and_runs_are_told() -> None:
    """With what they are called and the state of runs, and with numbers that grow; payloads stay where they are."""
    async with streamed() as (engine, served), reading(served) as reader:
        (event,) = await engine.send(Event("order/placed", {"number": 1, "secret": "payload"}))
        (run,) = await engine.started(event)
        told = await reader.until(run_is(run, "completed"))
        assert (told["app"], told["workflow_id"]) == ("shop", "fulfil")
        assert told["ended_at"] is not None
        accepted = await reader.until(lambda message: message["kind"] == "event")
        assert (accepted["id"], accepted["name"]) == (event, "order/placed")
        assert "payload" not in str(reader.messages)
        numbers = [message["number"] for message in reader.messages]
        assert numbers == sorted(set(numbers))


async def test_a_reader_that_comes_back_gets_what_it_missed() -> None:
    """Each message once, and none twice."""
    async with streamed() as (engine, served):
        async with reading(served) as reader:
            first = await engine.start(fulfil, {"number": 1})
            await reader.until(run_is(first, "completed"))
            last = reader.messages[-1]["number"]
        async with reading(served) as other:
            second = await engine.start(fulfil, {"number": 2})
            await other.until(run_is(second, "completed"))
        async with reading(served, last) as back:
            await back.until(run_is(second, "completed"))
            assert all(message["number"] > last for message in back.messages)
            assert not any(message.get("id") == first for message in back.messages)


@pytest.mark.parametrize("last", [0, 7, 10**17])
async def test_a_number_that_is_unknown_is_answered_with_a_reset(last: int) -> None:
    """It is too old, or of another server: the reader looks at everything again, and goes on from here."""
    async with streamed() as (engine, served), reading(served, last) as reader:
        reset = await reader.until(lambda message: message["kind"] == "reset")
        run = await engine.start(fulfil, {"number": 1})
        told = await reader.until(run_is(run, "completed"))
        assert told["number"] > reset["number"]
        assert sum(message["kind"] == "reset" for message in reader.messages) == 1


async def test_all_readers_are_told_the_same() -> None:
    """One tap feeds them; the numbers are the same for each."""
    async with streamed() as (engine, served), reading(served) as one, reading(served) as other:
        run = await engine.start(fulfil, {"number": 1})
        assert await one.until(run_is(run, "completed")) == await other.until(run_is(run, "completed"))


async def test_what_another_process_does_is_told_too() -> None:
    """It is found when the store has changed."""
    store = MemoryStore()
    async with (
        open_engine(app, store) as worker,
        open_engine([], store) as looker,
        reading(http_app([], looker, settings=Settings())) as reader,
    ):
        (event,) = await worker.send(Event("order/placed", {"number": 1}))
        (run,) = await worker.started(event)
        await reader.until(run_is(run, "completed"))
        await reader.until(lambda message: message["kind"] == "event" and message["id"] == event)


async def test_a_reader_that_takes_nothing_costs_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer ends after a while, and the others go on."""
    monkeypatch.setattr(stream, "PATIENCE_SECONDS", 0.05)
    async with streamed() as (engine, served), trio.open_nursery() as nursery:
        slow = Reader(paused=trio.Event())
        nursery.start_soon(slow.read, served, None)
        async with reading(served) as quick:
            run = await engine.start(fulfil, {"number": 1})
            await quick.until(run_is(run, "completed"))
            await slow.ended.wait()


async def test_more_than_can_be_told_is_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """So neither memory nor the readers' time grows with what happens."""
    monkeypatch.setattr(feed, "PENDING", 10)
    async with streamed() as (engine, served), reading(served) as reader:
        await engine.send([Event("note", {"n": n}) for n in range(200)])
        await reader.until(lambda message: message["kind"] == "reset")
        last = (await engine.send(Event("note", {"n": "last"})))[0]
        await reader.until(lambda message: message.get("id") == last)
        assert len(reader.messages) < 150


async def test_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are comments, so that both sides notice when the other is gone."""
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.01)
    async with streamed() as (_, served), reading(served) as reader:
        while reader.comments < 4:
            await reader._more.wait()
        assert reader.messages == []


async def test_the_stream_ends_with_its_engine() -> None:
    """Its readers are told, by the end of their answers, and may come back to another."""
    reader = Reader()
    async with trio.open_nursery() as nursery:
        async with open_engine(app, "memory://") as engine:
            nursery.start_soon(reader.read, http_app(app, engine, settings=Settings()), None)
            while not reader.comments:
                await reader._more.wait()
        await reader.ended.wait()
    assert reader.status == 200


async def test_the_tap_is_closed_when_nobody_has_listened_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a commit costs nothing more; a reader that comes later opens it again."""
    monkeypatch.setattr(feed, "LINGER_SECONDS", 0.01)
    monkeypatch.setattr(feed, "_LOOK_SECONDS", 0.01)
    async with streamed() as (engine, served):
        async with reading(served) as reader:
            run = await engine.start(fulfil, {"number": 1})
            await reader.until(run_is(run, "completed"))
            last = reader.messages[-1]["number"]
        while True:
            async with reading(served, last) as back:
                run = await engine.start(fulfil, {"number": 1})
                await back.until(run_is(run, "completed"))
                if any(message["kind"] == "reset" for message in back.messages):
                    break
            await trio.sleep(0.02)
        async with reading(served) as back:
            again = await engine.start(listen)
            await back.until(run_is(again, "waiting"))


@pytest.mark.parametrize("turns", range(8))
async def test_who_comes_as_the_tap_is_closed_opens_another(turns: int, autojump_clock: trio.testing.MockClock) -> None:
    """Whenever a reader joins, what it joins stays open for as long as it is there."""
    async with open_engine(app, "memory://") as engine:
        tap = feed.Feed(engine)
        closing = await tap.join()
        await tap.leave()
        await trio.sleep(feed.LINGER_SECONDS)
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        joined = await tap.join()
        await trio.testing.wait_all_tasks_blocked()
        assert closing.closed
        assert not joined.closed
        await tap.leave()


def test_who_is_cancelled_as_it_joins_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loop beside the engine's, where a middleware cancels what it called when its client is gone."""
    readers: list[int] = []
    joined, cancelled = threading.Event(), threading.Event()
    join, leave = feed.Feed.join, feed.Feed.leave

    async def join_slowly(self: feed.Feed) -> Ring:
        ring = await join(self)
        readers.append(1)
        joined.set()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(cancelled.wait)
        return ring

    async def leave_again(self: feed.Feed) -> None:
        await leave(self)
        readers.append(-1)

    async def call(served: Any) -> None:
        reader = Reader()
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read, served)
            await asyncio.to_thread(joined.wait)
            group.cancel_scope.cancel()
            asyncio.get_running_loop().call_later(0.01, cancelled.set)

    monkeypatch.setattr(feed.Feed, "join", join_slowly)
    monkeypatch.setattr(feed.Feed, "leave", leave_again)
    with start_engine(app, "memory://") as client:
        asyncio.run(call(http_app(app, client, settings=Settings())))
    assert readers == [1, -1]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "1" * 30, "１"])
async def test_a_number_that_is_none_is_refused(last: str) -> None:
    """400 before the stream begins."""
    async with serving() as (_, client):
        response = await client.get("/v1/stream", headers=[(b"last-event-id", last.encode())])
        assert response.status_code == 400
        assert response.json()["error"]["path"] == "Last-Event-ID"
