"""W10: events accepted over HTTP, durable, from 32 clients that each wait for their answer.

This process is the server, with its engine on SQLite; the clients are in processes of their own and speak HTTP over
plain sockets, so that they cost little and nothing of the server. Each sends one event a request (`one`), or a hundred
(`hundred`). Every answered event must be in the store afterwards, and no other.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, Stopwatch, expect, median
from flowgen import App
from flowgen.runtime import open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.server import serving
from flowgen.runtime.stores import SqliteStore

CLIENTS = 32
PROCESSES = 2
BATCH = {"one": 1, "hundred": 100}
EVENTS = {"one": 12_800, "hundred": 64_000}
QUICK = 10
NAME = "order/placed"


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `one` event a request, or a `hundred`."""
    return trio.run(_measure, workload.variant, directory, quick)


async def _measure(variant: str, directory: Path, quick: bool) -> Sample:
    bare = Bare(directory)
    commit = median(bare.back_to_back())
    batch, events = BATCH[variant], EVENTS[variant] // (QUICK if quick else 1)
    store = SqliteStore(directory / "events.db")
    app = App("bench")
    async with open_engine(app, store) as engine, serving(http_app(app, engine, settings=Settings()), port=0) as url:
        await _send(url, batch, CLIENTS * batch * 4)
        before = await store.last_position()
        with Stopwatch() as watch:
            seconds, answered = await _send(url, batch, events)
        accepted = await store.last_position() - before
    expect(answered == events, f"{answered} of {events} events were answered")
    expect(accepted == events, f"{accepted} of {events} events are in the store")
    return Sample({"rate": events / seconds}, commit, watch.cpu / events, {"server_cores": watch.cpu / watch.wall})


async def _send(url: str, batch: int, events: int) -> tuple[float, int]:
    """Have all clients send their share; the seconds from the first request to the last answer, and the answered."""
    share = events // PROCESSES
    arguments = [sys.executable, "-m", "bench.accepting", url.rpartition(":")[2], str(batch), str(share)]
    tallies: list[dict[str, Any]] = []

    async def one() -> None:
        done = await trio.run_process(arguments, capture_stdout=True)
        tallies.append(json.loads(done.stdout))

    async with trio.open_nursery() as nursery:
        for _ in range(PROCESSES):
            nursery.start_soon(one)
    seconds = max(tally["ended"] for tally in tallies) - min(tally["began"] for tally in tallies)
    return seconds, sum(tally["answered"] for tally in tallies)


# -- the clients' processes --------------------------------------------------------------------------------


class _Client(asyncio.Protocol):
    """Sends the same request again and again, each when the one before was answered."""

    def __init__(self, request: bytes, requests: int, batch: int) -> None:
        self._request = request
        self._left = requests
        self._batch = batch
        self._buffer = b""
        self.answered = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = b""
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(rest.decode()))
            return
        self.answered += self._batch
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)


def _request(batch: int) -> bytes:
    events = [{"name": NAME, "data": {"order_id": f"order-{number}", "total": 12.5}} for number in range(batch)]
    body = json.dumps(events if batch > 1 else events[0]).encode()
    head = f"POST /e/key HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def _clients(port: int, batch: int, events: int) -> None:
    here = CLIENTS // PROCESSES
    requests = events // batch // here
    began = time.time()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Client(_request(batch), requests, batch), "127.0.0.1", port)
        for _ in range(here)
    ]
    clients = [client for _, client in made]
    await asyncio.gather(*[client.done for client in clients])
    answered = sum(client.answered for client in clients)
    print(json.dumps({"began": began, "ended": time.time(), "answered": answered}))


if __name__ == "__main__":
    asyncio.run(_clients(*map(int, sys.argv[1:])))
