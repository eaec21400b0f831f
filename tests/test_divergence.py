"""Code and history disagree: what is told, and what `changes="additive"` allows (design §4, fingerprint)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from flowgen import All, Context, DefinitionError, NondeterminismError, Race, Run, RunCancelled, Sleep, Steps, WaitFor
from flowgen.ends import BodyRaised, BodyReturned
from flowgen.history import (
    AttemptFailed,
    CleanupExpired,
    EndCompleted,
    EndFailed,
    Record,
    Requested,
    SleepTerms,
    StepFailed,
    StepSucceeded,
)
from flowgen.interpreter import Interpreter
from flowgen.outcome import NULL, Failure, Json
from flowgen.values import decode
from tests.bodies import Fed, act, replay


def sequence(*commands: Any) -> Any:
    """A body that yields these commands and returns what they gave."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        got = []
        for command in commands:
            got.append((yield command))
        return got

    return body


def run(name: str, *args: Any) -> Run[Any]:
    return Run(name, act, *args)


def diverge(body: Any, history: Sequence[Record], **options: Any) -> NondeterminismError:
    with pytest.raises(NondeterminismError) as caught:
        replay(body, history, **options)
    return caught.value


# -- strict ----------------------------------------------------------------------------------------


def test_other_arguments_diverge_and_both_sides_are_shown() -> None:
    """The message has the step, what history has, what the code yields, and the line of the yield."""

    def changed(ctx: Context[Any]) -> Steps[None]:
        yield Run("charge", act, "7", amount=2)

    history = Fed(sequence(Run("charge", act, "7", amount=1))).ok("charge", 1).history
    error = diverge(changed, history)
    line = changed.__code__.co_firstlineno + 1
    assert error.step_id == "charge"
    assert error.recorded == """run 'charge' with [["7"],{"amount":1}] (StepSucceeded)"""
    assert error.yields == """run 'charge' with [["7"],{"amount":2}]"""
    assert error.where == f"{__file__}:{line}, in changed"
    for part in ("charge", error.recorded, error.yields, error.where, "nothing is lost"):
        assert part in str(error)


def test_another_id_diverges() -> None:
    """The code asks for a step that history does not have at that place."""
    history = Fed(sequence(run("a"), run("b"))).ok("a").ok("b").history
    error = diverge(sequence(run("a"), run("c")), history)
    assert (error.step_id, error.yields) == ("b", "run 'c' with [[],{}]")


def test_another_kind_diverges() -> None:
    """The same id as another command."""
    history = Fed(sequence(run("a"))).ok("a").history
    assert diverge(sequence(Sleep("a", 1)), history).yields == "sleep 'a'"


def test_a_missing_step_diverges() -> None:
    """History has a step that the code does not ask for any more."""
    history = Fed(sequence(run("a"), run("b"))).ok("a").ok("b").history
    assert diverge(sequence(run("b")), history).step_id == "a"


def test_an_extra_step_diverges() -> None:
    """The code asks for a step before one that history has."""
    history = Fed(sequence(run("a"), run("b"))).ok("a").ok("b").history
    error = diverge(sequence(run("a"), run("new"), run("b")), history)
    assert (error.step_id, error.yields) == ("b", "run 'new' with [[],{}]")


def test_another_order_diverges() -> None:
    """Two steps that changed places."""
    history = Fed(sequence(run("a"), run("b"))).ok("a").ok("b").history
    assert diverge(sequence(run("b"), run("a")), history).step_id == "a"


def test_a_body_that_ends_early_diverges() -> None:
    """History goes on where the code has returned, or raised."""

    def raises(ctx: Context[Any]) -> Steps[None]:
        yield run("a")
        raise ValueError("new check")

    history = Fed(sequence(run("a"), run("b"))).ok("a").ok("b").history
    assert diverge(sequence(run("a")), history).yields == "nothing more: the body has returned"
    assert "the body has raised ValueError: new check" in diverge(raises, history).yields


def test_a_body_that_ends_late_diverges() -> None:
    """History completed where the code asks for more."""
    history = Fed(sequence(run("a"))).ok("a").complete().history
    error = diverge(sequence(run("a"), run("b")), history)
    assert (error.recorded, error.yields) == ("the run completed", "run 'b' with [[],{}]")


def test_how_it_ended_is_for_others_to_compare() -> None:
    """Whether the result is the recorded one, or an error came instead, is there to be seen after a replay."""

    def raises(ctx: Context[Any]) -> Steps[None]:
        yield run("a")
        raise ValueError("new check")

    history = Fed(sequence(run("a"))).ok("a").complete().history
    assert isinstance(replay(raises, history).end, BodyRaised)


def test_a_failed_run_may_have_been_ended_from_outside() -> None:
    """Its terminal record says nothing of the body: the worker may have been lost."""
    fed = Fed(sequence(run("a"), run("b"))).ok("a")
    assert replay(sequence(run("a"), run("b")), [*fed.history, EndFailed(fed.at, Failure("WorkerLost", "…"))])


def test_a_request_diverges_like_an_outcome() -> None:
    """Requests and failed attempts are compared too, so that a difference shows as early as can be."""
    wait = WaitFor("w", "a/b", match="data.id", timeout=1)
    other = WaitFor("w", "a/c", match="data.id", timeout=1)
    fed = Fed(sequence(wait))
    request = Requested(fed.at, "w", "wait", fed.step("w").digest, SleepTerms(fed.at), fed.step("w").arguments)
    error = diverge(sequence(other), [*fed.history, request])
    assert '"event":"a/b"' in error.recorded
    assert '"event":"a/c"' in error.yields
    attempt = Fed(sequence(run("a", 1))).try_failed("a", 0).history
    assert diverge(sequence(run("a", 2)), attempt).step_id == "a"


def test_a_timeout_may_be_tuned() -> None:
    """Durations are no part of the fingerprint."""
    fed = Fed(sequence(WaitFor("w", "a/b", timeout=1), Sleep("s", 1)))
    history = fed.request("w").ok("w").request("s").ok("s").history
    again = replay(sequence(WaitFor("w", "a/b", timeout=9), Sleep("s", 99)), history)
    assert isinstance(again.end, BodyReturned)


def test_a_race_that_became_an_all_diverges_at_the_loser() -> None:
    """What was given up is open in the new code: the next record shows it."""
    history = Fed(sequence(Race(a=run("a"), b=run("b")), run("c"))).ok("a").ok("c").history
    error = diverge(sequence(All(run("a"), run("b")), run("c")), history)
    assert (error.step_id, error.yields) == ("c", "run 'b' with [[],{}]")


def test_a_clean_up_that_is_not_there_diverges() -> None:
    """History closed a fiber that the code does not have, or that is not cancelled."""

    def guarded() -> Steps[None]:
        try:
            yield run("l")
        except RunCancelled:
            yield run("free")

    def careless() -> Steps[None]:
        yield run("l")

    def body(loser: Any) -> Any:
        def made(ctx: Context[Any]) -> Steps[None]:
            yield Race(w=run("w"), l=loser())
            yield run("after")

        return made

    history = Fed(body(guarded)).ok("w").expire("race/l").history
    assert diverge(body(careless), history).step_id == "race/l"
    expired: list[Record] = [*Fed(sequence(run("a"))).history, CleanupExpired(0, "")]
    assert diverge(sequence(run("a")), expired).step_id == "(body)"


def test_several_open_steps_are_summed_up() -> None:
    """The message shows what is open, not a screen of it."""
    history = Fed(sequence(run("a"))).ok("a").history
    error = diverge(sequence(All(*(run(f"b{n}") for n in range(9)))), history)
    assert error.yields.startswith("run 'b0' with [[],{}] and run 'b1'")
    assert error.yields.endswith("and 6 more")


def test_long_arguments_are_cut() -> None:
    """Both sides stay readable."""
    history = Fed(sequence(run("a", "x" * 10_000))).ok("a").history
    assert len(str(diverge(sequence(run("a", "y" * 10_000)), history))) < 1_200


def test_large_arguments_are_compared_whole() -> None:
    """Only a preview of them is recorded, so the digest tells: a difference at the far end is found."""
    history = Fed(sequence(run("a", "x" * 10_000 + "1"))).ok("a").history
    assert isinstance(replay(sequence(run("a", "x" * 10_000 + "1")), history).end, BodyReturned)
    assert diverge(sequence(run("a", "x" * 10_000 + "2")), history).step_id == "a"


def test_the_line_is_that_of_the_innermost_part_and_of_the_branch() -> None:
    """`yield from`, `yield cmd` and branches all lead to the line of the user's yield."""

    def part() -> Steps[None]:
        yield from run("a", 2)

    def in_branch(ctx: Context[Any]) -> Steps[None]:
        yield All(run("x"), part())

    def old(ctx: Context[Any]) -> Steps[None]:
        def part() -> Steps[None]:
            yield run("a", 1)

        yield All(run("x"), part())

    error = diverge(in_branch, Fed(old).ok("all/1/a").history)
    assert error.where == f"{__file__}:{part.__code__.co_firstlineno + 1}, in part"


# -- values ----------------------------------------------------------------------------------------


@attrs.frozen
class Old:
    id: int


@attrs.frozen
class New:
    id: int
    name: str


def load_old() -> Old:
    raise AssertionError


def load_new() -> New:
    raise AssertionError


def test_a_recorded_value_that_no_longer_fits_diverges() -> None:
    """A changed annotation parks the run like changed code."""
    history = Fed(sequence(Run("load", load_old))).ok("load", Old(1)).history
    error = diverge(sequence(Run("load", load_new)), history)
    assert error.recorded == 'the value {"id":1}'
    assert "does not fit New" in error.yields


def test_a_memo_that_no_longer_fits_diverges_live_too() -> None:
    """Met late by additive code, a recorded value is still a recorded one: the live step is not blamed for it."""
    fed = Fed(sequence(Run("load", load_old), run("b")), changes="additive").ok("load", Old(1))
    again = replay(sequence(run("new"), Run("load", load_new)), fed.history, changes="additive")
    with pytest.raises(NondeterminismError, match="does not fit New"):
        again.feed(StepSucceeded(fed.at, "new", NULL, digest=again.pending["new"].digest))


# -- copied records --------------------------------------------------------------------------------


def test_copied_records_are_compared_by_kind_and_id_only() -> None:
    """`rerun` leaves the digest out."""
    history = [attrs.evolve(record, digest="") for record in Fed(sequence(run("a", 1))).ok("a").history]
    assert isinstance(replay(sequence(run("a", 2)), history).end, BodyReturned)
    diverge(sequence(run("b", 2)), history)
    diverge(sequence(Sleep("a", 2)), history)


# -- additive --------------------------------------------------------------------------------------


def additive(body: Any, history: Sequence[Record]) -> Interpreter:
    return replay(body, history, changes="additive")


def results(interpreter: Interpreter) -> Any:
    assert isinstance(interpreter.end, BodyReturned), interpreter.end
    return decode(interpreter.end.data)


def finish(body: Any, history: Sequence[Record], **values: Any) -> Any:
    """Replay additively, then give the steps that are asked for their values."""
    interpreter = additive(body, history)
    for name, value in values.items():
        step = interpreter.pending[name]
        interpreter.feed(StepSucceeded(0, name, Json(str(value).encode()), step.kind, step.digest))
    return results(interpreter)


THREE = (run("a"), run("b"), run("c"))


@pytest.mark.parametrize(
    "commands, expected",
    [
        ((run("a"), run("b"), run("c")), [1, 2, 3]),
        ((run("a"), run("c")), [1, 3]),
        ((), []),
        ((run("c"), run("b"), run("a")), [3, 2, 1]),
        ((run("c"), run("a")), [3, 1]),
        ((run("a", "changed"), run("b"), run("c")), [1, 2, 3]),
        ((run("c"), run("a", 9), run("b")), [3, 1, 2]),
        ((All(run("b"), run("a")), run("c")), [[2, 1], 3]),
    ],
)
def test_additive_code_meets_its_steps_by_id(commands: tuple[Any, ...], expected: Any) -> None:
    """Removed, reordered and changed steps keep what was recorded for their ids."""
    history = Fed(sequence(*THREE), changes="additive").ok("a", 1).ok("b", 2).ok("c", 3).history
    body = sequence(*commands) if commands else sequence(All())
    assert results(additive(body, history)) == (expected if commands else [[]])


def test_an_added_step_runs_when_it_is_met() -> None:
    """Steps after it find their outcomes waiting."""
    history = Fed(sequence(*THREE), changes="additive").ok("a", 1).ok("b", 2).history
    body = sequence(run("a"), run("new"), run("b"), run("c"))
    interpreter = additive(body, history)
    assert [step.id for step in interpreter.take_fresh()] == ["new"]
    assert finish(body, history, new=9, c=3) == [1, 9, 2, 3]


def test_a_failed_step_is_remembered_too() -> None:
    """A failure is an outcome: it is raised where the step is met."""
    fed = Fed(sequence(run("a"), run("b")), changes="additive")
    history = [*fed.history, StepFailed(fed.at, "b", Failure("OSError", "disk"))]
    interpreter = additive(sequence(run("new"), run("b")), history)
    interpreter.feed(StepSucceeded(0, "new", NULL, digest=interpreter.pending["new"].digest))
    assert "OSError: disk" in str(interpreter.end)


def test_attempts_and_requests_are_remembered_too() -> None:
    """An open wait that is met late goes on with its terms, a step with its attempts."""
    fed = Fed(sequence(All(Sleep("s", 9), run("r"))), changes="additive").request("s").try_failed("r", retry_at=77)
    terms = fed.step("s").terms
    body = sequence(run("new"), All(run("r"), Sleep("s", 9)))
    interpreter = additive(body, fed.history)
    assert list(interpreter.pending) == ["new"]
    interpreter.feed(StepSucceeded(0, "new", NULL, digest=interpreter.pending["new"].digest))
    assert interpreter.pending["s"].terms == terms
    assert (interpreter.pending["r"].failures, interpreter.pending["r"].retry_at) == (1, 77)


def test_additive_code_may_not_change_what_a_step_is() -> None:
    """The same id as another kind of command cannot have the outcome of the old one."""
    history = Fed(sequence(*THREE), changes="additive").ok("a", 1).history
    assert diverge(sequence(Sleep("a", 1)), history, changes="additive").step_id == "a"
    late = additive(sequence(run("new"), Sleep("a", 1)), history)
    with pytest.raises(NondeterminismError):
        late.feed(StepSucceeded(0, "new", NULL, digest=late.pending["new"].digest))


def test_additive_code_may_lose_a_branch_that_cleaned_up() -> None:
    """The end of a clean-up that is not there any more is passed over."""
    fed = Fed(sequence(*THREE), changes="additive").ok("a", 1)
    history = [*fed.history, CleanupExpired(fed.at, "race/l"), EndCompleted(fed.at)]
    assert list(additive(sequence(*THREE), history).pending) == ["b"]


def test_additive_code_that_is_unchanged_is_unchanged() -> None:
    """Without a change, additive and strict do the same."""
    history: list[Record] = Fed(sequence(*THREE)).ok("a", 1).try_failed("b", 5).ok("b", 2).history
    assert any(isinstance(record, AttemptFailed) for record in history)
    assert list(additive(sequence(*THREE), history).pending) == list(replay(sequence(*THREE), history).pending)


def test_changes_is_one_of_two() -> None:
    """Another word is refused where the workflow is defined."""
    with pytest.raises(DefinitionError, match="neither 'strict' nor 'additive'"):
        Fed(sequence(*THREE), changes="loose")
