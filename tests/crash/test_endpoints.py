"""A durable endpoint whose server is killed: a request that was heard is answered, by whoever comes after."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import attrs
import httpx
import pytest

from . import endpoint_process

SCRIPT = Path(endpoint_process.__file__)


@attrs.define
class Server:
    """A server process, a client of it, and what it has said that its steps did."""

    process: subprocess.Popen[str]
    did: list[str] = attrs.field(factory=list)
    client: httpx.Client = attrs.field(factory=lambda: httpx.Client(timeout=240))

    def listen(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the server is gone"
        return line

    def checkout(self) -> httpx.Response:
        return self.client.post("/checkout", json={"cart": "c7"}, headers={"Idempotency-Key": "c7-1"})


@contextmanager
def served(database: Path, *more: str) -> Iterator[Server]:
    """A server that answers; it is killed in the end."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(database), *more]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        server = Server(process)
        try:
            while not (line := server.listen()).startswith("http"):
                server.did.append(line)
            server.client.base_url = httpx.URL(line)
            yield server
        finally:
            process.kill()
            server.client.close()


def test_a_request_survives_the_server_that_heard_it(tmp_path: Path) -> None:
    """Killed in the middle of the second step: the first is not done again, and asking again gives the answer."""
    database = tmp_path / "shop.db"
    with served(database, "hold") as server, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(server.checkout)
        assert [server.listen(), server.listen()] == ["first", "second"]
        server.process.kill()
        with pytest.raises(httpx.HTTPError):
            asked.result()
    with served(database) as server:
        for _ in range(2):
            answer = server.checkout()
            assert (answer.status_code, answer.json()) == (201, {"cart": "C7!"})
        server.did += [server.listen()] if not server.did else []
        assert server.did == ["second"]
        (run,) = server.client.get("/v1/runs").json()["items"]
        assert (run["status"], run["result"]["status"]) == ("completed", 201)
