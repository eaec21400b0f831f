"""`flowgen dev -u` and `flowgen server -u` as processes: apps elsewhere register, run, go away and come back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from flowgen.runtime.cli import run

KEY = "signkey-test-0123456789abcdef"
ROOT = str(Path(__file__).parents[2])
APP = """
from flowgen import App, OnEvent, Run

app = App("shop")

def double(number):
    return 2 * number

@app.workflow(on=OnEvent("order/placed"), retries=10)
def fulfil(ctx):
    doubled = yield Run("double", double, ctx.event.data["number"])
    return (yield Run("again", double, doubled))
"""


class Process:
    """A `flowgen` process whose output is read line by line; it is killed if the test takes too long."""

    def __init__(self, arguments: Sequence[str], cwd: Path, **environment: str) -> None:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWGEN_", "INNGEST_"))}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "flowgen", *arguments],
            cwd=cwd,
            env={**known, "PYTHONPATH": ROOT, "FLOWGEN_SIGNING_KEY": KEY, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._guard = threading.Timer(300, self.popen.kill)
        self._guard.start()

    def until(self, pattern: str) -> re.Match[str]:
        """Read until a line matches."""
        assert self.popen.stdout is not None
        lines = []
        for line in self.popen.stdout:
            lines.append(line)
            found = re.search(pattern, line)
            if found is not None:
                return found
        raise AssertionError(f"no line matches {pattern!r} in:\n{''.join(lines)}")

    def end(self) -> int:
        """Ask it to end; the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait()

    def close(self) -> None:
        self._guard.cancel()
        self.popen.kill()
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


class Place:
    """A directory with an app, where processes are begun."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes: list[Process] = []
        (path / "shop.py").write_text(APP)

    def begin(self, *arguments: str, **environment: str) -> Process:
        self.processes.append(Process(arguments, self.path, **environment))
        return self.processes[-1]

    def serve(self, port: str = "0") -> tuple[Process, str]:
        """The app, served; and where its functions are."""
        served = self.begin("serve", "shop.py", "--port", port)
        return served, served.until(r"^ready +(\S+)")[1]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for process in made.processes:
        process.close()


def ask(url: str, body: Any = None) -> Any:
    """What a server answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


def test_dev_runs_an_app_that_is_elsewhere(place: Place) -> None:
    """Without a TARGET of its own; what cannot be called while the app is away is called when it is back."""
    served, url = place.serve()
    dev = place.begin("dev", "-u", url, "--port", "0", "--db", "memory://")
    assert dev.until(r"^elsewhere +(\S+)")[1] == url
    here = dev.until(r"^page +(\S+)")[1]
    dev.until(r"info +app shop at \S+ \(flowgen:v\S+, 1 function\)")
    ask(f"{here}/e/any", {"name": "order/placed", "data": {"number": 2}})
    dev.until("fulfil .*completed")
    assert served.end() == 0
    dev.until("takes no connection")
    (event,) = ask(f"{here}/e/any", {"name": "order/placed", "data": {"number": 3}})["ids"]
    dev.until(r"error .*Connection refused")
    port = re.search(r":(\d+)/", url)
    assert port is not None
    place.serve(port[1])
    dev.until("fulfil .*completed")
    assert [run["result"] for run in ask(f"{here}/v1/events/{event}/runs")["items"]] == [12]
    assert dev.end() == 0


def test_a_server_calls_an_app_that_is_elsewhere(place: Place) -> None:
    """With signed requests, at an address that was allowed."""
    _, url = place.serve()
    arguments = ("server", "-u", url, "--port", "0", "--db", "memory://")
    server = place.begin(*arguments, FLOWGEN_APP_HOSTS="127.0.0.1")
    here = server.until(r"^ready +(\S+)")[1]
    server.until(r"INFO app shop at")
    (event,) = ask(f"{here}/e/any", {"name": "order/placed", "data": {"number": 2}})["ids"]
    (found,) = ask(f"{here}/v1/events/{event}/runs")["items"]
    assert ask(f"{here}/v1/runs/{found['id']}?wait=20s")["result"] == 8
    assert server.end() == 0


def test_a_server_calls_nobody_on_its_own_machine(place: Place) -> None:
    """Unless that is allowed: it is not for development."""
    _, url = place.serve()
    server = place.begin("server", "-u", url, "--port", "0", "--db", "memory://")
    server.until(r"WARNING .*is not public; .* allow it: FLOWGEN_APP_HOSTS=127\.0\.0\.1")
    assert server.end() == 0


def test_with_nothing_said_dev_looks_for_apps(place: Place) -> None:
    """At the usual ports of this machine."""
    dev = place.begin("dev", "--port", "0", "--db", "memory://")
    dev.until("^elsewhere +apps at the usual ports of this machine$")
    dev.until("^ready")
    assert dev.end() == 0


def test_a_server_with_a_key_waits_for_apps(place: Place) -> None:
    """They register by themselves, and say that they have the key."""
    server = place.begin("server", "--port", "0", "--db", "memory://")
    here = server.until(r"^ready +(\S+)")[1]
    with pytest.raises(HTTPError, match="401"):
        ask(f"{here}/fn/register", {})
    assert server.end() == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["dev", "--no-discover"], "nothing to run: say a TARGET, or -u URL"),
        (["dev", "-u", "127.0.0.1:3000"], "an app is called at http://HOST/PATH"),
        (["dev", "-u", "http://127.0.0.1:22/x"], "port 22 is that of another protocol"),
        (["server"], "nothing to run: say a TARGET or -u URL, or set FLOWGEN_SIGNING_KEY"),
        (["server", "-u", "http://127.0.0.1:3000/x"], "set FLOWGEN_SIGNING_KEY to signkey-NAME-HEX"),
    ],
)
def test_what_cannot_be_run_is_refused(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with exit code 2."""
    monkeypatch.delenv("FLOWGEN_SIGNING_KEY", raising=False)
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_hosts_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An allow-list with a mistake in it starts nothing."""
    monkeypatch.setenv("FLOWGEN_APP_HOSTS", "10.0.0.0/99")
    assert run(["dev", "-u", "http://127.0.0.1:3000/x"]) == 2
    assert "'10.0.0.0/99' is no network" in capsys.readouterr().err
