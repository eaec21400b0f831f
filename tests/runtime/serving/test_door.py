"""The door of a served app: what is not meant for it, or not from its server, gets no further and learns nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from flowgen import App, Context, Run, Steps
from flowgen.errors import InvalidInput
from flowgen.runtime.protocol.calls import Call, build_call
from flowgen.runtime.protocol.registration import parse_registration
from flowgen.runtime.protocol.signatures import sign, verify
from flowgen.runtime.serving import ServedApp, ServeSettings, serve_app

KEY = "signkey-test-00112233445566778899aabbccddeeff"
OLD = "signkey-test-ffeeddccbbaa99887766554433221100"
CANARIES = ("0011223344556677", "ffeeddccbbaa9988", "canary-event-key", "canary-argument", "canary-origin")

app = App("shop", version="7")


def work(text: str) -> str:
    return text


@app.workflow
def fulfil(ctx: Context) -> Steps[str]:
    return (yield Run("work", work, "done"))


SIGNED = ServeSettings((KEY, OLD), event_key="canary-event-key", origin="https://canary-origin.example", max_body=5_000)
OPEN = ServeSettings(event_key="canary-event-key", max_body=5_000)
EVENT = {"id": "e", "name": "test/started", "data": {"secret": "canary-argument"}, "ts": 1_800_000_000_000}
CALL = build_call(Call("r", (EVENT,)))
URL = "/api/inngest?fnId=shop-fulfil&stepId=step"
JSON = {"Content-Type": "application/json"}


def asked(
    method: str,
    url: str = URL,
    body: bytes | None = CALL,
    headers: Any = None,
    settings: ServeSettings = SIGNED,
    answer: Callable[[httpx.Request], httpx.Response] | None = None,
    base: str = "http://localhost",
) -> httpx.Response:
    """The answer to one request."""

    def nobody(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked the server for {request.url}")

    async def ask() -> httpx.Response:
        served = serve_app(app, settings=settings, transport=httpx.MockTransport(answer or nobody))
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url=base) as client:
                said = httpx.Headers(headers, encoding="latin-1")
                return await client.request(method, url, content=body, headers=said)
        finally:
            served.close()

    return trio.run(ask)


def signed(body: bytes = CALL, key: str = KEY, at: float | None = None) -> dict[str, str]:
    return {**JSON, "X-Inngest-Signature": sign(key, body, int(time.time() if at is None else at))}


def code(answer: httpx.Response) -> str:
    """The code of a refusal, which has the shape of all of them, and says nothing that it should not."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "path"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-inngest-sdk"].startswith("flowgen:v")
    return str(error["code"])


# -- signatures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, OLD])
def test_a_signed_call_is_answered_and_the_answer_is_signed(key: str) -> None:
    """With the key that has signed it, so that keys can be rotated."""
    answer = asked("POST", headers=signed(key=key))
    assert (answer.status_code, answer.json()[0]["data"]) == (206, "done")
    header = answer.headers["x-inngest-signature"]
    assert verify(header, answer.content, [key], time.time(), canonical=False) == key


def test_what_is_signed_is_what_the_body_means() -> None:
    """Canonical JSON: spaces and the order of members make no difference."""
    other = json.dumps(dict(reversed(json.loads(CALL).items())), indent=2).encode()
    assert asked("POST", body=other, headers=signed()).status_code == 206


def _header(change: Callable[[str, str], str]) -> dict[str, str]:
    t, s = sign(KEY, CALL, int(time.time())).split("&")
    return {**JSON, "X-Inngest-Signature": change(t, s)}


FORGED: dict[str, Callable[[], Any]] = {
    "none": lambda: JSON,
    "empty": lambda: {**JSON, "X-Inngest-Signature": ""},
    "another key": lambda: signed(key="signkey-test-0123456789abcdef"),
    "another body": lambda: signed(b'{"a":1}'),
    "old": lambda: signed(at=time.time() - 301),
    "ahead": lambda: signed(at=time.time() + 330),
    "no time": lambda: _header(lambda t, s: s),
    "no mac": lambda: _header(lambda t, s: t),
    "word for time": lambda: _header(lambda t, s: f"t=abc&{s}"),
    "negative": lambda: _header(lambda t, s: f"t=-{t[2:]}&{s}"),
    "float": lambda: _header(lambda t, s: f"{t}.0&{s}"),
    "huge": lambda: _header(lambda t, s: f"t={'9' * 5000}&{s}"),
    "other digits": lambda: _header(lambda t, s: f"t=²³&{s}"),
    "upper case": lambda: _header(lambda t, s: f"{t}&s={s[2:].upper()}"),
    "swapped": lambda: _header(lambda t, s: f"{s}&{t}"),
    "repeated": lambda: _header(lambda t, s: f"{t}&{s}&{s}"),
    "repeated time": lambda: _header(lambda t, s: f"{t}&{t}&{s}"),
    "trailing": lambda: _header(lambda t, s: f"{t}&{s}&"),
    "spaces": lambda: _header(lambda t, s: f" {t}&{s} "),
    "truncated": lambda: _header(lambda t, s: f"{t}&{s[:-1]}"),
    "twice": lambda: [*JSON.items(), *[("X-Inngest-Signature", sign(KEY, CALL, int(time.time())))] * 2],
    "bearer": lambda: {**JSON, "Authorization": f"Bearer {KEY}"},
}


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_bad_signature_is_refused(method: str, name: str) -> None:
    """With 401 and a reason, whatever is wrong with it; nothing is executed and nobody is asked."""
    answer = asked(method, headers=FORGED[name]())
    assert (answer.status_code, code(answer)) == (401, "bad_signature")
    assert "x-inngest-signature" not in answer.headers


def test_a_bad_signature_is_refused_also_where_none_is_needed() -> None:
    """Whoever signs means to be known."""
    assert asked("GET", body=None, headers={"X-Inngest-Signature": "t=1&s=0"}).status_code == 401
    settings = ServeSettings((KEY,), dev=True)
    assert asked("POST", headers=JSON, settings=settings).status_code == 206
    assert asked("POST", headers=FORGED["another key"](), settings=settings).status_code == 401
    assert asked("POST", headers=FORGED["twice"](), settings=settings).status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 100_000, b"NaN", b"1e999", b"null"])
def test_a_body_that_is_no_json_is_refused_and_breaks_nothing(body: bytes) -> None:
    """Before anything is done with it: with a signature for it there is none, without keys it is 400."""
    header = {**JSON, "X-Inngest-Signature": f"t={int(time.time())}&s={'0' * 64}"}
    assert asked("POST", body=body[:5000], headers=header).status_code == 401
    refused = asked("POST", body=body[:5000], headers=JSON, settings=OPEN)
    assert (refused.status_code, code(refused)) == (400, "invalid_call")


# -- methods, paths and places ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "FOO"])
@pytest.mark.parametrize("settings", [SIGNED, OPEN], ids=["signed", "open"])
def test_other_methods_are_refused(method: str, settings: ServeSettings) -> None:
    """There is no default that answers."""
    answer = asked(method, headers=signed(), settings=settings)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST, PUT"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/inngest/",
        "/api/inngest/x",
        "/api/inngest%2f",
        "//api/inngest",
        "/API/INNGEST",
        "/x/api/inngest",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    """Only the very one is served."""
    answer = asked("GET", path, None)
    assert (answer.status_code, code(answer)) == (404, "not_found")


@pytest.mark.parametrize("settings", [SIGNED, OPEN], ids=["signed", "open"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", [URL, "/api/inngest", "/", "/api/inngest?probe=trust", "/api/inngest?fnId=nobody"])
@pytest.mark.parametrize("body", [CALL, b"{}", b"nonsense"], ids=["call", "empty", "nonsense"])
def test_no_answer_shows_what_is_secret(method: str, path: str, body: bytes, settings: ServeSettings) -> None:
    """Whatever is asked, and by whom: neither keys, nor addresses of ours, nor what callers have sent."""

    def server(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, text="no")

    for headers in (JSON, {}, FORGED["another key"]()):
        answer = asked(method, path, None if method == "GET" else body, headers, settings, server)
        shown = answer.text + repr(answer.headers)
        assert [canary for canary in CANARIES if canary in shown] == []


def test_a_broken_app_says_only_that_it_is_broken(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Its log says how."""

    def broken(*_: object) -> Any:
        raise RuntimeError("canary-argument")

    monkeypatch.setattr("flowgen.runtime.serving.asgi.turn", broken)
    answer = asked("POST", headers=signed())
    assert (answer.status_code, code(answer)) == (500, "internal")
    assert "canary" not in answer.text
    assert "canary-argument" in caplog.text


def test_bodies_are_bounded() -> None:
    """By what they say, and by what comes; one of just that size is read."""
    limit = OPEN.max_body
    for headers in (JSON, {**JSON, "Content-Length": str(10**12)}):
        answer = asked("POST", body=b" " * (limit + 1), headers=headers, settings=OPEN)
        assert (answer.status_code, code(answer)) == (413, "too_large")
    assert asked("POST", body=CALL + b" " * (limit - len(CALL)), headers=JSON, settings=OPEN).status_code == 206


def test_a_body_that_comes_in_pieces_is_bounded() -> None:
    """Without a length that it says; and it is not read to its end."""
    pieces = 0

    async def receive() -> dict[str, Any]:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/inngest",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }
    trio.run(serve_app(app, settings=OPEN), scope, receive, send)
    assert sent[0]["status"] == 413
    assert pieces == 6


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"},
     {**JSON, "Content-Encoding": "gzip"}],
)  # fmt: skip
def test_calls_are_plain_json(headers: dict[str, str]) -> None:
    """What a page of another site could send without being asked is not."""
    answer = asked("POST", headers=headers, settings=OPEN)
    assert (answer.status_code, code(answer)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "host", ["evil.com", "localhost.evil.com", "127.0.0.1.nip.io", "[::1", "a b", "", "user@localhost"]
)
def test_in_development_only_this_machine_is_served(host: str) -> None:
    """A stranger's page that gives this machine a name of its own gets nothing (DNS rebinding)."""
    answer = asked("POST", headers={**JSON, "Host": host}, settings=OPEN)
    assert answer.status_code in (400, 421)
    assert code(answer) in ("invalid_host", "unknown_host")


def test_names_that_are_said_are_served() -> None:
    """And with keys any name is."""
    named = ServeSettings(hosts=["host.docker.internal"])
    assert asked("POST", headers={**JSON, "Host": "host.docker.internal:8000"}, settings=named).status_code == 206
    assert asked("POST", headers={**signed(), "Host": "shop.example"}).status_code == 206


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_pages_of_other_sites_are_refused(method: str, headers: dict[str, str]) -> None:
    """Whatever they ask."""
    answer = asked(method, headers={**JSON, **headers}, settings=OPEN)
    assert (answer.status_code, code(answer)) == (403, "cross_origin")


def test_over_capacity_is_told_before_anything_is_read() -> None:
    """503, and when to come again."""
    answer = asked("POST", headers=JSON, settings=ServeSettings(max_open=0))
    assert (answer.status_code, code(answer), answer.headers["retry-after"]) == (503, "busy", "1")


def test_bodies_in_hand_are_bounded_together() -> None:
    """While one is being read, another that would be too much with it is told to come again."""
    settings = ServeSettings(max_body=1_000, max_open_bytes=1_500)
    served = serve_app(app, settings=settings)
    statuses: list[int] = []

    async def call(size: bytes, finish: trio.Event, began: trio.Event) -> None:
        async def receive() -> Any:
            began.set()
            await finish.wait()
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            if "status" in message:
                statuses.append(message["status"])

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", size)]
        await served(
            {"type": "http", "method": "POST", "path": "/api/inngest", "query_string": b"", "headers": headers},
            receive,
            send,
        )

    async def story() -> None:
        finish, began = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, b"1000", finish, began)
            await began.wait()
            await call(b"501", finish, began)
            assert statuses == [503]
            finish.set()
        await call(b"501", finish, began)

    trio.run(story)
    assert statuses == [503, 500, 500]  # nobody is called so


# -- introspection and the probe -------------------------------------------------------------------


def test_a_stranger_learns_that_an_app_is_there_and_no_more() -> None:
    """Counts and yes or no."""
    answer = asked("GET", body=None)
    assert answer.json() == {
        "schema_version": "2024-05-24",
        "authentication_succeeded": None,
        "function_count": 1,
        "has_event_key": True,
        "has_signing_key": True,
        "has_signing_key_fallback": True,
        "mode": "cloud",
    }


def test_its_server_learns_where_it_is() -> None:
    """Keys are named by their hashes."""
    document = asked("GET", body=None, headers=signed(b"")).json()
    assert document["authentication_succeeded"] is True
    assert (document["app_id"], document["serve_origin"]) == ("shop", "https://canary-origin.example")
    assert len(document["signing_key_hash"]) == len(document["signing_key_fallback_hash"]) == 64
    assert "0011223344" not in json.dumps(document)


def test_the_trust_probe_is_answered_and_signed() -> None:
    """To who signs."""
    url = "/api/inngest?probe=trust"
    answer = asked("POST", url, b"{}", signed(b"{}"))
    assert answer.status_code == 200
    assert verify(answer.headers["x-inngest-signature"], answer.content, [KEY], time.time(), canonical=False) == KEY
    assert asked("POST", url, b"{}", JSON).status_code == 401


# -- registering -----------------------------------------------------------------------------------


def test_in_band_the_answer_is_the_registration() -> None:
    """For a server that signs; the address is the one that the settings say."""
    headers = {**signed(b"{}"), "X-Inngest-Sync-Kind": "in_band"}
    answer = asked("PUT", "/api/inngest", b"{}", headers)
    registered = parse_registration(answer.content)
    assert answer.headers["x-inngest-sync-kind"] == "in_band"
    assert (registered.name, registered.version, registered.is_flowgen) == ("shop", "7", True)
    assert registered.url == "https://canary-origin.example/api/inngest"
    assert [function.slug for function in registered.functions] == ["shop-fulfil"]


def test_in_band_a_server_says_where_the_app_is() -> None:
    """Where the settings do not; what is signed is believed, the Host of a request is not needed."""
    body = b'{"url":"https://shop.example/hooks"}'
    headers = {**signed(body), "X-Inngest-Sync-Kind": "in_band", "Host": "evil.com"}
    answer = asked("PUT", "/api/inngest", body, headers, ServeSettings((KEY,)))
    assert parse_registration(answer.content).url == "https://shop.example/hooks"


def test_out_of_band_the_server_is_told() -> None:
    """At the address of the settings, with its own id of the sync, and the hash of the key."""
    told: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        told.append(request)
        return httpx.Response(200, json={"ok": True, "modified": False})

    settings = ServeSettings((KEY,), api="https://flows.example", env="branch")
    headers = {**signed(b""), "X-Inngest-Server-Kind": "cloud"}
    answer = asked("PUT", "/api/inngest?deployId=7", b"", headers, settings, server)
    assert answer.json() == {"message": "Successfully registered", "modified": False}
    (request,) = told
    assert str(request.url) == "https://flows.example/fn/register?deployId=7"
    assert request.headers["authorization"].startswith("Bearer signkey-test-")
    assert KEY not in request.headers["authorization"]
    assert (request.headers["x-inngest-env"], request.headers["x-inngest-expected-server-kind"]) == ("branch", "cloud")
    assert parse_registration(request.content).url == "http://localhost/api/inngest"


@pytest.mark.parametrize(
    "answer", [httpx.Response(400, json={"error": "no"}), httpx.Response(200, text="<html>"), httpx.ConnectError("no")]
)
def test_a_server_that_refuses_is_told_of(answer: Any) -> None:
    """The caller gets 500 with the reason."""

    def server(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)

    refused = asked("PUT", "/api/inngest", b"", {}, OPEN, server)
    assert (refused.status_code, code(refused)) == (500, "not_registered")


# -- where it is mounted ---------------------------------------------------------------------------


def _routed() -> tuple[Any, str]:
    api = FastAPI()
    api.add_route("/api/inngest", serve_app(app, settings=OPEN), methods=["GET", "POST", "PUT"])
    return api, "/api/inngest"


def _mounted() -> tuple[Any, str]:
    api = FastAPI()
    api.mount("/hooks", serve_app(app, settings=OPEN))
    return api, "/hooks/"


def _beside() -> tuple[Any, str]:
    return Starlette(routes=[Mount("/", serve_app(app, path="/a/b", settings=OPEN))]), "/a/b"


@pytest.mark.parametrize("made", [_routed, _mounted, _beside])
def test_it_is_mounted_anywhere(made: Callable[[], tuple[Any, str]]) -> None:
    """In FastAPI and Starlette, as a route or as a mount; it says that it is where it was called."""
    api, place = made()

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://localhost") as client:
            return [
                await client.get(place),
                await client.post(f"{place}?fnId=shop-fulfil", content=CALL, headers=JSON),
                await client.get(f"{place}below"),
                await client.get("/elsewhere"),
            ]

    answers = trio.run(ask)
    assert [answer.status_code for answer in answers] == [200, 206, 404, 404]
    assert answers[0].json()["function_count"] == 1


def test_it_lives_as_asgi_apps_do() -> None:
    """A lifespan starts nothing and ends the threads; other protocols are refused."""
    served = serve_app(app, settings=OPEN)
    sent: list[str] = []
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    trio.run(served, {"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    received.append({"type": "websocket.connect"})
    trio.run(served, {"type": "websocket"}, receive, send)
    assert sent[-1] == "websocket.close"


def test_what_cannot_be_served_is_refused_when_it_is_made() -> None:
    """An app without workflows, a path that is none."""
    with pytest.raises(InvalidInput, match="has no workflows to serve"):
        serve_app(App("empty"), settings=OPEN)
    with pytest.raises(InvalidInput, match="not the path of a URL"):
        serve_app(app, path="api", settings=OPEN)
    assert isinstance(serve_app(app, settings=OPEN), ServedApp)
