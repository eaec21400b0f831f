"""Over capacity the server says so, and takes no more memory: a real process, flooded, and how large it has been."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.runtime.http.flooded import ROOM, UNROUTED

MIB = 1024 * 1024
MARGIN = 32 * MIB
"""Beside the bodies that have room: what connections, requests and their answers cost, and the allocator keeps."""

STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="how large a process has been is read from /proc")


class Flooded:
    """The server, and how large it has been."""

    def __init__(self, database: Path) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.http.flooded", str(database)],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._guard = threading.Timer(300, self._popen.kill)
        self._guard.start()
        assert self._popen.stdout is not None
        self.port = int(self._popen.stdout.readline())

    def largest(self) -> int:
        """The most memory that it has had, in bytes."""
        status = Path(f"/proc/{self._popen.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def close(self) -> None:
        self._guard.cancel()
        self._popen.kill()
        self._popen.communicate()


@pytest.fixture
def flooded(tmp_path: Path) -> Iterator[Flooded]:
    made = Flooded(tmp_path / "flooded.db")
    yield made
    made.close()


def event(size: int) -> bytes:
    return b'{"name": "water", "data": {"text": "%s"}}' % (b"x" * size)


def posted(body: bytes, length: int | None = None) -> bytes:
    head = "POST /e/any HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


async def status_of(flooded: Flooded, request: bytes) -> int:
    """What a new client is answered."""
    async with await trio.open_tcp_stream("127.0.0.1", flooded.port) as stream:
        await stream.send_all(request)
        return int((await stream.receive_some()).split(b" ", 2)[1])


async def test_events_over_capacity_are_refused_in_the_same_memory(flooded: Flooded) -> None:
    """Once as many wait to be routed as may, a hundred megabytes more are 503 each, and nothing of them stays."""
    body = event(400_000)
    statuses = [await status_of(flooded, posted(body)) for _ in range(UNROUTED + 5)]
    assert statuses[0] == 200
    assert statuses[-1] == 503
    before = flooded.largest()
    for _ in range(250):
        assert await status_of(flooded, posted(body)) == 503
    assert flooded.largest() - before < MARGIN
    assert await status_of(flooded, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") == 200


async def test_bodies_that_do_not_end_take_the_room_that_there_is(flooded: Flooded) -> None:
    """Sixty clients send almost all of four megabytes each: some of them are told to come again, and events of others
    are taken all the while."""
    assert await status_of(flooded, posted(event(10))) == 200
    before = flooded.largest()
    almost = posted(b"x" * (4 * MIB - 1_000), 4 * MIB)
    refused = trio.Semaphore(0)

    async def send() -> None:
        async with await trio.open_tcp_stream("127.0.0.1", flooded.port) as stream:
            await stream.send_all(almost)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 503")
            refused.release()
            await trio.sleep_forever()

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(send)
            for _ in range(60 - ROOM // (4 * MIB)):
                await refused.acquire()
            assert await status_of(flooded, posted(event(10))) == 200
            nursery.cancel_scope.cancel()
    assert flooded.largest() - before < ROOM + MARGIN


async def test_requests_that_nobody_reads_the_answers_of_are_not_kept(flooded: Flooded) -> None:
    """Forty clients send requests without end and read nothing."""
    assert await status_of(flooded, posted(event(10))) == 200
    before = flooded.largest()
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    async def send() -> None:
        async with await trio.open_tcp_stream("127.0.0.1", flooded.port) as stream:
            try:
                while flooded.largest() - before < MARGIN:
                    await stream.send_all(request * 5_000)
            except trio.BrokenResourceError:
                """It was cut off."""

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(send)
    assert flooded.largest() - before < MARGIN
    assert await status_of(flooded, request) == 200
