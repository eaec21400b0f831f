"""What a draft changes beside its own history."""

from __future__ import annotations

from flowgen.effects import Effects
from flowgen.transition import DropKey, TakeKey


class Name(str):
    """The name of a key that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)


def test_a_key_costs_the_same_however_many_were_taken() -> None:
    """Each of 5,000 events that a step sends takes one for its id."""
    effects = Effects()
    for number in range(500):
        effects.take_key(TakeKey("shop", Name(f"k{number}"), "r1"))
    assert len(effects.take) == 500
    assert Name.compared <= 500


def test_a_key_that_is_taken_twice_is_taken_once() -> None:
    """From the version that was seen first, by the last; a drop before it is none."""
    effects = Effects(drop=[DropKey("shop", "k", "r0"), DropKey("shop", "other", "r0")])
    effects.take_key(TakeKey("shop", "k", "r1", version=3))
    effects.take_key(TakeKey("shop", "k", "r2", version=4))
    effects.take_key(TakeKey("bakery", "k", "r3"))
    assert list(effects.take.values()) == [TakeKey("shop", "k", "r2", version=3), TakeKey("bakery", "k", "r3")]
    assert effects.drop == [DropKey("shop", "other", "r0")]
