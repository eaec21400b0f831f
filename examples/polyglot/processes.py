"""The processes of the demo: one server, three apps, each on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
EXAMPLES, ROOT = HERE.parent, HERE.parents[1]
APPS = ("shop", "warehouse", "courier")
PATIENCE_SECONDS = 60


class Processes:
    """All of them, by name. Their output goes to files in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = dict(zip(("server", *APPS), _free_ports(1 + len(APPS)), strict=True))
        self.url = f"http://127.0.0.1:{self.ports['server']}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start one, and return when it answers."""
        python, port = sys.executable, str(self.ports[name])
        if name == "server":
            urls = [f"http://127.0.0.1:{self.ports[app]}/api/inngest" for app in APPS]
            store = f"sqlite:///{self.directory / 'polyglot.db'}"
            command = [
                python,
                "-m",
                "flowgen",
                "dev",
                *(part for url in urls for part in ("-u", url)),
                "--port",
                port,
                "--db",
                store,
            ]
        elif name == "courier":
            command = ["node", str(HERE / "courier.cjs"), port]
        else:
            command = [python, "-m", f"polyglot.{name}", port]
        with (self.directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        path = "/health" if name == "server" else "/api/inngest"
        self._wait_until_it_answers(name, f"http://127.0.0.1:{port}{path}")

    def kill(self, name: str) -> None:
        """End one with kill -9, and what it has started."""
        process = self._running.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def _environment(self) -> dict[str, str]:
        """What tells the apps where their server is, and node where the SDK is."""
        path = os.pathsep.join([str(EXAMPLES), str(ROOT)])
        modules = os.environ.get("NODE_PATH") or str(ROOT / "build" / "node" / "node_modules")
        return {**os.environ, "PYTHONPATH": path, "NODE_PATH": modules, "INNGEST_DEV": self.url}

    def _wait_until_it_answers(self, name: str, url: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                urlopen(url, timeout=5).close()
                return
            except OSError:
                if self._running[name].poll() is not None or time.monotonic() > end:
                    log = (self.directory / f"{name}.log").read_text()
                    raise SystemExit(f"{name} does not answer at {url}; its last words:\n{log[-2000:]}") from None
                time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
