"""Programs that listen with the TypeScript SDK to what functions publish."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.sdk.stage import APPS, Stage, modules_of_node

NODE = ("node", "--experimental-websocket", "--no-warnings")
"""Before version 22 there are no web sockets without being asked for, and before 20.10 there are none."""


@cache
def can_listen() -> bool:
    """Whether the SDK finds web sockets in the node of this machine."""
    asked = [*NODE, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    return subprocess.run(asked, capture_output=True).returncode == 0


@attrs.frozen
class Listener:
    """A program that listens. `said` is what it has written, a line for each message."""

    stage: Stage
    said: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.read_text().splitlines() if line]

    def heard(self, count: int) -> list[dict[str, Any]]:
        """The messages, once there are so many."""
        self.stage.patiently(f"{count} messages are heard", lambda: len(self.lines()) > count)
        return self.lines()[1:]


@contextmanager
def listening(stage: Stage, how: str, channel: str, *topics: str, **environment: str) -> Iterator[Listener]:
    """A program that listens to topics of a channel, or has been refused."""
    if not can_listen():
        pytest.skip("this node has no web sockets: install one of version 20.10 or newer")
    opened, said = tempfile.mkstemp(prefix="listener-", dir=stage.directory)
    os.close(opened)
    own = {key: value for key, value in os.environ.items() if not key.startswith(("INNGEST_", "FLOWGEN_"))}
    dev = {} if "INNGEST_SIGNING_KEY" in stage.environment else {"INNGEST_DEV": stage.origin}
    command = [*NODE, str(APPS / "node" / "listener.cjs")]
    with Path(said).open("wb") as out, (stage.directory / "listener.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, how, channel, *topics],
            env={**own, **dev, **stage.environment, "NODE_PATH": str(modules_of_node()), **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            start_new_session=True,
        )
    listener = Listener(stage, Path(said))
    try:
        stage.patiently("it listens", lambda: bool(listener.lines()))
        yield listener
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
