"""Mail for steps that additive code has not asked for yet: it was added a step before them, and is still at that.

The request is in the history, the code is not there yet, and the world answers in the meantime.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import Invoke, Run, Sleep, StepError, WaitFor, WaitForSignal
from flowgen.history import EndCompleted, Requested
from flowgen.outcome import Failure, Json
from flowgen.runs import ChildCompleted, ChildFailed, SignalArrived, SignalReplaced
from flowgen.values import decode
from tests.bodies import act
from tests.owner import Owner

WAIT = WaitFor("w", "a/b", timeout="1h")
SIGNAL = WaitForSignal("s", "go", timeout="1h")
CHILD = Invoke("c", "child", timeout="1h")


def body(*commands: Any) -> Any:
    """A body that yields these commands and returns what the last one gave."""

    def run(ctx: Any) -> Any:
        given = None
        for command in commands:
            try:
                given = yield command
            except StepError as error:
                given = error.error_type
        return given if not hasattr(given, "data") else given.data

    return run


def behind_a_new_step(command: Any) -> Owner:
    """A run that waits at `command`, taken up by code that asks for a step before it."""
    owner = Owner(body(command), changes="additive")
    owner.deploy(body(Run("new", act), command), changes="additive")
    owner.decide()
    assert owner.open == ["new"]
    return owner


def terms_of(owner: Owner) -> Any:
    return next(record.terms for record in owner.history if isinstance(record, Requested))


def returned(owner: Owner) -> Any:
    assert isinstance(owner.end, EndCompleted), owner.end
    return decode(owner.end.result)


@pytest.mark.parametrize("reloaded", [False, True])
@pytest.mark.parametrize(
    "command, answer, expected",
    [
        (SIGNAL, lambda t: SignalArrived(t.wait, "s", Json(b"7")), 7),
        (SIGNAL, lambda t: SignalReplaced(t.wait, "s", "other"), "SignalReplaced"),
        (CHILD, lambda t: ChildCompleted(t.child, "c", Json(b"8")), 8),
        (CHILD, lambda t: ChildFailed(t.child, "c", Failure("Boom", "no")), "Boom"),
    ],
)
def test_an_answer_that_comes_before_its_step_is_asked_for_is_kept(
    command: Any, answer: Any, expected: Any, reloaded: bool
) -> None:
    """A signal or a child's end is said once: if it were dropped, the run would wait for it in vain."""
    owner = behind_a_new_step(command)
    mail = answer(terms_of(owner))
    owner.world.children.clear()
    if isinstance(mail, SignalReplaced):
        owner.world.keys.clear()
    owner.decide(owner.letter(mail))
    if reloaded:
        owner.reload()
        owner.decide()
    assert owner.ok("new").ended
    assert returned(owner) == expected


def test_an_answer_to_an_earlier_request_is_not_kept() -> None:
    """It has to be for this very wait, or child."""
    owner = behind_a_new_step(CHILD)
    owner.decide(owner.letter(ChildCompleted("another child", "c", Json(b"8"))))
    owner.ok("new")
    assert owner.open == ["c"]


def test_a_wait_that_is_met_late_looks_back() -> None:
    """Its event may have come, and its mail may have been read, before it was asked for."""
    owner = behind_a_new_step(WAIT)
    decision = owner.ok("new")
    assert [step.id for step in decision.look] == ["w"]
    assert not decision.released
    owner.decide(owner.event("w", '{"n":1}'))
    assert returned(owner) == {"n": 1}


def test_a_wait_that_is_met_late_and_finds_nothing_goes_on_waiting() -> None:
    """It looks back once; then the run is released, until the event comes or the time is over."""
    owner = behind_a_new_step(WAIT)
    owner.ok("new")
    assert owner.decide(owner.looked("w")).released
    owner.pass_time()
    assert returned(owner) is None


def test_a_sleep_that_is_over_when_it_is_met_is_over() -> None:
    """Its time was recorded; that it was asked for late changes nothing."""
    owner = behind_a_new_step(Sleep("z", 5))
    owner.decide(at=owner.at + 60_000_000)
    owner.ok("new")
    owner.pass_time()
    assert owner.ended
