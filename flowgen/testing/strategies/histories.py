"""Histories: what a store may hold of a run of a workflow, at any moment of its life.

The body is played (`play`): what it asks for is requested, and of everything that may happen to it next one thing is
drawn. So a history is one that the code can have, and all its prefixes are; it ends somewhere, often in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hypothesis import strategies as st

from ...commands import Invoke, Run, SendEvent, WaitFor, WaitForSignal
from ...events import Event
from ...history import AttemptFailed, Record, WaitTerms
from ...outcome import Failure
from ...retry import DEFAULT_BACKOFF
from ...tree import Step
from ...values import decode, preview, return_annotation
from ...workflow import Workflow
from ..replies import Reply
from ..script import Script, play
from .events import data_of
from .outcomes import failures
from .values import Strategy, json_values, values

Draw = Callable[[Strategy], Any]
Happening = Callable[[], object]

MOST_HAPPENINGS = 12


def histories(
    workflow: Workflow[Any, Any], data: Strategy | None = None, most: int = MOST_HAPPENINGS
) -> st.SearchStrategy[list[Record]]:
    """Histories that a run of this workflow may have, on data of this strategy; at most so many things happen.

    `assert_replays(workflow, history, data)` takes one, if `data` is one value only (`st.just(…)`).
    """
    started = data_of(workflow) if data is None else data

    @st.composite
    def history(draw: Draw) -> list[Record]:
        script = play(workflow, draw(started), seed=0)
        try:
            for _ in range(draw(st.integers(0, most))):
                options = list(_happenings(script, draw))
                if not options:
                    break
                draw(st.sampled_from(options))()
            return list(script.history)
        finally:
            script._interpreter.close()

    return history()


def _happenings(script: Script, draw: Draw) -> Iterator[Happening]:
    """Everything that may happen next, the usual first."""
    interpreter = script._interpreter
    if interpreter.end is not None:
        return
    steps = list(interpreter.pending.values())
    for step in steps:
        yield from _of_step(script, step, draw)
    timed = [step for step in steps if step.deadline is not None and not isinstance(step.command, Run)]
    if timed:
        first = min(timed, key=lambda step: step.deadline or 0)
        yield lambda: _passes(script, first)
    if interpreter.cancelling is None:
        yield lambda: script.cancel("drawn")


def _of_step(script: Script, step: Step, draw: Draw) -> Iterator[Happening]:
    reply, command = Reply(script, step), step.command
    match command:
        case Run():
            yield lambda: reply.reply(draw(values(return_annotation(command.fn))))
            yield lambda: reply.fail(draw(failures()))
            retries = script.workflow.retries if command.retries is None else command.retries
            if step.failures < retries:
                yield lambda: _attempt_fails(script, step)
        case Invoke() | WaitForSignal():
            yield lambda: reply.reply(draw(json_values()))
            yield lambda: reply.fail(draw(failures()))
        case WaitFor():
            event = _matching(script, step)
            if event is not None:
                yield partial(reply.event, event)
        case SendEvent():
            yield lambda: reply.reply()
        case _ if step.kind == "send_signal":
            yield lambda: reply.reply()
            yield lambda: reply.fail(draw(failures()))


def _passes(script: Script, step: Step) -> None:
    """Time passes until this step's deadline."""
    reply = Reply(script, step)
    if step.kind == "sleep":
        reply.reply()
    else:
        reply.time_out()


def _attempt_fails(script: Script, step: Step) -> None:
    retry_at = script.time + DEFAULT_BACKOFF.delay(step.failures + 1, 0.5)
    failure = Failure("ConnectionError", "simulated")
    script.feed(
        AttemptFailed(script.time, step.id, step.failures + 1, failure, retry_at, step.digest, preview(step.arguments))
    )


def _matching(script: Script, step: Step) -> Event[Any] | None:
    """An event that this step waits for, as far as its `match` says; None if only `where` could say more."""
    terms, command = step.terms, step.command
    assert isinstance(terms, WaitTerms)
    if command.where is not None or command.event_class is not None:
        return None
    data: dict[str, Any] = {}
    if terms.path is not None:
        names = terms.path.split(".")
        names = names[1:] if names[0] in ("event", "async") else names
        if names[0] != "data":
            return None
        found: Any = decode(script.event.data)
        for name in names[1:]:
            found = found.get(name) if isinstance(found, dict) else None
        inner: Any = found
        for name in reversed(names[1:]):
            inner = {name: inner}
        data = inner if isinstance(inner, dict) else {}
    return Event(terms.event, data)
