"""`flowgen dev` and `flowgen worker` as processes: what they print, and how they end.

Nothing here sleeps: the tests wait for lines of output, and steps that must take long wait for a test
to open the other end of a FIFO.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowgen.runtime.cli import run

SHOP = """
from flowgen import *
from pathlib import Path

app = App("shop", backoff=Backoff.exponential("10ms"))
tries = []

def charge(card, token):
    tries.append(1)
    if len(tries) == 1:
        raise RuntimeError("gateway \\x1b[31mdown")
    return {"charged": card}

@app.workflow(on=OnEvent("order/placed", where="event.data.total > 0"))
def fulfil(ctx):
    yield Run("charge", charge, ctx.event.data["card"], Secret("hunter2"))
    yield WaitFor("approval", "order/approved", match="data.order", timeout="7d")
    receipt = yield Invoke("receipt", print_receipt, {"card": ctx.event.data["card"]})
    yield SendEvent("tell", Event("order/done"))
    ctx.logger.info("all done")
    return receipt

@app.workflow
def print_receipt(ctx):
    yield Sleep("printing", "5ms")
    return "receipt"

def wait_for_fifo():
    return Path("fifo").read_text()

@app.workflow
def hold(ctx):
    got = yield Run("hold", wait_for_fifo)
    return got

def announce():
    print("spinning", flush=True)

@app.workflow
def spin(ctx):
    yield Run("begin", announce)
    while True:
        pass
"""


class Process:
    """A `flowgen` process whose output is read line by line; it is killed if the test takes too long."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "flowgen", *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._guard = threading.Timer(300, self.popen.kill)
        self._guard.start()

    def until(self, pattern: str) -> re.Match[str]:
        """Read until a line matches."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line.rstrip("\n"))
            found = re.search(pattern, line)
            if found is not None:
                return found
        raise AssertionError(f"no line matches {pattern!r} in:\n{self.text}\n{self.errors()}")

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def ended(self) -> int:
        """Read to the end; the exit code."""
        assert self.popen.stdout is not None
        self.lines += self.popen.stdout.read().splitlines()
        return self.popen.wait()

    def errors(self) -> str:
        assert self.popen.stderr is not None
        return self.popen.stderr.read()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def close(self) -> None:
        self._guard.cancel()
        self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()


class Shop:
    """A directory with an app, where commands are run."""

    def __init__(self, path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capture = capture
        self.processes: list[Process] = []
        (path / "shop.py").write_text(SHOP)

    def begin(self, *arguments: str) -> Process:
        process = Process(*arguments, cwd=self.path)
        self.processes.append(process)
        return process

    def dev(self, *options: str) -> Process:
        """`flowgen dev`, ready."""
        process = self.begin("dev", "shop.py", "--port", "0", *options)
        process.until("^ready")
        return process

    def ask(self, *arguments: str) -> tuple[int, str]:
        """A command, given in this process: its exit code, and what it printed."""
        self._capture.readouterr()
        code = run(list(arguments))
        return code, self._capture.readouterr().out.rstrip("\n")

    def run(self, *arguments: str) -> str:
        """A command that must succeed; what it printed."""
        code, printed = self.ask(*arguments)
        assert code == 0
        return printed

    def fifo(self) -> Path:
        os.mkfifo(self.path / "fifo")
        return self.path / "fifo"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWGEN_DB", "sqlite:///flowgen.db")
    made = Shop(tmp_path, capsys)
    yield made
    for process in made.processes:
        process.close()


def place(shop: Shop) -> None:
    shop.run("send", "order/placed", "--data", '{"order": "7", "card": "4111", "total": 3}', "--id", "cart-7")


def approve(shop: Shop) -> None:
    shop.run("send", "order/approved", "--data", '{"order": "7"}')


# -- what it prints -------------------------------------------------------------------------------


def test_dev_tells_the_story_of_a_run(shop: Shop) -> None:
    """From the event that another process sent to the run's end, in order, each line with time, run and workflow."""
    dev = shop.dev()
    place(shop)
    dev.until("waits +approval")
    approve(shop)
    dev.until("fulfil .*completed")
    dev.until("all done")
    dev.signal(signal.SIGTERM)
    assert dev.ended() == 0
    assert re.fullmatch(r"page       http://127\.0\.0\.1:\d+", dev.lines.pop(6))
    assert dev.lines[:7] == [
        "store      sqlite:///flowgen.db",
        "app        shop (shop.py)",
        "workflow   fulfil         on order/placed where event.data.total > 0",
        "workflow   print-receipt  started directly",
        "workflow   hold           started directly",
        "workflow   spin           started directly",
        "ready      Ctrl-C drains and stops",
    ]
    story = [line.split(None, 1)[1] for line in dev.lines[8:] if re.match(r"\d\d:\d\d:\d\d\.\d\d\d  ", line)]
    started = re.search("run (\\w+)", dev.text)
    assert started is not None
    short = started[1][-6:]
    told = [re.sub(" +", " ", line) for line in story if line.startswith((short, "event")) or "order/" in line]
    expected = [
        "event order/placed (id cart-7)",
        f"{short} fulfil started by order/placed; run {started[1]}",
        f"{short} fulfil error charge: attempt 1, the next in",
        f"{short} fulfil done charge",
        f"{short} fulfil waits approval: for event order/approved with the same data.order, at most 7d",
        f"{short} fulfil got approval",
        f"{short} fulfil invokes receipt: shop/print-receipt, run",
        f"{short} fulfil done receipt",
        f"{short} fulfil sent tell",
        f"{short} fulfil completed after",
        f"{short} fulfil info all done",
    ]
    positions = [next(n for n, line in enumerate(told) if line.startswith(start)) for start in expected]
    assert positions == sorted(positions), dev.text
    assert any(line.startswith("event order/done") for line in told)
    assert any("print-receipt started by run " + short in re.sub(" +", " ", line) for line in story)


def test_dev_shows_no_payloads_and_never_a_secret(shop: Shop) -> None:
    """Neither the card number nor what steps return, unless --payloads; a Secret not even then; no escape codes."""
    for options, shown in (((), False), (("--payloads",), True)):
        dev = shop.dev(*options, "--db", f"sqlite:///{shown}.db")
        send = ["send", "order/placed", "--db", f"sqlite:///{shown}.db", "--data"]
        shop.run(*send, '{"order": "7", "card": "4111", "total": 3}')
        dev.until("waits +approval")
        dev.signal(signal.SIGTERM)
        assert dev.ended() == 0
        assert ("4111" in dev.text) == shown
        assert "hunter2" not in dev.text
        assert "\x1b" not in dev.text
        assert "gateway \\x1b[31mdown" in dev.text


def test_dev_tells_of_events_that_start_nothing(shop: Shop) -> None:
    """Someone who mistypes a name sees that the event came."""
    dev = shop.dev()
    shop.run("send", "order/plcaed")
    dev.until("event +order/plcaed")


def test_invoke_waits_for_the_result_that_dev_makes(shop: Shop) -> None:
    """The value alone on standard output; a run that fails makes the exit code 1."""
    shop.dev()
    assert shop.run("invoke", "print-receipt", "--wait") == '"receipt"'
    answer = json.loads(shop.run("invoke", "print-receipt", "--wait", "--json"))
    assert answer["result"] == "receipt"
    code, printed = shop.ask("invoke", "fulfil", "--wait", "--json")
    assert (code, json.loads(printed)["error"]["code"]) == (1, "run_failed")


def test_dev_on_a_memory_store(shop: Shop) -> None:
    """For a look without a file."""
    dev = shop.dev("--db", "memory://")
    dev.signal(signal.SIGINT)
    assert dev.ended() == 0
    assert dev.lines[-1] == "stopped"
    assert not (shop.path / "flowgen.db").exists()


# -- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(shop: Shop, number: int) -> None:
    """The step that runs may end; its outcome is kept; exit code 0."""
    fifo = shop.fifo()
    dev = shop.dev()
    held = shop.run("invoke", "hold")
    dev.until("hold .*started")
    dev.signal(number)
    dev.until("^draining   1 run in hand")
    fifo.write_text("let go")
    dev.until("hold +done +hold")
    assert dev.ended() == 0
    assert dev.lines[-1] == "stopped"
    assert dev.errors() == ""
    shown = json.loads(shop.run("runs", "show", held, "--json"))
    assert (shown["status"], shown["result"]) == ("completed", "let go")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(shop: Shop, number: int) -> None:
    """Without waiting for the step; the run is given back for others; exit code 128 + the signal's number."""
    shop.fifo()
    dev = shop.dev()
    held = shop.run("invoke", "hold")
    dev.until("hold .*started")
    dev.signal(number)
    dev.until("^draining")
    dev.signal(number)
    assert dev.ended() == 128 + number
    assert dev.lines[-1] == "stopped at once"
    assert dev.errors() == ""
    assert json.loads(shop.run("runs", "show", held, "--json"))["status"] == "waiting"


def test_a_body_that_spins_cannot_keep_the_process(shop: Shop) -> None:
    """The loop does not turn, so nothing drains; the second signal ends the process all the same."""
    dev = shop.dev()
    shop.run("invoke", "spin")
    dev.until("spinning")
    dev.signal(signal.SIGTERM)
    dev.signal(signal.SIGINT)
    assert dev.popen.wait() in (128 + signal.SIGINT, 128 + signal.SIGTERM)


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="the size of a pipe can be set on Linux only")
def test_a_reader_that_stands_still_holds_nothing_up(shop: Shop) -> None:
    """A pager that nobody scrolls fills the pipe: runs go on, and the process ends when it is told to."""
    dev = shop.dev()
    assert dev.popen.stdout is not None
    fcntl.fcntl(dev.popen.stdout, fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(40):
        shop.run("send", "order/" + "x" * 200)
    assert shop.run("invoke", "print-receipt", "--wait") == '"receipt"'
    dev.signal(signal.SIGTERM)
    assert dev.popen.wait() == 0
    assert dev.errors() == ""


def test_dev_ends_quietly_when_nobody_reads_on(shop: Shop) -> None:
    """A closed pipe stops it like `head` stops others: exit code 141, no traceback."""
    dev = shop.dev()
    assert dev.popen.stdout is not None
    dev.popen.stdout.close()
    shop.run("send", "order/whatever")
    assert dev.popen.wait() == 141
    assert dev.errors() == ""


@pytest.mark.parametrize("command", [["runs", "list"], ["--help"], ["runs", "show", "x", "--json"]])
def test_commands_end_quietly_when_nobody_reads(shop: Shop, command: list[str]) -> None:
    """Nothing but the one line of an error, if there is one."""
    shop.run("send", "a")
    read, write = os.pipe()
    os.close(read)
    code = [sys.executable, "-m", "flowgen", *command]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        code, cwd=shop.path, env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.stderr.count("\n") <= 1


def test_ctrl_c_while_waiting_is_quiet(shop: Shop) -> None:
    """`invoke --wait` stops waiting: exit code 130; the run stays."""
    shop.dev()
    shop.fifo()
    waiting = shop.begin("invoke", "hold", "--wait")
    assert waiting.popen.stderr is not None
    held = waiting.popen.stderr.readline().split()[1]
    waiting.signal(signal.SIGINT)
    assert waiting.ended() == 130
    assert waiting.text == ""
    assert "Traceback" not in waiting.errors()
    assert json.loads(shop.run("runs", "show", held, "--json"))["id"] == held


def test_worker_works_without_a_word(shop: Shop) -> None:
    """Nothing on standard output; log lines on standard error; SIGTERM drains."""
    shop.run("send", "a")
    worker = shop.begin("worker", "shop.py")
    while shop.ask("invoke", "print-receipt", "--wait", "--timeout", "10s")[0] != 0:
        assert worker.popen.poll() is None, worker.errors()
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert worker.text == ""


def test_what_the_linter_finds_is_said_at_the_start(shop: Shop) -> None:
    """A command that is not yielded runs nothing, and is no error: here its author hears of it, with the place."""
    body = '    Run("save", print)\n    yield Sleep("a", 1)\n'
    code = f'from flowgen import *\n\napp = App("forgetful")\n\n@app.workflow\ndef forget(ctx):\n{body}'
    (shop.path / "forgetful.py").write_text(code)
    process = shop.begin("dev", "forgetful.py", "--port", "0")
    process.until("^ready")
    process.signal(signal.SIGTERM)
    assert process.ended() == 0
    found = [line for line in process.errors().splitlines() if line.startswith("lint ")]
    assert len(found) == 1
    assert found[0].startswith("lint       forgetful.py:7: not-yielded: ")
