"""Records what the official SDKs say to a server: `python -m tests.sdk.record `.

The apps of `apps/` run unmodified, as processes of their own; `hand.Hand` plays their server. What was said goes to
`tests/runtime/protocol/recorded/`, whose README says what is in it. Needs what the tests of this directory need.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sdk.hand import APP_PORT, HAND_PORT, Hand, HandRun, Json

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "tests" / "runtime" / "protocol" / "recorded"
KEY = "signkey-test-" + "ab" * 32
OLD_KEY = "signkey-test-" + "cd" * 32
FORGED_KEY = "signkey-test-" + "00" * 32


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[Path]:
    """The app as a process of its own; the file in which it notes what it does."""
    with tempfile.TemporaryDirectory() as directory:
        seen = Path(directory) / "seen"
        env = {**os.environ, "SEEN": str(seen), "SEEN_GATES": directory, "PYTHONPATH": str(ROOT), **environment}
        process = subprocess.Popen([*command, str(APP_PORT)], env=env, cwd=ROOT)
        try:
            patiently(lambda: http_ok(APP_PORT), process)
            yield seen
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def http_ok(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/api/inngest")
        connection.getresponse().read()
    except OSError:
        return False
    return True


def patiently(question: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not question():
        if process.poll() is not None:
            raise SystemExit(f"the app ended with exit code {process.returncode}")
        time.sleep(0.05)


EVENT = {"id": "01JD0000000000000000OTHER", "name": "test/answer", "data": {"order": 7}, "ts": 1732000001000}
CHAT = {"choices": [{"message": {"role": "assistant", "content": "hi"}}]}
FAILED_EVENT = {
    "function_id": "APP-mourned",
    "run_id": "01JD0000000000000000000999",
    "error": {"name": "ValueError", "message": "to be mourned", "stack": "…"},
    "event": {"id": "01JD0000000000000000EVENT", "name": "test/mourned", "data": {}, "ts": 1732000000000, "user": {}},
}
# function: (data, what its waits are answered with, options)
SCENARIOS: dict[str, tuple[Json, dict[str, Json], dict[str, Json]]] = {
    "hello": ({"name": "Ada"}, {}, {}),
    "nothing": ({}, {}, {}),
    "steps": ({}, {}, {}),
    "repeats": ({}, {}, {}),
    "send": ({}, {}, {}),
    "sleep": ({}, {}, {}),
    "sleep-until": ({"until": 1900000000}, {}, {}),
    "wait": ({"timeout": 60000, "order": 7}, {"answer": EVENT}, {}),
    "wait-match": ({"order": 7}, {"answer": EVENT}, {}),
    "signal": ({"signal": "go", "timeout": "1h"}, {"approval": {"data": {"signal": "go", "data": {"yes": True}}}}, {}),
    "send-signal": ({"signal": "go", "data": {"yes": True}}, {}, {}),
    "invoke": ({"number": 4}, {"doubled": {"data": 8}}, {}),
    "invoke-by-id": (
        {"app": "other", "function": "double", "data": {"number": 4}, "timeout": 60000},
        {"other": {"data": 8}},
        {},
    ),
    "invoke-fails": ({}, {"doomed": {"error": {"name": "ValueError", "message": "this function fails"}}}, {}),
    "invoke-times-out": (
        {},
        {
            "slow": {
                "error": {
                    "name": "InngestInvokeTimeoutError",
                    "message": "Timed out waiting for invoked function to complete",
                }
            }
        },
        {},
    ),
    "parallel": ({}, {"invoke": {"data": 8}}, {}),
    "parallel-wait": ({}, {}, {}),
    "parallel-race": ({}, {}, {}),
    "unoptimized": ({}, {}, {}),
    "race": ({}, {}, {}),
    "flaky": ({}, {}, {"max_attempts": 3}),
    "caught": ({}, {}, {"max_attempts": 2}),
    "uncaught": ({}, {}, {"max_attempts": 2}),
    "fails": ({}, {}, {}),
    "body-retries": ({}, {}, {"max_attempts": 3}),
    "no-retry": ({}, {}, {"max_attempts": 4}),
    "no-retry-step": ({}, {}, {"max_attempts": 4}),
    "no-retry-caught": ({}, {}, {"max_attempts": 4}),
    "retry-after": ({}, {}, {"max_attempts": 4}),
    "retry-after-step": ({}, {}, {"max_attempts": 4}),
    "mourned-failure": (FAILED_EVENT, {}, {"event": "inngest/function.failed"}),
    "ctx": ({"n": 1}, {}, {}),
    "nested": ({}, {}, {}),
    "unserializable": ({}, {}, {}),
    "infer": ({"url": "http://127.0.0.1:9/v1"}, {"think": {"data": CHAT}}, {}),
    "wrap": ({}, {}, {}),
    "fetch": (
        {"url": "http://127.0.0.1:9/ping"},
        {"step.fetch: 127.0.0.1": {"data": {"status_code": 200, "headers": {}, "body": '{"pong": 1}'}}},
        {},
    ),
    "experiment": ({}, {}, {}),
    "defers": ({}, {}, {}),
    "short-runtime": ({}, {}, {}),
    "buffered": ({}, {}, {}),
    "outside": ({}, {}, {}),
}
PYTHON_ONLY = {"nested", "unserializable"}
NODE_ONLY = {
    "wait-match", "signal", "send-signal", "unoptimized", "race", "no-retry-caught", "wrap", "fetch", "experiment",
    "defers", "short-runtime", "buffered",
}  # fmt: skip
SMALL = {"hello", "steps", "parallel", "parallel-wait", "parallel-race", "caught"}


def write(label: str, scene: str, hand: Hand) -> None:
    """Add the notes since the last time to the label's file, without the paths of this machine."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / f"{label}.jsonl").open("a") as file:
        for note in hand.notes:
            text = json.dumps({"scene": scene, **note}, separators=(",", ":"), ensure_ascii=False)
            for found, shown in PATHS:
                text = text.replace(found, shown)
            file.write(text + "\n")
    hand.notes = []


def paths() -> Iterator[tuple[str, str]]:
    site = next(path for path in sys.path if path.endswith("site-packages"))
    yield site, "/app/site-packages"
    yield os.environ.get("NODE_PATH", "/no/such/path"), "/app/node_modules"
    yield str(ROOT), "/app"
    yield sys.base_prefix, "/python"


PATHS = list(paths())


def each_function(label: str, hand: Hand, skipped: set[str]) -> None:
    for function, (data, replies, options) in SCENARIOS.items():
        if function in skipped:
            continue
        run = HandRun(hand, function, data, replies, **options)
        result = run.go()
        print(f"{label:18} {function:18} {run.calls:3} calls  {json.dumps(result)[:90]}")
        write(label, function, hand)


def beginning(label: str, hand: Hand) -> None:
    """Look at the app, and let it register itself."""
    hand.request("GET", "/api/inngest")
    write(label, "(introspection)", hand)
    hand.request("PUT", "/api/inngest?deployId=01JD0000000000000000000DEP", {})
    write(label, "(register)", hand)


def oddities(label: str, hand: Hand) -> None:
    """What an app says to requests that are wrong, and to a run whose state is too big to send."""
    HandRun(hand, "steps", {}, {}, use_api=True).go()
    write(label, "(use-api)", hand)
    HandRun(hand, "no-such-function", {}, {}).go()
    write(label, "(unknown-function)", hand)
    HandRun(hand, "steps", {}, {}).call("f" * 40, 0)
    write(label, "(unknown-step)", hand)
    hand.request("POST", "/api/inngest?fnId=test-hello&stepId=step", {"nonsense": True})
    hand.request("POST", "/api/inngest?fnId=test-hello", {})
    write(label, "(bad-requests)", hand)
    hand.answers = {"/fn/register": (400, {"error": "this app may not register"})}
    hand.request("PUT", "/api/inngest", {})
    hand.answers = {}
    write(label, "(register-refused)", hand)


def stale(label: str, hand: Hand) -> None:
    """Checkpoints that are refused."""
    for status, error in ((409, "stale dispatch"), (413, "too large"), (500, "the server is in trouble")):
        hand.answers = {"/v1/checkpoint": (status, {"error": error})}
        HandRun(hand, "steps", {}, {}).call("step", 0)
        hand.answers = {}
        write(label, f"(checkpoint-{status})", hand)


def signed(label: str, hand: Hand) -> None:
    """An app in production: what it says to good, old, forged and missing signatures."""
    hand.request("GET", "/api/inngest")
    hand.request("PUT", "/api/inngest", {})
    write(label, "(register)", hand)
    url = {"url": f"http://127.0.0.1:{APP_PORT}/api/inngest"}
    hand.request("PUT", "/api/inngest", url, {"x-inngest-sync-kind": "in_band"})
    write(label, "(in-band)", hand)
    hand.request("POST", "/api/inngest?probe=trust", {})
    write(label, "(probe)", hand)
    HandRun(hand, "hello", {"name": "Ada"}, {}).go()
    HandRun(hand, "steps", {}, {}).go()
    write(label, "(signed)", hand)
    for scene, key in (("(fallback)", OLD_KEY), ("(forged)", FORGED_KEY), ("(unsigned)", None)):
        hand.key = key
        HandRun(hand, "hello", {"name": "Ada"}, {}).go()
        hand.request("GET", "/api/inngest")
        write(label, scene, hand)
    hand.key = KEY


PYTHON = [sys.executable, "-m", "tests.sdk.apps.fastapi_app"]
FLASK = [sys.executable, "-m", "tests.sdk.apps.flask_app"]
NODE = ["node", str(HERE / "apps" / "node" / "app.cjs")]
ORIGIN = f"http://127.0.0.1:{HAND_PORT}"
DEV = {"INNGEST_DEV": ORIGIN, "SDK_APP": "test"}
CLOUD = {
    "INNGEST_SIGNING_KEY": KEY,
    "INNGEST_SIGNING_KEY_FALLBACK": OLD_KEY,
    "INNGEST_EVENT_KEY": "test",
    "INNGEST_BASE_URL": ORIGIN,
    "INNGEST_ALLOW_IN_BAND_SYNC": "1",
    "SDK_APP": "test",
}
# label: (command, environment, what is left out, whether also what is wrong is tried)
WHOLE: dict[str, tuple[list[str], dict[str, str], set[str], bool]] = {
    "py-fastapi": (PYTHON, {}, NODE_ONLY, True),
    "py-flask": (FLASK, {}, SCENARIOS.keys() - SMALL, False),
    "ts": (NODE, {"SDK_CHECKPOINTING": "on"}, PYTHON_ONLY, True),
    "ts-plain": (NODE, {"SDK_CHECKPOINTING": "off"}, SCENARIOS.keys() - SMALL - NODE_ONLY, False),
}


def main() -> None:
    for old in OUT.glob("*.jsonl"):
        old.unlink()
    hand = Hand()
    for label, (command, environment, skipped, wrong) in WHOLE.items():
        with running(command, **DEV, **environment):
            beginning(label, hand)
            each_function(label, hand, skipped)
            if wrong:
                oddities(label, hand)
            if label == "ts":
                stale(label, hand)
    streaming = {
        "py-streaming": (PYTHON, {"INNGEST_STREAMING": "force"}),
        "ts-streaming": (NODE, {"SDK_STREAMING": "on"}),
    }
    for label, (command, environment) in streaming.items():
        with running(command, **DEV, **environment):
            hand.request("PUT", "/api/inngest", {})
            hand.notes = []
            each_function(label, hand, SCENARIOS.keys() - {"hello", "steps", "fails"})
    hand.stop()
    hand = Hand(KEY)
    for label, command in {"py-signed": PYTHON, "ts-signed": NODE}.items():
        with running(command, **CLOUD):
            signed(label, hand)
    hand.stop()


if __name__ == "__main__":
    main()
