"""What a run's history is made of: the records, one class each.

A history is append-only and dense: its first record has position 0. *Run records* say what happened
to the run; *step records* what happened to one of its steps, named by the step's id. Every record has
`at`, the time of the decision that wrote it (microseconds since the epoch), never below that of the
record before.

==================  =====================================================================
`Started`           the run begins; always position 0, committed before the first body
`Requested`         a sleep, wait, signal, invoke or send is open, with its absolute terms
`AttemptFailed`     one try of a `Run` step failed; the next may start at `retry_at`
`StepSucceeded`     the step's outcome: its value, and for a `Run` step what was asked
`StepFailed`        the step's outcome: its failure
`CancelAccepted`    the run is being cancelled; thrown into the body at this position
`CleanupExpired`    a cancelled scope used up its time for clean-up; it is closed here
`Retried`           a failed run goes on: records after `upto`, and those of `steps`, are ignored
`EndCompleted`      terminal: returned a value, or restarted as a successor
`EndFailed`         terminal: raised
`EndCancelled`      terminal: cancelled
==================  =====================================================================

A `Run` step has no `Requested` record: its outcome is its one write. So `Run` outcomes and attempts
carry the fingerprint themselves: `digest` of kind and arguments, and `arguments` (or a preview).

Refuses to know: how records are written (`codec`), what they mean to a generator (`interpreter`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

# Records are built once a step, so they are unfrozen (a third of the cost); nobody mutates one.
# (An alias by import: mypy knows no other.)
from attrs import define as record

from .outcome import NULL, Failure, Json

Kind = Literal["run", "sleep", "wait", "signal", "invoke", "send", "send_signal"]


@record
class Started:
    """The run begins at `at`, on code with this digest."""

    at: int
    digest: str


# -- what a request asked for, in absolute terms --------------------------------------------------


@attrs.frozen
class SleepTerms:
    """Sleep until `due_at`."""

    due_at: int


@attrs.frozen
class WaitTerms:
    """Wait for an event until `expires_at`; only events after position `after` count."""

    wait: str
    event: str
    expires_at: int
    after: int
    path: str | None = None
    value: str | None = None
    where: str | None = None


@attrs.frozen
class SignalTerms:
    """Wait for a signal until `expires_at`."""

    wait: str
    signal: str
    expires_at: int


@attrs.frozen
class InvokeTerms:
    """Run `child` of `app/workflow` and wait for its end, at most until `expires_at`."""

    app: str
    workflow: str
    child: str
    expires_at: int | None = None
    on_cancel: str = "cancel"


@attrs.frozen
class SendTerms:
    """Events with these internal ids, sent by the commit that holds this record."""

    events: tuple[str, ...]


@attrs.frozen
class SendSignalTerms:
    """The signal was put into the mailbox of its waiter by the commit that holds this record."""

    signal: str


Terms = SleepTerms | WaitTerms | SignalTerms | InvokeTerms | SendTerms | SendSignalTerms


@record
class Requested:
    """A step that waits for the world is open. `terms` are its absolute terms."""

    at: int
    step: str
    kind: Kind
    digest: str
    terms: Terms
    arguments: Json = NULL


@record
class AttemptFailed:
    """Attempt number `attempt` (from 1) of a `Run` step failed; the next one may start at `retry_at`."""

    at: int
    step: str
    attempt: int
    failure: Failure
    retry_at: int
    digest: str
    arguments: Json = NULL


@record
class StepSucceeded:
    """The outcome of a step. `position` is set for a matched wait: the position of its event."""

    at: int
    step: str
    value: Json
    kind: Kind = "run"
    digest: str = ""
    arguments: Json = NULL
    position: int | None = None


@record
class StepFailed:
    """The outcome of a step that failed for good, after `attempts` tries.

    `position` is set for a wait whose event could not be restored: the position of that event.
    """

    at: int
    step: str
    failure: Failure
    attempts: int = 1
    kind: Kind = "run"
    digest: str = ""
    arguments: Json = NULL
    position: int | None = None


@record
class CancelAccepted:
    """The run is being cancelled for `reason`; its clean-up steps have until `cleanup_until`."""

    at: int
    reason: str
    cleanup_until: int


@record
class CleanupExpired:
    """The cancelled fiber of `scope` (`""` is the body itself) is closed; its value is dropped."""

    at: int
    scope: str


@record
class Retried:
    """A failed run goes on in life number `life`.

    Records after position `upto` and before this one are ignored by a fold, and so are the earlier
    records of `steps`: the step whose failure failed the body, and the waits, signals and invokes
    that were given up with it. They are asked for anew.
    """

    at: int
    upto: int
    life: int
    steps: tuple[str, ...] = ()


@record
class EndCompleted:
    """The run returned `result`, or restarted as the run `restarted_as`."""

    at: int
    result: Json = NULL
    restarted_as: str | None = None


@record
class EndFailed:
    """The run failed. `step` is the step whose uncaught failure it was, if it was one."""

    at: int
    failure: Failure
    step: str | None = None


@record
class EndCancelled:
    """The run was cancelled for `reason`. `cleaned_up` is false when no clean-up could run."""

    at: int
    reason: str
    cleaned_up: bool = True


Outcome = StepSucceeded | StepFailed
End = EndCompleted | EndFailed | EndCancelled
StepRecord = Requested | AttemptFailed | StepSucceeded | StepFailed
RunRecord = Started | CancelAccepted | CleanupExpired | Retried | End
Record = StepRecord | RunRecord

STEP_RECORDS = (Requested, AttemptFailed, StepSucceeded, StepFailed)
OUTCOMES = (StepSucceeded, StepFailed)
ENDS = (EndCompleted, EndFailed, EndCancelled)


def effective(history: Iterable[Record]) -> list[tuple[int, Record]]:
    """The records that a fold has to look at, with their positions.

    That is all of them, less what each `Retried` takes back: the records after its `upto`, and the
    earlier ones of its `steps`. The `Retried` records themselves stay.
    """
    kept: list[tuple[int, Record]] = []
    for position, entry in enumerate(history):
        if isinstance(entry, Retried):
            kept = [(p, r) for p, r in kept if p <= entry.upto and getattr(r, "step", None) not in entry.steps]
        kept.append((position, entry))
    return kept


def open_requests(history: Iterable[Record]) -> dict[str, Requested]:
    """The requests that have no outcome yet, by step: what a run holds in the store, told without code."""
    requests: dict[str, Requested] = {}
    for _, entry in effective(history):
        if isinstance(entry, Requested):
            requests[entry.step] = entry
        elif isinstance(entry, OUTCOMES):
            requests.pop(entry.step, None)
    return requests
