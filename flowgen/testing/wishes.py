"""What engines ask of a store, in words: the commits and claims that a plan of faults counts.

Refuses to know what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCancelled,
    EndCompleted,
    EndFailed,
    Record,
    Requested,
    Retried,
    Started,
    StepFailed,
    StepSucceeded,
)
from ..runtime.store import Claims
from ..transition import Progress, Transition
from .faults import Planned
from .trace import Asked
from .world import Request

_OF_COMMIT: tuple[Planned, ...] = ("crash_before", "crash_after", "error_before", "error_after", "pause", "twice")
_OF_CLAIM: tuple[Planned, ...] = ("crash_after", "error_after", "evict")


def asked(request: Request, named: Callable[[str], str]) -> Asked:
    """A request in words; `named` puts the names of runs for their ids."""
    match request.asked:
        case Transition() as transition:
            return Asked(request.number, request.worker, named(_commit_text(transition)), _OF_COMMIT)
        case Claims(runs=runs) if runs:
            given = [claimed.row.id + ", taken over" * claimed.took_over for claimed in runs]
            return Asked(request.number, request.worker, named(f"the claim of {_and(given)}"), _OF_CLAIM)
    return Asked(request.number, request.worker, "a claim of nothing", ())


def _commit_text(transition: Transition) -> str:
    return f"the commit that {_and(list(_deeds(transition)) or ['changes nothing'])}"


def _deeds(transition: Transition) -> Iterator[str]:
    """What a transition does, each with a verb."""
    if transition.accept:
        yield f"accepts {_and([event.name for event in transition.accept])}"
    if transition.create:
        yield f"creates {_and([new.row.id for new in transition.create])}"
    if transition.progress is not None:
        yield _progress_text(transition.progress)
    if transition.messages:
        yield f"sends mail to {_and([message.run for message in transition.messages])}"
    if transition.routed:
        yield f"marks {len(transition.routed)} event{'s' * (len(transition.routed) != 1)} as routed"


def _progress_text(progress: Progress) -> str:
    run = progress.run
    if progress.stored == "parked":
        return f"parks {run}"
    if progress.records:
        return f"records {_and([_record_text(record) for record in progress.records])} of {run}"
    return f"gives {run} back" if progress.release else f"goes on with {run}"


def _record_text(record: Record) -> str:
    match record:
        case Started():
            return "the start"
        case Requested(step=step, kind=kind):
            return f"the request of step {step!r} ({kind})"
        case AttemptFailed(step=step, attempt=attempt):
            return f"failed attempt {attempt} of step {step!r}"
        case StepSucceeded(step=step):
            return f"step {step!r}"
        case StepFailed(step=step):
            return f"the failure of step {step!r}"
        case CancelAccepted():
            return "the cancel"
        case CleanupExpired():
            return "the end of the clean-up"
        case Retried(life=life):
            return f"the beginning of life {life}"
        case EndCompleted() | EndFailed() | EndCancelled():
            return "the end"


def _and(parts: list[str]) -> str:
    """Parts of a sentence; of many, how many more there are."""
    if len(parts) > _SHOWN:
        parts = [*parts[:_SHOWN], f"{len(parts) - _SHOWN} more"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


_SHOWN = 4
