"""The world outside: an HTTP server on loopback that notes what it is asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import attrs


@attrs.frozen
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Outside:
    """Answers chats and pings, fails where it is told to, and says what it was asked."""

    CHAT: ClassVar[dict[str, Any]] = {"choices": [{"message": {"role": "assistant", "content": "hi"}}]}

    def __init__(self) -> None:
        self.requests: list[Request] = []
        noted = self.requests

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                noted.append(Request(self.command, self.path, headers, json.loads(raw) if raw else None))
                status, body = (200, Outside.CHAT) if "chat" in self.path else (200, {"pong": 1})
                if "broken" in self.path:
                    status, body = 500, {"error": "broken"}
                sent = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
