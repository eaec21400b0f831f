"""The tutorial, typed in as it is written: its files, its commands, and what it says that one sees.

Blocks are taken in the order of the page. A Python block with a file name becomes that file. In a `console` block
each line after `$ ` is a command, and the lines below it are what it prints. A `text` block shows lines that
the engine of `flowgen dev` prints from then on. Ids, times and durations differ, and are compared as such.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import pytest

from flowgen.runtime.cli import program

from .pages import ROOT

PAGE = ROOT / "docs" / "tutorial" / "first-workflow.md"
PATIENCE = 300
"""Seconds to wait for a line: more than a lease, on a busy machine."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")
_RUN = re.compile(r"run ([0-9A-Z]{26})$", re.MULTILINE)
_VARYING = (
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(Z|\+00:00)"), "TIME"),
    (re.compile(r"^\d\d:\d\d:\d\d\.\d{3}"), "TIME"),
    (re.compile(r"^TIME  [0-9A-HJKMNP-TV-Z]{6}"), "TIME  SHORT"),
    (re.compile(r"^(?: *)(\d+)  \+[\d.]+s"), r"\1  +SPAN"),
    (re.compile(r"(after|the next in|passed in) [\d.]+m?s"), r"\1 SPAN"),
    (re.compile(r"\(in [\dydhms]+\)"), "(SPAN)"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "URL"),
)


def same(line: str) -> str:
    """The line without what differs from one time to the next."""
    for pattern, word in _VARYING:
        line = pattern.sub(word, line)
    return line.rstrip()


class Terminal:
    """Two terminals in one directory: one for the engine, one for everything else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = ""
        self.engine: subprocess.Popen[str] | None = None
        self._lines: Queue[str] = Queue()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def type(self, command: str) -> Iterator[str]:
        """Do a command; the lines that it prints."""
        words = shlex.split(command.replace("RUN", self.run))
        match words:
            case ["flowgen", "dev", *_]:
                return self._start([*words, "--port", "0"])
            case ["pkill", name, "-f", "flowgen dev"]:
                return self._stop({"-9": signal.SIGKILL, "-INT": signal.SIGINT}[name])
            case ["flowgen", *arguments]:
                printed = self._ask(arguments)
            case _:
                printed = self._spawn(words)
        if started := _RUN.search(printed):
            self.run = started[1]
        return iter(printed.splitlines())

    def _ask(self, arguments: list[str]) -> str:
        """A command that asks the store: the program's own function, in this process, which takes less time."""
        printed = StringIO()
        with redirect_stdout(printed):
            code = program.run(arguments)
        assert code == 0, printed.getvalue()
        return printed.getvalue()

    def _spawn(self, words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=self.directory, env=self._environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def engine_lines(self) -> Iterator[str]:
        """What the engine prints; waits for the next line, but not for ever."""
        while True:
            try:
                yield self._lines.get(timeout=PATIENCE)
            except Empty:
                return

    def _start(self, words: list[str]) -> Iterator[str]:
        engine = subprocess.Popen(
            words,
            cwd=self.directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.engine = engine
        self._lines = lines = Queue()

        def listen() -> None:
            assert engine.stdout is not None
            with engine.stdout:
                for line in engine.stdout:
                    lines.put(line)

        Thread(target=listen, daemon=True).start()
        return self.engine_lines()

    def _stop(self, number: int) -> Iterator[str]:
        """To all its processes, which is what pkill does."""
        assert self.engine is not None
        os.killpg(self.engine.pid, number)
        self.engine.wait(PATIENCE)
        return iter(())


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWGEN_DB", "sqlite:///flowgen.db")
    terminal = Terminal(tmp_path)
    yield terminal
    if terminal.engine is not None:
        with suppress(ProcessLookupError):
            os.killpg(terminal.engine.pid, signal.SIGKILL)
        terminal.engine.wait()


def test_the_tutorial_works_as_it_is_written(terminal: Terminal) -> None:
    """Whoever types in what the tutorial says sees what the tutorial shows, `kill -9` included."""
    for language, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        file = _FILE.match(text)
        if language == "python" and file is not None:
            (terminal.directory / file[1]).write_text(text, encoding="utf-8")
        elif language == "text":
            expect(text.splitlines(), terminal.engine_lines())
        elif language == "console":
            for command, *shown in commands(text):
                expect(shown, terminal.type(command))
    assert terminal.engine is not None
    assert terminal.engine.poll() is None, "the engine of the last part has ended"


def commands(text: str) -> Iterator[list[str]]:
    """Each command of a console block, with the lines that it is shown to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        yield part.splitlines()


def expect(shown: list[str], printed: Iterator[str]) -> None:
    """Each line that is shown is printed, in this order; others may come between."""
    seen = []
    for line in shown:
        for other in printed:
            seen.append(same(other))
            if seen[-1] == same(line):
                break
        else:
            pytest.fail(f"the tutorial shows\n  {same(line)}\nbut what is printed is\n  " + "\n  ".join(seen))
