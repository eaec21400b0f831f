"""Bugs that somebody could write into a store: messages, mailboxes and what they wake."""

from __future__ import annotations

from .bug import bug

BUGS = (
    bug(
        "a release forgets the unread mail",
        "commits",
        'progress.stored == "parked" or awaited > row.drained',
        'progress.stored == "parked"',
        "a release with unread mail is due now",
        "a release sees the mail of its own commit",
        "an event meets a wait orrroo",
    ),
    bug(
        "a run that ended keeps a debt of mail",
        "commits",
        "row.ended_at, row.drained = now, row.mail",
        "row.ended_at = now",
        "a reopened run starts with an empty mailbox",
    ),
    bug(
        "messages are not deduplicated",
        "commits",
        " or message.id in run.seen",
        "",
        "a message is put once",
        "an event meets a wait orroro",
    ),
    bug(
        "drained messages are forgotten",
        "commits",
        "            run.mail.pop(number, None)",
        "            run.seen.discard(run.mail.pop(number).id)",
        "a drained message is not put again",
    ),
    bug(
        "a message steals the lease",
        "commits",
        'if row.owner is None and row.stored != "parked":\n        row.due_at = _due',
        'if row.stored != "parked":\n        row.due_at = _due',
        "a message does not touch a lease",
    ),
    bug(
        "a message delays a run that is overdue",
        "commits",
        "return now if row.due_at is None else min(row.due_at, now)",
        "return now",
        "a message does not delay a due run",
    ),
    bug(
        "a message does not wake a run without due time",
        "commits",
        "return now if row.due_at is None else min(row.due_at, now)",
        "return None if row.due_at is None else min(row.due_at, now)",
        "a message wakes a waiting run",
        "no wake up is lost",
    ),
    bug(
        "the last cancel is noted, not the first",
        "commits",
        "if isinstance(body, CancelRequested) and not row.unread_cancel:",
        "if isinstance(body, CancelRequested):",
        "a cancel is noted on the row",
    ),
    bug(
        "an ended run goes on waiting",
        "commits",
        "        for id in list(run.waits):\n            _close_wait(state, run, id)",
        "        run.waits.clear()",
        "an ended run waits no more",
    ),
)  # fmt: skip
