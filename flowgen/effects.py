"""What a decision changes beside its own run's history: runs, events, messages, waits, keys.

`Effects` collects them for one transition. The functions make what several decisions need: the event of a run that
no other started, the messages by which a run cancels what it has invoked and tells who has invoked it.
"""

from __future__ import annotations

import attrs

from .events import AFTER_END, INVOKED, INVOKED_AFTER_END, AcceptedEvent
from .facts import Facts, Questions
from .ids import derived_id
from .outcome import Json
from .runs import CancelRequested, ChildCompleted, ChildFailed, Message, Parent, RunRow
from .transition import Cell, DropKey, NewRun, TakeKey, Transition, Wait, in_order


@attrs.define
class Effects:
    """What a draft changes beside its run's history. Most steps change nothing else: then there is none."""

    create: list[NewRun] = attrs.Factory(list)
    accept: list[AcceptedEvent] = attrs.Factory(list)
    messages: list[Message] = attrs.Factory(list)
    open_waits: list[Wait] = attrs.Factory(list)
    close_waits: list[str] = attrs.Factory(list)
    looked: list[tuple[str, int]] = attrs.Factory(list)
    take: dict[tuple[str, str], TakeKey] = attrs.Factory(dict)
    drop: list[DropKey] = attrs.Factory(list)
    cells: dict[tuple[str, str], Cell] = attrs.Factory(dict)
    cancels: list[tuple[str, str]] = attrs.Factory(list)

    def take_key(self, take: TakeKey) -> None:
        """Take a key; one that this transition takes already, or lets go of, is taken once, from there."""
        earlier = self.take.pop((take.app, take.name), None)
        if earlier is not None:
            take = attrs.evolve(take, version=earlier.version)
        if self.drop:
            self.drop = [d for d in self.drop if (d.app, d.name) != (take.app, take.name)]
        self.take[take.app, take.name] = take

    def write_cell(self, cell: Cell) -> None:
        """Write a cell; one that this transition writes already is written once, from the version seen first."""
        earlier = self.cells.get((cell.app, cell.name))
        self.cells[cell.app, cell.name] = cell if earlier is None else attrs.evolve(cell, version=earlier.version)

    def ask_successors(self, facts: Facts, questions: Questions) -> None:
        """A child may have restarted as another run: the cancel has to reach the one that is open."""
        questions.successors |= {child for child in self.cancels if child not in facts.successors}

    def apply(self, transition: Transition, row: RunRow, facts: Facts) -> None:
        messages = list(self.messages)
        for app, child in self.cancels:
            target = facts.successors.get((app, child))
            if target is not None:
                messages.append(given_up(row, app, child, target, must_be_open=True))
        opened = {wait.id for wait in self.open_waits} & set(self.close_waits)
        transition.create = in_order(self.create)
        transition.accept = tuple(self.accept)
        transition.messages = tuple(messages)
        transition.open_waits = tuple(wait for wait in self.open_waits if wait.id not in opened)
        transition.close_waits = tuple(wait for wait in self.close_waits if wait not in opened)
        transition.looked = tuple(self.looked)
        transition.take = tuple(self.take.values())
        transition.drop = tuple(self.drop)
        transition.cells = tuple(self.cells.values())


def direct_event(
    run_id: str, data: Json, now: int, position: int | None = None, *, cause: AcceptedEvent | None = None
) -> AcceptedEvent:
    """The event of a run that no event started: by `engine.start`, `Invoke` or `Restart`.

    `cause` is the event of the run that invokes it, or that it takes the place of.
    """
    name = INVOKED_AFTER_END if cause is not None and cause.name in AFTER_END else INVOKED
    return AcceptedEvent(run_id, name, data, now, now, position=position)


def given_up(row: RunRow, app: str, child: str, target: str, *, must_be_open: bool = False) -> Message:
    """The message by which a run cancels what it has invoked as `child`, and what may be `target` by now."""
    reason = f"its parent {row.id} gave up on it"
    return Message(derived_id(child, "cancel", row.id), app, target, CancelRequested(reason), must_be_open)


def to_parent(row: RunRow, parent: Parent, life: int, body: ChildCompleted | ChildFailed) -> Message:
    """The message by which a run that ended tells the step that invoked it."""
    told = attrs.evolve(body, child=parent.child, step=parent.step)
    return Message(derived_id(row.id, "ended", life), parent.app, parent.run, told)


def callers_of(row: RunRow) -> tuple[Parent, ...]:
    """The steps that wait for the end of a run."""
    return row.callers if row.parent is None else (row.parent, *row.callers)
