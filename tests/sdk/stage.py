"""A stage for unmodified SDK apps: a real `flowgen dev`, a real app, and what the tests ask of both.

A `Stage` owns two processes and a directory: the server's store, the log of what the app did (`apps/seen.py`), and the
gates that the app's slow steps wait for. Both processes can be killed and started again in the middle of anything.
Whatever a test waits for here is waited for in small turns, at most `PATIENCE` seconds, and told with what both
processes said if it does not come.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).resolve().parent / "apps"
PATIENCE = 240.0
TURN = 0.02
OVER = ("completed", "failed", "cancelled", "skipped", "parked")
T = TypeVar("T")
Json = Any


def modules_of_node() -> Path | None:
    """Where the TypeScript SDK is installed: what NODE_PATH says, or where `make node` puts it."""
    for place in (*os.environ.get("NODE_PATH", "").split(os.pathsep), str(ROOT / "build" / "node" / "node_modules")):
        if place and (Path(place) / "inngest" / "package.json").exists():
            return Path(place)
    return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@attrs.frozen
class Kind:
    """An app: how it is started, and the name under which it registers itself."""

    label: str
    app: str
    command: tuple[str, ...]
    environment: dict[str, str] = attrs.field(factory=dict)

    @property
    def checkpoints(self) -> bool:
        return self.environment.get("SDK_CHECKPOINTING") == "on"

    @property
    def is_python(self) -> bool:
        return self.command[0] != "node"


def python(label: str, module: str, **environment: str) -> Kind:
    return Kind(label, label, (sys.executable, "-m", f"tests.sdk.apps.{module}"), environment)


def node(label: str, **environment: str) -> Kind:
    return Kind(label, label, ("node", str(APPS / "node" / "app.cjs")), environment)


KINDS = {
    kind.label: kind
    for kind in (
        python("fastapi", "fastapi_app"),
        python("flask", "flask_app"),
        node("ts", SDK_CHECKPOINTING="on"),
        node("ts-plain", SDK_CHECKPOINTING="off"),
    )
}


def missing(kind: Kind) -> str | None:
    """What this machine has not that the app needs, or None."""
    if kind.is_python:
        try:
            import flask  # noqa: F401
            import inngest  # noqa: F401
        except ImportError as error:
            return f"the Python SDK is not installed ({error}): pip install inngest flask"
        return None
    if shutil.which("node") is None:
        return "there is no node: install Debian's nodejs and npm, then `make node`"
    return None if modules_of_node() else "the TypeScript SDK is not installed: `make node` does it"


class Stage:
    """A server, an app, and the tests' view of them."""

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *,
        server: tuple[str, ...] = ("dev",),
        port: int | None = None,
        app_port: int | None = None,
        **environment: str,
    ) -> None:
        self.kind, self.directory = kind, directory
        self.port, self.app_port = port or free_port(), app_port or free_port()
        self.seen_file, self.gates = directory / "seen", directory / "gates"
        self.gates.mkdir()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.app_url = f"http://127.0.0.1:{self.app_port}/api/inngest"
        self.urls: tuple[str, ...] = (self.app_url,)
        self.app_sees = self.origin
        self.environment = environment
        self.http = httpx.Client(base_url=self.origin, timeout=240, trust_env=False)
        self._arguments = server
        self._server: subprocess.Popen[bytes] | None = None
        self._app: subprocess.Popen[bytes] | None = None

    # -- the processes -------------------------------------------------------------------------

    def set_clock(self, at: float) -> None:
        """Set the clock of the server to seconds since the epoch: first before it starts, then whenever one likes."""
        ahead = self.directory / "ahead"
        written = ahead.with_suffix(".new")
        written.write_text(str(at - time.time()))
        written.replace(ahead)

    @property
    def clock(self) -> float:
        """What the server's clock says, where it was set."""
        return time.time() + float((self.directory / "ahead").read_text())

    def start_app(self) -> None:
        dev = {} if "INNGEST_SIGNING_KEY" in self.environment else {"INNGEST_DEV": self.app_sees}
        environment = {
            "SDK_APP": self.kind.app,
            "SEEN": str(self.seen_file),
            "SEEN_GATES": str(self.gates),
            "NODE_PATH": str(modules_of_node()),
            **dev,
            **self.kind.environment,
        }
        self._app = self._start("app", [*self.kind.command, str(self.app_port)], environment)
        self.patiently("the app answers", self._app_answers)

    def start_server(self) -> None:
        urls = [part for url in self.urls for part in ("-u", url)]
        arguments = [*self._arguments, *urls, "--port", str(self.port)]
        command = [sys.executable, "-m", "flowgen", *arguments, "--db", f"sqlite:///{self.directory / 'flowgen.db'}"]
        self._server = self._start("server", command, self._clock())
        self.patiently("the server answers", lambda: self.answers("/health"))

    def _clock(self) -> dict[str, str]:
        """What makes the server's clock one that can be set, if it was."""
        ahead = self.directory / "ahead"
        path = os.pathsep.join([str(APPS.parent / "clock"), str(ROOT)])
        return {"PYTHONPATH": path, "CLOCK_AHEAD": str(ahead)} if ahead.exists() else {}

    def runs(self) -> tuple[bool, bool]:
        """Whether the server runs, and whether the app does."""
        server, app = (process is not None and process.poll() is None for process in (self._server, self._app))
        return server, app

    def start(self) -> None:
        """Start what does not run; return when the server knows the functions."""
        server, app = self.runs()
        if not app:
            self.start_app()
        if not server:
            self.start_server()
        self.patiently("the app is registered", self.is_registered)

    def kill_app(self) -> None:
        self._kill(self._app)

    def kill_server(self) -> None:
        self._kill(self._server)

    def stop_server(self) -> None:
        """End the server at once, but in order: it gives back what it is at."""
        server, self._server = self._server, None
        assert server is not None

        def ended() -> bool:
            if server.poll() is None:
                server.terminate()
            return server.poll() is not None

        self.patiently("the server ends", ended)

    def close(self) -> None:
        self._kill(self._server)
        self._kill(self._app)
        self.http.close()

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        own = {key: value for key, value in os.environ.items() if not key.startswith(("INNGEST_", "FLOWGEN_"))}
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env={**own, "PYTHONPATH": str(ROOT), **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @staticmethod
    def _kill(process: subprocess.Popen[bytes] | None) -> None:
        """End a process that was started here and its children, as a power cut would."""
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    # -- asking --------------------------------------------------------------------------------

    def patiently(self, what: str, question: Callable[[], T | None], patience: float = PATIENCE) -> T:
        """Ask until the answer is something; it is an error that says what both processes said if it never is."""
        end = time.monotonic() + patience
        while True:
            found = question()
            if found:
                return found
            self._all_alive(what)
            if time.monotonic() > end:
                raise AssertionError(f"in {patience:.0f} s it did not happen that {what}\n{self.told()}")
            time.sleep(TURN)

    def _all_alive(self, what: str) -> None:
        for process in (self._server, self._app):
            code = None if process is None else process.poll()
            if code not in (None, -signal.SIGKILL):
                raise AssertionError(f"a process ended with {code} before it happened that {what}\n{self.told()}")

    def told(self) -> str:
        """The last words of both processes."""
        logs = [self.directory / f"{name}.log" for name in ("server", "app")]
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs if log.exists())

    def says(self, text: str) -> bool:
        """Whether the server has said that by now."""
        return text in (self.directory / "server.log").read_text()

    def answers(self, path: str) -> bool:
        try:
            return self.http.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def _app_answers(self) -> bool:
        try:
            return httpx.get(self.app_url, trust_env=False).status_code in (200, 401)
        except httpx.TransportError:
            return False

    def is_registered(self) -> bool:
        response = self.http.get("/v1/workflows")
        return any(item["id"] == "hello" for item in response.json()["items"])

    def get(self, path: str, **parameters: Json) -> Json:
        response = self.http.get(path, params=parameters)
        assert response.status_code == 200, f"GET {path}: {response.status_code} {response.text}"
        return response.json()

    def post(self, path: str, body: Json = None, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers=headers)

    # -- what tests do -------------------------------------------------------------------------

    def send(self, name: str, data: Json = None, **members: Json) -> str:
        """Send one event, named after the app; its id here."""
        event = {"name": f"{self.kind.app}/{name}", "data": data or {}, **members}
        response = self.post("/e/test", event)
        assert response.status_code == 200, response.text
        [id] = response.json()["ids"]
        return str(id)

    def started(self, event: str, count: int = 1) -> list[Json]:
        """The runs that an event started, once there are so many."""

        def found() -> list[Json] | None:
            items = self.get(f"/v1/events/{event}/runs")["items"]
            return items if len(items) >= count else None

        return self.patiently(f"event {event} starts {count} runs", found)

    def row(self, run: str) -> Json:
        return self.get(f"/v1/runs/{run}")

    def ended(self, run: str, patience: float = PATIENCE) -> Json:
        """A run, once it has ended; the server answers when it has."""

        def found() -> Json:
            row = self.get(f"/v1/runs/{run}", wait="2s")
            return row if row["status"] in OVER else None

        return self.patiently(f"run {run} ends", found, patience)

    def ran(self, function: str, data: Json = None, **members: Json) -> Json:
        """Send the event that starts a function; its run, when it has ended."""
        [run] = self.started(self.send(function, data, **members))
        return self.ended(run["id"])

    def result(self, function: str, data: Json = None, **members: Json) -> Json:
        """What a function returned."""
        run = self.ran(function, data, **members)
        assert run["status"] == "completed", f"{run}\n{self.told()}"
        return run["result"]

    def history(self, run: str) -> list[Json]:
        records: list[Json] = self.get(f"/v1/runs/{run}/history")["items"]
        return records

    def waits(self, run: str, step: str) -> None:
        """Return when a step of a run is asked for."""
        self.patiently(
            f"run {run} asks for {step}",
            lambda: any(record.get("step") == step for record in self.history(run)),
        )

    def seen(self, kind: str | None = None) -> list[Json]:
        """What the app did, in order."""
        lines = self.seen_file.read_text().splitlines() if self.seen_file.exists() else []
        return [line for line in map(json.loads, lines) if kind in (None, line["kind"])]

    def bodies(self, name: str) -> int:
        """How often a body has begun."""
        return sum(line["name"] == name for line in self.seen("body"))

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """What the app does meanwhile."""
        yield Watch(self, len(self.seen()))

    def open_gate(self, key: str, *numbers: int) -> None:
        """Let slow steps end."""
        for number in numbers:
            (self.gates / f"{key}-{number}").touch()


@contextmanager
def apps_of_one_server(
    labels: Sequence[str],
    directories: pytest.TempPathFactory,
    app_ports: Sequence[int | None] | None = None,
    **environment: str,
) -> Iterator[dict[str, Stage]]:
    """Stages that run their apps, with one server between them: that of the first, which is to be started yet."""
    stages: dict[str, Stage] = {}
    port = free_port()
    try:
        for label, app_port in zip(labels, app_ports or [None] * len(labels), strict=True):
            stage = Stage(KINDS[label], directories.mktemp(label), port=port, app_port=app_port, **environment)
            stages[label] = stage
            stage.start_app()
        yield stages
    finally:
        for stage in stages.values():
            stage.close()


@attrs.frozen
class Watch:
    """What an app did from some moment on."""

    stage: Stage
    since: int

    def bodies(self) -> list[str]:
        """The bodies that ran, by name, in order."""
        return [line["name"] for line in self.stage.seen()[self.since :] if line["kind"] == "body"]

    def attempts(self, name: str) -> list[int]:
        """The attempts that a body was told."""
        return [line["attempt"] for line in self.stage.seen()[self.since :] if line["name"] == name]

    def calls(self, function: str) -> list[str]:
        """The steps at which the calls of a function were aimed."""
        slug = f"{self.stage.kind.app}-{function} "
        lines = self.stage.seen()[self.since :]
        return [
            line["name"].removeprefix(slug)
            for line in lines
            if line["kind"] == "call" and line["name"].startswith(slug)
        ]
