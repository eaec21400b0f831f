"""What a draft changes beside its own history."""

from __future__ import annotations

import sys
from typing import Any

from flowgen.effects import Effects
from flowgen.transition import DropKey, TakeKey


def calls_of(count: int) -> int:
    """How many calls, and generators gone on with, it costs to take so many keys."""
    effects, calls = Effects(), 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    takes = [TakeKey("shop", f"k{number}", "r1") for number in range(count)]
    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        for take in takes:
            effects.take_key(take)
    finally:
        sys.setprofile(before)
    return calls


def test_a_key_costs_the_same_however_many_were_taken() -> None:
    """Each of 5,000 events that a step sends takes one for its id."""
    assert calls_of(400) <= 2.1 * calls_of(200)


def test_a_key_that_is_taken_twice_is_taken_once() -> None:
    """From the version that was seen first, by the last; a drop before it is none."""
    effects = Effects(drop=[DropKey("shop", "k", "r0"), DropKey("shop", "other", "r0")])
    effects.take_key(TakeKey("shop", "k", "r1", version=3))
    effects.take_key(TakeKey("shop", "k", "r2", version=4))
    effects.take_key(TakeKey("bakery", "k", "r3"))
    assert list(effects.take.values()) == [TakeKey("shop", "k", "r2", version=3), TakeKey("bakery", "k", "r3")]
    assert effects.drop == [DropKey("shop", "other", "r0")]
