"""What the server has answered with 200 is there, however soon after it the process is killed: real processes.

Several clients send events, one by one and in batches; as soon as one of them has an answer, or a random few, the
server is killed, and another takes its place. In the end the store is looked at: each event that was acknowledged is
there with the run that it starts, each run ends, and no batch was taken in part.

`KILLS=500` in the environment kills as often as that.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import attrs
import pytest
import trio

from flowgen import RunFailed
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.paging import Pages
from tests.crash.forked_server import app

KILLS = int(os.environ.get("KILLS", "30"))
CLIENTS = 4
LARGEST = 20


class Servers:
    """One server after the other, on one port and one database."""

    def __init__(self, database: Path) -> None:
        script = Path(__file__).with_name("forked_server.py")
        self._popen = subprocess.Popen(
            [sys.executable, str(script), str(database)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._guard = threading.Timer(300, self._popen.kill)
        self._guard.start()
        self.port = int(self._line())

    def begin(self) -> int:
        """The process of a new server, which answers."""
        assert self._popen.stdin is not None
        self._popen.stdin.write("go\n")
        self._popen.stdin.flush()
        process = int(self._line())
        assert self._line() == "ready"
        return process

    def kill(self, process: int) -> None:
        os.kill(process, signal.SIGKILL)
        assert self._line() == "dead"

    def _line(self) -> str:
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().strip()

    def close(self) -> None:
        self._guard.cancel()
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


@attrs.define
class Round:
    """The clients of one server, each with a connection of its own, until it is killed after so many answers.

    What listens outlives a server. So a connection that it had not taken yet is not cut by its death, and its client
    would wait for somebody to answer: `over` ends those, and nobody connects again.
    """

    port: int
    kill_after: int
    answers: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))
    acknowledged: list[str] = attrs.field(factory=list)
    _sockets: list[socket.socket] = attrs.field(factory=list)

    def client(self, name: str, seed: int) -> threading.Thread:
        """One that is connected, and will send as soon as it is started."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=240)
        connection.connect()
        connection.auto_open = 0
        self._sockets.append(connection.sock)
        return threading.Thread(target=self._send, args=(connection, name, seed))

    def over(self, clients: list[threading.Thread]) -> None:
        """The server is dead: so are its connections."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for client in clients:
            client.join()

    def _send(self, connection: http.client.HTTPConnection, client: str, seed: int) -> None:
        """Send batch after batch until the server is gone."""
        random = Random(seed)
        try:
            for number in range(10_000):
                size = random.choice((1, 1, 1, random.randint(2, LARGEST)))
                data = {"number": number, "batch": f"{client}-{number}", "size": size}
                body = json.dumps([{"name": "counted", "data": data} for _ in range(size)])
                connection.request("POST", "/e/any", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                if response.status == 200:
                    self.acknowledged += json.loads(answer)["ids"]
                    self.answers.release()
        except (OSError, http.client.HTTPException, ValueError):
            """It was killed. What it has not answered may be there or not."""
        finally:
            connection.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path / "killed.db")
    yield made
    made.close()


def test_nothing_that_was_acknowledged_is_lost(servers: Servers, tmp_path: Path) -> None:
    """Killed at the moment of an answer, with other requests in hand, dozens of times."""
    random = Random(7)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        process = servers.begin()
        made = Round(servers.port, random.choice((1, 1, 2, 5, 20)))
        clients = [made.client(f"{kill}-{client}", random.randrange(1_000_000)) for client in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(made.kill_after):
            assert made.answers.acquire(timeout=240)
        servers.kill(process)
        made.over(clients)
        acknowledged += made.acknowledged
    assert len(set(acknowledged)) == len(acknowledged) >= KILLS
    trio.run(_check, tmp_path / "killed.db", set(acknowledged))


async def _check(database: Path, acknowledged: set[str]) -> None:
    async with open_engine(app, f"sqlite:///{database}", lease="1s") as engine:
        there: set[str] = set()
        batches: Counter[tuple[str, int]] = Counter()
        async for event in Pages(lambda cursor: engine.events(limit=500, cursor=cursor)).items():
            there.add(event.id)
            data = json.loads(bytes(event.data))
            batches[data["batch"], data["size"]] += 1
        assert acknowledged <= there
        assert {key: count for key, count in batches.items() if count != key[1]} == {}
        with trio.fail_after(120):
            for event_id in there:
                (run,) = await engine.started(event_id)
                await _ended(engine, run)


async def _ended(engine: Engine, run: str) -> None:
    """Wait for a run's end. One whose workers were killed five times in a row is told so, and goes on when asked to."""
    try:
        await engine.result(run)
    except RunFailed as error:
        if error.error.type != "WorkerLost":
            raise
        await engine.retry(run)
        await engine.result(run)
