"""What functions say that they return, and what they are called with: annotations, arguments and fingerprints."""

from __future__ import annotations

import copy
import functools
import json
import pickle
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import UnserializableError
from flowgen.values import (
    PREVIEW_BYTES,
    Local,
    Secret,
    call_arguments,
    decode,
    digest,
    encode_arguments,
    preview,
    return_annotation,
)
from tests.shapes import PLAIN, TEXT, Box, Point, Unknown

# -- what functions say they return ---------------------------------------------------------------


def returns_point() -> Point:
    return Point(1)


async def returns_later() -> list[Point]:
    return []


def returns_awaitable() -> Awaitable[Point]:
    raise AssertionError("never called")


def says_nothing():  # type: ignore[no-untyped-def]
    return 1


def cannot_be_resolved() -> Missing:  # type: ignore[name-defined]  # noqa: F821
    return 1


class Charge:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> Point:
        return Point(1)

    def method(self) -> Decimal:
        return Decimal(1)


@pytest.mark.parametrize(
    ("function", "annotation"),
    [
        (returns_point, Point),
        (returns_later, list[Point]),
        (returns_awaitable, Point),
        (functools.partial(functools.partial(returns_point)), Point),
        (Charge(), Point),
        (Charge().method, Decimal),
        (Point, Point),
        (says_nothing, Any),
        (cannot_be_resolved, Any),
        (lambda: 1, Any),
        (len, Any),
        (json.dumps, Any),
    ],
    ids=lambda given: getattr(given, "__name__", type(given).__name__),
)
def test_the_return_annotation_of_anything_that_can_be_called(function: Callable[..., Any], annotation: Any) -> None:
    """Functions, async ones, partials, methods, callable objects and classes; `Any` where nothing is said."""
    assert return_annotation(function) == annotation


# -- arguments ------------------------------------------------------------------------------------


def test_arguments_are_positional_then_named_sorted() -> None:
    """The recorded form of a call."""
    assert bytes(encode_arguments((1, "a"), {"z": 1, "b": {"d": 1, "c": 2}}, "step")) == (
        b'[[1,"a"],{"b":{"c":2,"d":1},"z":1}]'
    )
    assert bytes(encode_arguments((), {}, "step")) == b"[[],{}]"


def test_local_and_secret_arguments_show_only_that_they_are_there() -> None:
    """Neither the content nor its class enters the record, so not the fingerprint either, at any depth."""
    first = encode_arguments((Local(Unknown()), [Secret("hunter2")], Box(Secret("a"))), {"key": Secret("b")}, "step")
    second = encode_arguments((Local(5), [Secret(None)], Box(Secret("c"))), {"key": Secret(Unknown())}, "step")
    assert bytes(first) == bytes(second)
    assert digest("run", first) == digest("run", second)
    assert bytes(first).startswith(b'[[{"$local":true},[{"$secret":true}],')


def test_a_function_is_called_with_what_local_marks() -> None:
    """`Local` is opened at any depth of plain containers; a `Secret` stays closed."""
    client, secret = Unknown(), Secret("hunter2")
    marked: Any = Local(client)
    args, kwargs = call_arguments((1, marked, [marked, {"deep": (marked,)}], secret), {"client": marked})
    assert args == (1, client, [client, {"deep": (client,)}], secret)
    assert kwargs == {"client": client}
    assert call_arguments((1, "a"), {"b": [None]}) == ((1, "a"), {"b": [None]})
    assert repr(marked) == f"Local({client!r})"


def test_an_argument_without_a_json_form_is_named() -> None:
    """The error names the argument, the path in it, and the ways out."""
    with pytest.raises(UnserializableError) as caught:
        encode_arguments((1, {"k": [Unknown()]}), {}, "arguments of step 'charge'")
    assert str(caught.value).startswith("arguments of step 'charge', at args[1].k[0]: ")
    assert str(caught.value).endswith("open it inside the step, or mark it Local(x)")
    with pytest.raises(UnserializableError, match=r"at client: a .*Unknown has no JSON form"):
        encode_arguments((), {"client": Unknown()}, "step")
    with pytest.raises(UnserializableError, match="nan has no JSON form; return None, or text, instead$"):
        encode_arguments((float("nan"),), {}, "step")
    for bad, reason in [
        (float("nan"), "nan"),
        ("\ud800", "text with a lone"),
        ("\x00", "text with a NUL"),
        (10**5000, "an int"),
    ]:
        with pytest.raises(UnserializableError, match=rf"at args\[0\]: {reason}"):
            encode_arguments((bad,), {}, "step")


@given(st.lists(PLAIN, max_size=3).map(tuple), st.dictionaries(TEXT, PLAIN, max_size=3))
def test_equal_arguments_have_equal_fingerprints(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """However the named ones are ordered; the kind of the command counts too."""
    one = encode_arguments(args, kwargs, "step")
    other = encode_arguments(copy.deepcopy(args), dict(reversed(kwargs.items())), "step")
    assert digest("run", one) == digest("run", other)
    assert digest("run", one) != digest("invoke", one)
    assert decode(one) == [list(args), kwargs]


def test_a_fingerprint_is_the_same_for_ever() -> None:
    """It is recorded, so it may never change."""
    assert digest("run", encode_arguments((1, "a"), {"b": 2.5}, "step")) == "b66568a5ac9e4d84fe0be56a"


@given(TEXT.map(lambda text: text * 500))
def test_a_preview_is_bounded_json(text: str) -> None:
    """Up to 4 KiB the arguments themselves; beyond, text that begins as they do."""
    arguments = encode_arguments((text,), {}, "step")
    shown = preview(arguments)
    assert len(bytes(shown)) <= PREVIEW_BYTES
    if len(bytes(arguments)) <= PREVIEW_BYTES:
        assert shown == arguments
    else:
        beginning = decode(shown)
        assert beginning.endswith("…")
        assert bytes(arguments).decode().startswith(beginning[:-1])


def test_a_secret_shows_nothing() -> None:
    """Not as text, not in a message, not pickled; only `reveal` opens it."""
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    assert f"{secret} {secret!r} {[secret]}" == "Secret(***) Secret(***) [Secret(***)]"
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(secret)
