"""The feed of `flowgen dev`: what this engine commits and logs, printed as it happens.

Whatever happens is put into a queue by the commit itself, and told by a task of its own; printing is
done in a thread, so a terminal that stands still (Ctrl-S, a pager) never holds up a run. When the
queue is full, what comes is counted instead of told.

An event that another process sent is told when one of its runs starts here, when it is routed here, or when the store
is seen to have it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import attrs
import click
import trio

from ...errors import StoreError
from ...events import AcceptedEvent
from ...history import Started
from ...transition import Transition
from ..engine import Engine
from ..store import TAIL, Committed
from .faults import ReaderGone
from .narrator import Line, Note, Tone, heard_of, narrate, note_on, started_by
from .output import SHORT_ID, escaped, printable, short_id, stand_still

QUEUE = 5_000
_REMEMBERED = 10_000
_LAST_WORDS = 2.0
_LOOK_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_NEWEST = 50
_INDENT = " " * 14

_COLOURS: dict[Tone, dict[str, str | bool]] = {
    "plain": {},
    "good": {"fg": "green"},
    "bad": {"fg": "red"},
    "quiet": {"dim": True},
}


@attrs.define
class _Happened:
    transition: Transition
    now: int
    note: Note | None


@attrs.frozen
class _Seen:
    """An event that the store has."""

    event: AcceptedEvent


class Feed:
    """Tells what an engine does. `width` is that of the workflow's column."""

    def __init__(
        self, engine: Engine, write: Callable[[str], None], *, width: int, colours: bool, payloads: bool
    ) -> None:
        self._engine = engine
        self._write = write
        self._width = width
        self._colours = colours
        self._payloads = payloads
        self._queue: deque[_Happened | _Seen | Line | str] = deque()
        self._unsaid = 0
        self._wake = trio.Event()
        self._telling = trio.Lock()
        self._notes: OrderedDict[tuple[str, str], Note] = OrderedDict()
        self._told: OrderedDict[str, None] = OrderedDict()

    # -- what happens -----------------------------------------------------------------------------

    def committed(self, transition: Transition, committed: Committed) -> None:
        """A transition was committed. Called inside the commit, so it only takes note."""
        note = None
        for event in transition.accept:
            self._is_new(event.id)
        progress = transition.progress
        if progress is not None and self._engine.worker is not None:
            drive = self._engine.worker.drives.get((progress.app, progress.run))
            if drive is not None:
                note = note_on(drive.owned.row, drive.owned.events)
        self._put(_Happened(transition, committed.now, note))

    def log(self, line: Line) -> None:
        """Something was logged. In the engine's thread."""
        self._put(line)

    def say(self, text: str) -> None:
        """Print a line as it is, after what happened before."""
        self._put(text)

    def _put(self, item: _Happened | _Seen | Line | str) -> None:
        if len(self._queue) >= QUEUE:
            self._unsaid += 1
            return
        self._queue.append(item)
        self._wake.set()

    # -- telling ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell what happens, until cancelled. Raises `ReaderGone`."""
        gone = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look)
                while True:
                    await self._wake.wait()
                    self._wake = trio.Event()
                    await self._tell()
        except* ReaderGone:
            gone = True
        if gone:
            raise ReaderGone

    async def _look(self) -> None:
        """Look at the newest events whenever the store has changed."""
        store = self._engine.store
        with suppress(StoreError):
            for event in (await store.find_events(None, None, _NEWEST)).items:
                self._is_new(event.id)
        while True:
            try:
                await store.wait_changed(_LOOK_SECONDS)
                newest = await store.find_events(None, None, _NEWEST)
            except StoreError:
                await trio.sleep(_LOOK_SECONDS)
                continue
            for event in reversed(newest.items):
                if event.id not in self._told:
                    self._put(_Seen(event))
            await trio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Tell what is left, if the reader takes it in time."""
        with trio.move_on_after(_LAST_WORDS) as last_words:
            await self._tell()
        if last_words.cancelled_caught:
            stand_still()

    async def _tell(self) -> None:
        async with self._telling:
            lines = await self._taken()
            if lines:
                await trio.to_thread.run_sync(self._write, "\n".join(lines), abandon_on_cancel=True)

    async def _taken(self) -> list[str]:
        """What the queue holds, as lines to print."""
        lines: list[str] = []
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, str):
                lines.append(item)
                continue
            match item:
                case Line():
                    told = [item]
                case _Seen(event):
                    told = [heard_of(event, self._payloads)] if self._is_new(event.id) else []
                case _Happened():
                    told = await self._lines(item)
            lines += [self._shown(line) for line in told]
        if self._unsaid:
            lines.append(f"… not shown, because it came faster than it could be printed: {self._unsaid} commits")
            self._unsaid = 0
        return lines

    async def _lines(self, item: _Happened) -> list[Line]:
        transition = item.transition
        for new in transition.create:
            self._remember((new.row.app, new.row.id), note_on(new.row, new.events))
        note = await self._note(item)
        lines: list[Line] = []
        if note is not None and any(isinstance(record, Started) for record in _records(transition)):
            lines += [heard_of(e, self._payloads) for e in started_by(note.events) if self._is_new(e.id)]
        lines += await self._routed(transition)
        return lines + narrate(transition, item.now, lambda app, run: note or Note(""), self._payloads)

    async def _note(self, item: _Happened) -> Note | None:
        """What is known of the run that a transition is about."""
        progress = item.transition.progress
        if progress is None:
            return None
        key = (progress.app, progress.run)
        note = self._notes.get(key) or item.note
        if note is None:
            note = await self._read_note(*key)
        if note is not None:
            started = next((r.at for r in progress.records if isinstance(r, Started)), note.started_at)
            note = attrs.evolve(note, started_at=started)
            self._remember(key, note)
        return note

    async def _read_note(self, app: str, run: str) -> Note | None:
        try:
            loaded = await self._engine.store.load(app, run, TAIL)
        except StoreError:
            return None
        return None if loaded is None else note_on(loaded.row, loaded.events)

    async def _routed(self, transition: Transition) -> list[Line]:
        """Lines of events that others accepted, and that were routed here."""
        lines = []
        for id in transition.routed:
            if id in self._told:
                continue
            try:
                event = await self._engine.store.event(id)
            except StoreError:
                event = None
            if event is not None and self._is_new(id):
                lines.append(heard_of(event, self._payloads))
        return lines

    def _remember(self, key: tuple[str, str], note: Note) -> None:
        self._notes[key] = note
        if len(self._notes) > _REMEMBERED:
            self._notes.popitem(last=False)

    def _is_new(self, event: str) -> bool:
        """Whether an event was not told yet; from now on it was."""
        if event in self._told:
            return False
        self._told[event] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return True

    # -- showing ----------------------------------------------------------------------------------

    def _shown(self, line: Line) -> str:
        run = printable(short_id(line.run)).ljust(SHORT_ID)
        verb = line.verb.ljust(10)
        if self._colours:
            verb = click.style(verb, **_COLOURS[line.tone])  # type: ignore[arg-type]
            run = click.style(run, fg="cyan") if line.run else run
        workflow = printable(line.workflow).ljust(self._width)
        first, *more = line.text.splitlines() or [""]
        shown = f"{clock(line.at)}  {run}  {workflow}  {verb}  {escaped(first)}".rstrip()
        return "\n".join([shown, *[f"{_INDENT}{escaped(text)}" for text in more]])


def _records(transition: Transition) -> tuple[object, ...]:
    return transition.progress.records if transition.progress is not None else ()


def clock(at: int) -> str:
    """The time of day here, to the millisecond."""
    return f"{datetime.fromtimestamp(at / 1_000_000):%H:%M:%S.%f}"[:-3]


class FeedHandler(logging.Handler):
    """Log lines of flowgen and of workflows, into the feed; from any thread."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        source = getattr(record, "flowgen", {})
        at = int(record.created * 1_000_000)
        tone: Tone = "bad" if record.levelno >= logging.WARNING else "plain"
        level, message = record.levelname.lower(), self.format(record)
        line = Line(at, level, message, str(source.get("run", "")), str(source.get("workflow", "")), tone)
        if threading.get_ident() == self._thread:
            self._feed.log(line)
            return
        try:
            self._token.run_sync_soon(self._feed.log, line)
        except trio.RunFinishedError:
            return
