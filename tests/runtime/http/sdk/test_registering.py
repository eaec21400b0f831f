"""Apps come and go: who may register, from where, and what is changed by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from flowgen import Event
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.addresses import Reach, UrlRefused
from flowgen.runtime.dialing import Dialer
from flowgen.runtime.driving.caller import CallFailed, Headers, Reply
from flowgen.runtime.driving.transport import HttpCalls
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.problems import Problem
from flowgen.runtime.http.sdk.registering import check_urls
from flowgen.runtime.protocol.registration import parse_registration
from tests.runtime.http.sdk.callers import DEV, JS, KEY, KEYED, PY, refusal_of
from tests.runtime.http.sdk.stub import Asked, Told, registration, stub, written
from tests.runtime.http.serving import app

URL = "http://127.0.0.1:3000/api/inngest"
SERVER = Settings(signing_keys=(KEY,), app_hosts=("127.0.0.0/8",))


class NoCalls:
    """Apps are not called in these tests: each try fails."""

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        raise CallFailed("nobody is called")


@asynccontextmanager
async def serving(settings: Settings = DEV, **headers: str) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    """An engine that calls apps elsewhere, and a client of its server."""
    async with open_engine(app, calls=NoCalls()) as engine:
        transport = httpx.ASGITransport(http_app(app, engine, settings=settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288", headers=headers) as client:
            yield engine, client


async def test_an_app_registers() -> None:
    """Its functions are workflows from then on; saying the same again changes nothing, saying something else does."""
    async with serving(**PY) as (engine, client):
        first = await client.post("/fn/register", json=registration(URL))
        assert first.json() == {"ok": True, "modified": True, "app_id": "stub", "status": 200}
        assert [each.id for each in await engine.workflows() if each.app == "stub"] == ["run"]
        again = await client.post("/fn/register?deployId=7", json=registration(URL))
        assert again.json()["modified"] is False
        other = await client.post("/fn/register", json=registration(URL, "stub", "run", "walk"))
        assert other.json()["modified"] is True
        assert {each.id for each in await engine.workflows() if each.app == "stub"} == {"run", "walk"}
        moved = await client.post("/fn/register", json=registration(URL.replace("3000", "3001"), "stub", "run", "walk"))
        assert moved.json()["modified"] is True
        assert [each.url for each in await engine.remote_apps()] == [URL.replace("3000", "3001")]


@pytest.mark.parametrize("key", ["appName", "appname", "APPNAME", "AppName"])
async def test_keys_match_whatever_their_case_is(key: str) -> None:
    """The Python SDK writes one of them otherwise than the others do."""
    document = registration(URL)
    document[key] = document.pop("appName")
    async with serving(**PY) as (engine, client):
        assert (await client.post("/fn/register", json=document)).status_code == 200
        assert [each.name for each in await engine.remote_apps()] == ["stub"]


async def test_what_the_server_knows_is_shown() -> None:
    """To SDKs that look for a server, and to people."""
    async with serving(**JS) as (_, client):
        before = (await client.get("/dev")).json()
        assert (before["kind"], before["functions"], before["handlers"]) == ("dev", [], [])
        await client.post("/fn/register", json=registration(URL))
        shown = (await client.get("/dev")).json()
        assert [(each["slug"], each["app"]) for each in shown["functions"]] == [("stub-run", "stub")]
        assert shown["handlers"][0]["sdk"]["url"] == URL


@pytest.mark.parametrize("query", [{"app": "stub"}, {"url": URL}])
async def test_an_app_is_removed(query: dict[str, str]) -> None:
    """By its name or where it is: it is not known any more, and events start nothing of it."""
    async with serving(**JS) as (engine, client):
        await client.post("/fn/register", json=registration(URL))
        removed = await client.delete("/fn/remove", params=query)
        assert removed.json() == {"ok": True, "removed": ["stub"]}
        assert (await client.get("/dev")).json()["functions"] == []
        (event,) = await engine.send(Event("run/asked"))
        assert await engine.started(event) == []
        refusal_of(await client.delete("/fn/remove", params=query), 404)


@pytest.mark.parametrize("query", [{}, {"app": "stub", "url": URL}])
async def test_what_is_removed_has_to_be_said(query: dict[str, str]) -> None:
    """Once: nothing is removed by mistake."""
    async with serving(**JS) as (engine, client):
        await client.post("/fn/register", json=registration(URL))
        refusal_of(await client.delete("/fn/remove", params=query), 400)
        assert len(await engine.remote_apps()) == 1


@pytest.mark.parametrize(
    "document, message",
    [
        ({}, "appName"),
        (registration(URL) | {"functions": []}, "functions"),
        (registration(URL) | {"url": None}, "url"),
        (registration(URL) | {"deployType": "connect"}, "deployType"),
        (registration(URL) | {"appName": app.name}, "shop"),
        ([], "an object"),
    ],
)
async def test_what_is_no_registration_is_refused(document: Any, message: str) -> None:
    """With the place of what is wrong, and nothing is kept. An app that is written here is not replaced."""
    async with serving(**PY) as (engine, client):
        assert message in refusal_of(await client.post("/fn/register", json=document), 400)
        assert await engine.remote_apps() == ()


# -- which servers take apps ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, headers, status",
    [
        (DEV, {"x-inngest-expected-server-kind": "dev"}, 200),
        (DEV, {"x-inngest-expected-server-kind": "cloud"}, 400),
        (SERVER, KEYED | {"x-inngest-expected-server-kind": "dev"}, 400),
        (SERVER, KEYED, 200),
        (SERVER, {}, 401),
        (Settings(app_hosts=("127.0.0.1",)), {}, 403),
        (Settings(app_hosts=("127.0.0.1",), auth_tokens=("a-token-of-ours",)), {}, 401),
        (
            Settings(app_hosts=("127.0.0.1",), auth_tokens=("a-token-of-ours",)),
            {"authorization": "Bearer a-token-of-ours"},
            403,
        ),
        (Settings(app_hosts=("127.0.0.1",), signing_keys=("not-a-key-of-apps",)), {}, 403),
    ],
)
async def test_which_server_takes_an_app(settings: Settings, headers: dict[str, str], status: int) -> None:
    """One of the kind that the app expects; one in production only with a key to sign calls with."""
    async with serving(settings, **PY, **headers) as (engine, client):
        response = await client.post("/fn/register", json=registration(URL))
        assert response.status_code == status, response.text
        assert len(await engine.remote_apps()) == (status == 200)


# -- where apps may be ---------------------------------------------------------------------------------

NOWHERE = [
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:127.0.0.1]:3000/x",
    "http://0.0.0.0:3000/x",
    "http://2130706433:3000/x",
    "http://0x7f000001:3000/x",
    "http://017700000001:3000/x",
    "http://127.1:3000/x",
    "http://[64:ff9b::7f00:1]:3000/x",
    "http://[64:ff9b::a9fe:a9fe]/x",
    "http://user:password@127.0.0.1:3000/x",
    "http://127.0.0.1:3000@169.254.169.254/x",
    "http://127.0.0.1:22/x",
    "http://127.0.0.1:6000/x",
    "http://127.0.0.1:3000/x\r\nX-Injected: 1",
    "http://127.0.0.1:3000/x y",
    "http://127.0.0.1:3000/x#y",
    "http://10.0.0.1:3000/x",
    "http://192.168.1.1/x",
    "http://[fd00:ec2::254]/x",
    "gopher://127.0.0.1:3000/x",
]


@pytest.mark.parametrize("url", [*NOWHERE, "http://93.184.215.14/x"])
async def test_in_development_apps_are_on_this_machine(url: str) -> None:
    """Whatever way the address is written in; nothing of a refused app is kept."""
    async with serving(**PY) as (engine, client):
        refusal_of(await client.post("/fn/register", json=registration(url)), 400)
        assert await engine.remote_apps() == ()


@pytest.mark.parametrize("url", [*NOWHERE, "http://127.0.0.1:3000/x", "http://[::1]:3000/x", "http://localhost:3000/x"])
async def test_a_server_takes_apps_at_public_addresses(url: str) -> None:
    """And not on its own machine or its own network, unless that is allowed."""
    async with serving(Settings(signing_keys=(KEY,)), **PY, **KEYED) as (engine, client):
        refusal_of(await client.post("/fn/register", json=registration(url)), 400)
        assert await engine.remote_apps() == ()


class Flipping:
    """A resolver that gives other answers each time, the last one for ever."""

    def __init__(self, *answers: str) -> None:
        self.answers = [[answer] for answer in answers]

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    "reach, good, bad",
    [
        (Reach.dev(), "127.0.0.1", "127.0.0.1"),
        (Reach.dev(), "127.0.0.1", "169.254.169.254"),
        (Reach.dev(), "127.0.0.1", "10.0.0.1"),
        (Reach.dev(), "127.0.0.1", "::ffff:127.0.0.1"),
        (Reach.dev(), "127.0.0.1", "0.0.0.0"),
        (Reach.server(["127.0.0.1"]), "127.0.0.1", "127.0.0.2"),
        (Reach.server(["127.0.0.1"]), "127.0.0.1", "64:ff9b::7f00:1"),
    ],
)
async def test_a_name_that_flips_is_not_called(reach: Reach, good: str, bad: str) -> None:
    """It was good when the app registered, and leads elsewhere when it is called: then it is not called there."""

    async def answer(asked: Asked) -> Told:
        return Told()

    async with stub(answer) as served:
        url = f"http://app.example:{served.port}/api/inngest"
        remote = parse_registration(written(registration(url)))
        dialer = Dialer(reach, Flipping(good, bad))
        await check_urls(dialer, remote)
        if bad == good:
            async with aclosing(HttpCalls(dialer)) as calls:
                assert (await calls.send(url, (), b"{}")).status == 200
        else:
            with pytest.raises(UrlRefused):
                await HttpCalls(dialer).send(url, (), b"{}")
            assert served.asked == []
            with pytest.raises(Problem, match=r"app\.example"):
                await check_urls(dialer, remote)


def test_a_name_that_is_looked_up_for_ever_is_refused() -> None:
    """Whoever registers apps with such names keeps no request, and no thread of the engine, for longer."""

    async def never(name: str, port: int) -> list[str]:
        await trio.sleep_forever()
        raise AssertionError

    async def check() -> None:
        app = parse_registration(written(registration("http://app.example/api/inngest")))
        with pytest.raises(Problem, match="app.example was not found within 10 s"):
            await check_urls(Dialer(Reach.server(), never), app)

    trio.run(check, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_large_registration_is_read() -> None:
    """It is read beside the loop that others wait for, and taken like any other."""
    document = registration(URL, "stub", *(f"function-{number}" for number in range(150)))
    assert len(written(document)) > 32 * 1024
    async with serving(**PY) as (engine, client):
        assert (await client.post("/fn/register", json=document)).json()["modified"] is True
        (app,) = await engine.remote_apps()
        assert len(app.functions) == 150
        document["functions"][149]["triggers"] = [{"event": "inngest/no.such"}]
        assert "functions[149]" in refusal_of(await client.post("/fn/register", json=document), 400)


async def test_a_redirect_is_not_followed() -> None:
    """Be it to where the app may be: what it answers is the answer."""

    async def secret(asked: Asked) -> Told:
        raise AssertionError("it was followed")

    async def redirect(asked: Asked) -> Told:
        return Told(307, b"", {"location": hidden.url})

    async with stub(secret) as hidden, stub(redirect) as served:
        async with aclosing(HttpCalls(Dialer(Reach.dev()))) as calls:
            assert (await calls.send(served.url, (), b"{}")).status == 307
        assert hidden.asked == []
