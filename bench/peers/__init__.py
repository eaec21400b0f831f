"""Other durable-workflow libraries on the same workloads, in the same run.

Each lives in a virtualenv of its own under `.venv-peers`, made here with pip when it is first needed, so
that none becomes a dependency. A peer that cannot be installed is absent, with one line that says why.
Each has a module `NAME_peer` that speaks like `bench.child` and runs on the peer's own interpreter; it
may import `bench.timing`, nothing of flowgen.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

INSTALL_SECONDS = 300


@dataclass(frozen=True)
class Peer:
    """A library that pip can install, and the workloads that its module can do."""

    name: str
    version: str
    workloads: tuple[str, ...]

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


PEERS = (
    Peer("dbos", "3.4.0", ("W1 async", "W1 sync", "W2 async", "W2 sync", "W3 async", "W4 async", "W5 async")),
    Peer("unhinged", "0.2.0", ("W1 async", "W1 sync", "W2 async", "W2 sync", "W3 async", "W5 async")),
)

NEED_A_SERVER = (
    ("absurd", "needs a Postgres server, which pip does not install"),
    ("restate, temporal, hatchet, inngest", "need a server of their own, which pip does not install"),
)


def prepare(home: Path, say: Callable[[str], object]) -> tuple[list[Peer], list[tuple[str, str]]]:
    """Install what is not installed yet; the peers that are there, and for the others why they are not."""
    present, absent = [], list(NEED_A_SERVER)
    for peer in PEERS:
        problem = _install(home / peer.name, peer, say)
        if problem is None:
            present.append(peer)
        else:
            absent.append((peer.name, problem))
    return present, absent


def _install(home: Path, peer: Peer, say: Callable[[str], object]) -> str | None:
    """Make the peer's virtualenv, unless it is there; what went wrong, in one line, or None."""
    ready = home / f".installed-{peer.version}"
    if ready.exists():
        return None
    say(f"installing {peer.requirement} into a virtualenv of its own")
    try:
        venv.create(home, with_pip=True, clear=True)
        command = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries", "1", peer.requirement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"cannot be installed: {type(error).__name__}"
    if done.returncode != 0:
        return f"cannot be installed: {_last_error(done.stderr)}"
    ready.touch()
    return None


def _last_error(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    return errors[-1].removeprefix("ERROR: ") if errors else f"pip failed on Python {sys.version.split()[0]}"
