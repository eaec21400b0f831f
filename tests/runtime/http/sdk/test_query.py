"""A small part of GraphQL: what is asked for is found, and nothing else is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.http.sdk.query import LONGEST, QueryError, execute

DOCUMENT = {
    "id": "7",
    "output": "1",
    "trace": {"spans": [{"name": "a", "id": 1}, {"name": "b", "id": 2}]},
    "none": None,
}


async def run(arguments: Mapping[str, Any]) -> Any:
    return {**DOCUMENT, "asked": dict(arguments)}


async def nothing(arguments: Mapping[str, Any]) -> Any:
    return None


async def ask(text: str, operation: str | None = None, **variables: Any) -> dict[str, Any]:
    return await execute(text, variables, operation, {"run": run, "nothing": nothing})


@pytest.mark.parametrize(
    "text, answer",
    [
        ("{run{id}}", {"run": {"id": "7"}}),
        ("query Q($x: ULID!) { run(runID: $x) { id output } }", {"run": {"id": "7", "output": "1"}}),
        ("{first: run{ID: id} run{output}}", {"first": {"ID": "7"}, "run": {"output": "1"}}),
        ("{run{trace(preview: true){spans{name}}}}", {"run": {"trace": {"spans": [{"name": "a"}, {"name": "b"}]}}}),
        ("{run{...F} nothing{x}} fragment F on Run{id}", {"run": {"id": "7"}, "nothing": None}),
        ("{run{... on Run{id ...F}}} fragment F on Run{output}", {"run": {"id": "7", "output": "1"}}),
        ("{run{none{x}}}", {"run": {"none": None}}),
        ("# a comment\n{run{id}}", {"run": {"id": "7"}}),
    ],
)
async def test_what_is_asked_for_is_answered(text: str, answer: Any) -> None:
    """Under the names that were asked for, and in that order."""
    assert await ask(text) == answer


@pytest.mark.parametrize(
    "argument, value",
    [
        ('"x"', "x"),
        ('"""x"""', "x"),
        ("$v", "from outside"),
        ("$missing", None),
        ("null", None),
        ("true", True),
        ("ASC", "ASC"),
        ("7", "7"),
        ("1.5", "1.5"),
        ('{eventId: $v, Other: ["a"]}', {"eventid": "from outside", "other": ["a"]}),
    ],
)
async def test_arguments_are_found(argument: str, value: Any) -> None:
    """Literals, variables and objects; their names in lower case."""
    query = "query($v: String, $missing: X) {run(runID: ARGUMENT){asked}}".replace("ARGUMENT", argument)
    answer = await ask(query, v="from outside")
    assert answer == {"run": {"asked": {"runid": value}}}


async def test_one_of_several_queries_is_chosen() -> None:
    """By its name; without, there must be one."""
    text = "query A {run{id}} query B {run{output}}"
    assert await ask(text, "B") == {"run": {"output": "1"}}
    for operation in (None, "C"):
        with pytest.raises(QueryError, match="one query"):
            await ask(text, operation)


async def test_a_long_list_costs_no_more_fields_than_a_short_one() -> None:
    """A run may have more steps than a query may ask for fields."""
    spans = [{"name": f"step {number}", "status": "COMPLETED"} for number in range(1_000)]

    async def long(arguments: Mapping[str, Any]) -> Any:
        return {"spans": spans}

    answer = await execute("{run{spans{name status}}}", {}, None, {"run": long})
    assert answer == {"run": {"spans": spans}}


@pytest.mark.parametrize("shape", ["{run{NAMES}}", "{run{...F}} fragment F on Run{NAMES}", "{run{list{NAMES}}}"])
async def test_an_answer_is_bounded_under_however_many_names_it_is_asked_for(shape: str) -> None:
    """One large text, asked for again and again, is no way to have a server write gigabytes."""
    large = "x" * 1_000_000
    names = " ".join(f"a{number}: text" for number in range(400))

    async def run(arguments: Mapping[str, Any]) -> Any:
        return {"text": large, "list": [{"text": large}] * 10}

    with pytest.raises(QueryError, match="more than 16,777,216 bytes"):
        await execute(shape.replace("NAMES", names), {}, None, {"run": run})


async def test_a_query_asks_so_many_questions() -> None:
    """Each of them is read from the store."""
    asked = 0

    async def run(arguments: Mapping[str, Any]) -> Any:
        nonlocal asked
        asked += 1
        return {"id": 7}

    def query(count: int) -> str:
        return "{...F} fragment F on Query{" + " ".join(f"a{number}: run{{id}}" for number in range(count)) + "}"

    assert len(await execute(query(20), {}, None, {"run": run})) == 20
    with pytest.raises(QueryError, match="21 questions"):
        await execute(query(21), {}, None, {"run": run})
    assert asked == 20


async def test_fragments_that_multiply_are_given_up() -> None:
    """Forty that each ask twice for the next one would be a million million fields."""
    fragments = "".join(f"fragment A{number} on R{{...A{number + 1} ...A{number + 1}}}" for number in range(40))
    with pytest.raises(QueryError, match="more than 500 fields"):
        await ask("{run{...A0}}" + fragments + "fragment A40 on R{id}")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Syntax Error"),
        ("{run{id}", "Syntax Error"),
        ("{other{id}}", "no field 'other'.*ask for run, nothing"),
        ("{run{other}}", "run has no field 'other': it has id, output"),
        ("{run{id{x}}}", "run.id has no fields"),
        ("{run{...F}}", "no fragment 'F'"),
        ("{run{...F}} fragment F on X{...G} fragment G on X{...F}", "no fragment 'F'"),
        ("mutation{run{id}}", "one query"),
        ("subscription{run{id}}", "one query"),
        ("fragment F on X{id}", "one query"),
        ("{" * 51, "too large"),
        ("{run{id}}" + " " * LONGEST, "too large"),
        ("{run{" + "id " * 501 + "}}", "more than 500 fields"),
    ],
)
async def test_what_cannot_be_answered_is_refused(text: str, message: str) -> None:
    """With what is wrong."""
    with pytest.raises(QueryError, match=message):
        await ask(text)


@given(st.text(alphabet='{}()[]:!$.@#"\\ \nabrunidqey\x00é', max_size=80))
def test_any_text_is_answered_or_refused(text: str) -> None:
    """Nothing else comes of it."""
    import trio

    async def check() -> None:
        try:
            await ask(text)
        except QueryError:
            return

    trio.run(check)
