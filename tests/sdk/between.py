"""What lies between a server and its app, and does to their requests what networks do.

A `Between` listens on loopback and passes requests on to a port. What happens to each is said by its `weather`: it may
come late, come twice, or be lost, with or without its answer. Nothing of a request or an answer is changed, its `Host`
included: so an app that is asked to register through here tells its server that it is here. Each `Passage` is noted
with what was said, and the order in which they began and ended.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import attrs

_OF_ONE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_PATIENCE = 240.0


@attrs.frozen
class Treatment:
    """What is done to one request. Seconds by which it and its answer are `late`, how often it arrives, what is lost.

    A request that arrives several times does so one after the other, and the answer is that to the first. `heard` is
    whether that answer arrives; else the connection ends without one.
    """

    late: float = 0.0
    answer_late: float = 0.0
    arrives: int = 1
    heard: bool = True


CLEAR = Treatment()
LOST = Treatment(arrives=0, heard=False)
UNHEARD = Treatment(heard=False)


@attrs.define
class Passage:
    """One request: what it says, when it began and ended, counted over all requests, and the status of its answer."""

    method: str
    path: str
    body: Any
    began: int
    ended: int | None = None
    status: int | None = None

    @property
    def call(self) -> Mapping[str, Any]:
        """The context of a call; empty for any other request."""
        found = self.body.get("ctx") if isinstance(self.body, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def run(self) -> str | None:
        """The run of a call."""
        return self.call.get("run_id")

    @property
    def discovers(self) -> bool:
        """Whether a call asks what there is to do; else it is aimed at a step."""
        return self.path.endswith("&stepId=step")

    @property
    def only_plans(self) -> bool:
        """Whether a call forbids to execute what it finds."""
        return self.call["disable_immediate_execution"] is True

    def beside(self, other: Passage) -> bool:
        """Whether it began while another was under way."""
        return other.began < self.began and (other.ended is None or self.began < other.ended)


Weather = Callable[[Passage], Treatment]


class Between:
    """Listens at `origin`, and passes on to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.passages: list[Passage] = []
        self.weather: Weather = lambda passage: CLEAR
        self._to, self._moments = port, count()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self.origin = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def calls(self, run: str) -> list[Passage]:
        """The calls of a run, in the order in which they began."""
        return sorted((each for each in self.passages if each.run == run), key=lambda each: each.began)

    def carry(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> _Answer | None:
        """Bring a request to where it goes, as the weather is; the answer, unless it is lost."""
        passage = Passage(method, path, _read(raw), next(self._moments))
        self.passages.append(passage)
        treatment = self.weather(passage)
        time.sleep(treatment.late)
        answers = [self._ask(method, path, headers, raw) for _ in range(treatment.arrives)]
        passage.status = answers[0].status if answers and answers[0] else None
        time.sleep(treatment.answer_late)
        passage.ended = next(self._moments)
        return answers[0] if answers and treatment.heard else None

    def _ask(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> _Answer | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._to, timeout=_PATIENCE)
        try:
            connection.request(method, path, raw, dict(headers))
            response = connection.getresponse()
            return _Answer(response.status, response.getheaders(), response.read())
        except OSError:
            return None
        finally:
            connection.close()


@attrs.frozen
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def _handler(between: Between) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if _crosses(name)}
            answer = between.carry(self.command, self.path, headers, raw)
            if answer is None:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                if _crosses(name):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = pass_on

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _crosses(name: str) -> bool:
    return name.lower() not in _OF_ONE_CONNECTION


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
