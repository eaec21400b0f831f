"""Types that values are made of, and strategies for them: those that a user may write in an annotation."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, Required, TypedDict, TypeVar, Union
from uuid import UUID

import attrs
import pydantic
from hypothesis import strategies as st

T = TypeVar("T")


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


@attrs.frozen
class Small:
    a: int


@attrs.frozen
class Large:
    a: int
    b: int
    c: int = 0


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
