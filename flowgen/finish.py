"""How an owner ends its run when the body has ended: the terminal record, and all that follows from it.

Those who wait for the end are told, keys are let go of, handlers and internal events begin (`aftermath`).
A body that restarts hands its parent, its callers and its keys on to its successor instead.

Pure, with the pen of one draft. What has to be known of the store is asked for before (`unknown`).
"""

from __future__ import annotations

import attrs

from . import singleton
from .admission import Start, cancel_waits, slots_of
from .aftermath import Aftermath, Ended, aftermath, is_followed
from .effects import callers_of, direct_event, to_parent
from .ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from .errors import ExpressionError
from .events import AcceptedEvent, event_document
from .facts import Questions
from .history import EndCancelled, EndCompleted, EndFailed
from .ids import derived_id, seed_of
from .outcome import NULL, Failure, Json
from .pen import Pen
from .runs import ChildCompleted, ChildFailed, RunRow, Stored
from .transition import NewRun


@attrs.frozen
class Closing:
    """The end as the row tells it."""

    stored: Stored
    reason: str | None = None
    restarted_as: str | None = None


class Finish:
    """Ends the run of one draft."""

    def __init__(self, pen: Pen, end: BodyEnd) -> None:
        self._pen = pen
        self._end = end
        self._row = pen.owned.row

    def unknown(self) -> Questions | None:
        """What has to be known before the run can be ended; None if nothing."""
        if isinstance(self._end, BodyRestarted):
            unknown = {(self._row.app, name) for name in self._row.holds} - self._pen.facts.keys.keys()
            return Questions(keys=unknown) if unknown else None
        if not is_followed(self._row, self._pen.facts):
            return None
        after = self._aftermath()
        return after if isinstance(after, Questions) else None

    def write(self) -> Closing:
        """Write the terminal record and what follows from it."""
        end, pen = self._end, self._pen
        if isinstance(end, BodyRestarted):
            successor = self._restart(end.data)
            pen.record(EndCompleted(pen.at, NULL, successor))
            return Closing("completed", None, successor)
        if is_followed(self._row, pen.facts):
            self._follow(self._aftermath())
        match end:
            case BodyReturned(data):
                pen.record(EndCompleted(pen.at, data))
                self._tell(ChildCompleted("", "", data))
                return Closing("completed")
            case BodyRaised(failure, step):
                pen.record(EndFailed(pen.at, failure, step))
                self._tell(ChildFailed("", "", failure))
                return Closing("failed", str(failure))
            case BodyCancelled(cause):
                pen.record(EndCancelled(pen.at, cause))
                self._tell(ChildFailed("", "", self._cancelled(cause)))
                return Closing("cancelled", cause)

    def _cancelled(self, cause: str) -> Failure:
        return Failure("RunCancelledError", f"run {self._row.id} was cancelled: {cause}")

    def _aftermath(self) -> Aftermath | Questions | None:
        match self._end:
            case BodyReturned(data):
                ended = Ended("completed", result=data)
            case BodyRaised(failure, step):
                ended = Ended("failed", failure=failure, step=step)
            case BodyCancelled(cause):
                ended = Ended("cancelled", failure=self._cancelled(cause))
            case BodyRestarted():
                return None
        pen = self._pen
        return aftermath(self._row, pen.owned.events[-1], ended, pen.facts, pen.at)

    def _follow(self, after: Aftermath | Questions | None) -> None:
        if not isinstance(after, Aftermath):
            return
        effect = self._pen.effect
        for take in after.keys.take:
            self._pen.take_key(take)
        effect.drop += after.keys.drop
        effect.messages += after.keys.messages
        effect.accept += after.accept
        self._pen.let_in(after.gate)

    def _tell(self, body: ChildCompleted | ChildFailed) -> None:
        """Tell the steps that wait for this end."""
        row, life = self._row, self._pen.interpreter.life
        for parent in callers_of(row):
            self._pen.effect.messages.append(to_parent(row, parent, life, body))

    # -- restart ----------------------------------------------------------------------------------

    def _restart(self, data: Json) -> str:
        """Create the successor, which takes the place of this run everywhere; its id."""
        pen, row = self._pen, self._row
        id = derived_id(row.id, "restart", pen.interpreter.life)
        trigger = pen.owned.events[-1]
        event = direct_event(id, data, pen.at, trigger.position, cause=trigger)
        new = RunRow(row.app, id, row.workflow, pen.at, seed_of(id), due_at=pen.at, parent=row.parent)
        new.callers, new.priority, new.holds = row.callers, row.priority, row.holds
        new.since = tuple(sorted(pen.interpreter.seen().items()))
        new.slots = self._slots(event)
        new.wants = bool(new.slots)
        pen.effect.create.append(NewRun(new, (event,)))
        self._watch_for_cancel(id, event)
        for name in row.holds:
            held = pen.facts.keys[row.app, name]
            if held is not None:
                pen.take_key(singleton.hand_on(row.app, held, row.id, id))
        return id

    def _slots(self, event: AcceptedEvent) -> tuple[str, ...]:
        """The slots that the successor needs; those of this run if a key cannot be worked out for its data."""
        try:
            return slots_of(self._row.workflow, self._pen.interpreter.workflow.policies, event_document(event))
        except ExpressionError:
            return self._row.slots

    def _watch_for_cancel(self, id: str, event: AcceptedEvent) -> None:
        route = self._pen.facts.table.find(self._row.app, self._row.workflow)
        if route is not None:
            self._pen.effect.open_waits += cancel_waits(Start(route, event, id), event, self._pen.at)
