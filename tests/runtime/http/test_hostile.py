"""What strangers send to REST: each row of the table of hostile input, for each route that it concerns.

What the event API refuses is in `test_app`; signatures, keys and endpoints have tests of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from flowgen.runtime.http import Settings
from flowgen.runtime.http.access import Access
from flowgen.runtime.http.routes import Route
from flowgen.runtime.http.table import TABLE
from flowgen.runtime.store import RunFilter, Store
from tests.runtime.http.serving import code_of, fulfil, serving

JSON = {"content-type": "application/json"}
WITH_BODY = [route for route in TABLE if route.body]
WITH_ID = [route for route in TABLE if "{id}" in route.path]


def path_of(route: Route, id: str = "nothing") -> str:
    return route.path.replace("{id}", id).replace("{key}", "any")


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def refused(route: Route, response: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal, in the shape that the route's callers know."""
    if route.access is not Access.SDK or response.status_code == 405:
        return response.status_code, code_of(response)
    document = response.json()
    if isinstance(document["error"], dict):  # by the router: there is no such path
        return response.status_code, code_of(response)
    assert set(document) == {"error", "status", "code", "path"}
    assert document["status"] == response.status_code
    assert response.headers["content-type"] == "application/json"
    return response.status_code, document["code"]


async def contents(store: Store) -> Any:
    """All that a request could have left behind."""
    runs = await store.find_runs(RunFilter())
    return [(row.id, row.stored, row.mail) for row in runs.items], (await store.find_events()).items


# -- bodies --------------------------------------------------------------------------------------------------


def bodies() -> Iterator[tuple[bytes, str]]:
    """Texts that are no JSON document as it is read here, and the codes of their refusals."""
    for text in (
        b" ",
        b"{",
        b"{}x",
        b"{}{}",
        b'{"a": }',
        b'{"a": 01}',
        b"'a'",
        b"{'a': 1}",
        b"nul",
        b"\xff{}",
        b"[1,]",
    ):
        yield text, "invalid_json"
    yield "{}".encode("utf-16"), "invalid_json"
    yield "{}".encode("utf-32-le"), "invalid_json"
    yield b"\xef\xbb\xbf{}", "invalid_json"
    for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1" * 5_000):
        yield b'{"data": ' + number + b"}", "number_out_of_range"
    yield b'{"data": 1, "data": 2}', "duplicate_key"
    yield b'{"data": {"x": {"y": 1, "y": 1}}}', "duplicate_key"
    yield b"[" * 100_000, "too_deep"
    yield b'{"data": ' + b'{"a":' * 100 + b"1" + b"}" * 101, "too_deep"
    yield b'{"data": "\\ud800"}', "invalid_text"
    yield b'{"data": {"\\udc00": 1}}', "invalid_text"
    yield b'{"data": "a\\u0000b"}', "invalid_text"


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
async def test_bodies_that_are_not_json(route: Route) -> None:
    """400 with the code of what is wrong, on every route that takes a body; and nothing happened."""
    async with serving() as (engine, client):
        before = await contents(engine.store)
        for text, code in bodies():
            response = await client.request(route.method, path_of(route), content=text, headers=JSON)
            assert refused(route, response) == (400, code), text[:50]
        assert await contents(engine.store) == before


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
async def test_bodies_that_do_not_say_that_they_are_json(route: Route) -> None:
    """415: a page of another site can send a form, and cannot send JSON without asking."""
    async with serving() as (_, client):
        for headers in (
            {},
            {"content-type": "text/plain"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "multipart/form-data; boundary=x"},
            {"content-type": "application/json; charset=utf-16"},
            {"content-type": "application/json-patch+json"},
            {"content-type": "text/json"},
            {**JSON, "content-encoding": "gzip"},
            {**JSON, "content-encoding": "deflate, gzip"},
        ):
            response = await client.request(route.method, path_of(route), content=b'{"x": 1}', headers=headers)
            assert refused(route, response) == (415, "unsupported_media_type"), headers


class Endless(httpx.AsyncByteStream):
    """A body that does not end, and counts what is read of it."""

    read = 0

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> bytes:
        self.read += 100_000
        return b" " * 100_000


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
async def test_bodies_that_are_too_large(route: Route) -> None:
    """413, whether their length is said or not; and not a byte more is read."""
    async with serving() as (_, client):
        response = await client.request(route.method, path_of(route), content=b" " * 5_000_000, headers=JSON)
        assert refused(route, response) == (413, "too_large")
        endless = Endless()
        headers = {**JSON, "host": "127.0.0.1", "transfer-encoding": "chunked"}
        url = f"http://127.0.0.1:8288{path_of(route)}"
        response = await client.send(httpx.Request(route.method, url, headers=headers, stream=endless))
        assert refused(route, response) == (413, "too_large")
        assert response.headers["connection"] == "close"
        assert endless.read < 5_000_000


@pytest.mark.parametrize("route", [r for r in WITH_BODY if r.body not in ("Events", "RealtimeTopics")], ids=named)
async def test_bodies_of_another_kind(route: Route) -> None:
    """A body is an object without unknown fields; each refusal has a pointer to what is wrong."""
    async with serving() as (_, client):
        for body, path in (
            (None, ""),
            (7, ""),
            ("text", ""),
            ([], ""),
            ([{}], ""),
            ({"__class__": 1}, "/__class__"),
            ({"a/b~c": 1}, "/a~1b~0c"),
            ({"x') OR '1'='1": 1}, "/x') OR '1'='1"),
        ):
            if route.access is Access.SDK and path:
                continue  # SDKs of other versions have other fields
            response = await client.request(route.method, path_of(route), content=json.dumps(body), headers=JSON)
            assert refused(route, response) == (400, "invalid_body"), body
            error = response.json()
            assert (error if route.access is Access.SDK else error["error"])["path"] == path


# -- paths and methods ---------------------------------------------------------------------------------------

IDS = [
    "%",
    "_",
    "'; drop table runs; --",
    '" or ""="',
    "../../etc/passwd",
    "..%2f..%2fhealth",
    "%2e%2e",
    "a%00b",
    "a\u202eb",
    "😀",
    "x" * 5_000,
    "*",
    "${7*7}",
    "other/nothing",
    "01HZZZZZZZZZZZZZZZZZZZZZZZ",
]


@pytest.mark.parametrize("route", WITH_ID, ids=named)
async def test_ids_that_are_none(route: Route) -> None:
    """404, the same for each; also for what has only such characters as a database could take for more."""
    async with serving() as (engine, client):
        run = await engine.start(fulfil, {"number": 1})
        await engine.result(run)
        before = await contents(engine.store)
        for id in IDS:
            quoted = id if id.startswith("%2") or "%2f" in id or "%00" in id else quote(id, safe="")
            url = httpx.URL("http://127.0.0.1:8288").copy_with(raw_path=path_of(route, quoted).encode())
            response = await client.request(route.method, url)
            assert refused(route, response) in ((404, "not_found"), (405, "method_not_allowed")), id
            assert "run-" not in response.text
        assert await contents(engine.store) == before


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X"]


@pytest.mark.parametrize("path", sorted({route.path for route in TABLE}))
async def test_methods_that_a_path_does_not_have(path: str) -> None:
    """405 with those that it has, and nothing else is told; `HEAD` is where `GET` is."""
    has = {route.method for route in TABLE if route.path == path}
    could_be = {route.method for route in TABLE if _could_be(route.path, path)}
    async with serving() as (_, client):
        for method in METHODS:
            if method in could_be or (method == "HEAD" and "GET" in could_be):
                continue
            response = await client.request(method, path.replace("{id}", "nothing").replace("{key}", "any"))
            assert response.status_code == 405, method
            assert set(response.headers["allow"].split(", ")) - {"HEAD"} == has
            assert method == "HEAD" or code_of(response) == "method_not_allowed"


def _could_be(template: str, path: str) -> bool:
    """Whether a request to `path` could be one to `template`."""
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(a == b or a.startswith("{") for a, b in zip(parts, given, strict=True))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/",
        "//v1/runs",
        "/v1//runs",
        "/v1/runs;x=1",
        "/v1/runs%2f",
        "/V1/runs",
        "/v1/runs/x/health",
        "/v1/health",
        "/x/health",
        "/health/",
        "/health;x",
        "/%2e%2e/health",
        "/v1/runs/x/history/health",
        "/metrics/health",
        "/openapi.json/health",
    ],
)
async def test_paths_that_look_like_public_ones(path: str) -> None:
    """Only exact paths are served: what ends in a public one is not public, it is nothing."""
    async with serving() as (_, client):
        url = httpx.URL("http://127.0.0.1:8288").copy_with(raw_path=path.encode())
        response = await client.get(url)
        assert response.status_code == 404
        assert code_of(response) == "not_found"


# -- filters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "stauts=failed",
        "x') OR '1'='1=1",
        "status=failed'--",
        "status=",
        "status=FAILED",
        "limit=0",
        "limit=-1",
        "limit=1e9",
        "limit=999999999999",
        "limit=１",
        "limit=",
        "limit=1&limit=1",
        "cursor=x",
        "cursor=%00",
        "cursor=[1,2,3]",
        "cursor=%5B1%2C%22a%22%5D",
        "before=yesterday",
        "before=2026-01-01",
        "before=2026-01-01T00:00:00",
        "before=9999-12-31T23:59:59Z",
        "before=0001-01-01T00:00:00Z",
        "after=1700000000",
        "after=2026-01-02T00:00:00Z&before=2026-01-01T00:00:00Z",
        "q=" + "x" * 501,
        "q=" + "x+" * 100,
        "where=" + "x" * 10_001,
        "where=",
        "where=event.",
        "where=nothing.at.all+%3D%3D+1",
        "where=run.__class__()",
        "where=run.id.matches(run.id)",
        "where=" + "(" * 1_000 + "true" + ")" * 1_000,
        "where=" + "+%2B+".join(["1"] * 3_000),
    ],
    ids=lambda query: query[:30],
)
async def test_filters_that_are_refused(query: str) -> None:
    """400 before anything is looked at."""
    async with serving() as (engine, client):
        await engine.result(await engine.start(fulfil, {"number": 1}))
        response = await client.get(f"/v1/runs?{query}")
        assert response.status_code == 400, response.text
        assert code_of(response) in ("invalid_parameter", "unknown_parameter", "invalid_input")


@pytest.mark.parametrize(
    "where",
    [
        "event.data.x.matches('(a+)+$')",
        "event.data.x.matches('(a|a)*b')",
        "event.data.nothing > 1",
        "event.data.x > 1",
        "run.status",
        "event.data.list.all(a, event.data.list.all(b, event.data.list.all(c, a + b + c > 0)))",
        "event.data.x + event.data.x + event.data.x == ''",
        "10 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "run.result == 4 ? 1 : 2",
    ],
)
async def test_conditions_that_fail_match_nothing(where: str) -> None:
    """What is dear, of the wrong type or not there costs its own run, and the answer comes."""
    async with serving() as (engine, client):
        run = await engine.start(fulfil, {"number": 1, "x": "a" * 3_000 + "!", "list": [1] * 3_000})
        await engine.result(run)
        response = await client.get("/v1/runs", params={"where": where})
        assert response.status_code == 200
        assert response.json()["items"] == []


@pytest.mark.parametrize("text", ["%", "_", "'", '"; --', "\\", "a\u202eb", "😀", "<script>", "\u0000", "x" * 500])
async def test_any_text_may_be_searched_for(text: str) -> None:
    """It means itself, whatever a database would take it for."""
    async with serving() as (engine, client):
        plain = await engine.start(fulfil, {"number": 1})
        await engine.result(plain)
        if "\u0000" not in text:
            odd = await engine.start(fulfil, {"number": 1, "odd": f"x{text}x"})
            await engine.result(odd)
        for name in ("q", "workflow", "app"):
            response = await client.get("/v1/runs", params={name: text})
            assert response.status_code in (200, 404), response.text
            if name == "q":
                found = [item["id"] for item in response.json()["items"]]
                assert plain not in found
                assert ("\u0000" in text) or found == [odd]


# -- access --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [r for r in TABLE if r.access is not Access.PUBLIC], ids=named)
async def test_without_a_key_nothing_is_read_or_done(route: Route) -> None:
    """401 before the body is read and before it is told whether there is such a thing."""
    locked = Settings(auth_tokens=("the-auth-token",), event_keys=("the-event-key",))
    async with serving(locked) as (engine, client):
        run = await engine.start(fulfil, {"number": 1})
        await engine.result(run)
        before = await contents(engine.store)
        for id in (run, "nothing"):
            for headers in ({}, {"authorization": "Bearer the-event-key"}, {"authorization": "Bearer thé"}):
                raw = [(k.encode(), v.encode("latin-1")) for k, v in headers.items()]
                response = await client.request(route.method, path_of(route, id), content=b"{", headers=raw)
                assert response.status_code == 401, named(route)
                assert run not in response.text
        assert await contents(engine.store) == before
