"""Applying a transition: first all checks, then all writes.

Every check only reads, so a refusal has nothing to undo and cannot disturb the other transitions of
its batch. Order of the checks, and how a transition that was applied before is known: see
`flowgen.transition`.

The plain progress of an owner, one record, is a look-up of the run, one row of history and an update
of the run's row that touches no index.
"""

from __future__ import annotations

from typing import Final

from ....runs import TERMINAL, CancelRequested, EventCollected, Message
from ....transition import Progress, Transition
from ...store import Committed, Conflict, LeaseLost
from . import slots, world
from .creation import append, create
from .matching import close_wait, looked_back, open_wait
from .row import Control, Row, control_of, control_of_new, listed, row_of, write_control
from .transaction import Transaction


def parts_of(transition: Transition) -> int:
    """How many parts a transition has: about as many rows it writes."""
    records = len(transition.progress.records) if transition.progress is not None else 0
    if transition.lone:
        return records
    others = len(transition.create) + len(transition.accept) + len(transition.messages) + len(transition.open_waits)
    return records + others


def commit(tx: Transaction, transition: Transition) -> Committed:
    """Apply a transition, or raise a `Refused` before anything is written."""
    progress = transition.progress
    if progress is None:
        if not world.applied(tx, transition):
            repeated = _delivered_before(tx, transition)
            world.check(tx, transition, repeated)
            world.accept(tx, transition)
            _change_world(tx, transition, None, repeated)
        return Committed(tx.now, 0, world.positions(tx, transition.accept))
    row = row_of(tx, progress.app, progress.run)
    if row is None:
        raise LeaseLost(f"there is no run {progress.run} in app {progress.app!r}")
    if transition.lone and _only_appends(progress, row):
        append(tx, row.key, row.length, row.fence, progress.records)
        tx.execute("update runs set length = ?2 where key = ?1", (row.key, row.length + len(progress.records)))
        return Committed(tx.now, row.mail)
    if not _progressed(tx, progress, row):
        _check_progress(progress, row)
        world.check(tx, transition)
        _apply(tx, transition, progress, row)
    return Committed(tx.now, row.mail, world.positions(tx, transition.accept))


def _only_appends(progress: Progress, row: Row) -> bool:
    """Whether a progress that nothing stands against changes nothing of the row but its length."""
    return (
        row.fence == progress.fence
        and row.length == progress.position
        and row.drained == progress.drained
        and row.owner is not None
        and row.stored == "open"
        and not row.strikes
        and progress.life in (0, row.life)
        and bool(progress.records)
        and progress.goes_on
    )


def _apply(tx: Transaction, transition: Transition, progress: Progress, row: Row) -> None:
    world.accept(tx, transition)
    plain, mail, was_open = _is_plain(progress, row), row.mail, row.stored == "open"
    _write(tx, progress, row)
    _change_world(tx, transition, row)
    if not plain or row.mail != mail:
        _settle(tx, progress, row, was_open)
    else:
        tx.execute(
            "update runs set length = ?2, drained = ?3, strikes = ?4 where key = ?1",
            (row.key, row.length, row.drained, row.strikes),
        )
    _change_waits(tx, transition, row)


def _is_plain(progress: Progress, row: Row) -> bool:
    """Whether a progress changes nothing of the row but its length, its mail and its strikes."""
    return row.stored == "open" and progress.life in (0, row.life) and progress.goes_on


# -- the owner's run --------------------------------------------------------------------------------


def _progressed(tx: Transaction, progress: Progress, row: Row) -> bool:
    """Whether a progress was applied before."""
    if progress.records:
        if row.length <= progress.position:
            return False
        fence = tx.one("select fence from history where run = ? and position = ?", (row.key, progress.position))
        return bool(fence == progress.fence)
    gave_up = row.owner is None and row.fence == progress.fence and row.length == progress.position
    if progress.reopen:
        return gave_up and row.stored == "open"
    return gave_up and _releases(progress)


def _releases(progress: Progress) -> bool:
    return progress.release or progress.stored in TERMINAL or progress.stored == "parked"


def _check_progress(progress: Progress, row: Row) -> None:
    if row.fence != progress.fence or (row.owner is None) != progress.reopen:
        raise LeaseLost(
            f"run {progress.run} is {row.stored}, owned by {row.owner or 'nobody'} under fence {row.fence}; "
            f"this is written under fence {progress.fence}"
        )
    if progress.stored in TERMINAL and row.cancel > max(row.drained, progress.drained):
        raise Conflict("cancel", f"run {progress.run} cannot end as {progress.stored}: a cancel is unread")
    if progress.position != row.length or (progress.reopen and not row.ended and row.stored != "parked"):
        raise Conflict(
            "position", f"run {progress.run} is {row.stored} with {row.length} records, not {progress.position}"
        )


def _write(tx: Transaction, progress: Progress, row: Row) -> None:
    """What a progress says, in the history and mailbox, and in `row`; `_settle` writes that down."""
    if progress.records:
        append(tx, row.key, progress.position, progress.fence, progress.records)
        row.length += len(progress.records)
    if row.strikes and (progress.records or progress.reopen):
        row.strikes = 0
        _forget_suspect(tx, row)
    if progress.drained > row.drained:
        tx.execute(
            "update mail set body = x'', checksum = 0 where run = ? and number > ? and number <= ?",
            (row.key, row.drained, progress.drained),
        )
        cancelled = row.drained < row.cancel <= progress.drained
        row.drained = progress.drained
        if cancelled:
            deadline = control_of(tx, row).deadline if row.controlled else None
            tx.execute("update runs set codeless_at = ? where key = ?", (row.codeless_at(deadline), row.key))
    row.stored = progress.stored
    row.life = progress.life or row.life


_GO_ON: Final = (
    "update runs set length = ?2, mail = ?3, drained = ?4, strikes = ?5, life = ?6, "
    "started_at = coalesce(?7, started_at), reason = null where key = ?1"
)
_GIVE_BACK: Final = (
    "update runs set owner = null, due_at = ?2, length = ?3, mail = ?4, drained = ?5, strikes = ?6, life = ?7, "
    "started_at = coalesce(?8, started_at), reason = null, rank = ?2 where key = ?1"
)
"""Of the columns that an index names this writes the rank alone: SQLite rewrites an index for each other one."""


def _stays_open(progress: Progress, row: Row) -> bool:
    """Whether a run is what it was: open, with nothing to end it."""
    return (
        progress.stored == "open"
        and not row.cancel
        and progress.opening is None
        and progress.reason is progress.digest is progress.restarted_as is None
    )


def _settle(tx: Transaction, progress: Progress, row: Row, was_open: bool) -> None:
    """Write the row down, with the release. What is due follows from the mail of this very commit too."""
    ended, released = row.ended, _releases(progress) or progress.reopen
    if released:
        if row.strikes:
            _forget_suspect(tx, row)
        row.owner, row.due_at = None, _due_after(tx, progress, row)
        row.drained = row.mail if ended else row.drained
        tx.wakes = True
    control = _control_after(tx, progress, row, released)
    if control is None and was_open and _stays_open(progress, row):
        same = (row.length, row.mail, row.drained, row.strikes, row.life, progress.started_at)
        if released:
            tx.execute(_GIVE_BACK, (row.key, row.due_at, *same))
        else:
            tx.execute(_GO_ON, (row.key, *same))
        return
    tx.execute(
        "update runs set owner = ?2, due_at = ?3, stored = ?4, length = ?5, mail = ?6, drained = ?7, cancel = ?8, "
        "cancel_at = ?9, strikes = ?10, life = ?11, codeless_at = ?12, ended_at = ?13, reason = ?14, digest = ?15, "
        "started_at = coalesce(?16, started_at), restarted_as = coalesce(?17, restarted_as), rank = ?3 where key = ?1",
        (
            *(row.key, row.owner, row.due_at, row.stored, row.length, row.mail, row.drained, row.cancel),
            *(row.cancel_at, row.strikes, row.life, row.codeless_at(None), tx.now if ended else None),
            *(progress.reason, progress.digest, progress.started_at, progress.restarted_as),
        ),
    )
    if progress.opening is not None:
        world.open_collecting(tx, row.key, progress.app, progress.run, progress.opening)
    if control is not None:
        write_control(tx, row, control)
        if released and control.slots is not None:
            slots.let_go(tx, row.key)


def _due_after(tx: Transaction, progress: Progress, row: Row) -> int | None:
    """When a run is due that is given back: at once for mail, unless that is events which it goes on collecting."""
    if row.ended:
        return None
    awaited = row.cancel if row.stored == "collecting" else row.mail
    return tx.now if row.stored == "parked" or awaited > row.drained else progress.due_at


def _control_after(tx: Transaction, progress: Progress, row: Row, released: bool) -> Control | None:
    """What flow control says of a run now; None if nothing."""
    opening = progress.opening
    if not row.controlled and opening is None and not progress.wants and progress.deadline is None:
        return None
    control = control_of(tx, row)
    if opening is not None:
        control = control_of_new(opening, tx.now, control.started_at)
    if progress.started_at is not None:
        control.started_at, control.deadline = progress.started_at, progress.deadline
    if progress.lifts_deadline or (progress.reopen and not row.ended):
        control.deadline = None
    if released:
        control.give_back(progress.wants if opening is None else opening.wants, tx.now)
    return control


def _forget_suspect(tx: Transaction, row: Row) -> None:
    if row.owner is not None:
        tx.execute("update workers set suspect = null where id = ? and suspect = ?", (row.owner, row.key))


# -- the other changes, in the order in which they take effect ----------------------------------------


def _delivered_before(tx: Transaction, transition: Transition) -> bool:
    """Whether a transition that only carries messages has put its first one already."""
    if transition.accept or transition.create or not transition.messages:
        return False
    first = transition.messages[0]
    row = row_of(tx, first.app, first.run)
    return row is not None and _delivered(tx, row, first)


def _change_world(tx: Transaction, transition: Transition, own: Row | None, repeated: bool = False) -> None:
    create(tx, transition.create, transition.id)
    for message in transition.messages:
        _put(tx, message, transition.progress, own)
    if not repeated:
        world.write_keys(tx, transition)
    world.mark_routed(tx, transition.routed)
    if own is None:
        for wait in transition.open_waits:
            open_wait(tx, wait)


def _change_waits(tx: Transaction, transition: Transition, row: Row) -> None:
    for wait in transition.open_waits:
        open_wait(tx, wait)
    for id in transition.close_waits:
        close_wait(tx, row.key, id)
    for id, looked_to in transition.looked:
        looked_back(tx, row.key, id, looked_to)
    if row.ended:
        tx.execute("delete from waits where key = ?", (row.key,))
        tx.execute("delete from mail where run = ?", (row.key,))


def _delivered(tx: Transaction, row: Row, message: Message) -> bool:
    return tx.one("select number from mail where run = ? and id = ?", (row.key, message.id)) is not None


def _put(tx: Transaction, message: Message, progress: Progress | None, own: Row | None) -> None:
    """Put a message into its mailbox, once by its id. `own` is the row that this commit writes itself."""
    is_own = progress is not None and (progress.app, progress.run) == (message.app, message.run)
    row = own if is_own else row_of(tx, message.app, message.run)
    if row is None or row.ended or _delivered(tx, row, message):
        return
    row.mail += 1
    if isinstance(message.body, EventCollected):
        message = world.collect(tx, row.key, message, message.body)
    world.keep_message(tx, row.key, row.mail, message)
    if isinstance(message.body, CancelRequested) and row.cancel <= row.drained:
        row.cancel, row.cancel_at = row.mail, tx.now
    if row.owner is None and row.stored != "parked":
        row.due_at = _due_with(tx, row, message)
    tx.wakes = True
    if not is_own:
        _update_mailbox(tx, row)


def _due_with(tx: Transaction, row: Row, message: Message) -> int | None:
    """When a run is due that got this message; one that collects goes on doing so until it is cancelled."""
    if row.stored == "collecting" and not isinstance(message.body, CancelRequested):
        return row.due_at if message.due_at is None else message.due_at
    return tx.now if row.due_at is None else min(row.due_at, tx.now)


def _update_mailbox(tx: Transaction, row: Row) -> None:
    if row.owner is not None and row.cancel <= row.drained:
        tx.execute("update runs set mail = ?2 where key = ?1", (row.key, row.mail))
        return
    tx.execute(
        "update runs set mail = ?2, due_at = ?3, cancel = ?4, cancel_at = ?5, codeless_at = ?6, rank = ?3 "
        "where key = ?1",
        (row.key, row.mail, row.due_at, row.cancel, row.cancel_at, row.codeless_at(None)),
    )
    if row.controlled:
        control = control_of(tx, row)
        tx.execute(
            "update runs set codeless_at = ?2, line = ?3, rank = ?4 where key = ?1",
            (row.key, row.codeless_at(control.deadline), *listed(row, control, tx.now)),
        )
