"""A transition: the value that a decision returns and `Store.commit` applies, all or nothing.

It says everything that one decision changes: what the owner writes on its own run (`Progress`), runs
created, events accepted, messages for other mailboxes, waits opened and closed, unique keys and
cells. It is complete: a store needs no other knowledge to apply it, and decides nothing.

**Identity.** Repeating a transition whose answer was lost must change nothing and is answered with
success. A transition is known by what it wrote:

* one with a progress by its run, fence and the position of its first record. A progress without records
  changes nothing the second time; one that releases (or reopens) the run is known by fence and length, when these are
  the run's and nobody owns it (and, for a reopening, the run is open);
* else by the first event that it accepts: its id is there;
* else by the first run that it creates: it is there and was created by a transition with this `id`;
* else by its first message: that id is or was in its mailbox (ids are remembered while the run is open).
  Then keys and cells are left alone, while each other message is put (once by its id) and events are
  marked routed: two routers that saw different pages of waits complete one another.

Order of checks in `Store.commit`: applied before → success; fence, or an owner where `reopen` means that there is none
→ `LeaseLost`; a reopening of a run that has neither ended nor parked → `Conflict` of the position; a terminal record
while a cancel is unread, a position that is not the run's length, a version that moved → `Conflict`;
a key that somebody holds and that was seen free, a run or an event that exists → `Duplicate`; a message
that needs an open run → `RunEnded`. Each of these changed nothing. A transition takes each key and writes
each cell at most once; the second time is refused as if somebody else had been faster.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .events import AcceptedEvent
from .history import Record
from .outcome import Json
from .runs import Message, Parent, RunRow, Stored


@attrs.frozen
class Opening:
    """What a run that was collecting becomes: a run like any other, with these events.

    Every field but `events` becomes the row's field of that name, before anything else that the progress
    says. One that names slots comes with a release: slots are taken by claims alone.
    """

    events: tuple[AcceptedEvent, ...]
    priority: int = 0
    slots: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    start_at: int | None = None
    deadline: int | None = None
    wants: bool = False
    callers: tuple[Parent, ...] = ()


@attrs.define  # built for every step
class Progress:
    """What the owner of a run writes on it.

    `records` go to `position` and after. `drained` is how much of the run's mail is accounted for
    with them: the row's new `drained`, which never goes down. With `release`, the lease is given back
    in the same commit: the run's next `due_at` is now if mail came that is not drained, else `due_at`. (Of one that was
    collecting only a cancel counts as such mail: its events are not drained before it opens.)
    `stored` (a terminal state, or `parked`, which is due at once) implies release; it, `reason` and
    `digest` become the row's; only one that parks says a digest, and an open one a reason only before the run has
    started. `started_at`, `life` and `restarted_as` do so unless left at their
    defaults; with `started_at`, `deadline` becomes the row's, whatever it is. `lifts_deadline` takes the row's
    deadline away, whatever is said of it beside. `reopen` lifts a run out of an ended or parked state (`retry`):
    it has no owner then, and the commit makes it due at `due_at`, without a deadline, and forgets its strikes.

    `wants` becomes the row's with the release or reopening (that of the `opening`, if there is one): there
    are bodies that could not begin without a slot. A run that is collecting or a schedule stays so only if
    `stored` says it again; `opening` is what one that was collecting opens with.
    """

    app: str
    run: str
    fence: int
    position: int
    records: tuple[Record, ...] = ()
    drained: int = 0
    release: bool = False
    due_at: int | None = None
    stored: Stored = "open"
    reason: str | None = None
    digest: str | None = None
    started_at: int | None = None
    life: int = 0
    restarted_as: str | None = None
    reopen: bool = False
    deadline: int | None = None
    wants: bool = False
    opening: Opening | None = None
    lifts_deadline: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether all that it says is what was recorded: the run is neither begun nor given back nor changed."""
        return (
            self.stored == "open"
            and not (self.release or self.reopen or self.lifts_deadline)
            and self.started_at is None
            and self.opening is None
            and not (self.reason or self.digest or self.restarted_as)
        )


@attrs.frozen
class NewRun:
    """A run to create: its row, the events that it handles, and its first records.

    A row with an `owner` is claimed by the commit that creates it, for `lease` microseconds, under
    the row's fence. The store counts the records; a row in a terminal state has ended now.
    """

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    records: tuple[Record, ...] = ()
    lease: int = 0


def in_order(create: Iterable[NewRun]) -> tuple[NewRun, ...]:
    """New runs of one commit, in the order in which they are to be claimed.

    Those that are due at once are due a microsecond after one another, the last of them now: else they would stand
    by their ids, which is in any order.
    """
    new = tuple(create)
    due = [each.row for each in new if each.row.due_at == each.row.created_at]
    for ahead, row in enumerate(reversed(due)):
        row.due_at = row.created_at - ahead
    return new


@attrs.frozen
class Wait:
    """An open subscription of a run to events.

    It matches events named `event` at a position above `after` whose value at `path` (a dotted path
    in the event, such as `data.order_id`) has the match key `value`, and for which the CEL
    expression `where` is true. `scope` holds what of the run's trigger event `where` reads.
    `looked_to` is the position up to which its owner has looked back (None: not yet).

    A wait without a `step` cancels its run. One that is opened by the commit that creates its run does not
    know where the run's event will stand: `after` None means the position of the run's last event.
    """

    id: str
    app: str
    run: str
    step: str
    event: str
    after: int | None
    expires_at: int
    path: str | None = None
    value: str | None = None
    where: str | None = None
    scope: Json | None = None
    looked_to: int | None = None


@attrs.frozen
class Key:
    """A unique key and who holds it: `holder`, with `detail`, until `expires_at` (None: for good).

    `version` grows by one with each write, and never comes back for that name: whoever takes the key
    when it is free again gives it a higher one. So a version seen is a holder seen. A key past its
    expiry is still reported; who may take it over then is for a decision to say.
    """

    name: str
    holder: str
    detail: str = ""
    expires_at: int | None = None
    version: int = 1


@attrs.frozen
class TakeKey:
    """Take a key. `version` is the one it was seen with: 0 when nobody held it.

    Refused with `Duplicate` when somebody holds a key that was seen free, with `Conflict` when the
    version moved. Keys live under an app (`""` for those of events, which belong to the store).
    """

    app: str
    name: str
    holder: str
    detail: str = ""
    expires_at: int | None = None
    version: int = 0


@attrs.frozen
class DropKey:
    """Let go of a key, if `holder` still holds it; otherwise nothing happens.

    With a `version`, the drop is refused with `Conflict` unless the key still has that version: it
    says "nobody has touched it since" (a waiter that times out while its signal arrives).
    """

    app: str
    name: str
    holder: str
    version: int | None = None


@attrs.frozen
class Cell:
    """A small versioned document (flow-control state). Version 0: there is none yet.

    To write one is to name the version that was seen; the store gives it the next, as for a `Key`. A
    cell whose time has come is not there any more. Writing no value removes it.
    """

    app: str
    name: str
    version: int = 0
    value: Json | None = None
    expires_at: int | None = None


@attrs.define
class Transition:
    """Everything that one decision changes. See the module's text for its identity and checks.

    `routes` says that each event accepted here has started in this very transition all that it starts, unless it is
    of the future or `deferred`. If nobody waits for events called so, once this is applied, such an event is marked
    routed in the same commit: whoever opens a wait later looks back. A store may leave that to the router.
    """

    id: str
    progress: Progress | None = None
    create: tuple[NewRun, ...] = ()
    accept: tuple[AcceptedEvent, ...] = ()
    messages: tuple[Message, ...] = ()
    open_waits: tuple[Wait, ...] = ()
    close_waits: tuple[str, ...] = ()
    looked: tuple[tuple[str, int], ...] = ()
    take: tuple[TakeKey, ...] = ()
    drop: tuple[DropKey, ...] = ()
    cells: tuple[Cell, ...] = ()
    routed: tuple[str, ...] = ()
    routes: bool = False

    @property
    def lone(self) -> bool:
        """Whether it changes nothing but what its progress says of the owner's run. So do most transitions."""
        return self.progress is not None and not (
            self.messages
            or self.create
            or self.accept
            or self.open_waits
            or self.close_waits
            or self.looked
            or self.take
            or self.drop
            or self.cells
            or self.routed
        )
