"""What people are told when code and history disagree: both sides, and the line where the body stands.

Only texts are made here; that there is a difference was found by `interpreter`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from .ends import BodyCancelled, BodyEnd, BodyRaised
from .generators import suspended_at
from .history import AttemptFailed, StepRecord
from .outcome import NULL, Json
from .tree import Fiber, Step

_STEPS_SHOWN = 3
_TEXT_SHOWN = 200


def recorded(record: StepRecord) -> str:
    """What the history has: the step of a record, with its arguments if it carries them."""
    return f"{kind_of(record)} {record.step!r}{_asked(record.arguments)} ({type(record).__name__})"


def yielded(step: Step) -> str:
    """What the code has asked for."""
    return f"{step.kind} {step.id!r}{_asked(step.arguments)}"


def now_yields(end: BodyEnd | None, pending: Collection[Step]) -> str:
    """What the code does now, at a place where the history has something else."""
    match end:
        case None:
            pass
        case BodyRaised(failure):
            return f"nothing more: the body has raised {failure}"
        case BodyCancelled(reason):
            return f"nothing more: the body has ended, cancelled: {reason}"
        case _:
            return "nothing more: the body has returned"
    if not pending:
        return "nothing yet"
    some = [yielded(step) for step in list(pending)[:_STEPS_SHOWN]]
    more = len(pending) - len(some)
    return " and ".join(some) + (f" and {more} more" if more > 0 else "")


def line_of(step: Step | None, pending: Iterable[Step], root: Fiber | None) -> str:
    """The source line of the `yield` that a step is suspended at; without one, that of the only pending step, or
    of the body."""
    waiting = [step] if step is not None else list(pending)
    node: Any = waiting[0] if len(waiting) == 1 else root
    while node is not None and type(node) is not Fiber:
        node = node.parent
    return suspended_at(node.generator) if node is not None else ""


def kind_of(record: StepRecord) -> str:
    """The kind of the step that a record is about."""
    return "run" if isinstance(record, AttemptFailed) else record.kind


def text_of(data: Json) -> str:
    """JSON as text, not too much of it."""
    text = bytes(data).decode("utf-8", "replace")
    return text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + "…"


def _asked(arguments: Json) -> str:
    return f" with {text_of(arguments)}" if arguments != NULL else ""
