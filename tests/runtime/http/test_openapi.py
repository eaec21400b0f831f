"""The description of the server: complete, exact, and what schemathesis makes of it."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings
from jsonschema_rs import Draft202012Validator, meta
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from flowgen import App, Run, WaitForSignal
from flowgen.runtime import open_engine, start_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.access import Access
from flowgen.runtime.http.connection import connections_with
from flowgen.runtime.http.endpoints import endpoint_routes
from flowgen.runtime.http.limits import Limits
from flowgen.runtime.http.openapi import document
from flowgen.runtime.http.schemas import SCHEMAS, TEXTS
from flowgen.runtime.http.table import TABLE
from tests.runtime.http.serving import app, serving

DESCRIPTION = document(TABLE)
EXAMPLES = int(os.environ.get("FLOWGEN_HTTP_EXAMPLES", "30"))
"""How many examples of each operation are sent; `make prove` has more of them."""

REPORT = os.environ.get("FLOWGEN_HTTP_SENT")
"""Where to write how many were."""


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    unsupported_method,
]


# -- by itself -------------------------------------------------------------------------------------------


async def test_the_server_describes_itself() -> None:
    """The document that it answers is that of its table."""
    async with serving() as (_, client):
        assert (await client.get("/openapi.json")).json() == DESCRIPTION


def test_all_routes_are_described() -> None:
    """Each operation once, with an id of its own."""
    described = {(method.upper(), path) for path, item in DESCRIPTION["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in TABLE}
    operations = [item["operationId"] for path in DESCRIPTION["paths"].values() for item in path.values()]
    assert len(operations) == len(set(operations))


till = App("till")


@till.endpoint("POST", "/pay", wait=0)
def pay(ctx: Any) -> Any:
    yield WaitForSignal("paid", "paid", timeout="1h")


@till.endpoint("GET", "/pay/{id}", access="public")
def paid(ctx: Any) -> Any:
    yield Run("look it up", len, ctx.event.data["params"]["id"])


@till.endpoint("GET", "/pay_id")
def odd(ctx: Any) -> Any:
    yield Run("nothing", len, "")


async def test_endpoints_are_described() -> None:
    """With what the server answers there by itself; all else is their workflows'. What is answered is as described."""
    async with serving_app(till) as client:
        described = (await client.get("/openapi.json")).json()
        later = await client.post("/pay", json={"amount": 1}, headers={"Idempotency-Key": "one"})
    operations = [each for path in described["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert described["paths"].keys() - DESCRIPTION["paths"].keys() == {
        "/pay",
        "/pay/{id}",
        "/pay_id",
        "/v1/endpoints/results/{result}",
    }
    operation = described["paths"]["/pay"]["post"]
    assert [each["name"] for each in operation["parameters"] if each["in"] == "header"] == ["Idempotency-Key"]
    assert operation["requestBody"]["required"] is False
    assert operation["responses"].keys() >= {"202", "400", "401", "409", "429", "500", "503", "default"}
    assert ("security" in operation, "security" in described["paths"]["/pay/{id}"]["get"]) == (True, False)
    assert (later.status_code, "requestBody" in described["paths"]["/pay/{id}"]["get"]) == (202, False)
    schema = operation["responses"]["202"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": described["components"]}).validate(later.json())


@asynccontextmanager
async def serving_app(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with open_engine(app, "memory://", grace="0s") as engine:
        transport = httpx.ASGITransport(http_app(app, engine, settings=Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288") as client:
            yield client


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    """As JSON Schema has them, and all that they refer to is there."""
    meta.validate({**SCHEMAS[name], "$schema": "https://json-schema.org/draft/2020-12/schema"})
    Draft202012Validator({**SCHEMAS[name], "components": DESCRIPTION["components"]})


def test_schemas_are_used() -> None:
    """By a route, or by another schema."""
    routes = (*TABLE, *endpoint_routes([till], TABLE))
    named = {route.body.removesuffix("?") for route in routes} | {n for route in routes for n in route.answers.values()}
    referred = str(SCHEMAS)
    assert {name for name in SCHEMAS if name not in named and f"schemas/{name}'" not in referred} == set()
    assert named - {""} - set(SCHEMAS) - set(TEXTS) == set()


@pytest.mark.parametrize("route", TABLE, ids=lambda route: f"{route.method} {route.path}")
def test_only_what_is_public_needs_no_token(route: Any) -> None:
    """And the description says so."""
    operation = DESCRIPTION["paths"][route.path][route.method.lower()]
    assert ("security" in operation) == (route.access in (Access.READ, Access.OPERATE, Access.SDK))
    assert ("401" in operation["responses"]) == (route.access is not Access.PUBLIC)
    assert (route.access is Access.PUBLIC) == (route.path == "/health" or route.path.endswith("/output"))
    assert (route.access is Access.SEND) == (route.path == "/e/{key}")


# -- against a server ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server as it is in production: uvicorn on a loop of its own, the engine on another."""
    with start_engine(app, "memory://") as client:
        for number in range(3):
            client.result(client.start("fulfil", {"number": number}, run_id=f"run-{number}"))
        config = uvicorn.Config(
            http_app(app, client, settings=Settings()),
            http=connections_with(Limits()),
            port=0,
            log_level=logging.CRITICAL,
            lifespan="off",
            ws="none",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()
    if REPORT is not None:
        Path(REPORT).write_text(json.dumps(SENT))


REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "415", "421", "431"]
config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
schema = schemathesis.openapi.from_dict(DESCRIPTION, config=config).exclude(path="/v1/stream")
SENT: Counter[str] = Counter()
"""How many requests were sent, by operation."""


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_the_answer_is_one_that_is_described(case: Any, url: str) -> None:
    """No 5xx, no status, type or shape that the description does not have; what it forbids is refused."""
    SENT[case.operation.label] += 1
    case.call_and_validate(base_url=url, checks=CHECKS, timeout=120)
