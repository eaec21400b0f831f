"""What the owner of a run holds between commits, what it is told, and what it decides.

Values only: `Owned` is the run in memory, an `Input` is one thing that happened to it, and a `Decision`
is what a draft made of inputs: a transition to commit, then what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import attrs

from .context import LogLine
from .ends import BodyEnd
from .events import AcceptedEvent
from .history import Record, Requested
from .outcome import Answered, Outcome
from .runs import Mail, RunRow
from .transition import Transition
from .tree import Step
from .workflow import Workflow


class Lines(Protocol):
    """What a body logs."""

    def take_lines(self) -> list[LogLine]: ...


class Body(Protocol):
    """A run's body, fed with records: an `Interpreter`, or what stands here for a body that is elsewhere.

    What each member means is said there.
    """

    workflow: Workflow[Any, Any]
    life: int
    pending: dict[str, Step]
    fresh: dict[str, Step]
    abandoned: list[Step]
    cleaning: dict[str, int]

    @property
    def context(self) -> Lines: ...
    @property
    def end(self) -> BodyEnd | None: ...
    @property
    def cancelling(self) -> str | None: ...

    def inherit(self, seen: Iterable[tuple[str, int]]) -> None: ...
    def feed(self, record: Record) -> None: ...
    def replay(self, history: Sequence[Record], aloud: bool = False) -> None: ...
    def go_on(self, earlier: Body, under_way: Collection[str]) -> None: ...
    def hold(self, row: RunRow) -> None: ...
    def move(self, workflow: Workflow[Any, Any]) -> None: ...
    def take_fresh(self) -> list[Step]: ...
    def take_abandoned(self) -> list[Step]: ...
    def need_slots(self, steps: Sequence[Step]) -> bool: ...
    def looks_after(self, step: Step) -> int | None: ...
    def unmet(self, step_id: str) -> Requested | None: ...
    def take_leftovers(self) -> list[Requested]: ...
    def seen(self) -> dict[str, int]: ...
    def next_deadline(self) -> int | None: ...
    def take_due(self, now: int) -> list[Step]: ...
    def close(self) -> None: ...


@attrs.define(eq=False)
class Owned:
    """A run as its owner holds it in memory, between commits.

    `position` is that of the next record, `last_at` the time of the newest one, `drained` how much mail
    its records account for. `unlooked` are the open waits that have not looked back yet, `looked` how
    far the others have. Without its concurrency slots (`slotless`) none of its bodies may begin: those that would
    have are `withheld`.
    """

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    interpreter: Body
    position: int = 0
    last_at: int = 0
    drained: int = 0
    unlooked: dict[str, Step] = attrs.Factory(dict)
    looked: dict[str, int] = attrs.Factory(dict)
    slotless: bool = False
    withheld: list[Step] = attrs.Factory(list)

    def next_deadline(self) -> int | None:
        """When somebody has to look at the run: its earliest open deadline, or its own."""
        return self.earliest_deadline(self.row.deadline)

    def earliest_deadline(self, own: int | None) -> int | None:
        """The same, if the run's own deadline were `own`."""
        earliest = self.interpreter.next_deadline()
        if own is None or self.interpreter.cancelling is not None:
            return earliest
        return own if earliest is None else min(own, earliest)


@attrs.define  # one a step
class BodyEnded:
    """The body of step `step` came back, or the call for it. `luck` in [0, 1) is the jitter of its back-off."""

    step: str
    outcome: Outcome | Answered
    luck: float = 0.5


@attrs.frozen
class EventFound:
    """The earliest event that matches an open wait, found by look-back or by mail."""

    step: str
    event: AcceptedEvent


@attrs.frozen
class LookedBack:
    """An open wait has looked back up to position `looked_to` and found nothing."""

    step: str
    looked_to: int


@attrs.frozen
class TimePassed:
    """Look at the deadlines. `at` is store time, as it was answered: the draft's `now` may be an estimate of it, and
    what is due only by that comes too early. None: `now` is no estimate."""

    at: int | None = None


Input = BodyEnded | EventFound | LookedBack | TimePassed | Mail


@attrs.define
class Decision:
    """What a draft came to: a transition to commit, then what to do.

    `execute` are the `Run` steps whose bodies may start after the commit, `abandoned` the steps that
    were given up (their bodies are to be stopped), `look` the waits that must look back before the run
    may be released. `lines` are what the body logged. A run that was released is `resumable` by its live
    generator if no body waits to be started.
    """

    transition: Transition | None
    execute: list[Step]
    abandoned: list[Step]
    look: list[Step]
    lines: list[LogLine]
    released: bool = False
    ended: bool = False
    resumable: bool = True
