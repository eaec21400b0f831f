"""What a run that ends lets go of."""

from __future__ import annotations

from flowgen.facts import Facts, Questions
from flowgen.holds import LetGo, let_go
from flowgen.routing import RouteTable
from flowgen.runs import Freed, RunRow
from flowgen.transition import DropKey, Key, TakeKey
from tests.bodies import START

SINGLE, COLLECT = "single/work/", "collect/work/"


def row(*holds: str) -> RunRow:
    """A run that holds these keys."""
    return RunRow("shop", "run1", "work", START, 7, holds=holds)


def knowing(*keys: Key, free: tuple[str, ...] = ()) -> Facts:
    """Facts in which these keys are held, and these names free."""
    facts = Facts(RouteTable())
    facts.keys.update({("shop", key.name): key for key in keys} | {("shop", name): None for name in free})
    return facts


def gone(row: RunRow, facts: Facts) -> LetGo:
    """What it lets go of, when all is known."""
    let = let_go(row, facts)
    assert isinstance(let, LetGo), let
    return let


def test_a_run_that_holds_nothing_asks_nothing() -> None:
    """Nothing changes."""
    assert gone(row(), Facts(RouteTable())) == LetGo()


def test_who_has_the_keys_is_asked_first() -> None:
    """All of them at once."""
    questions = let_go(row(SINGLE, COLLECT), Facts(RouteTable()))
    assert isinstance(questions, Questions)
    assert questions.keys == {("shop", SINGLE), ("shop", COLLECT)}


def test_its_keys_are_dropped_under_the_version_that_was_seen() -> None:
    """An event that entered a collecting run meanwhile must not be lost."""
    facts = knowing(Key(SINGLE, "run1", "[]", None, 4), Key(COLLECT, "run1", "{}", None, 9))
    assert gone(row(SINGLE, COLLECT), facts).drop == [
        DropKey("shop", SINGLE, "run1", 4),
        DropKey("shop", COLLECT, "run1", 9),
    ]


def test_what_others_hold_is_left_alone() -> None:
    """A batch that was full has lost its key to the next one; one that was retried may have none."""
    assert gone(row(COLLECT), knowing(Key(COLLECT, "run2", "{}"))) == LetGo()
    assert gone(row(SINGLE, COLLECT), knowing(free=(SINGLE, COLLECT))) == LetGo()


def test_who_waits_for_this_end_is_woken() -> None:
    """The run that took a singleton's place, if this one was the last that it waited for."""
    let = gone(row(SINGLE), knowing(Key(SINGLE, "run2", '["run1"]', None, 4)))
    assert let.take == [TakeKey("shop", SINGLE, "run2", "[]", None, 4)]
    assert [(message.run, message.body) for message in let.messages] == [("run2", Freed())]
    let = gone(row(SINGLE), knowing(Key(SINGLE, "run2", '["run0","run1"]', None, 4)))
    assert (let.take[0].detail, let.messages) == ('["run0"]', [])
