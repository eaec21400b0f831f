"""`flowgen server` as a process: who gets in, what it prints, and that SIGTERM loses no request in hand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

APP = """
from flowgen import App, OnEvent, Run, Sleep
from pathlib import Path

app = App("{name}")

def wait_for_fifo():
    return Path("fifo").read_text()

@app.workflow(on=OnEvent("{name}/begin"))
def hold(ctx):
    got = yield Run("hold", wait_for_fifo)
    return got

@app.workflow
def nap(ctx):
    yield Sleep("nap", "1d")
"""
TOKEN = "correct-horse-battery"


class Server:
    """A `flowgen server` for two apps, and a client that has its token."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "flowgen", "server", "shop.py", "bills.py", "--port", "0"],
            cwd=directory,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "FLOWGEN_DB": "sqlite:///served.db",
                "FLOWGEN_AUTH_TOKEN": TOKEN,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._guard = threading.Timer(300, self.popen.kill)
        self._guard.start()
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        found = re.fullmatch(r"ready +(http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None, line
        self.url = found[1]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.client = httpx.Client(base_url=self.url, timeout=120, headers=headers)

    def ended(self) -> tuple[int, str, str]:
        """The exit code, and what was printed besides the first line."""
        out, err = self.popen.communicate()
        return self.popen.returncode, out, err

    def close(self) -> None:
        self._guard.cancel()
        self.client.close()
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for name in ("shop", "bills"):
        (tmp_path / f"{name}.py").write_text(APP.format(name=name))
    os.mkfifo(tmp_path / "fifo")
    made = Server(tmp_path, FLOWGEN_EVENT_KEY="the-event-key")
    yield made
    made.close()


def test_a_server_serves_several_apps_to_those_who_have_a_key(server: Server) -> None:
    """The token opens REST, the event key the event API; /health is for everybody. Nothing more is printed."""
    workflows = server.client.get("/v1/workflows").json()["items"]
    assert {(each["app"], each["id"]) for each in workflows} == {
        (app, id) for app in ("shop", "bills") for id in ("hold", "nap")
    }
    with httpx.Client(base_url=server.url) as stranger:
        assert stranger.get("/health").status_code == 200
        assert stranger.get("/v1/workflows").status_code == 401
        assert stranger.post("/e/any", json={"name": "a"}).status_code == 401
        assert stranger.post("/e/the-event-key", json={"name": "a"}).status_code == 200
        assert stranger.get("/health", headers={"Host": "evil.example"}).status_code in (200, 421)
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(server: Server, tmp_path: Path, number: int) -> None:
    """The step in hand may end and is recorded; who waits for a run is answered as things stand; exit code 0."""
    held = server.client.post("/v1/workflows/hold/invoke?app=shop", json={}).json()["id"]
    napping = server.client.post("/v1/workflows/nap/invoke?app=shop", json={}).json()["id"]
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(server.client.get(f"/v1/runs/{napping}?wait=5m")))
    waiting.start()
    while "flowgen_http_waiting_requests 1" not in server.client.get("/metrics").text:
        pass
    with (tmp_path / "fifo").open("w") as fifo:
        server.popen.send_signal(number)
        waiting.join()
        fifo.write("let go")
    assert server.ended()[0] == 0
    assert answers[0].json()["status"] in ("waiting", "scheduled", "running")
    again = Server(tmp_path, FLOWGEN_EVENT_KEY="the-event-key")
    try:
        shown = again.client.get(f"/v1/runs/{held}").json()
        assert (shown["status"], shown["result"]) == ("completed", "let go")
    finally:
        again.close()


def test_a_server_with_a_token_says_that_its_event_api_is_open(server: Server, tmp_path: Path) -> None:
    """One line beside that of its address, where there is no event key; it is as it says."""
    other = Server(tmp_path, FLOWGEN_EVENT_KEY="")
    try:
        assert other.popen.stdout is not None
        line = other.popen.stdout.readline()
        assert line == "open       whoever can call it may send events, without a key: set FLOWGEN_EVENT_KEY\n"
        assert httpx.post(f"{other.url}/e/any", json={"name": "a"}).status_code == 200
    finally:
        other.close()


def test_a_second_signal_stops_at_once(server: Server) -> None:
    """Without waiting for a step, or a request: exit code 128 + the signal's number."""
    server.client.post("/v1/workflows/hold/invoke?app=shop", json={})
    server.popen.send_signal(signal.SIGTERM)
    while True:
        try:
            httpx.get(f"{server.url}/health")
        except httpx.TransportError:
            break
    server.popen.send_signal(signal.SIGINT)
    assert server.ended()[0] == 128 + signal.SIGINT
