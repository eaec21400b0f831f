"""`All` and `Race` as the interpreter plays them: scopes, order, limits, deciding, resuming (design §4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import All, Context, Failed, Race, Run, Sleep, StepError, Steps, Succeeded, WaitFor, Winner
from tests.bodies import Fed, act


def step(name: str) -> Run[Any]:
    return Run(name, act)


def part(*names: str) -> Steps[list[Any]]:
    """A branch of steps, one after the other; gives what they gave."""
    got = []
    for name in names:
        got.append((yield step(name)))
    return got


def waiting(command: Any) -> Any:
    """A body that yields one command and returns what it gave."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        return (yield command() if callable(command) else command)

    return body


# -- All -------------------------------------------------------------------------------------------


def test_all_gives_a_tuple_in_branch_order() -> None:
    """Whichever branch ends first, its value has the place of its branch."""
    fed = Fed(waiting(All(step("a"), step("b"), step("c"))))
    assert fed.asked == ["a", "b", "c"]
    assert fed.ok("c", 3).ok("a", 1).ok("b", 2).returned == [1, 2, 3]


def test_all_gives_a_dict_for_named_branches() -> None:
    """Named branches give a dict in branch order."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        got = yield All({"x": step("a"), "y": step("b")})
        return [type(got).__name__, *got.items()]

    assert Fed(body).ok("b", 2).ok("a", 1).returned == ["dict", ["x", 1], ["y", 2]]


def test_all_of_a_tuple_is_a_tuple() -> None:
    """The live value is a tuple, not a list."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        return type((yield All(step("a")))).__name__

    assert Fed(body).ok("a").returned == "tuple"


@pytest.mark.parametrize("command, value", [(All(), []), (All({}), {})])
def test_an_empty_all_ends_at_once(command: Any, value: Any) -> None:
    """No branches: nothing to wait for."""
    assert Fed(waiting(command)).returned == value


def test_a_command_as_a_branch_belongs_to_the_scope_around_it() -> None:
    """Its id is that of a plain step; occurrences are counted in branch order."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield step("pack")
        yield All(step("pack"), step("label"), step("pack"))

    assert Fed(body).ok("pack").asked == ["pack:1", "label", "pack:2"]


def test_a_generator_as_a_branch_has_a_scope() -> None:
    """`all/key/name`; the second `All` of a scope is `all:1`, a race is counted apart."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(part("s"), part("s", "s"))
        yield All({"x": part("s")})
        yield Race(r=part("s"))

    fed = Fed(body)
    assert fed.asked == ["all/0/s", "all/1/s"]
    assert fed.ok("all/0/s").ok("all/1/s").asked == ["all/1/s:1"]
    assert fed.ok("all/1/s:1").asked == ["all:1/x/s"]
    assert fed.ok("all:1/x/s").asked == ["race/r/s"]


def test_scopes_nest() -> None:
    """A group inside a branch begins its scopes with that branch's, counted from there."""

    def inner(name: str) -> Steps[None]:
        yield All(part(name))
        yield All(part(name))

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(inner("a"), inner("b"))

    fed = Fed(body)
    assert fed.asked == ["all/0/all/0/a", "all/1/all/0/b"]
    assert fed.ok("all/0/all/0/a").asked == ["all/1/all/0/b", "all/0/all:1/0/a"]


def test_groups_are_branches() -> None:
    """`All` and `Race` may be branches themselves, in the scope around them."""
    fed = Fed(waiting(lambda: All(All(step("a"), part("b")), Race(x=step("c"), y=part("d")))))
    assert fed.asked == ["a", "all:1/1/b", "c", "race/y/d"]
    assert fed.ok("c", 3).asked == ["a", "all:1/1/b"]
    assert fed.ok("all:1/1/b", 2).ok("a", 1).returned == [[1, [2]], {"name": "x", "value": 3}]


def test_a_branch_that_waits_for_nothing_ends_at_once() -> None:
    """A generator that returns before its first yield is a branch like any other."""

    def quick() -> Steps[str]:
        return "quick"
        yield

    fed = Fed(waiting(lambda: All(quick(), step("a"), quick())))
    assert fed.ok("a", 1).returned == ["quick", 1, "quick"]
    assert Fed(waiting(lambda: All(quick(), quick()))).returned == ["quick", "quick"]


def test_branches_resume_in_the_order_of_their_records() -> None:
    """Who goes first is the history's to say, not the order of branches."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        order: list[str] = []

        def branch(name: str) -> Steps[None]:
            yield step(name)
            order.append(name)

        yield All(branch("a"), branch("b"), branch("c"))
        return order

    assert Fed(body).ok("all/1/b").ok("all/2/c").ok("all/0/a").returned == ["b", "c", "a"]


def test_branches_start_depth_first_in_branch_order() -> None:
    """What a branch asks for at once is asked for before the next branch begins."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        order: list[str] = []

        def branch(name: str) -> Steps[None]:
            order.append(name)
            yield All(inner(name + "1"), inner(name + "2"))

        def inner(name: str) -> Steps[None]:
            order.append(name)
            yield step(name)

        yield All(branch("a"), branch("b"))
        return order

    fed = Fed(body)
    assert fed.asked == ["all/0/all/0/a1", "all/0/all/1/a2", "all/1/all/0/b1", "all/1/all/1/b2"]
    for step_id in fed.asked:
        fed.ok(step_id)
    assert fed.returned == ["a", "a1", "a2", "b", "b1", "b2"]


# -- limit -----------------------------------------------------------------------------------------


def test_at_most_limit_branches_run_at_a_time() -> None:
    """The next branch begins when one ends."""
    fed = Fed(waiting(All(*(step(name) for name in "abcd"), limit=2)))
    assert fed.asked == ["a", "b"]
    assert fed.ok("b", 2).asked == ["a", "c"]
    assert fed.ok("c", 3).asked == ["a", "d"]
    assert fed.ok("d", 4).ok("a", 1).returned == [1, 2, 3, 4]


def test_a_limit_counts_generators_and_groups_as_one_branch_each() -> None:
    """A branch that asks for two steps at once is still one branch."""
    fed = Fed(waiting(lambda: All(All(step("a"), step("b")), part("c", "d"), step("e"), limit=2)))
    assert fed.asked == ["a", "b", "all/1/c"]
    assert fed.ok("a").ok("all/1/c").asked == ["b", "all/1/d"]
    assert fed.ok("b").asked == ["all/1/d", "e"]


def test_a_limit_of_branches_that_end_at_once() -> None:
    """They make room as they go."""

    def quick(n: int) -> Steps[int]:
        return n
        yield

    assert Fed(waiting(lambda: All(*(quick(n) for n in range(50)), limit=1))).returned == list(range(50))


def test_branches_held_back_are_closed_when_the_group_is_decided() -> None:
    """A branch that never began is neither asked for nor run."""
    begun: list[str] = []

    def branch(name: str) -> Steps[None]:
        begun.append(name)
        yield step(name)

    def body(ctx: Context[Any]) -> Steps[str]:
        begun.clear()
        held = branch("c")
        try:
            yield All(branch("a"), branch("b"), held, limit=2)
        except StepError as error:
            return f"{error.step_id}, {held.gi_frame}"
        return ""

    assert Fed(body).fail("all/0/a").returned == "all/0/a, None"
    assert begun == ["a", "b"]


# -- errors ----------------------------------------------------------------------------------------


def test_the_first_error_is_raised_at_the_yield_and_cancels_the_others() -> None:
    """`on_error="fail"`: what else was open is given up."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield All(step("a"), step("b"), part("c"))
        except StepError as error:
            yield step("after")
            return error.step_id
        return ""

    fed = Fed(body)
    fed.taken()
    assert fed.ok("a").fail("b").asked == ["after"]
    assert fed.dropped() == ["all/2/c"]
    assert fed.ok("after").returned == "b"


def test_collect_gives_what_became_of_each_branch() -> None:
    """All branches end; each gives `Succeeded` or `Failed`."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        got = yield All(step("a"), step("b"), part("c"), on_error="collect")
        assert [type(item) for item in got] == [Succeeded, Failed, Failed]
        return [got[0].value, got[1].failure.type, got[2].failure.message]

    fed = Fed(body).fail("b", "OSError", "disk").ok("a", 1)
    assert fed.fail("all/2/c", "OSError", "net").returned[:2] == [1, "StepError"]


def test_a_collected_failure_does_not_depend_on_where_the_code_is() -> None:
    """It holds no trace: a workflow may pass it on as an argument, and code moves between files and lines."""

    def branch() -> Steps[None]:
        yield step("a")
        try:
            raise KeyError("x")
        except KeyError as error:
            raise ValueError("y") from error

    def body(ctx: Context[Any]) -> Steps[Any]:
        (got,) = yield All(branch(), on_error="collect")
        failure = got.failure
        return [failure.type, failure.trace, failure.cause.type, failure.cause.trace]

    assert Fed(body).ok("all/0/a").returned == ["ValueError", "", "KeyError", ""]


def test_an_error_in_a_branch_that_waits_for_nothing() -> None:
    """A branch that raises before it yields decides at once; later branches never begin."""

    def bad() -> Steps[None]:
        raise ValueError("bad")
        yield

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield All(step("a"), bad(), step("never"))
        except ValueError as error:
            yield step("after")
            return str(error)
        return ""

    fed = Fed(body)
    assert fed.asked == ["after"]
    assert fed.ok("after").returned == "bad"


# -- Race ------------------------------------------------------------------------------------------


def test_the_first_to_end_wins() -> None:
    """The winner is named with its value; the losers are given up."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        won = yield Race(work=step("work"), late=Sleep("late", "1h"), other=part("x", "y"))
        assert type(won) is Winner
        return [won.name, won.value]

    fed = Fed(body)
    assert fed.ok("race/other/x").asked == ["work", "late", "race/other/y"]
    fed.taken()
    assert fed.ok("work", 7).returned == ["work", 7]
    assert fed.dropped() == ["late", "race/other/y"]


def test_a_race_is_decided_by_a_failure_too() -> None:
    """If the first branch to end failed, its error is raised at the yield."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield Race(a=step("a"), b=step("b"))
        except StepError as error:
            return error.step_id
        return ""

    assert Fed(body).fail("b").returned == "b"


def test_a_branch_that_ends_at_once_wins_before_later_ones_begin() -> None:
    """Branches begin in branch order, so what comes after the winner is never asked for."""

    def quick() -> Steps[str]:
        return "quick"
        yield

    fed = Fed(waiting(lambda: Race(a=step("a"), b=quick(), c=step("c"))))
    assert fed.returned == {"name": "b", "value": "quick"}
    assert (fed.asked, fed.taken(), fed.dropped()) == ([], [], [])


def test_a_wait_that_timed_out_has_ended_too() -> None:
    """Its value is None, and it wins like any other."""
    fed = Fed(waiting(Race(a=WaitFor("a", "x/y", timeout=1), b=step("b"))))
    assert fed.ok("a", None).returned == {"name": "a", "value": None}


def test_nested_losers_are_given_up_with_their_race() -> None:
    """Whatever is open below a loser goes, in branch order."""
    fed = Fed(waiting(lambda: Race(w=step("w"), l=All(step("a"), part("b"), Race(x=step("c"), y=Sleep("d", 1))))))
    fed.taken()
    assert fed.ok("w", 1).returned == {"name": "w", "value": 1}
    assert fed.dropped() == ["a", "all/1/b", "c", "d"]


# -- whatever the order ----------------------------------------------------------------------------


@given(st.permutations(["a", "b", "all/2/c", "all/2/d", "all:1/0/e", "all:1/0/f"]))
def test_the_value_of_an_all_does_not_depend_on_the_order_of_its_records(order: list[str]) -> None:
    """Branches that only succeed give the same values, ids and draws whichever goes first."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        def drawing(*names: str) -> Steps[Any]:
            got = []
            for name in names:
                got.append([ctx.random.random(), (yield step(name))])
            return got

        return (yield All(step("a"), step("b"), drawing("c", "d"), All(drawing("e", "f"))))

    def play(order: list[str]) -> Any:
        fed, waiting = Fed(body), list(order)
        while waiting:
            step_id = next(step_id for step_id in waiting if step_id in fed.asked)
            waiting.remove(step_id)
            fed.ok(step_id, step_id.upper())
        return fed.returned

    assert play(order) == play(["a", "b", "all/2/c", "all/2/d", "all:1/0/e", "all:1/0/f"])


@given(st.permutations(list(range(12))), st.integers(1, 12))
def test_a_limit_is_never_passed_and_never_wasted(order: list[int], limit: int) -> None:
    """At every moment as many branches run as the limit and what is left allow."""
    fed = Fed(waiting(All(*(step(str(n)) for n in range(12)), limit=limit)))
    for left in range(12, 0, -1):
        assert len(fed.asked) == min(limit, left)
        fed.ok(min(fed.asked, key=lambda name: order[int(name)]), None)
    assert fed.returned == [None] * 12
