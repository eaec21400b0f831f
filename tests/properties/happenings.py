"""What may happen to a program, as records: a list of numbers picks one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from flowgen.events import AcceptedEvent
from flowgen.history import InvokeTerms, SendSignalTerms, SendTerms, SignalTerms, SleepTerms, Terms, WaitTerms
from flowgen.outcome import Json
from flowgen.tree import Step
from tests.bodies import SECOND, START
from tests.properties.programs import Block, Played

Happening = Callable[[], object]


def play(block: Block, choices: Iterable[int]) -> Played:
    """Play a program: at each moment the next number picks what happens, of all that can."""
    played = Played(block)
    for number, choice in enumerate(choices):
        ask(played)
        if played.end is not None and (played.interpreter.cancelling or choice % 4):
            break
        options = list(happenings(played, number))
        options[choice % len(options)]()
    ask(played)
    return played


def ask(played: Played) -> None:
    """Record what was asked for, as an owner would before anything else happens."""
    while waiting := [s for s in played.interpreter.pending.values() if s.kind != "run" and s.terms is None]:
        played.request(waiting[0].id, terms_of(waiting[0], played.at))


def terms_of(step: Step, at: int) -> Terms:
    """Terms of the kind that the step's request would have."""
    match step.kind:
        case "sleep":
            return SleepTerms(at + 60 * SECOND)
        case "wait":
            return WaitTerms(f"wait {step.id}", "order/paid", at + 3600 * SECOND, 5)
        case "signal":
            return SignalTerms(f"wait {step.id}", "signal", at + 3600 * SECOND)
        case "invoke":
            return InvokeTerms("shop", "child", f"child {step.id}")
        case "send":
            return SendTerms((f"event {step.id}",))
        case _:
            return SendSignalTerms("signal")


def happenings(played: Played, number: int) -> Iterable[Happening]:
    """Everything that may happen now, in a fixed order."""
    for step in list(played.interpreter.pending.values()):
        yield from _of_step(played, step, number)
    for scope in sorted(played.interpreter.cleaning):
        yield lambda scope=scope: played.expire(scope)
    yield lambda: played.cancel(f"reason {number}")


def _of_step(played: Played, step: Step, number: int) -> Iterable[Happening]:
    ok = lambda value, position=None: played.ok(step.id, value, position)  # noqa: E731
    match step.kind:
        case "run":
            yield lambda: ok({"n": number})
            yield lambda: ok(number)
            yield lambda: played.try_failed(step.id, played.at + SECOND)
            yield lambda: played.fail(step.id, "OSError", f"failure {number}", step.failures + 1)
        case "wait":
            yield lambda: ok(_event(number), 1_000 + number)
            yield lambda: ok(None)
        case "sleep":
            yield lambda: ok(None)
        case _:
            yield lambda: ok({"n": number})
            yield lambda: played.fail(step.id, "Refused", f"failure {number}")


def _event(number: int) -> Json:
    event = AcceptedEvent(f"e{number}", "order/paid", Json(b'{"id":"7"}'), START, START, position=1_000 + number)
    return Json(msgspec.json.encode(event))
