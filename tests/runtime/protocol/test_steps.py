"""A step's id and its hash: the same rule on both sides, and the hash itself where there is no other name."""

from __future__ import annotations

from hashlib import sha1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.protocol.steps import MAX_STEP_ID, is_hash, step_hash, step_id

HASHES = st.text("0123456789abcdef", min_size=40, max_size=40)


@pytest.mark.parametrize(
    "id, hash",
    [
        ("my-step-id", "e7d8a2f140845095749d60246ff1110c9d01d76a"),
        ("a:1", "de89bfaf06245091a7873290a793604612302247"),
        ("é", "bf15be717ac1b080b4f1c456692825891ff5073d"),
        ("a/b", "3ec69c85a4ff96830024afeef2d4e512181c8f7b"),
    ],
)
def test_a_step_has_the_hash_that_sdks_give_it(id: str, hash: str) -> None:
    """What the official SDKs compute for the same names."""
    assert step_hash(id) == hash
    assert step_id(hash, id) == id


@given(st.text(max_size=30), st.none() | st.integers(0, 5))
def test_an_op_leads_to_an_id_with_its_hash(name: str, index: int | None) -> None:
    """Whatever an author calls a step, the id in our histories has the hash of the wire."""
    hash = sha1((name + (f":{index}" if index else "")).encode("utf-8", "surrogatepass")).hexdigest()
    id = step_id(hash, name, index)
    assert step_hash(id) == hash
    assert id == hash or id in (name, f"{name}:{index}")


@given(HASHES, st.text(max_size=30), st.none() | st.integers(0, 5), st.none() | st.text(max_size=30))
def test_a_step_that_nothing_leads_to_goes_by_its_hash(
    hash: str, name: str, index: int | None, shown: str | None
) -> None:
    """An SDK may hash in its own way."""
    assert step_id(hash, name, index, shown) == hash
    assert step_hash(hash) == hash


def test_the_name_that_is_shown_may_lead_to_the_hash() -> None:
    """SDKs before `userland` say the name only so."""
    assert step_id(step_hash("charge"), None, None, "charge") == "charge"


def test_a_repeat_has_the_id_that_ours_has() -> None:
    """The third `charge` of a run is `charge:2` on both sides."""
    assert step_id(step_hash("charge:2"), "charge", 2) == "charge:2"
    assert step_id(step_hash("charge"), "charge", 0) == "charge"


@pytest.mark.parametrize("name", ["", "x" * (MAX_STEP_ID + 1), "a\nb", "a\0b", "\ud800", "ab" * 20])
def test_a_name_that_cannot_be_kept_is_none(name: str) -> None:
    """Empty, too long, with what cannot be shown or stored, or like a hash: the hash is a name for all of them."""
    hash = sha1(name.encode("utf-8", "surrogatepass")).hexdigest()
    assert step_id(hash, name) == hash


@pytest.mark.parametrize("text", ["", "step", "E7D8A2F140845095749D60246FF1110C9D01D76A", "ab" * 20 + "\n", "ab" * 19])
def test_not_everything_is_a_hash(text: str) -> None:
    """40 hex digits in small letters, and nothing around them."""
    assert not is_hash(text)
