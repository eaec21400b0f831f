"""The description of the server in OpenAPI 3.1, made from the table of its routes.

Every status that a route can answer is in it: those of its table, and those that the server has around every route
(`_around`). A route's body may be named `X?`: it may be left out. Of an endpoint only what the server itself answers is
known; the rest is its workflow's (`default`).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from itertools import chain, count
from typing import Any, Final

from ... import __version__
from .access import Access
from .routes import Parameter, Route
from .schemas import SCHEMAS, TEXTS, ref

_MEANS: Final = {
    101: "It is a web socket from here on: each message of it is one text.",
    200: "Done.",
    201: "Done: this is what came of it.",
    202: "Accepted: it goes on, and this is as far as it is.",
    400: "Something about the request is wrong: `path` says where.",
    401: "It needs a token, or an event key, that the server knows.",
    403: "A page of another site sent this.",
    404: "There is no such thing.",
    409: "What is asked for does not go with the state of things.",
    408: "The request took too long to come.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8, or is not said to be.",
    421: "The server is not known under this Host.",
    426: "This is for web sockets.",
    429: "Too many of this kind: again later, and with a new key.",
    431: "The request line and the headers are too large, or too many.",
    500: "The run of this request has failed.",
    503: "Not just now: send it again a little later. Nothing was accepted.",
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document of some routes."""
    paths: dict[str, dict[str, Any]] = {}
    ids: set[str] = set()
    for route in routes:
        id = _operation_id(route, ids)
        ids.add(id)
        paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": id, **_operation(route)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "flowgen",
            "version": __version__,
            "summary": "Durable workflows: events, runs and workflows of one store.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.about,
        "parameters": [*_path_parameters(route.path), *map(_parameter, route.query)],
        "responses": {str(status): _response(status, schema) for status, schema in sorted(_answers(route).items())},
    }
    if route.any_answer:
        operation["responses"]["default"] = {"description": "What its workflow answers, with a status of its own."}
    if route.access in (Access.READ, Access.OPERATE, Access.SDK):
        operation["security"] = [{}, {"token": []}]
    if route.body:
        schema = {"schema": ref(route.body.removesuffix("?"))}
        operation["requestBody"] = {
            "required": not route.body.endswith("?"),
            "content": {"application/json": schema},
        }
    return operation


def _operation_id(route: Route, others: Container[str]) -> str:
    """Made of its method and path; numbered where other paths, such as `/a_b` and `/a/b`, make the same."""
    id = "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])
    return next(each for each in chain([id], (f"{id}_{number}" for number in count(2))) if each not in others)


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.about,
        "schema": dict(parameter.schema),
    }


def _answers(route: Route) -> dict[int, str]:
    return {**dict.fromkeys(_around(route), "SdkError" if route.access is Access.SDK else "Error"), **route.answers}


def _around(route: Route) -> Iterable[int]:
    """What the server answers before, or instead of, a route."""
    yield from (400, 403, 408, 421, 431, 503)
    if route.access is not Access.PUBLIC:
        yield 401
    if route.body:
        yield from (413, 415)


def _response(status: int, schema: str) -> dict[str, Any]:
    return {"description": _MEANS[status], "content": _content(schema)}


def _content(schema: str) -> Mapping[str, Any]:
    if schema in TEXTS:
        return {TEXTS[schema]: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": ref(schema)}}
