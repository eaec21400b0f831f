"""Identifiers: equal arguments give equal ids, later ones sort later."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.ids import ENTROPY_BYTES, derived_id, is_id, new_id, seed_of, time_of

times = st.integers(0, 2**47 * 1000)
entropy = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(times, entropy)
def test_an_id_has_the_form_of_one(at: int, random: bytes) -> None:
    """26 characters of Crockford's base 32."""
    made = new_id(at, random)
    assert is_id(made)
    assert len(made) == 26
    assert not set(made) & set("ILOUilou")


@given(times, entropy)
def test_an_id_tells_when_it_was_made(at: int, random: bytes) -> None:
    """To the millisecond."""
    assert time_of(new_id(at, random)) == at // 1000 * 1000


@given(times, times, entropy, entropy)
def test_later_ids_sort_later(a: int, b: int, x: bytes, y: bytes) -> None:
    """By the millisecond."""
    first, second = sorted((a, b))
    if first // 1000 < second // 1000:
        assert new_id(first, x) < new_id(second, y)


@given(times, entropy, entropy)
def test_entropy_tells_ids_apart(at: int, x: bytes, y: bytes) -> None:
    """All ten bytes of it."""
    assert (new_id(at, x) == new_id(at, y)) == (x == y)


def test_too_little_entropy_is_our_own_mistake() -> None:
    """The shell gives exactly ten bytes."""
    with pytest.raises(AssertionError, match="10 bytes"):
        new_id(0, b"short")


@given(times, entropy, st.lists(texts | st.integers(), max_size=4))
def test_a_derived_id_keeps_the_time_of_its_base(at: int, random: bytes, parts: list[str | int]) -> None:
    """So that deriving it again after a crash gives the same one, in the same place of an index."""
    base = new_id(at, random)
    derived = derived_id(base, *parts)
    assert derived == derived_id(base, *parts)
    assert is_id(derived)
    assert derived[:10] == base[:10]
    assert derived != base


@given(texts, st.lists(texts | st.integers(), max_size=4), st.lists(texts | st.integers(), max_size=4))
def test_other_parts_give_other_ids(base: str, one: list[str | int], other: list[str | int]) -> None:
    """Any base will do; parts without NUL are told apart, and a number is as good as its text."""
    same = [str(part) for part in one] == [str(part) for part in other]
    if not any("\x00" in str(part) for part in [base, *one, *other]):
        assert (derived_id(base, *one) == derived_id(base, *other)) == same


@given(texts)
def test_any_other_base_has_no_time(base: str) -> None:
    """A run id that a user gave."""
    if not is_id(base):
        assert derived_id(base, "x").startswith("0" * 10)


@given(texts, texts)
def test_seeds_differ_as_ids_do(one: str, other: str) -> None:
    """48 bits of the run's id."""
    assert (seed_of(one) == seed_of(other)) == (one == other)
    assert 0 <= seed_of(one) < 2**48


def test_the_algorithm_is_pinned() -> None:
    """Histories outlive releases: derived ids and seeds must never change."""
    assert new_id(1_767_225_600_000_000, bytes(range(10))) == PINNED[0]
    assert derived_id("01KE00000000000000000000R1", "wait", 0, "a/b") == PINNED[1]
    assert derived_id("mine", "step", 1) == PINNED[2]
    assert seed_of("01KE00000000000000000000R1") == PINNED_SEED


PINNED = ("01KDVDNA00000G40R40M30E209", "01KE000000KTXSNBERSD57SKTR", "0000000000XVFCBHPDMCK97D7S")
PINNED_SEED = 78160585343959


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "01KE0000000000000000000RUNX",
        "01ke0000000000000000000run",
        "L" * 26,
        "0" * 25 + "u",
        "0" * 13 + "L" + "0" * 12,
    ],
)
def test_what_is_no_id(text: str) -> None:
    """Another length or alphabet."""
    assert not is_id(text)
