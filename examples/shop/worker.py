"""The engine of the shop, a process of its own: `python -m shop.worker DIRECTORY`.

It works until its standard input is closed, then it finishes what it has in hand; so it also ends when
whoever started it has died. A kill -9 needs no preparation. `Engine` is how another process starts it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import trio

from flowgen.runtime import open_engine

from .app import app

LEASE = "2s"
STOP_SECONDS = 30


def store_url(directory: Path) -> str:
    """The store of the shop: one SQLite file."""
    return f"sqlite:///{directory / 'flowgen.db'}"


async def main(directory: Path) -> None:
    """Open the engine, say so, and let it work."""
    async with open_engine(app, store=store_url(directory), lease=LEASE):
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


class Engine:
    """The engine's process; what it logs goes to a file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = directory / "engine.log"
        self.number = 0
        self.start()

    def start(self) -> None:
        """Start it, as number `number`."""
        command = [sys.executable, "-m", f"{__package__}.worker", str(self._directory)]
        with self._log.open("a", encoding="utf-8") as log:
            self.process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=log, text=True)
        self.number += 1

    def wait_until_ready(self) -> None:
        """Return when it has offered its workflows to the store; before that, no event would start any."""
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise SystemExit(f"the engine did not start: see {self._log}")

    def check(self) -> None:
        """Nothing but a kill may end it."""
        if (code := self.process.poll()) is not None:
            raise SystemExit(f"the engine ended by itself, with code {code}: see {self._log}")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        with self.process:  # waits, and closes its pipes
            pass

    def stop(self) -> None:
        """Let it finish what it has in hand, and end."""
        self.check()
        self.process.communicate(timeout=STOP_SECONDS)
        if self.process.returncode != 0:
            self.check()


if __name__ == "__main__":
    os.environ["SHOP_DIR"] = sys.argv[1]
    trio.run(main, Path(sys.argv[1]))
