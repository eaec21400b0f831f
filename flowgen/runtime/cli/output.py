"""What commands print: text for people, JSON for programs.

Rules: whatever comes from a store or a user is made printable first, so that no event can move the
cursor or change colours of a terminal. Colours only on a terminal, and not with `NO_COLOR`. JSON is
always one whole document.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, TextIO

from ...ids import is_id
from .faults import ReaderGone

SHORT_ID = 6

WIDEST = 60
"""Free text in the last column of a table is cut at this width on a terminal."""


def printable(text: str) -> str:
    """The text on one line, without anything that a terminal would obey."""
    return escaped(" ".join(text.split()))


def escaped(line: str) -> str:
    """A line with its spaces as they are, but nothing that a terminal would obey."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def shortened(text: str, width: int) -> str:
    """Printable text of at most `width` characters."""
    line = printable(text)
    return line if len(line) <= width else line[: width - 1] + "…"


def short_id(id: str) -> str:
    """The end of an id: what tells it from others at a glance."""
    return id[-SHORT_ID:] if is_id(id) else id if len(id) <= 12 else "…" + id[-11:]


def has_colours(stream: TextIO) -> bool:
    """Whether colours are welcome there."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def say(text: str) -> None:
    """Print a line for people."""
    write(text, sys.stdout)


def note(text: str) -> None:
    """Print a line beside the result: for people, not part of what a pipe reads."""
    write(text, sys.stderr)


def say_json(document: Any) -> None:
    """Print one JSON document."""
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    write(json.dumps(document, indent=2, ensure_ascii=plain, allow_nan=False), sys.stdout)


def write(text: str, stream: TextIO) -> None:
    """Write lines at once. Raises `ReaderGone` when nobody reads them any more."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError as error:
        raise ReaderGone from error


_standing = threading.Event()


def stand_still() -> None:
    """Nobody takes what is printed, and the thread that prints it stands there, perhaps for ever."""
    _standing.set()


def end(code: int) -> NoReturn:
    """End the process; at once, if a thread stands where it prints: Python cannot end with what that one holds."""
    if _standing.is_set():
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns, as wide as they need to be; the last one is free text."""
    if sys.stdout.isatty():
        rows = [[*row[:-1], shortened(row[-1], WIDEST)] for row in rows]
    cells = [headings, *[[printable(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def say_page(empty: str, headings: Sequence[str], rows: Sequence[Sequence[str]], cursor: str | None) -> None:
    """Print a page of a list for people."""
    say(table(headings, rows) if rows else empty)
    if cursor is not None:
        note(f"more: --cursor {shlex.quote(cursor)}")


def when(at: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def json_text(value: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)
