"""Every route with every method: what is reachable without a key, what is said, and in what headers."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import attrs
import httpx
import pytest

from flowgen.runtime.http import Settings
from flowgen.runtime.http.access import Access
from flowgen.runtime.http.guard import POLICY
from tests.security.house import (
    BEARER,
    CANARIES,
    ENVIRONMENT,
    EVENT_KEY,
    LOCKED,
    METHODS,
    PATHS,
    ROUTES,
    TOKEN,
    VAULT,
    broken,
    filled,
    furnished,
    serving,
)

OPEN = {
    ("GET", "/health"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/static/{name}"),
    ("GET", "/open/{id}"),
    ("POST", "/broken"),
}
"""What anybody may reach, token or not; with the results of endpoints, which look at who asks, and `/e/{key}`."""

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": POLICY,
    "cross-origin-resource-policy": "same-origin",
}

ODD = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer "},
    {"authorization": f"Bearer {TOKEN}x"},
    {"authorization": f"Bearer {TOKEN[:-1]}"},
    {"authorization": f"Bearer {TOKEN.upper()}"},
    {"authorization": f"Bearer {TOKEN} {TOKEN}"},
    {"authorization": f"Bearer {TOKEN},{TOKEN}"},
    {"authorization": f"Bearer\t{TOKEN}"},
    {"authorization": f"Basic {TOKEN}"},
    {"authorization": f"Token {TOKEN}"},
    {"authorization": TOKEN},
    {"authorization": f"Bearer {EVENT_KEY}"},
    {"authorization": "Bearer ٣٤٥"},
    {"authorization": "Bearer \udcff"},
    {"authorization": "Bearer *"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-user": "admin", "x-real-ip": "127.0.0.1"},
    {"x-original-url": "/health", "x-rewrite-url": "/health"},
    {"x-http-method-override": "GET"},
    {"cookie": "flowgen_token="},
    {"cookie": f'flowgen_token="{TOKEN}x"'},
    {"cookie": f"FLOWGEN_TOKEN={TOKEN}"},
    {"cookie": f"flowgen_token2={TOKEN}; other={TOKEN}"},
    {"cookie": "flowgen_token=wrong; " * 50},
    {"x-api-key": TOKEN},
    {"host": "127.0.0.1:8288", "x-forwarded-host": "localhost"},
]


def encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode(errors="surrogateescape")) for name, value in headers.items()]


async def ask(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
    """A request that is not waited for longer than it takes to begin an answer."""
    content = more.pop("content", b"{}" if method in ("POST", "PUT", "PATCH") else b"")
    headers = [(b"content-type", b"application/json")] if content else []
    headers += encoded(more.pop("headers", {}))
    return await client.request(method, path, content=content, headers=headers, **more)


def test_the_table_says_of_each_route_who_may_use_it() -> None:
    """What is open is listed here once more: a route that becomes public is noticed."""
    public = {(route.method, route.path) for route in ROUTES if route.access is Access.PUBLIC}
    outputs = {("GET", f"/v1/{place}/{{id}}/output") for place in ("checkpoint", "http/runs")}
    assert public == OPEN | {("GET", "/v1/endpoints/results/{result}")} | outputs
    assert {(route.method, route.path) for route in ROUTES if route.access is Access.SEND} == {("POST", "/e/{key}")}
    assert all(isinstance(route.access, Access) for route in ROUTES)


@pytest.mark.parametrize(
    "path", [*PATHS, "/nothing", "/v1", "/v1/", "/docs", "/redoc", "/admin", "/.env", "/favicon.ico"]
)
async def test_without_a_key_nothing_is_reachable_but_what_is_public(path: str) -> None:
    """Every method on every path: 401, 404 or 405, and nothing happens. R19 of the scorecard."""
    async with serving() as (engine, client):
        await furnished(engine)
        before = [(run.id, run.status) for run in (await engine.runs()).items], (await engine.events()).items
        for method in METHODS:
            response = await ask(client, method, filled(path))
            if (method.replace("HEAD", "GET"), path) in OPEN:
                assert response.status_code not in (401, 404, 500) or path in ("/login", "/broken")
            else:
                assert response.status_code in (401, 404, 405), (method, path, response.status_code)
        public = ("keep", "drop", "sleeper")
        after = [run for run in (await engine.runs()).items if run.workflow_id in public]
        assert ([(run.id, run.status) for run in after], (await engine.events()).items) == before


@pytest.mark.parametrize("headers", ODD, ids=str)
async def test_no_odd_header_is_a_key(headers: dict[str, str]) -> None:
    """On a route that looks and on one that operates; never 500."""
    async with serving() as (engine, client):
        run = (await furnished(engine))[-1]
        for method, path in (
            ("GET", "/v1/runs"),
            ("POST", f"/v1/runs/{run}/cancel"),
            ("GET", "/"),
            ("POST", "/closed"),
        ):
            response = await ask(client, method, path, headers=headers)
            assert response.status_code == 401, (method, path)
        assert (await engine.run(run)).status != "cancelled"


async def test_two_tokens_are_none() -> None:
    """Neither a good one with a bad one, nor twice the good one: who looks at one of them only is not fooled."""
    async with serving() as (_, client):
        for other in ("Bearer wrong", f"Bearer {TOKEN}"):
            headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", other)]
            assert (await client.get("/v1/runs", headers=httpx.Headers(headers))).status_code == 401
        assert (await client.get("/v1/runs", headers={**BEARER, "cookie": "flowgen_token=wrong"})).status_code == 200


async def test_a_key_opens_what_it_is_for() -> None:
    """An event key nothing but `/e`, and a token not even that; neither is read from the address."""
    async with serving() as (engine, client):
        for key in ("any", TOKEN, "", f"{EVENT_KEY}x", EVENT_KEY.upper(), f"{EVENT_KEY}%00", f"{EVENT_KEY}/"):
            response = await ask(client, "POST", f"/e/{key}", content=b'{"name":"a"}', headers=BEARER)
            assert response.status_code in (401, 404), key
        assert not (await engine.events()).items
        assert (await ask(client, "POST", f"/e/{EVENT_KEY}", content=b'{"name":"a"}')).status_code == 200
        for query in (f"token={TOKEN}", f"access_token={TOKEN}", f"auth={TOKEN}"):
            assert (await client.get(f"/v1/runs?{query}")).status_code == 401


@pytest.mark.parametrize("headers", [{}, BEARER], ids=["stranger", "operator"])
async def test_no_secret_is_in_any_answer(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not of the settings, of the environment, of a vault or of a run: in no body or header of any route and method.

    As Inngest's `serve` did with the environment on methods that nobody had thought of (CVE-2026-42047).
    """
    monkeypatch.setenv("DATABASE_URL", ENVIRONMENT)
    caplog.set_level(logging.DEBUG)
    async with serving() as (engine, client):
        runs = await furnished(engine)
        events = [event.id for event in (await engine.events()).items]
        asked = 0
        for path in PATHS:
            for id in ["nothing", *runs, *events, "keep", "drop"] if "{id}" in path else [""]:
                for method in METHODS:
                    if path == "/v1/stream" and method == "GET" and headers:
                        continue
                    response = await ask(client, method, filled(path, id=id), headers=headers)
                    said = response.text + str(response.headers)
                    assert not [canary for canary in CANARIES if canary in said], (method, path, id)
                    asked += 1
        assert asked > 500
    assert not [canary for canary in CANARIES if canary in caplog.text]


async def test_a_stream_and_a_log_in_show_no_secret() -> None:
    """What the walk over all routes leaves out; the cookie itself is in no body."""
    async with serving() as (engine, client):
        runs = await furnished(engine)
        response = await ask(client, "POST", "/login", content=f'{{"token":"{TOKEN}"}}'.encode())
        assert response.status_code == 200
        assert TOKEN not in response.text
        cookie = response.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        for run in runs:
            for record in await engine.history(run):
                assert VAULT not in repr(record)


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "//", "/static/nothing", "/v1/runs?nope=1"])
async def test_every_answer_says_how_to_read_it_safely(path: str) -> None:
    """Errors and files too, for strangers and for operators. Rows XSS and DNS rebinding of the table."""
    async with serving() as (engine, client):
        await furnished(engine)
        for headers in ({}, BEARER, {"host": "evil.example"}, {"origin": "https://evil.example"}):
            for method in METHODS:
                if "/v1/stream" in path and method == "GET" and headers is BEARER:
                    continue
                response = await ask(client, method, filled(path), headers=headers)
                assert ALWAYS.items() <= dict(response.headers).items(), (method, path, headers)
                assert response.headers["cache-control"] in ("no-store", "no-cache")
                assert not [name for name in response.headers if name.startswith("access-control-")]
                assert "server" not in response.headers
                if response.content:
                    kind = response.headers["content-type"].partition(";")[0]
                    assert kind in (
                        "application/json", "text/html", "text/plain", "text/css", "text/javascript", "image/svg+xml"
                    )  # fmt: skip


async def test_what_breaks_inside_is_not_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with a code: no trace, no SQL, no value; the log has it."""

    async def breaking(*_: Any, **__: Any) -> None:
        raise RuntimeError("select of " + VAULT)

    async with serving(headers=BEARER) as (engine, client):
        monkeypatch.setattr(engine, "runs", breaking)
        response = await client.get("/v1/runs")
        assert (response.status_code, response.json()["error"]["code"]) == (500, "internal")
        for word in (VAULT, "select", "Traceback", "RuntimeError", ".py"):
            assert word not in response.text
        page = await client.get("/")
        assert page.status_code == 500
        assert VAULT not in page.text
    assert "a request broke" in caplog.text


async def test_a_failed_endpoint_tells_nothing_of_its_failure() -> None:
    """Strangers get to know that it failed; operators read why in the run."""
    async with serving() as (engine, client):
        response = await ask(client, "POST", "/broken")
        assert response.status_code == 500
        assert "could not log in" not in response.text
        (run,) = (await engine.runs(workflow=broken)).items
        assert run.error is not None
        assert "could not log in" in run.error.message


@pytest.mark.parametrize(
    "settings", [Settings(), attrs.evolve(LOCKED, hosts=["flows.example"])], ids=["open", "locked"]
)
def test_settings_show_no_keys(settings: Settings) -> None:
    """Nor does an error about one that is too short."""
    assert not [canary for canary in CANARIES if canary in repr(settings)]
    with pytest.raises(Exception, match="auth_tokens: a key of 5 characters") as refused:
        Settings(auth_tokens=("short",))
    assert "short" not in str(refused.value).replace("shortest", "")


async def test_what_is_public_knows_nothing() -> None:
    """`/health` says that it is alive; the form and the files are the same for everybody."""
    async with serving() as (engine, client):
        empty = [(await client.get(filled(path))).text for path in ("/health", "/login", "/static/{name}")]
        await furnished(engine)
        assert [(await client.get(filled(path))).text for path in ("/health", "/login", "/static/{name}")] == empty
        with contextlib.suppress(KeyError):
            assert "version" not in (await client.get("/health")).json()
