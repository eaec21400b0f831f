"""A server of Inngest's protocol that is played by hand: the smallest one that an unmodified app needs.

It takes registrations and events, drives runs step by step, and notes every request with its answer, in both
directions. It waits for nothing: a sleep is over at once, and what a wait, an invocation or a gateway gives is said by
the scenario. It shares no code with flowgen, so that what it notes can contradict flowgen.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

APP_PORT, HAND_PORT = 13000, 18288
RUN_ID = "01JD0000000000000000000{:03d}"
DULL = frozenset(
    "accept accept-encoding accept-language connection content-length date host keep-alive server sec-fetch-mode"
    " transfer-encoding user-agent".split()
)
LAZY = {"DeferAdd", "DeferAbort", "None"}

Json = Any


def jcs(value: Json) -> bytes:
    """RFC 8785 as far as these requests need it: they hold no fractions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signature(body: bytes, key: str) -> str:
    at = str(int(time.time()))
    secret = re.sub(r"^signkey-\w+-", "", key).encode()
    return f"t={at}&s={hmac.new(secret, body + at.encode(), hashlib.sha256).hexdigest()}"


class Hand:
    """A server that is played by hand, and its notes."""

    def __init__(self, key: str | None = None) -> None:
        self.key, self.exact = key, key is not None
        self.notes: list[dict[str, Json]] = []
        self.runs: dict[str, HandRun] = {}
        self.registered: Json = None
        self.answers: dict[str, tuple[int, Json]] = {}
        self._lock = threading.Lock()
        hand = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def take(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                raw = self.rfile.read(size)
                note = hand.note("server", self.command, self.path, dict(self.headers.items()), raw)
                status, answer = hand.answer(self.command, self.path, note["body"])
                raw = json.dumps(answer).encode()
                headers = {"content-type": "application/json", "x-inngest-server-kind": "cloud" if key else "dev"}
                hand.close(note, status, headers, raw)
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(raw))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = take

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", HAND_PORT), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def note(self, to: str, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> dict[str, Json]:
        """Begin an exchange; the notes are in the order in which the requests began."""
        kept = {name.lower(): value for name, value in sorted(headers.items()) if name.lower() not in DULL}
        note: dict[str, Json] = {"to": to, "method": method, "path": path, "headers": kept, "body": parsed(raw)}
        if self.exact:
            note["text"] = raw.decode()
        with self._lock:
            self.notes.append(note)
        return note

    def close(self, note: dict[str, Json], status: int, headers: Mapping[str, str], raw: bytes) -> None:
        kept = {name.lower(): value for name, value in sorted(headers.items()) if name.lower() not in DULL}
        note["answer"] = {"status": status, "headers": kept, "body": parsed(raw)}
        if self.exact or status == 201:
            note["answer"]["text"] = raw.decode()

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """What this server says to a request of the app."""
        for pattern, given in self.answers.items():
            if re.search(pattern, path):
                return given
        match path.split("?")[0].strip("/").split("/"):
            case ["fn", "register"]:
                self.registered = body
                return 200, {"ok": True, "modified": True}
            case ["e", _]:
                events = body if isinstance(body, list) else [body]
                ids = [f"01JD0000000000000000E{n:05d}" for n, _ in enumerate(events)]
                return 200, {"ids": ids, "status": 200}
            case ["v0", "runs", run, "batch"]:
                return 200, self.runs[run].events
            case ["v0", "runs", run, "actions"]:
                return 200, self.runs[run].memo
            case ["v1", "signals"]:
                return 200, {"data": {"run_id": RUN_ID.format(0)}}
            case ["v1", "checkpoint", run, "async"]:
                self.runs[run].checkpointed(body["steps"])
                return 200, {}
            case _:
                return 404, {"error": f"this server knows no {path}"}

    def request(self, method: str, path: str, body: Json = None, headers: Mapping[str, str] | None = None) -> Json:
        """Send one request to the app; the status, the headers, and the body as JSON."""
        raw = b"" if body is None else jcs(body)
        sent = {"content-type": "application/json", "x-inngest-server-kind": "cloud" if self.key else "dev"}
        if self.key is not None:
            sent["x-inngest-signature"] = signature(raw, self.key)
        sent |= headers or {}
        note = self.note("app", method, path, sent, raw)
        connection = http.client.HTTPConnection("127.0.0.1", APP_PORT, timeout=240)
        connection.request(method, path, raw, {"host": f"127.0.0.1:{APP_PORT}", **sent})
        response = connection.getresponse()
        answer = response.read()
        answered = {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        self.close(note, response.status, answered, answer)
        return response.status, answered, parsed(answer)


class HandRun:
    """One run: the algorithm of §2.16, a job after the other, with as little patience as possible."""

    def __init__(self, hand: Hand, function: str, data: Json, replies: Mapping[str, Json], **options: Json) -> None:
        self.hand, self.function, self.replies = hand, function, dict(replies)
        self.use_api: bool = options.get("use_api", False)
        self.max_attempts: int = options.get("max_attempts", 1)
        name = options.get("event") or f"test/{function}"
        event = {"id": "01JD0000000000000000EVENT", "name": name, "data": data, "ts": 1732000000000, "user": {}}
        self.events = options.get("events") or [event]
        self.id = RUN_ID.format(len(hand.runs))
        self.memo: dict[str, Json] = {}
        self.stack: list[str] = []
        self.pending: set[str] = set()
        self.version, self.plan_only, self.calls = -1, False, 0
        self.jobs: list[tuple[str, int]] = [("step", 0)]
        self.result: Json = None
        hand.runs[self.id] = self

    def go(self) -> Json:
        while self.jobs:
            step, attempt = self.jobs.pop(0)
            self.call(step, attempt)
        return self.result

    def call(self, step: str, attempt: int) -> None:
        self.calls += 1
        app = self.hand.registered.get("appName") or self.hand.registered.get("appname")
        url = f"/api/inngest?fnId={app}-{self.function}&stepId={step}"
        known = {} if self.use_api else {key: self.memo[key] for key in self.stack}
        body = {
            "event": self.events[0],
            "events": [] if self.use_api else self.events,
            "steps": known,
            "ctx": {
                "fn_id": "11111111-2222-3333-4444-555555555555",
                "run_id": self.id,
                "env": "local",
                "step_id": step,
                "attempt": attempt,
                "max_attempts": self.max_attempts,
                "stack": {"stack": list(self.stack), "current": len(self.stack)},
                "qi_id": f"qi-{self.calls}",
                "request_id": f"request-{self.calls}",
                "generation_id": self.calls,
                "job_id": f"job-{self.calls}",
                "disable_immediate_execution": self.plan_only,
                "use_api": self.use_api,
            },
            "version": self.version,
            "use_api": self.use_api,
        }
        status, headers, answer = self.hand.request("POST", url, body, self.headers(step))
        if self.version == -1:
            self.version = int(headers.get("x-inngest-req-version", -1))
        if status == 201:
            status, answer = answer["status"], answer["body"]
            answer = json.loads(answer) if isinstance(answer, str) else answer
        match status:
            case 200:
                self.result = {"data": answer}
            case 206:
                self.take(answer if isinstance(answer, list) else [answer], step, attempt)
            case _ if headers.get("x-inngest-no-retry") != "true" and attempt + 1 < self.max_attempts:
                self.jobs.append((step, attempt + 1))
            case _:
                self.result = {"error": answer}

    def headers(self, step: str) -> dict[str, str]:
        return {
            "x-run-id": self.id,
            "x-request-id": f"request-{self.calls}",
            "x-inngest-job-id": f"job-{self.calls}",
            "x-inngest-generation-id": str(self.calls),
            "x-inngest-step-id": step,
            "x-inngest-req-version": str(self.version),
        }

    def checkpointed(self, ops: list[Json]) -> None:
        for op in ops:
            if op["op"] == "StepRun":
                self.save(op["id"], {"data": op.get("data")})

    def save(self, step: str, value: Json) -> None:
        if step not in self.memo:
            self.memo[step] = value
            self.stack.append(step)
        self.pending.discard(step)

    def take(self, ops: list[Json], job: str, attempt: int) -> None:
        weighty = [op for op in ops if op["op"] not in LAZY]
        if len(weighty) > 1:
            self.plan_only = True
            if self.version >= 2 and any(op["op"] == "StepPlanned" for op in weighty):
                self.pending = {op["id"] for op in weighty}
        for op in weighty:
            self.one(op, job, attempt)

    def one(self, op: Json, job: str, attempt: int) -> None:
        key = op["id"]
        label = op.get("displayName") or op.get("name")
        match op["op"]:
            case "StepRun" | "Step":
                self.resolved(op, {"data": op.get("data")})
            case "StepFailed":
                self.resolved(op, {"error": op["error"]})
            case "StepError" if attempt + 1 < self.max_attempts:
                self.jobs.append((job, attempt + 1))
            case "StepError":
                self.resolved(op, {"error": op["error"]})
            case "StepPlanned" if (key, 0) not in self.jobs:
                self.jobs.append((key, 0))
            case "StepPlanned":
                pass
            case "RunComplete":
                self.result = {"data": op.get("data")}
            case "DiscoveryRequest":
                self.jobs.append(("step", 0))
            case "Sleep":
                self.resolved(op, None)
            case _:
                self.resolved(op, self.replies.get(label))

    def resolved(self, op: Json, value: Json) -> None:
        racing = self.version < 2 or (op.get("opts") or {}).get("parallelMode") == "race"
        self.save(op["id"], value)
        if not self.pending:
            self.plan_only = False
        if racing:
            self.jobs.insert(0, ("step", 0))
        elif not self.pending and ("step", 0) not in self.jobs:
            self.jobs.append(("step", 0))


def parsed(raw: bytes) -> Json:
    """JSON where it is JSON, null where there is nothing, text otherwise."""
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode()
