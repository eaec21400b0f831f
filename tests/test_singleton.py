"""Singleton keys: who holds one, whom that run waits for, and what an end changes of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowgen.runs import CancelRequested, Freed
from flowgen.singleton import freed, hand_on, let_go, replaced, singleton_key, take_over, waited_for
from flowgen.transition import DropKey, Key, TakeKey

NAME = singleton_key("fulfil", '"c7"')


def key(holder: str, *after: str, version: int = 3) -> Key:
    """The key as somebody holds it, waiting for others."""
    names = ",".join(f'"{run}"' for run in after)
    return Key(NAME, holder, f"[{names}]", None, version)


def test_a_free_key_is_taken_for_nobody() -> None:
    """Nobody has to end before its holder starts."""
    take, after = take_over("shop", NAME, None, "a")
    assert (take, after) == (TakeKey("shop", NAME, "a", "[]"), ())


def test_a_newcomer_waits_for_the_holder_and_whom_that_waited_for() -> None:
    """All of them are open still; the version says what it was decided on."""
    take, after = take_over("shop", NAME, key("b", "a"), "c")
    assert after == ("a", "b")
    assert (take.holder, take.detail, take.version) == ("c", '["a","b"]', 3)


def test_the_holder_is_asked_to_end() -> None:
    """By a cancel that says who took its place, once for each newcomer."""
    message = replaced("shop", key("a"), "b")
    assert (message.run, message.body) == ("a", CancelRequested("run b took its place (singleton)"))
    assert not message.must_be_open
    assert message.id == replaced("shop", key("a"), "b").id != replaced("shop", key("a"), "c").id


def test_the_last_holder_drops_the_key() -> None:
    """Guarded by the version that was seen: a newcomer at the same moment is not overlooked."""
    assert let_go("shop", key("a"), "a") == DropKey("shop", NAME, "a", 3)


def test_who_ends_before_the_holder_is_struck_off() -> None:
    """And when it was the last one, the holder is woken."""
    change = let_go("shop", key("c", "a", "b"), "a")
    assert change == TakeKey("shop", NAME, "c", '["b"]', None, 3)
    assert freed("shop", key("c", "a", "b"), change, "a") is None
    last = let_go("shop", key("c", "b"), "b")
    assert isinstance(last, TakeKey)
    message = freed("shop", key("c", "b"), last, "b")
    assert message is not None
    assert (message.run, message.body) == ("c", Freed())


def test_a_holder_that_ends_while_others_are_open_hands_the_key_back() -> None:
    """So at no moment is the key of an open run free; who gets it back has been asked to end, and is not woken."""
    held = key("c", "a", "b")
    change = let_go("shop", held, "c")
    assert change == TakeKey("shop", NAME, "a", '["b"]', None, 3)
    assert freed("shop", held, change, "c") is None


def test_one_without_a_part_in_it_changes_nothing() -> None:
    """Its key is held by others, or by nobody."""
    assert let_go("shop", key("c", "b"), "x") is None
    assert let_go("shop", None, "a") is None


def test_a_successor_takes_the_place_of_a_run_that_restarts() -> None:
    """As the holder, or among those who are waited for."""
    assert hand_on("shop", key("a"), "a", "b") == TakeKey("shop", NAME, "b", "[]", None, 3)
    assert hand_on("shop", key("c", "a"), "a", "b") == TakeKey("shop", NAME, "c", '["b"]', None, 3)


@given(st.lists(st.sampled_from(["new", "end"]), max_size=30), st.data())
def test_the_key_always_names_all_that_are_open(steps: list[str], data: st.DataObject) -> None:
    """Runs come and end in any order: the key names just those that are open, and a run is woken when it is the only
    one. Nobody is forgotten: a run that was not asked to end does not wait when it is alone."""
    held: Key | None = None
    open_runs: list[str] = []
    waiting: set[str] = set()
    asked: set[str] = set()
    names = iter(f"run{n}" for n in range(100))
    for step in steps:
        change: TakeKey | DropKey | None = None
        if step == "new":
            run = next(names)
            change, after = take_over("shop", NAME, held, run)
            assert set(after) == set(open_runs)
            asked |= set(after)
            open_runs.append(run)
            waiting |= {run} if after else set()
        elif open_runs:
            run = data.draw(st.sampled_from(open_runs))
            open_runs.remove(run)
            waiting.discard(run)
            change = let_go("shop", held, run)
            woken = freed("shop", held, change, run) if held is not None and change is not None else None
            if woken is not None:
                assert open_runs == [woken.run]
                assert woken.run in waiting | asked
                waiting.discard(woken.run)
        match change:
            case TakeKey():
                held = Key(change.name, change.holder, change.detail, None, change.version + 1)
            case DropKey():
                held = None
        assert sorted(open_runs) == sorted([held.holder, *waited_for(held)] if held is not None else [])
        if len(open_runs) == 1:
            assert waiting <= asked
