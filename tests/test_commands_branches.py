"""`All` and `Race`: what they hold, what they refuse, and what their branches are called."""

from __future__ import annotations

import warnings
from typing import Any

import attrs
import pytest

from flowgen import All, DefinitionError, Race, Restart, Sleep, Steps, Winner
from tests.commands import charge, load_order, make_receipt, ship, stream


def test_all_numbers_its_branches() -> None:
    """Branches without names are known by their index."""
    nap, part = Sleep("nap", 1), ship(None)
    command = All(nap, part, limit=1, on_error="collect")
    assert command.branches == ((0, nap), (1, part))
    assert (command.as_dict, command.limit, command.on_error) == (False, 1, "collect")


def test_all_of_a_dict_is_named() -> None:
    """Branches in a dict are known by their names, in its order."""
    a, b = Sleep("a", 1), Sleep("b", 1)
    command = All({"second": b, "first": a})
    assert command.branches == (("second", b), ("first", a))
    assert (command.as_dict, command.limit, command.on_error) == (True, None, "fail")


def test_all_of_nothing_is_fine() -> None:
    """A fan-out over an empty list is over at once; it is not an error."""
    assert All().branches == All(*[]).branches == ()
    assert All({}).as_dict


def test_all_options() -> None:
    """`options` changes limit and on_error, and keeps the branches."""
    command = All(Sleep("a", 1))
    assert command.options(limit=3, on_error="collect") == All(Sleep("a", 1), limit=3, on_error="collect")


def test_race_names_its_branches() -> None:
    """The names of a race are its keywords, `self` included."""
    a, b = Sleep("a", 1), Sleep("b", 1)
    assert Race(self=a, late=b).branches == (("self", a), ("late", b))


def test_a_race_needs_a_branch() -> None:
    """Nothing could ever win a race of nothing."""
    with pytest.raises(DefinitionError, match=r"Race\(\) has no branches"):
        Race()
    with pytest.raises(DefinitionError, match=r"have names, which say who has won; write Race\(name=command"):
        Race(Sleep("a", 1))  # type: ignore[arg-type]


def test_groups_are_branches_too() -> None:
    """`All` and `Race` nest."""
    inner = Race(a=Sleep("a", 1))
    assert All(All(inner)).branches[0][1].branches == ((0, inner),)


def started() -> Steps[str]:
    part = ship(None)
    next(part)
    return part


@pytest.mark.parametrize(
    "branch, message",
    [
        (7, "7 is neither a command nor a generator"),
        (None, "None is neither"),
        (ship, r"ship is a generator function that was not called; write ship\(…\)"),
        (make_receipt, r"make_receipt is a generator function that was not called"),
        (load_order, r"load_order is a function; write Run\('load_order', load_order, arguments…\)"),
        (charge, r"charge is a function; write Run"),
        (stream, r"neither a command nor a generator"),
        ([Sleep("a", 1)], r"got a list; unpack it: All\(\*branches\)"),
        (Restart(), "Restart ends the whole run"),
    ],
)
def test_what_is_no_branch_is_refused(branch: Any, message: str) -> None:
    """Each usual slip is named with its branch, and with what to write instead."""
    with pytest.raises(DefinitionError, match=f"branch 1 of All: .*{message}"):
        All(Sleep("a", 1), branch)
    with pytest.raises(DefinitionError, match=f"branch 'b' of Race: .*{message}"):
        Race(a=Sleep("a", 1), b=branch)


def test_a_coroutine_is_no_branch() -> None:
    """A call of an async function is named, and no second warning follows."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DefinitionError, match=r"branch 0 of All: got the coroutine of charge"):
            All(charge({}))


def test_an_async_generator_is_no_branch() -> None:
    """An async generator cannot yield commands to a workflow."""
    with pytest.raises(DefinitionError, match=r"stream is an async generator"):
        All(stream())


def test_a_generator_is_a_branch_once() -> None:
    """A generator that has been started, or that is a branch already, cannot be one."""
    with pytest.raises(DefinitionError, match="branch 0 of All: ship has been started; call it afresh"):
        All(started())
    part = ship(None)
    with pytest.raises(DefinitionError, match="branches 'a' and 'b' of Race are one generator"):
        Race(a=part, b=part)


def test_a_command_may_be_several_branches() -> None:
    """A command is a value: twice the same is two steps."""
    nap = Sleep("nap", 1)
    assert All(nap, nap).branches == ((0, nap), (1, nap))


@pytest.mark.parametrize("name", ["a/b", "a:1", "", 7])
def test_names_of_branches_are_names(name: Any) -> None:
    """A branch's name becomes part of a path."""
    with pytest.raises(DefinitionError, match="name of a branch of All"):
        All({name: Sleep("a", 1)})


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
def test_a_bad_limit_is_refused(limit: Any) -> None:
    """At least one branch runs at a time."""
    with pytest.raises(DefinitionError, match="limit of All"):
        All(limit=limit)


def test_a_bad_on_error_is_refused() -> None:
    """There are two answers to an error."""
    with pytest.raises(DefinitionError, match="on_error of All: 'ignore' is neither"):
        All(on_error="ignore")


def test_a_winner_is_a_value() -> None:
    """A winner has the branch's name and its value."""
    assert attrs.astuple(Winner("late", None)) == ("late", None)
