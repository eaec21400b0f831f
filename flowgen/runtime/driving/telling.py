"""What the calls of one run tell, as it is on the wire: its events; and for an app of ours the encoded records.

Each is encoded once, however many calls tell it. Refuses to know how much of it one call tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ...codec import encode_record
from ...events import AcceptedEvent
from ...history import Record
from ...outcome import Json
from ...runs import RunRow
from ..protocol.events import to_wire
from ..protocol.native import told_member
from ..protocol.native.run import Told

_ENCODE: Final = msgspec.json.Encoder().encode


class Telling:
    """What is told of a run. `lines` are its encoded records, and `heard` is how many of them its body has been told:
    both for an app of ours alone."""

    def __init__(self, row: RunRow, events: Sequence[AcceptedEvent]) -> None:
        self.lines: list[str] = []
        self.heard: int | None = None
        self._row = row
        self._accepted = events
        self._events: tuple[Json, ...] | None = None
        self._header: str | None = None

    @property
    def events(self) -> tuple[Json, ...]:
        """The run's events as they are on the wire."""
        if self._events is None:
            self._events = tuple(Json(_ENCODE(to_wire(event, self._row.app))) for event in self._accepted)
        return self._events

    @property
    def events_size(self) -> int:
        """The bytes of the events of a call, which has the first of them twice."""
        return sum(len(event) for event in (*self.events, *self.events[:1]))

    @property
    def header(self) -> str:
        """The run and its events, before the records, for an app of ours."""
        if self._header is None:
            run: str = told_member(Told(self._row, tuple(self._accepted), ()))["run"]
            self._header = run
        return self._header

    def add(self, record: Record) -> None:
        """One record more."""
        self.lines.append(encode_record(record).decode())

    def begin_again(self, history: Sequence[Record], aloud: bool) -> None:
        """The records are these. `aloud`: its body has been told none of them."""
        self.lines = [encode_record(record).decode() for record in history]
        self.heard = None if aloud else len(history)
