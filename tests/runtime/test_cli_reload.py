"""The supervisor of `flowgen dev`: code that changes, engines that die, and that nobody is refused meanwhile."""

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

from flowgen import Event
from flowgen.runtime import Client
from flowgen.runtime.cli.sources import Trial, snapshot, try_targets

FIRST = """
from flowgen import App, OnEvent, Run, WaitFor
from names import NAME
app = App("shop")

def say(text):
    return f"{text} {NAME}"

@app.workflow(on=OnEvent("begin"))
def greet(ctx):
    first = yield Run("first", say, "hello")
    yield WaitFor("go", "go", where="true", timeout="1d")
    second = yield Run("second", say, "good bye")
    return [first, second]
"""


class Dev:
    """`flowgen dev --reload` on a port of its own; all its lines are read, in both streams."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "flowgen", "dev", "shop.py", "--port", "0", *options],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "FLOWGEN_DB": "sqlite:///flowgen.db"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._guard = threading.Timer(300, self.popen.kill)
        self._guard.start()
        self.lines: list[str] = []
        self.url = self.until(r"^page +(http://\S+)")[1]
        self.until("^ready")

    def until(self, pattern: str) -> re.Match[str]:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)
            if (found := re.search(pattern, line)) is not None:
                return found
        raise AssertionError(f"no line matches {pattern!r} in:\n{''.join(self.lines)}")

    def engine(self) -> int:
        """The process of the engine."""
        tasks = Path(f"/proc/{self.popen.pid}/task").glob("*/children")
        (child,) = [int(child) for task in tasks for child in task.read_text().split()]
        return child

    def stop(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        assert self.popen.stdout is not None
        self.lines += self.popen.stdout.readlines()
        return self.popen.wait()

    def close(self) -> None:
        self._guard.cancel()
        self.popen.kill()
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FIRST)
    (tmp_path / "names.py").write_text("NAME = 'Ada'\n")
    return tmp_path


@pytest.fixture
def devs() -> Iterator[list[Dev]]:
    made: list[Dev] = []
    yield made
    for dev in made:
        dev.close()


def begin(client: Client) -> str:
    """A run that has taken its first step."""
    (event,) = client.send(Event("begin"))
    (run,) = client.runs(event=event).items
    while client.run(run.id).status != "waiting":
        pass
    return run.id


def test_open_runs_go_on_with_the_new_code(directory: Path, devs: list[Dev]) -> None:
    """What was recorded stays, what comes is done by the new code, also by a neighbour's; the address stays."""
    devs.append(dev := Dev(directory, "--reload"))
    with Client(dev.url) as client:
        run = begin(client)
        (directory / "names.py").write_text("NAME = 'Grace Hopper'\n")
        dev.until("^reload +names.py changed")
        dev.until("^ready")
        client.send(Event("go"))
        assert client.result(run, timeout="30s") == ["hello Ada", "good bye Grace Hopper"]
    assert dev.stop() == 0
    assert "Traceback" not in "".join(dev.lines)


def test_code_that_cannot_be_imported_does_not_stop_the_old(directory: Path, devs: list[Dev]) -> None:
    """It is told, with its place; the mended code is taken."""
    devs.append(dev := Dev(directory, "--reload"))
    with Client(dev.url) as client:
        run = begin(client)
        (directory / "shop.py").write_text(FIRST + "if\n")
        dev.until(r"flowgen: TARGET shop.py: .*SyntaxError.* \(shop.py:15\); the old code stays at work")
        client.send(Event("go"))
        assert client.result(run, timeout="30s") == ["hello Ada", "good bye Ada"]
        (directory / "shop.py").write_text(FIRST.replace("hello", "welcome"))
        dev.until("^reload +shop.py changed")
        dev.until("^ready")
        run = begin(client)
        client.send(Event("go"))
        assert client.result(run, timeout="30s")[0] == "welcome Ada"


def test_a_run_that_the_new_code_does_not_fit_is_parked(directory: Path, devs: list[Dev]) -> None:
    """And goes on when the old code is back."""
    devs.append(dev := Dev(directory, "--reload"))
    with Client(dev.url) as client:
        run = begin(client)
        (directory / "shop.py").write_text(FIRST.replace('"first"', '"changed"'))
        dev.until("^ready")
        client.send(Event("go"))
        while client.run(run).status != "parked":
            pass
        (directory / "shop.py").write_text(FIRST)
        assert client.result(run, timeout="30s") == ["hello Ada", "good bye Ada"]


def test_an_engine_that_is_killed_is_started_again(directory: Path, devs: list[Dev]) -> None:
    """Who calls meanwhile waits, and is answered; three deaths as soon as it began are the end."""
    devs.append(dev := Dev(directory))
    with httpx.Client(base_url=dev.url, timeout=120) as client:
        os.kill(dev.engine(), signal.SIGKILL)
        dev.until(r"the engine ended by signal 9 \(SIGKILL\); it is started again")
        assert client.get("/health").status_code == 200
    for _ in range(2):
        dev.until("^ready")
        os.kill(dev.engine(), signal.SIGSEGV)
        dev.until("the engine ended by signal 11")
    assert dev.popen.wait() == 70


def test_an_engine_does_not_outlive_its_supervisor(directory: Path, devs: list[Dev]) -> None:
    """However that one died: nobody could stop it otherwise."""
    devs.append(dev := Dev(directory))
    dev.popen.kill()
    dev.until("^draining")
    dev.until("^stopped")


async def test_a_trial_tells_the_files_that_code_comes_from(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the user, and neither libraries nor flowgen's; also of what is wrong."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert await try_targets(["shop.py"]) == Trial(["names.py", "shop.py"], None)
    (directory / "names.py").write_text("1 / 0\n")
    trial = await try_targets(["shop.py:app"])
    assert trial.files == ["names.py", "shop.py"]
    assert trial.fault == "TARGET shop.py:app: it cannot be imported: ZeroDivisionError: division by zero (names.py:1)"
    (directory / "names.py").write_text("print('loud')\nexit(3)\n")
    assert "it calls exit(3)" in str((await try_targets(["shop.py"])).fault)
    # Of another size: within a second that tells Python whether its bytecode is old.
    (directory / "names.py").write_text("import os\n\nos._exit(9)\n")
    assert (await try_targets(["shop.py"])).fault == "the process that tried the code died with exit code 9"


def test_a_snapshot_tells_files_that_changed(directory: Path) -> None:
    """Also one that went, or came."""
    names = [str(directory / "shop.py"), str(directory / "gone.py")]
    before = snapshot(names)
    assert before[names[1]] is None
    (directory / "gone.py").write_text("")
    (directory / "shop.py").write_text("changed")
    after = snapshot(names)
    assert all(after[name] != before[name] for name in names)
