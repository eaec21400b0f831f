"""Values: what is written how, what comes back as what, and what is refused where."""

from __future__ import annotations

import copy
import enum
import functools
import json
import pickle
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import attrs
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from flowgen.errors import DefinitionError, UndecodableError, UnserializableError
from flowgen.outcome import NULL, Json
from flowgen.values import (
    MAX_DEPTH,
    PREVIEW_BYTES,
    Local,
    Secret,
    call_arguments,
    decode,
    decoder,
    digest,
    encode,
    encode_arguments,
    preview,
    return_annotation,
)

T = TypeVar("T")


# -- the types that values are made of ------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Odd(enum.Enum):
    PAIR = (1, 2)
    NOTHING = None
    WORD = "word"
    HALF = 0.5


@attrs.frozen
class Point:
    x: int
    y: int = 0


@attrs.frozen
class Box(Generic[T]):
    item: T
    spare: T | None = None


@attrs.define
class Private:
    _token: str
    plain: int = 0


@attrs.frozen
class Parsed:
    total: Decimal = attrs.field(converter=Decimal)
    twice: int = attrs.field(init=False, default=2)


@dataclass(frozen=True)
class Line:
    start: Point
    end: Point
    tags: frozenset[str] = field(default_factory=frozenset)


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


@attrs.frozen
class Shape:
    kind: Literal["shape"]
    size: int


@attrs.frozen
class Solid:
    kind: Literal["solid"]
    size: int


class Pair(NamedTuple):
    left: Point
    right: int = 7


class Order(TypedDict, total=False):
    id: Required[str]
    total: Decimal


class Ticket(TypedDict):
    owner: Private
    pair: Pair


@dataclass
class Basket:
    orders: list[Order]
    owner: Private | Point
    when: datetime | None = None


class Word(str, enum.Enum):  # noqa: UP042 - the spelling before 3.11
    YES = "yes"
    NO = "no"


class Model(pydantic.BaseModel):
    id: UUID
    when: datetime
    points: list[int] = []
    total: Decimal = Decimal(0)


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    when: datetime
    label: str = pydantic.Field(default="", alias="Label")


UserId = NewType("UserId", int)
Positive = Annotated[int, "above zero"]


class Unknown:
    """A class without a JSON form."""


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ZONES = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
POINTS = st.builds(Point, st.integers(), st.integers())
LINES = st.builds(Line, POINTS, POINTS, st.frozensets(TEXT, max_size=3))

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, st.integers(-(10**30), 10**30)),
    (float, FLOATS | st.integers(-1000, 1000).map(float)),
    (str, TEXT),
    (bytes, st.binary(max_size=20)),
    (bytearray, st.binary(max_size=20).map(bytearray)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (UUID, st.uuids()),
    (datetime, st.datetimes(timezones=st.just(UTC) | ZONES) | st.datetimes()),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Right, st.sampled_from([Right.READ, Right.READ | Right.WRITE])),
    (Odd, st.sampled_from(Odd)),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (UserId, st.integers().map(UserId)),
    (Positive, st.integers(1)),
    (list[int], st.lists(st.integers())),
    (Sequence[Point], st.lists(POINTS, max_size=3)),
    (tuple[int, str], st.tuples(st.integers(), TEXT)),
    (tuple[Point, ...], st.lists(POINTS, max_size=3).map(tuple)),
    (set[int], st.sets(st.integers())),
    (frozenset[Colour], st.frozensets(st.sampled_from(Colour))),
    (deque[int], st.lists(st.integers()).map(deque)),
    (dict[str, Point], st.dictionaries(TEXT, POINTS, max_size=3)),
    (dict[int, str], st.dictionaries(st.integers(-(2**53), 2**53), TEXT, max_size=3)),
    (dict[UUID, int], st.dictionaries(st.uuids(), st.integers(), max_size=3)),
    (dict[date, Point | Line], st.dictionaries(st.dates(), POINTS | LINES, max_size=3)),
    (dict[Colour, Private], st.dictionaries(st.sampled_from(Colour), st.builds(Private, TEXT), max_size=2)),
    (Mapping[str, int], st.dictionaries(TEXT, st.integers(), max_size=3)),
    (OrderedDict[str, int], st.dictionaries(TEXT, st.integers(), max_size=3).map(OrderedDict)),
    (Point, POINTS),
    (Line, LINES),
    (Tree, st.recursive(st.builds(Tree, TEXT), lambda t: st.builds(Tree, TEXT, st.lists(t, max_size=2)), max_leaves=4)),
    (Private, st.builds(Private, TEXT, st.integers())),
    (Parsed, st.builds(Parsed, st.decimals(allow_nan=False, allow_infinity=False))),
    (Box[int], st.builds(Box, st.integers())),
    (Box[Point], st.builds(Box, POINTS, POINTS)),
    (Box[Point | Line], st.builds(Box, POINTS | LINES)),
    (Pair, st.builds(Pair, POINTS, st.integers())),
    (Order, st.fixed_dictionaries({"id": TEXT}, optional={"total": st.integers().map(Decimal)})),
    (Model, st.builds(Model, points=st.lists(st.integers(), max_size=3), when=st.datetimes(timezones=ZONES))),
    (list[Model], st.lists(st.builds(Model, when=st.datetimes(timezones=st.just(UTC))), max_size=2)),
    (Strict, st.builds(Strict, when=st.datetimes(timezones=st.just(UTC)), Label=TEXT)),
    (Box[Model | None], st.builds(Box, st.none() | st.builds(Model, when=st.datetimes(timezones=st.just(UTC))))),
    (Optional[datetime], st.none() | st.datetimes()),  # noqa: UP045 - the other spelling
    (int | str | None, st.integers() | TEXT | st.none()),
    (int | float, st.integers(-1000, 1000) | FLOATS),
    (bool | int | list[str], st.booleans() | st.integers() | st.lists(TEXT)),
    (Literal["a"] | Literal["b"] | int, st.sampled_from(["a", "b", 3])),
    (Union[Point, Line], POINTS | LINES),
    (Point | Line | Decimal | list[Point] | None, POINTS | LINES | st.integers().map(Decimal) | st.none()),
    (Shape | Solid, st.sampled_from([Shape("shape", 1), Solid("solid", 1)])),
    (list[Point | Private | None], st.lists(POINTS | st.builds(Private, TEXT) | st.none(), max_size=3)),
    (Ticket, st.fixed_dictionaries({"owner": st.builds(Private, TEXT), "pair": st.builds(Pair, POINTS)})),
    (
        Basket,
        st.builds(Basket, st.just([Order(id="7")]), POINTS | st.builds(Private, TEXT), st.none() | st.datetimes()),
    ),
    (Private | Level, st.sampled_from(Level)),
    (Private | Word, st.sampled_from(Word)),
    (dict[Word, Private], st.dictionaries(st.sampled_from(Word), st.builds(Private, TEXT), max_size=2)),
    (tuple[Private, Level, Word], st.tuples(st.builds(Private, TEXT), st.sampled_from(Level), st.sampled_from(Word))),
    (Any, PLAIN),
    (list[Any], st.lists(PLAIN, max_size=3)),
]


# -- there and back -------------------------------------------------------------------------------


@settings(max_examples=50)
@pytest.mark.parametrize(
    ("annotation", "values"), TYPES, ids=lambda given: "" if isinstance(given, st.SearchStrategy) else str(given)[:60]
)
@given(data=st.data())
def test_a_value_comes_back_as_its_annotation_says(
    annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Each supported type survives the way into a history and out of it, with its class."""
    value = data.draw(values)
    back = decoder(annotation)(encode(value, "value"))
    assert back == value
    assert type(back) is type(value)


@given(PLAIN)
def test_plain_values_are_plain_json(value: Any) -> None:
    """What has no annotation comes back as JSON; the bytes are what any JSON reader reads."""
    data = bytes(encode(value, "value"))
    assert decode(Json(data)) == value
    assert json.loads(data) == value


@given(PLAIN)
def test_the_two_ways_of_writing_agree(value: Any) -> None:
    """The fast look and the exact way give the same bytes."""
    fast = bytes(encode([value], "value"))
    exact = bytes(encode(deque([value]), "value"))
    assert fast == exact


@given(PLAIN)
def test_encoding_changes_nothing_and_keeps_nothing(value: Any) -> None:
    """The argument is the same afterwards, and changing it later does not change what was encoded."""
    holder = [value, {"list": [1]}]
    before = copy.deepcopy(holder)
    data = bytes(encode(holder, "value"))
    assert holder == before
    holder[1]["list"].append(2)
    assert data == bytes(encode(before, "value"))


def test_none_is_null() -> None:
    """The commonest result."""
    assert encode(None, "value") == NULL


@given(st.permutations([0, 256, 512, 1024, 2048, 10, "b", "a", Colour.RED]))
def test_sets_are_written_in_one_order(members: list[Any]) -> None:
    """However a set was built, and whatever its members hash to, its bytes are the same: sorted."""
    expected = b'["a","b","red",0,10,1024,2048,256,512]'
    assert bytes(encode(set(members), "value")) == expected
    assert bytes(encode([frozenset(members)], "value", canonical=True)) == b"[" + expected + b"]"


def test_canonical_dicts_are_sorted_and_others_keep_their_order() -> None:
    """Equal dicts give equal bytes where that matters; a result keeps the order that the step gave it."""
    assert bytes(encode({"b": 1, "a": {"d": 1, "c": 2}}, "value", canonical=True)) == b'{"a":{"c":2,"d":1},"b":1}'
    assert bytes(encode({"b": 1, "a": 2}, "value")) == b'{"b":1,"a":2}'


def test_an_offset_with_seconds_keeps_its_instant() -> None:
    """JSON has no such offsets, so the datetime is written in UTC."""
    odd = datetime(1890, 1, 1, 12, tzinfo=timezone(timedelta(minutes=9, seconds=21)))
    assert decoder(datetime)(encode(odd, "value")) == odd


def test_subclasses_of_what_json_has_are_written_as_that() -> None:
    """A text, number, dict, list or date of the user's own class is written as what it is."""

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "misleading"

    class Day(date):
        pass

    class Moment(datetime):
        pass

    values = [Text("a"), Level.LOW, defaultdict(int, a=1), Day(2030, 1, 2), Moment(2030, 1, 2, tzinfo=UTC)]
    expected = b'["a",1,{"a":1},"2030-01-02","2030-01-02T00:00:00Z"]'
    assert bytes(encode(values, "value")) == expected


def one_more(n: int) -> int:
    return n + 1


def test_a_converter_is_not_run_again() -> None:
    """Fields hold converted values; restoring them does not convert twice."""

    @attrs.frozen
    class Counted:
        n: int = attrs.field(converter=one_more)

    assert decoder(Counted)(encode(Counted(1), "value")) == Counted(1)


def test_a_model_is_read_by_alias_or_by_name() -> None:
    """pydantic models are written by field name, whatever their aliases."""
    model = Strict(when=datetime(2030, 1, 1, tzinfo=UTC), Label="x")
    assert b'"label":"x"' in bytes(encode(model, "value"))
    assert decoder(Strict)(Json(b'{"when":"2030-01-01T00:00:00Z","Label":"x"}')) == model


def test_a_field_that_was_added_later_takes_its_default() -> None:
    """Old records are read by newer classes: missing fields with defaults, and fields that are gone."""
    assert decoder(Point)(Json(b'{"x":1,"gone":true}')) == Point(1, 0)
    assert decoder(Private)(Json(b'{"_token":"t","gone":true}')) == Private("t")


@attrs.frozen
class Small:
    a: int


@attrs.frozen
class Large:
    a: int
    b: int
    c: int = 0


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":1}', Small(1)),
        (b'{"a":1,"b":2,"c":3}', Large(1, 2, 3)),
        (b'{"a":1,"b":2}', None),
        (b'{"a":1,"b":2,"c":3,"gone":4}', Large(1, 2, 3)),
    ],
)
def test_classes_of_a_union_are_told_apart_by_their_fields(data: bytes, value: Any) -> None:
    """The class with exactly these fields; for an older record the closest one; never a guess between two."""
    read = decoder(Small | Large)
    if value is None:
        with pytest.raises(UndecodableError, match="it may be any of Small, Large"):
            read(Json(data))
    else:
        assert read(Json(data)) == value


Bound = TypeVar("Bound", bound=Point)
Alias = TypeAliasType("Alias", Point | Private)
Root = pydantic.RootModel[list[int]]


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (Private | float, b"1", 1.0),
        (Private | float | int, b"1", 1),
        (Private | Level, b"2", Level.HIGH),
        (Private | Colour, b'"red"', Colour.RED),
        (Private | Odd | int, b"[1,2]", Odd.PAIR),
        (Private | bool, b"true", True),
        (Private | Pair, b'[{"x":1},3]', Pair(Point(1), 3)),
        (Private | Root, b"[1,2]", Root([1, 2])),
        (Private | deque[int], b"[1,2]", deque([1, 2])),
        (Private | Literal["a", 1], b'"a"', "a"),
        (Private | (Line | None), b"null", None),
        (Private | Any, b'{"_token":"t"}', {"_token": "t"}),
        (list[Private | Any], b"[5]", [5]),
        (list[Bound], b'[{"x":1}]', [Point(1)]),  # type: ignore[valid-type]
        (Alias, b'{"_token":"t","plain":0}', Private("t")),
        (list[Alias], b'[{"x":1,"y":0}]', [Point(1)]),
        (Final[int], b"1", 1),
        (Private | Sequence[int], b"[1]", [1]),
        (tuple[Private, T, Box], b'[{"_token":"t"},[1],{"item":[]}]', (Private("t"), [1], Box([]))),  # type: ignore[valid-type, type-arg]
        (Sequence[Private], b'[{"_token":"t"}]', [Private("t")]),
    ],
    ids=str,
)
def test_unions_and_what_wraps_types(annotation: Any, data: bytes, value: Any) -> None:
    """Members of a union by how they look in JSON; bounds, aliases and qualifiers as what they stand for."""
    back = decoder(annotation)(Json(data))
    assert back == value
    assert type(back) is type(value)


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


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fraction_comes_back_however_it_is_written(number: float) -> None:
    """Its shortest form, and an exponent; it is the same number, and no other type."""
    for text in (repr(number), f"{number:e}", f"{number:.17e}"):
        read = decode(Json(text.encode()))
        assert (type(read), read) == (float, float(text))


@pytest.mark.parametrize("text", ["1e400", "-1e400", "[1, 2e308]"])
def test_a_number_that_no_double_holds_is_refused(text: str) -> None:
    """It would come back as infinity, which no JSON can hold."""
    with pytest.raises(ValueError, match="out of range"):
        decode(Json(text.encode()))
