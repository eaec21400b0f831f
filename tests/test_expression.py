"""Expressions: native paths, CEL with its errors and bounds, and values as keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cel_expr_python import cel
from hypothesis import assume, given
from hypothesis import strategies as st

from flowgen.errors import DefinitionError, ExpressionError
from flowgen.expression import Expression, match_key, match_key_at, parse_path, value_at
from flowgen.expression.cost import cost
from flowgen.expression.tree import read_tree

BOTH = ("event", "async")
WORDS = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text("abc1", max_size=3)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8
)
DATA = st.dictionaries(WORDS, JSON, max_size=3)
PATHS = st.lists(WORDS, min_size=1, max_size=3)


def event(**data: Any) -> dict[str, Any]:
    """The bindings of an expression over one event with this data."""
    return {"event": {"name": "order/placed", "data": data, "id": "e1", "ts": 1_900_000_000_000}}


# -- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data.order_id", ("data", "order_id")),
        ("event.data.a.b", ("data", "a", "b")),
        ("async.data.x", ("data", "x")),
        ("name", ("name",)),
        ("data", ("data",)),
        ("data.order-id.7.$ref", ("data", "order-id", "7", "$ref")),
    ],
)
def test_a_path_leads_into_an_event(text: str, path: tuple[str, ...]) -> None:
    """With or without the variable before it."""
    assert parse_path(text, "match") == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order_id", "'order_id' is no path into an event; it begins with data, name, id, ts: write \"data.order_id\""),
        ("", "'' at character 1: '' is no field name"),
        ("data..x", "'data..x' at character 6: '' is no field name"),
        ("data.a b", "at character 6: 'a b' is no field name"),
        ("data['x']", "at character 1"),
        ("event", "'event' is no path into an event"),
        ("data." + "x" * 1000, "1,005 characters; a path has at most 1,000"),
        (5, "5 is no path"),
        (["data"], "['data'] is no path"),
    ],
)
def test_a_bad_path_says_where_and_what_to_write(text: Any, message: str) -> None:
    """A path that leads nowhere is refused with its position."""
    with pytest.raises(DefinitionError) as caught:
        parse_path(text, "match of 'approval'")
    assert str(caught.value).startswith("match of 'approval': ")
    assert message in str(caught.value)


def test_what_is_not_there_is_none() -> None:
    """A missing key, and a path through what is no object."""
    document = {"data": {"a": {"b": 1}, "list": [1]}}
    assert value_at(document, ("data", "a", "b")) == 1
    assert value_at(document, ("data", "x", "y")) is None
    assert value_at(document, ("data", "a", "b", "c")) is None
    assert value_at(document, ("data", "list", "0")) is None


# -- keys -----------------------------------------------------------------------------------------


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values, in which a bool is no number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return bool(a == b)


@given(JSON, JSON)
def test_keys_are_equal_just_if_values_are(a: Any, b: Any) -> None:
    """1 is 1.0, `True` is not 1, text is no number, and the order of keys does not count."""
    assert (match_key(a) == match_key(b)) is same(a, b)


@given(JSON)
def test_a_key_survives_a_round_trip(value: Any) -> None:
    """A value that was written and read again, even with its numbers as floats, has the same key."""
    assert match_key(json.loads(json.dumps(value), parse_int=float)) == match_key(value)


@given(st.text(min_size=100, max_size=300), st.text(min_size=100, max_size=300))
def test_long_keys_are_short_and_distinct(a: str, b: str) -> None:
    """At most 128 characters, and still different for different values."""
    assume(a != b)
    assert len(match_key(a)) <= 128
    assert match_key(a) != match_key(b)


def test_keys_are_the_same_for_ever() -> None:
    """They are stored with waits and indexed, so they may never change."""
    values = [None, True, 1, 1.0, 1.5, 1e22, -0.0, "1", "é", [1.0, {"b": 1, "a": None}], "x" * 200]
    assert [match_key(value) for value in values] == [
        "null",
        "true",
        "1",
        "1",
        "1.5",
        "10000000000000000000000",
        "0",
        '"1"',
        '"é"',
        '[1,{"a":null,"b":1}]',
        "#a372b33f753442e3fd4a1c682cbc69b8a449b945f9192b3f",
    ]


def test_the_key_at_a_path_is_that_of_its_value() -> None:
    """What a store indexes an event by."""
    document = event(order_id=7)["event"]
    assert match_key_at(document, "data.order_id") == "7"
    assert match_key_at(document, "event.name") == '"order/placed"'
    assert match_key_at(document, "data.missing") == "null"


# -- expressions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("event.data.total", 11),
        (" event.data.total ", 11),
        ("event.data.missing.deeper", None),
        ("event.name", "order/placed"),
        ("event.data.big", 2**70),
        ("event.data.total > 10", True),
        ("event.data.total > 10.5", True),
        ("event.data.vip ? 120 : 0", 120),
        ("has(event.data.missing) && event.data.missing == 1", False),
        ("event.data['odd key'] == 1", True),
        ("event.data['items'].exists(i, i.price == 3)", True),
        ("event.data.items[1].price + 1", 4),
        ("event.data.items.map(i, i.price)", [2, 3]),
        ("event.data.name.startsWith('é')", True),
        ("event.data.name.matches('^.l')", True),
        ("event.data.total in [1, 11]", True),
        ("size(event.data.items)", 2),
        ("event.ts > 0", True),
        ("[0.5, 1.5].exists(x, x + 0.5 == 2.0)", True),
        ("(event.data.items + [{'price': 9}]).exists(i, i.price == 9)", True),
        ("{'a': [1, 2.5, null]}", {"a": [1, 2.5, None]}),
        ("timestamp('2030-01-01T00:00:00Z')", "2030-01-01T00:00:00+00:00"),
        ("duration('90s')", 90.0),
    ],
)
def test_an_expression_has_a_value(text: str, value: Any) -> None:
    """Plain paths and CEL; an integer past 64 bits elsewhere in the event disturbs none of them."""
    bindings = event(total=11, vip=True, big=2**70, name="élan", items=[{"price": 2}, {"price": 3}], **{"odd key": 1})
    assert Expression(text).evaluate(bindings) == value
    assert repr(Expression(text)) == f"Expression({text!r})"


def test_whole_events_can_be_compared() -> None:
    """A bare variable is all of its document."""
    assert Expression("event == async", BOTH).is_true({**event(a=1), "async": event(a=1)["event"]})
    assert not Expression("event == async", BOTH).is_true({**event(a=1), "async": event(a=2)["event"]})


def test_a_condition_sees_both_events() -> None:
    """`event` is the trigger, `async` what arrives."""
    where = Expression("event.data.id == async.data.id && async.data.total > 5", BOTH)
    trigger = event(id="7")["event"]
    assert where.is_true({"event": trigger, "async": {"data": {"id": "7", "total": 6}}})
    assert not where.is_true({"event": trigger, "async": {"data": {"id": "8", "total": 6}}})


def test_truth_is_a_bool() -> None:
    """A plain path to nothing is not true; anything but true and false is an error, for nothing is truthy."""
    assert Expression("event.data.vip").is_true(event(vip=True))
    assert not Expression("event.data.vip").is_true(event(vip=False))
    assert not Expression("event.data.vip").is_true(event())
    others: list[Any] = [1, "true", [], {}]
    for other in others:
        with pytest.raises(ExpressionError, match="neither true nor false"):
            Expression("event.data.vip").is_true(event(vip=other))
    with pytest.raises(ExpressionError, match="it gives 2, neither true nor false"):
        Expression("1 + 1").is_true(event())
    with pytest.raises(ExpressionError, match="it gives None"):
        Expression("event.data.a == 1 ? null : null").is_true(event(a=1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("event.data.missing == 1", 'Key not found in map : "missing"'),
        ("event.data.missing.deeper == 1", 'Key not found in map : "missing"'),
        ("!event.data.missing", "Key not found"),
        ("event.data.text.deeper == 1", "Applying SELECT to non-message type"),
        ("event.data.text + 1 == 2", "No matching overloads found : _+_"),
        ("event.data.text ? 1 : 2", "No matching overloads"),
        ("1 / event.data.zero", "divide by zero"),
        ("event.data.big == 1", "out of range"),
        ("event.data.zero + 9223372036854775807 + 1", "integer overflow"),
        ("b'abc'", "it gives a bytearray, which has no JSON form"),
        ("type(event.data.zero)", "which has no JSON form"),
        ("event.data.text.matches('[')", "invalid regular expression"),
    ],
)
def test_a_failure_is_an_expression_error(text: str, reason: str) -> None:
    """The library returns errors as true values; here they are always raised, with the text and the reason."""
    expression = Expression(text)
    with pytest.raises(ExpressionError) as caught:
        expression.is_true(event(text="abc", zero=0, big=2**70))
    assert repr(text) in str(caught.value)
    assert reason in str(caught.value)
    assert "abc" not in str(caught.value).replace(text, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("event.", "'event.': line 1, column 7: Syntax error"),
        ("event.data.a ==\n  foo", "line 2, column 3: undeclared reference to 'foo'; its variables are: event"),
        ("async.data.a == 1", "undeclared reference to 'async.data.a'; its variables are: event"),
        ("", "line 1, column 1: Syntax error"),
        ("1 + 'a'", "line 1, column 3: found no matching overload"),
        ("event.data.upper()", "undeclared reference to 'upper'"),
        ("__import__('os')", "undeclared reference to '__import__'"),
        ("event.data.a.matches(event.data.b)", "the pattern of matches() must be written out"),
        ("x" * 10_001, "10,001 characters; an expression has at most 10,000"),
        ("(" * 500 + "1" + ")" * 500, "recursion"),
        ("!(" * 500 + "true" + ")" * 500, "recursion"),
        ("[" * 500 + "1" + "]" * 500, "recursion"),
        ("1" + "+1" * 3000, "recursion"),
        ("\ud800", "no Unicode"),
        ("event.data.a\x00", "token recognition error"),
        (None, "None is no expression"),
    ],
    ids=lambda given: str(given)[:40].encode("ascii", "backslashreplace").decode(),
)
def test_what_can_never_work_is_refused_when_it_is_defined(text: Any, message: str) -> None:
    """With the name of the option, the line and the column."""
    with pytest.raises(DefinitionError) as caught:
        Expression(text, what="where of 'x'")
    assert str(caught.value).startswith("where of 'x': ")
    assert message in str(caught.value)


def test_attributes_of_python_cannot_be_reached() -> None:
    """A name with underscores is a key like any other."""
    assert Expression("event.__class__").evaluate(event()) is None
    with pytest.raises(ExpressionError, match="Key not found"):
        Expression("event.__class__ == 1").evaluate(event())


# -- what it reads --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("event.data.a", {"event.data.a"}),
        ("event.data.a == async.data.b", {"event.data.a", "async.data.b"}),
        ("has(event.data.a) || event.data['b c'] == 1", {"event.data.a", "event.data.b c"}),
        ("event.data.list[0].x == 1", {"event.data.list"}),
        ("event.data.list.exists(i, i.x == event.data.y)", {"event.data.list", "event.data.y"}),
        ("event.data.list.exists(event, event.x == 1)", {"event.data.list"}),
        ("[event.data.a].map(i, {'k': i, async.data.k: 1})", {"event.data.a", "async.data.k"}),
        ("event.data[event.name] == 1", {"event.data", "event.name"}),
        ("event == async", {"event", "async"}),
        ("1 == 1", set()),
    ],
)
def test_the_paths_of_an_expression(text: str, paths: set[str]) -> None:
    """All that it can read, and no more; a loop's own variable is none of it."""
    assert {".".join(path) for path in Expression(text, BOTH).paths} == paths


def test_a_scope_is_just_what_is_read() -> None:
    """What has to be kept with a wait: the named parts, in place, copied out of nothing else."""
    document = {"name": "x", "data": {"a": {"b": 1, "c": 2}, "d": 3, "e": None}}
    expression = Expression("event.data.a.b == async.data.q && event.data.missing == event.data.e", BOTH)
    assert expression.scope("event", document) == {"data": {"a": {"b": 1}, "e": None}}
    assert expression.scope("async", document) == {"data": {}}
    assert Expression("event.data == 1").scope("event", document) == {"data": document["data"]}
    assert Expression("event.data.d.x == 1").scope("event", document) == {"data": {"d": 3}}
    assert Expression("1 == 1").scope("event", document) == {}


@given(
    DATA, PATHS, PATHS, st.sampled_from(["{0} == {1}", "has({0}) && {0} != {1}", "{0} > 1 || {1} > 1", "has({0}.a)"])
)
def test_a_scope_decides_as_the_whole_event_does(data: dict[str, Any], a: list[str], b: list[str], form: str) -> None:
    """Evaluating what was kept gives what evaluating the event gives, errors included."""
    text = form.format(*(".".join(["event.data", *path]) for path in (a, b)))
    expression = Expression(text)
    document = event(**data)["event"]
    scope = json.loads(json.dumps(expression.scope("event", document)))

    def outcome(part: dict[str, Any]) -> Any:
        try:
            return expression.is_true({"event": part})
        except ExpressionError as error:
            return str(error)

    assert outcome(scope) == outcome(document)


@given(DATA, PATHS)
def test_a_plain_path_is_what_cel_says_where_it_is_there(data: dict[str, Any], path: list[str]) -> None:
    """The native evaluation and the library agree; only what is missing differs."""
    text = ".".join(["event.data", *path])
    native = Expression(text).evaluate(event(**data))
    try:
        through_cel = Expression(f"[{text}][0]").evaluate(event(**data))
    except ExpressionError:
        assert native is None
    else:
        assert native == through_cel


# -- bounds ---------------------------------------------------------------------------------------

LARGE = event(
    list=list(range(9_000)), text="a" * 400_000, tags=["vip-1"] * 500, items=[{"price": n, "n": 1} for n in range(900)]
)
HOSTILE = {
    "doubling text": "[event.data.text]" + ".map(x, x + x)" * 12 + "[0].size() > 0",
    "doubling lists": "['a']" + ".map(x, [x, x])" * 25 + " == ['a']" + ".map(x, [x, x])" * 25,
    "doubling maps": "['a']" + ".map(x, {'a': x, 'b': x})" * 25 + ".size() > 0",
    "binding and doubling": "[event.data.text].exists(a, [a + a].exists(b, [b + b].exists(c, [c + c].exists(d, "
    "[d + d + d + d + d + d + d + d].exists(e, (e + e + e + e + e + e + e + e).size() > 0)))))",
    "copying in a loop": "event.data.list.exists(x, event.data.text + 'a' == 'x')",
    "measuring in a loop": "event.data.list.exists(x, event.data.text.size() == x)",
    "regex in a loop": "event.data.list.exists(x, 'aaa'.matches('(a{0,1000})b'))",
    "a loop in a loop": "event.data.list.exists(x, event.data.list.exists(y, x + y == -1))",
    "a loop thrice": "event.data.list.all(x, event.data.list.all(y, event.data.list.all(z, x + y + z > -1)))",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_expression_stops_before_it_begins(text: str) -> None:
    """What would take minutes, or all memory, is an error on this event."""
    with pytest.raises(ExpressionError, match="would take too long; simplify it"):
        Expression(text).is_true(LARGE)


@pytest.mark.parametrize(
    "text",
    [
        "event.data.list.exists(x, x + 1 == 8999)",
        "event.data.tags.all(t, t.startsWith('vip') && t.size() < 10 && t.matches('^vip-'))",
        "event.data.items.filter(i, i.price > 10 && i.n == 1).map(i, i.price * 2).exists(p, p == 400)",
        "event.data.items.exists(i, event.data.tags.exists(t, t == 'vip-' + string(i.n)))",
        "event.data.text.matches('a{0,5}$')",
        "event.data.text.contains('aaaa') && event.data.text + 'b' != 'b'",
    ],
)
def test_a_reasonable_expression_on_a_large_event_is_evaluated(text: str) -> None:
    """The bound is for what explodes, not for what is large."""
    assert Expression(text).is_true(LARGE)


def test_too_many_rounds_are_an_error() -> None:
    """The library's own budget ends what has little to look at but never finds it."""
    small = event(items=[1] * 200, tags=[2] * 200)
    with pytest.raises(ExpressionError, match="Iteration budget exceeded"):
        Expression("event.data.items.exists(i, event.data.tags.exists(t, t == i))").is_true(small)


def cost_of(text: str, **data: Any) -> float:
    """The bound of an expression over `event`, whatever the limit."""
    program = cel.NewEnv(variables={"event": cel.Type.DYN}).compile(text)
    return cost(read_tree(program.serialize()), {"event": data})


@given(st.integers(1, 30), st.integers(1, 30), st.integers(500, 1_000))
def test_the_bound_counts_rounds_and_sizes(outer: int, inner: int, size: int) -> None:
    """A loop costs its rounds, and what it repeats costs that many times its size."""
    shape = {"a": ["c" * size] * outer, "b": [0] * inner, "c": "c" * size}
    rounds = outer * inner
    outside = cost_of("event.a.exists(x, event.b.exists(y, event.c + 'z' == 'q'))", **shape)
    own = cost_of("event.a.exists(x, event.b.exists(y, x + 'z' == 'q'))", **shape)
    assert rounds * size <= outside <= 1_000 + 100 * rounds * (size + 20)
    assert rounds * size <= own <= 1_000 + 100 * rounds * (size + 20)


def test_the_bound_knows_each_form() -> None:
    """Loops over literals, over loops and over computed lists; literals of every kind; an event that lacks a path."""
    forms = ["[1, 2].all(x, x > 0)", "event.a.filter(x, true).all(x, x > 0)", "(event.a + event.a).all(x, x > 0)"]
    for form in forms:
        assert cost_of(form, a=[1] * 100) > cost_of(form, a=[1]) or form.startswith("[1, 2]")
    assert cost_of("'a'.matches('(a{0,100}){0,50}')") > 10 * cost_of("'a'.matches('(a{0,100}){0,1}')")
    assert cost_of("event.gone.exists(x, x == 1)") < 1_000
    assert cost_of("1.5 + 2.5 == double(3u) || b'a' + b'b' == b'ab'") < 1_000
