"""The references of HTTP: every route is there, with its statuses, and its examples are of the shapes of the server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from flowgen.runtime.http.openapi import document
from flowgen.runtime.http.routes import Route
from flowgen.runtime.http.schemas import TEXTS
from flowgen.runtime.http.table import TABLE

PAGES = [
    (Path(__file__).parents[2] / "docs" / "reference" / name).read_text(encoding="utf-8")
    for name in ("http.md", "http-for-sdks.md")
]
SECTIONS = {
    title.strip("` "): text.split("\n## ")[0]
    for page in PAGES
    for title, _, text in (part.partition("\n") for part in page.split("\n### ")[1:])
}
COMPONENTS = document(TABLE)["components"]


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def check(schema: str, example: Any) -> None:
    """Raise unless an example is of a shape."""
    Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": COMPONENTS}).validate(example)


def test_the_routes_of_the_pages_are_those_of_the_server() -> None:
    """Neither has one that the other lacks."""
    assert set(SECTIONS) == {named(route) for route in TABLE}


@pytest.mark.parametrize("route", TABLE, ids=named)
def test_a_route_is_as_the_page_says(route: Route) -> None:
    """Its statuses are named, and its examples fit: the body first if it has one, then the answer."""
    section = SECTIONS[named(route)]
    (answers,) = re.findall(r"Answers\s+(\d[^.]*)\.", section)
    assert {int(status) for status in re.findall(r"\d{3}", answers)} == set(route.answers)
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]
    if route.body:
        check(route.body.removesuffix("?"), examples.pop(0))
    given = min(route.answers)
    if route.answers[given] in TEXTS or route.answers[given] == "OpenApi":
        assert not examples
    else:
        (example,) = examples
        check(route.answers[given], example)


def test_parameters_are_named() -> None:
    """Those of the list of runs, which has most."""
    (route,) = [route for route in TABLE if named(route) == "GET /v1/runs"]
    section = SECTIONS["GET /v1/runs"]
    assert all(f"`{parameter.name}`" in section for parameter in route.query)
