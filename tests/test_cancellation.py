"""Cancellation: thrown in at its record, innermost first, with clean-up steps and an end to them (design §4)."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import All, Context, Race, Run, RunCancelled, Sleep, StepError, Steps
from flowgen.duration import moment
from flowgen.fibers import CLEANUP_TIMEOUT
from flowgen.history import SleepTerms
from tests.bodies import SECOND, START, Fed, act


def step(name: str) -> Run[Any]:
    return Run(name, act)


def guarded(seen: list[str], name: str, *cleanup: str) -> Steps[None]:
    """A branch that waits, notes that it is cancelled, and cleans up in steps."""
    try:
        yield step(name)
    except RunCancelled as cancelled:
        seen.append(f"{name}: {cancelled.reason}")
        for each in cleanup:
            yield step(each)
        seen.append(f"{name}: clean")
        raise


# -- the run ---------------------------------------------------------------------------------------


def test_a_cancelled_run_is_thrown_into_and_ends_cancelled() -> None:
    """`RunCancelled` arrives where the body waits, with the reason; what was open is given up."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        yield from guarded(seen, "a")

    fed = Fed(body)
    fed.taken()
    assert fed.cancel("the user changed their mind").cancelled == "the user changed their mind"
    assert seen == ["a: the user changed their mind", "a: clean"]
    assert (fed.asked, fed.dropped()) == ([], ["a"])


def test_a_body_that_does_not_look_is_cancelled_all_the_same() -> None:
    """`except Exception` does not catch it."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield step("a")
        except Exception:
            return "swallowed"
        return "done"

    assert Fed(body).cancel().cancelled == "stop"


def test_clean_up_steps_run_before_the_end() -> None:
    """In `finally` or after catching it, a body may ask for steps; they get outcomes as ever."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        yield from guarded(seen, "a", "free", "tell")

    fed = Fed(body).cancel()
    assert (fed.asked, fed.end) == (["free"], None)
    assert fed.ok("free").asked == ["tell"]
    assert fed.ok("tell").cancelled == "stop"
    assert seen[-1] == "a: clean"
    assert (fed.interpreter.cleaning, fed.interpreter.next_deadline()) == ({}, None)


def test_clean_up_may_fail_and_retry_like_anything() -> None:
    """A failing clean-up step raises in the body; the run still ends cancelled."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("a")
        finally:
            yield step("free")

    fed = Fed(body).cancel().try_failed("free", START + 99 * SECOND)
    assert fed.interpreter.next_deadline() == START + SECOND + CLEANUP_TIMEOUT
    assert fed.fail("free", "OSError").cancelled == "stop"


@pytest.mark.parametrize("outcome", ["returns", "raises"])
def test_a_swallowed_cancellation_changes_nothing(outcome: str) -> None:
    """A body that catches it may go on for a while; whatever it then returns or raises, it was cancelled."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield step("a")
        except RunCancelled:
            yield step("b")
        yield step("c")
        if outcome == "raises":
            raise ValueError("no")
        return "done"

    fed = Fed(body).cancel()
    assert fed.ok("b").asked == ["c"]
    assert fed.ok("c").cancelled == "stop"


def test_clean_up_has_an_end() -> None:
    """A record says that time is up: the body is closed there, whatever it was doing."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        try:
            yield from guarded(seen, "a", "free", "never")
        finally:
            seen.append("closed")

    fed = Fed(body).cancel()
    assert fed.interpreter.cleaning == {"": START + SECOND + CLEANUP_TIMEOUT}
    fed.taken()
    assert fed.expire().cancelled == "stop"
    assert (fed.dropped(), seen[-1]) == (["free"], "closed")
    assert "a: clean" not in seen
    assert fed.interpreter.next_deadline() is None


def test_a_second_cancel_is_no_more_than_the_first() -> None:
    """Nothing is thrown twice, and the first reason stays."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        yield from guarded(seen, "a", "free")

    fed = Fed(body).cancel("first").cancel("second")
    assert (fed.asked, seen) == (["free"], ["a: first"])
    assert fed.ok("free").cancelled == "first"


def test_an_accepted_cancel_beats_an_end_that_is_not_committed() -> None:
    """The outcome is fed first, then the cancel, then the run ends: cancelled, whatever the body returned."""

    def returns(ctx: Context[Any]) -> Steps[str]:
        yield step("a")
        return "done"

    def raises(ctx: Context[Any]) -> Steps[str]:
        yield step("a")
        raise ValueError("no")

    for body in (returns, raises):
        assert Fed(body).ok("a").cancel("late").cancelled == "late"


def test_time_goes_on_in_clean_up() -> None:
    """`ctx.now` while cleaning up is the time of the newest record, as ever."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("a")
        finally:
            assert ctx.now == moment(START + SECOND)
            yield step("b")
            assert ctx.now == moment(START + 2 * SECOND)

    assert Fed(body).cancel().ok("b").cancelled == "stop"


# -- order -----------------------------------------------------------------------------------------


def nest(seen: list[str]) -> Any:
    """A body with branches in branches, all of which note what happens to them."""

    def branch(name: str, *inner: str) -> Steps[None]:
        try:
            if inner:
                yield All(*(branch(each) for each in inner))
            else:
                yield step(name)
        except RunCancelled:
            seen.append(name)
            raise

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        try:
            yield All(branch("a", "a1", "a2"), step("s"), branch("b", "b1"))
        except RunCancelled:
            seen.append("body")
            raise

    return body


def test_cancellation_goes_innermost_first_in_branch_order() -> None:
    """A fiber hears of it when everything that it waited for has ended."""
    seen: list[str] = []
    fed = Fed(nest(seen))
    fed.taken()
    assert fed.cancel().cancelled == "stop"
    assert seen == ["a1", "a2", "a", "b1", "b", "body"]
    assert fed.dropped() == ["all/0/all/0/a1", "all/0/all/1/a2", "s", "all/2/all/0/b1"]


def test_a_fiber_resumes_when_all_of_its_branches_have_cleaned_up() -> None:
    """Structured: the parent waits for the slowest clean-up, then hears of the cancellation."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        try:
            yield All(guarded(seen, "a", "free a"), guarded(seen, "b", "free b"))
        except RunCancelled:
            seen.append("body")
            raise

    fed = Fed(body).cancel()
    assert fed.asked == ["all/0/free a", "all/1/free b"]
    assert (fed.ok("all/1/free b").end, seen[-1]) == (None, "b: clean")
    assert fed.ok("all/0/free a").cancelled == "stop"
    assert seen == ["a: stop", "b: stop", "b: clean", "a: clean", "body"]


def test_a_group_in_a_clean_up_is_an_ordinary_group() -> None:
    """A cancelled fiber may fan out to clean up; its new branches are not cancelled."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("a")
        finally:
            got = yield All(step("x"), step("y"))
            assert got == (1, 2)
            yield step("z")

    fed = Fed(body).cancel()
    assert fed.ok("y", 2).ok("x", 1).asked == ["z"]


# -- losers ----------------------------------------------------------------------------------------


def test_a_loser_is_told_and_cleans_up_before_the_race_goes_on() -> None:
    """The race is decided, but its fiber resumes when the losers have ended."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[Any]:
        seen.clear()
        won = yield Race(win=step("win"), lose=guarded(seen, "lose", "free"))
        return won.value

    fed = Fed(body).ok("win", 7)
    assert (fed.asked, fed.end, seen) == (["race/lose/free"], None, ["lose: another branch decided"])
    assert fed.interpreter.cleaning == {"race/lose": START + SECOND + CLEANUP_TIMEOUT}
    assert fed.ok("race/lose/free").returned == 7
    assert (fed.interpreter.cleaning, fed.interpreter.next_deadline()) == ({}, None)


def test_what_a_loser_does_counts_for_nothing() -> None:
    """A loser that returns a value, or raises, does not disturb the winner."""

    def stubborn() -> Steps[str]:
        try:
            yield step("a")
        except RunCancelled:
            yield step("b")
        return "I won after all"

    def broken() -> Steps[None]:
        try:
            yield step("c")
        finally:
            raise ValueError("on the way out")

    def body(ctx: Context[Any]) -> Steps[Any]:
        won = yield Race(win=step("win"), x=stubborn(), y=broken())
        return [won.name, won.value]

    assert Fed(body).ok("win", 7).ok("race/x/b").returned == ["win", 7]


def test_a_losers_clean_up_has_an_end_too() -> None:
    """Its scope is closed by a record, and the race goes on."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[Any]:
        seen.clear()
        won = yield Race(win=step("win"), lose=guarded(seen, "lose", "free"), other=guarded(seen, "other", "tidy"))
        yield step("after")
        return won.name

    fed = Fed(body).ok("win").expire("race/lose")
    assert fed.asked == ["race/other/tidy"]
    assert fed.ok("race/other/tidy").asked == ["after"]
    assert fed.ok("after").returned == "win"


def test_a_failed_all_waits_for_the_clean_up_of_its_branches() -> None:
    """The error is raised at the yield when the cancelled branches have ended."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[str]:
        seen.clear()
        try:
            yield All(step("a"), guarded(seen, "b", "free"))
        except StepError as error:
            return error.step_id
        return ""

    fed = Fed(body).fail("a")
    assert (fed.asked, fed.end) == (["all/1/free"], None)
    assert fed.ok("all/1/free").returned == "a"


def test_a_run_cancelled_while_a_loser_cleans_up() -> None:
    """The loser goes on with its clean-up, is not thrown into again, and the body hears of it afterwards."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        try:
            yield Race(win=step("win"), lose=guarded(seen, "lose", "free"))
        except RunCancelled as cancelled:
            seen.append(f"body: {cancelled.reason}")
            raise

    fed = Fed(body).ok("win").cancel()
    assert (fed.asked, seen) == (["race/lose/free"], ["lose: another branch decided"])
    assert fed.interpreter.cleaning == {
        "race/lose": START + SECOND + CLEANUP_TIMEOUT,
        "": START + 2 * SECOND + CLEANUP_TIMEOUT,
    }
    assert fed.ok("race/lose/free").cancelled == "stop"
    assert seen[-1] == "body: stop"


def test_the_end_of_the_bodys_clean_up_ends_all_clean_ups_in_it() -> None:
    """Closing a fiber closes everything below it; nothing is left open."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        seen.clear()
        yield All(guarded(seen, "a", "free a"), guarded(seen, "b", "free b"))

    fed = Fed(body).cancel()
    assert set(fed.interpreter.cleaning) == {"", "all/0", "all/1"}
    fed.taken()
    assert fed.expire().cancelled == "stop"
    assert (fed.interpreter.cleaning, fed.asked, fed.dropped()) == ({}, [], ["all/0/free a", "all/1/free b"])


def test_a_loser_of_a_loser() -> None:
    """An inner race that was decided for a branch which then loses: its losers end first, then the branch."""
    seen: list[str] = []

    def inner() -> Steps[None]:
        try:
            yield Race(x=step("x"), y=guarded(seen, "y", "free y"))
        except RunCancelled:
            seen.append("inner")
            raise

    def body(ctx: Context[Any]) -> Steps[str]:
        seen.clear()
        won = yield Race(win=step("win"), inner=inner())
        return won.name

    fed = Fed(body).ok("race/inner/x").ok("win")
    assert (fed.asked, seen) == (["race/inner/race/y/free y"], ["y: another branch decided"])
    assert fed.ok("race/inner/race/y/free y").returned == "win"
    assert seen[-1] == "inner"


def test_what_a_fiber_draws_while_it_is_closed_is_its_own() -> None:
    """Its clean-up ran out of time while another branch was going on: that one's draws are not disturbed."""

    def play(draws: bool) -> Any:
        def body(ctx: Context[Any]) -> Steps[Any]:
            def loser() -> Steps[None]:
                try:
                    yield step("l")
                finally:
                    try:
                        yield step("free")
                    finally:
                        if draws:
                            ctx.random.random()

            def racing() -> Steps[None]:
                yield Race(w=step("w"), l=loser())

            def drawing() -> Steps[list[float]]:
                drawn = []
                for name in "xy":
                    yield step(name)
                    drawn.append(ctx.random.random())
                return drawn

            return (yield All(racing(), drawing()))

        fed = Fed(body).ok("all/0/w").ok("all/1/x").expire("all/0/race/l")
        return fed.ok("all/1/y").returned

    assert play(draws=True) == play(draws=False)


def test_cancelled_sleeps_have_no_deadline() -> None:
    """What was given up is not due any more."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield Sleep("s", 10)
        finally:
            yield step("free")

    fed = Fed(body).request("s", SleepTerms(START + 10 * SECOND)).cancel()
    assert fed.interpreter.take_due(START + 20 * SECOND) == []


def test_steps_of_the_clean_up_are_numbered_on() -> None:
    """A clean-up step with a name that was used is the next occurrence of it."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield step("a")
        try:
            yield step("b")
        finally:
            yield step("a")

    assert Fed(body).ok("a").cancel().asked == ["a:1"]
