"""Kill -9 of a real process half way, and a restart: what W5 does to ours and to the peers.

The process to be killed says `half` on standard output when half of its bodies have begun; the one that
goes on says `progress SECONDS` and `complete SECONDS`, by the monotonic clock, which all processes of a
machine share. Uses the standard library only, because the peers' processes use it too.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.timing import expect

Call = tuple[int, int]
"""Which body was called: the number of its run, and its place in it."""

CALLS = "calls.txt"


class CallLog:
    """Bodies write down here that they were called; what was written outlives a kill of the process.

    `called` says how many calls this process has written.
    """

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / CALLS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.called = 0

    def write(self, run: int, step: int) -> None:
        os.write(self._file, b"%d %d\n" % (run, step))
        self.called += 1


def calls(directory: Path) -> Counter[Call]:
    """Which bodies were called so far, and how often."""
    counted: Counter[Call] = Counter()
    for line in (directory / CALLS).read_text().splitlines():
        run, step = line.split()
        counted[int(run), int(step)] += 1
    return counted


def say(word: str) -> None:
    """Tell the process that started this one, with the time."""
    print(word, time.monotonic(), flush=True)


def kill_half_way(
    first: Sequence[str], again: Sequence[str], between: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Seconds from the kill of `first` until `again` progresses, and until it has completed everything.

    `between` is done after the kill and before the restart.
    """
    process = _start(first)
    _hear(process, "half")
    process.kill()
    killed_at = time.monotonic()
    process.communicate()
    between()
    process = _start(again)
    try:
        progress = _hear(process, "progress")
        complete = _hear(process, "complete")
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    expect(process.returncode == 0, f"the second process ended with {process.returncode}: {errors[-300:]}")
    return progress - killed_at, complete - killed_at


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _hear(process: subprocess.Popen[str], word: str) -> float:
    """The time on the next line that the process says; the line must begin with `word`."""
    assert process.stdout is not None
    line = process.stdout.readline().split()
    if not line:
        _, errors = process.communicate()
        expect(False, f"the worker ended before it said {word!r}: {errors.strip()[-300:]}")
    expect(line[0] == word, f"the worker said {line[0]!r} instead of {word!r}")
    return float(line[1])
