"""Values that are refused, on the way in and on the way out, and what is said of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import DefinitionError, UndecodableError, UnserializableError
from flowgen.outcome import Json
from flowgen.values import MAX_DEPTH, Local, Secret, decode, decoder, encode
from tests.shapes import (
    PLAIN,
    Box,
    Colour,
    Level,
    Line,
    Model,
    Odd,
    Order,
    Pair,
    Point,
    Private,
    Shape,
    Small,
    Solid,
    T,
    Unknown,
    UserId,
)

# -- refused on the way in ------------------------------------------------------------------------


def cycle() -> list[Any]:
    members: list[Any] = [1]
    members.append({"again": members})
    return members


def deep(levels: int, leaf: Any = 1) -> Any:
    for _ in range(levels):
        leaf = [leaf]
    return leaf


async def coroutine_function() -> None:
    """Something to call and not await."""


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (float("nan"), "", "nan has no JSON form"),
        ({"a": [1, float("inf")]}, "$.a[1]", "inf has no JSON form"),
        ({"a": None, "b": (float("-inf"),)}, "$.b[0]", "-inf has no JSON form"),
        (Point(float("nan"), 1), "$.x", "nan has no JSON form"),  # type: ignore[arg-type]
        (Decimal("NaN"), "", "Decimal NaN has no JSON form"),
        ([Decimal("-Infinity")], "$[0]", "Decimal -Infinity has no JSON form"),
        ({float("nan")}, "$[0]", "nan has no JSON form"),
        ({"a": "x\x00"}, "$.a", "text with a NUL character"),
        ({"x\x00": 1}, "$['x\\x00']", "text with a NUL character"),
        (["\ud800"], "$[0]", "text with a lone surrogate ('\\ud800')"),
        ({"\udfff": 1}, "$['\\udfff']", "text with a lone surrogate"),
        (cycle(), "$[1].again", "it contains itself"),
        (deep(MAX_DEPTH + 1), "$" + "[0]" * MAX_DEPTH, "more than 64 levels deep"),
        ([10**4300], "$[0]", "an integer of more than 4,300 digits"),
        ({1: "a", "1": "b"}, "$['1']", "two keys are written as '1'"),
        ({Colour.RED: 1, "red": 2}, "$.red", "two keys are written as 'red'"),
        ({(1, 2): 3}, "$[(1, 2)]", "a key of type tuple; keys are str, int, Enum, UUID or date"),
        ({None: 1}, "$[None]", "a key of type NoneType"),
        ({True: 1}, "$[True]", "a key of type bool"),
        ({1.5: 1}, "$[1.5]", "a key of type float"),
        ({Odd.PAIR: 1}, "$[<Odd.PAIR: (1, 2)>]", "a key of type"),
        ([Unknown()], "$[0]", "has no JSON form; use JSON values, attrs classes"),
        ((n for n in [1]), "", "a generator has no JSON form; return what it gives"),
        (lambda: 1, "", "a function has no JSON form"),
        (Point, "", "a type has no JSON form"),
        (object(), "", "a object has no JSON form"),
        (1j, "", "a complex has no JSON form"),
        (time(1, tzinfo=timezone(timedelta(seconds=1))), "", "a time with a zone offset"),
        ({"key": Secret("hunter2")}, "$.key", "a Secret is never stored"),
        (Box(Secret("hunter2")), "$.item", "a Secret is never stored"),
        ([Local(1)], "$[0]", "Local(x) marks an argument"),
    ],
    ids=lambda given: given[:50] if isinstance(given, str) else type(given).__name__,
)
def test_what_cannot_be_written_is_refused_with_its_path(value: Any, path: str, reason: str) -> None:
    """No value is silently changed: the error names what was encoded, the path and the reason."""
    with pytest.raises(UnserializableError) as caught:
        encode(value, "result of step 'charge'")
    assert caught.value.path == path
    assert reason in caught.value.reason
    assert str(caught.value).startswith("result of step 'charge'")
    assert "hunter2" not in str(caught.value)


@given(PLAIN, st.sampled_from([float("nan"), "\x00", "\ud800", 10**5000]), st.booleans())
def test_a_bad_leaf_is_found_wherever_it_is(value: Any, bad: Any, in_dict: bool) -> None:
    """However deep it lies beside good values, the path leads to the bad one."""
    holder = [value, {"bad": [bad]}] if in_dict else [[value], (value, bad)]
    with pytest.raises(UnserializableError) as caught:
        encode(holder, "value")
    assert caught.value.path == ("$[1].bad[0]" if in_dict else "$[1][1]")


def test_sixty_four_levels_are_accepted() -> None:
    """The limit itself is fine, plain or not."""
    assert decode(encode(deep(MAX_DEPTH), "value")) == deep(MAX_DEPTH)
    assert decode(encode(deep(MAX_DEPTH - 1, {1}), "value")) == deep(MAX_DEPTH)


def test_an_awaitable_is_refused_by_name() -> None:
    """A forgotten `await` is told as that."""
    coroutine = coroutine_function()
    with pytest.raises(UnserializableError, match="a coroutine has no JSON form; await it"):
        encode(coroutine, "value")
    coroutine.close()


def test_an_async_generator_is_refused() -> None:
    """So is what is to be iterated."""

    async def numbers() -> AsyncGenerator[int, None]:
        yield 1

    with pytest.raises(UnserializableError, match="a async_generator has no JSON form"):
        encode(numbers(), "value")


def test_a_field_that_was_never_set_is_named() -> None:
    """An attrs instance that is half made says which field is missing."""

    @attrs.define
    class Half:
        x: int = attrs.field(init=False)

    with pytest.raises(UnserializableError, match=r"at \$\.x: this field was never set"):
        encode(Half(), "value")


def test_a_model_is_looked_into() -> None:
    """What pydantic leaves in its JSON form is checked like any other value."""

    class Numbers(pydantic.BaseModel):
        numbers: list[float]

    with pytest.raises(UnserializableError, match=r"at \$\.numbers\[1\]: nan has no JSON form"):
        encode(Numbers(numbers=[1.0, float("nan")]), "value")


def test_a_model_that_cannot_be_dumped_is_refused() -> None:
    """Whatever pydantic says to it becomes the reason, and nothing of a secret is shown."""

    class Holder(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        key: Secret[str]

    with pytest.raises(UnserializableError, match="raised PydanticSerializationError") as caught:
        encode(Holder(key=Secret("hunter2")), "value")
    assert "hunter2" not in str(caught.value)


def test_an_object_that_raises_while_it_is_read_is_refused() -> None:
    """The user's own classes may fail in any way: it becomes one error, with the cause."""

    class Bad(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(UnserializableError, match="raised RuntimeError: no") as caught:
        encode(Bad(a=1), "value")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_equality_is_never_asked() -> None:
    """An object whose `__eq__` raises is encoded all the same."""

    @attrs.frozen(eq=False)
    class Touchy:
        x: int

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

    assert bytes(encode([Touchy(1)], "value")) == b'[{"x":1}]'


def test_the_limit_is_in_bytes_and_inclusive() -> None:
    """A value of the limit's size is accepted, one byte more is not; None lifts it."""
    assert len(bytes(encode("x" * 98, "value", limit=100))) == 100
    with pytest.raises(UnserializableError, match="101 bytes of JSON; at most 100 are accepted"):
        encode("x" * 99, "value", limit=100)
    with pytest.raises(UnserializableError, match="at most 4,194,304 are accepted"):
        encode("x" * (4 * 1024 * 1024), "value")
    assert encode("x" * (5 * 1024 * 1024), "value", limit=None)


# -- refused on the way out -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "data", "message"),
    [
        (int, b'"5"', 'the value "5" does not fit int: Expected `int`, got `str`'),
        (int, b"1.5", "Expected `int`, got `float`"),
        (str, b"5", "Expected `str`, got `int`"),
        (bool, b"1", "Expected `bool`, got `int`"),
        (Point, b'{"x":"a"}', "Expected `int`, got `str` - at `$.x`"),
        (Point, b"{}", "missing required field `x`"),
        (list[Point], b'[{"x":1},{"x":null}]', "at `$[1].x`"),
        (Colour, b'"green"', "Invalid enum value 'green'"),
        (datetime, b'"yesterday"', "Invalid RFC3339 encoded datetime"),
        (Private, b'{"_token":5}', "Expected `str`, got `int` @ $._token"),
        (Private, b'{"plain":5}', "required field '_token' is missing @ $._token"),
        (Point | Line, b"5", "expected dict, got int @ $"),
        (dict[str, Point | Line], b'{"k":{"x":[],"y":1}}', "Expected `int`, got `array` @ $['k'].x"),
        (Odd, b'"green"', "'green' is not a valid Odd"),
        (Shape | Solid, b'{"kind":"gas","size":1}', "gas"),
        (Private | Pair, b"[{},1,2]", "expected an array of at most 2"),
        (Private | Pair, b"[]", "left"),
        (Model, b'{"id":"7"}', "id"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_with_its_path(annotation: Any, data: bytes, message: str) -> None:
    """A recorded value that no longer fits names the type, the path and the value."""
    with pytest.raises(UndecodableError) as caught:
        decoder(annotation)(Json(data))
    assert message in str(caught.value)


def test_a_long_value_is_shown_shortened() -> None:
    """The message stays readable."""
    with pytest.raises(UndecodableError) as caught:
        decoder(int)(encode("x" * 10_000, "value"))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (datetime | str, "datetime and str look alike in JSON"),
        (Point | dict[str, int], "Point and dict[str, int] look alike"),
        (set[int] | list[int], "look alike"),
        (Colour | str, "Colour and str look alike"),
        (Level | int, "Level and int look alike"),
        (Small | Box[int] | Unknown, "look alike"),
        (Private | Order, "Private and Order look alike"),
        (list["Point"], "has no JSON form"),
        (Private | UserId | Level, "UserId and Level look alike"),
        (Unknown, "Unknown has no JSON form that could be read back"),
        (list[Unknown], "Unknown has no JSON form"),
        (Box[Unknown], "Unknown has no JSON form"),
        (Generator[int, None, None], "has no JSON form"),
        (Callable[[], int], "has no JSON form"),
    ],
    ids=str,
)
def test_an_annotation_that_cannot_be_read_is_refused_at_once(annotation: Any, message: str) -> None:
    """Types that would be guessed, or never read, are a definition's fault, and say so before any value is there."""
    with pytest.raises(DefinitionError) as caught:
        decoder(annotation)
    assert message in str(caught.value)


def test_classes_with_equal_fields_ask_for_a_literal() -> None:
    """Two classes that JSON cannot tell apart are refused, with what to do."""

    @attrs.frozen
    class Twin:
        x: int
        y: int

    with pytest.raises(DefinitionError, match=r"Point and .*Twin cannot be told apart in JSON.*Literal"):
        decoder(Point | Twin)


def test_an_annotation_that_says_nothing_gives_plain_json() -> None:
    """`Any`, `object`, a type variable and a bare generic class leave the value as it is."""
    for annotation in (Any, object, T):
        assert decoder(annotation)(Json(b'{"a":[1]}')) == {"a": [1]}
    assert decoder(Box)(Json(b'{"item":{"a":1}}')) == Box({"a": 1})
    assert decoder(list[T])(Json(b"[{}]")) == [{}]  # type: ignore[valid-type]


def test_a_decoder_is_made_once() -> None:
    """Asking again is a look-up; annotations that cannot be hashed work too."""
    assert decoder(list[Point]) is decoder(list[Point])
    assert decoder(Annotated[int, []])(Json(b"1")) == 1


@attrs.frozen
class Dangling:
    x: Missing  # type: ignore[name-defined]  # noqa: F821


@attrs.frozen
class Dangling2:
    _x: Missing  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("annotation", [Dangling, Dangling2, list[Dangling], int | Dangling])
def test_a_class_whose_annotations_cannot_be_resolved_is_refused(annotation: Any) -> None:
    """Its values could not be told; the missing name is named."""
    with pytest.raises(DefinitionError, match="Missing"):
        decoder(annotation)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "[1, 2e308]"])
def test_a_number_that_no_double_holds_is_refused(text: str) -> None:
    """It would come back as infinity, which no JSON can hold."""
    with pytest.raises(ValueError, match="out of range"):
        decode(Json(text.encode()))
