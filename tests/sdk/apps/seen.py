"""What an app leaves behind for the tests: a line of JSON for each body and each request, which survives kill -9."""

from __future__ import annotations

import json
import os


def seen(kind: str, name: str, attempt: int = 0) -> None:
    """Append one line; short lines that are appended arrive whole, whoever else writes."""
    line = json.dumps({"kind": kind, "name": name, "attempt": attempt, "process": os.getpid()}) + "\n"
    file = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
