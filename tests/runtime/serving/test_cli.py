"""`flowgen serve` as a process: what it needs, what it prints, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flowgen.runtime.protocol.calls import Call, build_call

APP = """
from flowgen import App, Run
from pathlib import Path

app = App("shop")

def wait_for_fifo():
    return Path("fifo").read_text()

@app.workflow
def hold(ctx):
    ctx.logger.info("holding")
    return (yield Run("hold", wait_for_fifo))
"""
EVENT = {"id": "e", "name": "test/started", "data": {}, "ts": 1_800_000_000_000}
JSON = {"Content-Type": "application/json"}
ROOT = str(Path(__file__).parents[3])


def environment(**more: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWGEN_", "INNGEST_"))}
    return {**known, "PYTHONPATH": ROOT, **more}


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its URL."""
    (directory / "shop.py").write_text(APP)
    process = subprocess.Popen(
        [sys.executable, "-m", "flowgen", "serve", "shop.py", "--port", "0", *arguments],
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(300, process.kill)
    guard.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"ready +(http://127\.0\.0\.1:\d+/\S+)\n", line)
        assert found is not None, line + (process.stderr.read() if process.stderr else "")
        yield process, found[1]
    finally:
        guard.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_serves_until_a_signal_and_drains(tmp_path: Path) -> None:
    """A request in hand is answered; what the workflow logs goes to standard error."""
    os.mkfifo(tmp_path / "fifo")
    with serving(tmp_path, "--path", "/hooks") as (process, url):
        assert url.endswith("/hooks")
        assert httpx.get(url).json()["function_count"] == 1
        answers: list[httpx.Response] = []

        def call() -> None:
            answers.append(
                httpx.post(f"{url}?fnId=shop-hold", content=build_call(Call("r", (EVENT,))), headers=JSON, timeout=120)
            )

        thread = threading.Thread(target=call)
        thread.start()
        fifo = os.open(tmp_path / "fifo", os.O_WRONLY)  # opens when the body has
        process.send_signal(signal.SIGTERM)
        os.write(fifo, b"done")
        os.close(fifo)
        thread.join(30)
        out, err = process.communicate(timeout=120)
    assert [(answer.status_code, answer.json()[0]["data"]) for answer in answers] == [(206, "done")]
    assert (process.returncode, out) == (0, "")
    assert "holding" in err


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """With the exit code of a signal, though a body is at work."""
    os.mkfifo(tmp_path / "fifo")
    with serving(tmp_path) as (process, url):

        def call() -> None:
            with pytest.raises(httpx.HTTPError):
                httpx.post(f"{url}?fnId=shop-hold", content=build_call(Call("r", (EVENT,))), headers=JSON, timeout=120)

        thread = threading.Thread(target=call)
        thread.start()
        fifo = os.open(tmp_path / "fifo", os.O_WRONLY)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        thread.join(30)
        os.close(fifo)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)


BAD = [
    (["shop.py", "--host", "0.0.0.0"], {}, "calls are not signed; set FLOWGEN_SIGNING_KEY"),
    (["shop.py", "--host", "0.0.0.0"], {"FLOWGEN_SIGNING_KEY": "short"}, "a signing key is signkey-<env>-<hex>"),
    (["shop.py"], {"INNGEST_DEV": "0"}, "needs a signing key"),
    (["shop.py"], {"FLOWGEN_SIGNINGKEY": "x"}, "did you mean FLOWGEN_SIGNING_KEY"),
    (["shop.py", "--path", "api"], {}, "is not the path of a URL"),
    (["shop.py", "--port", "70000"], {}, "70000"),
    (["none.py"], {}, "there is no file none.py"),
    (["empty.py"], {}, "has no workflows"),
]


@pytest.mark.parametrize("arguments, more, reason", BAD, ids=lambda value: str(value)[:40])
def test_what_cannot_be_served_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], more: dict[str, str], reason: str
) -> None:
    """Exit code 2, and no traceback."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "empty.py").write_text("from flowgen import App\napp = App('empty')\n")
    ended = subprocess.run(
        [sys.executable, "-m", "flowgen", "serve", *arguments],
        cwd=tmp_path,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert reason in ended.stderr
