"""Who may knock: hosts, origins, and whose ids are whose.

Rows Unauthenticated control plane, DNS rebinding / CSRF, Batch/inner identity, Cross-run reads and Privilege of read of
the security table, and what of a `Secret` may be seen.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest

from flowgen import App, Context, Event, Secret, WaitForSignal
from flowgen.errors import InvalidInput
from flowgen.runtime import open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.settings import is_one_of
from tests.security.house import (
    BEARER,
    LOCKED,
    TOKEN,
    VAULT,
    app,
    closed,
    furnished,
    serving,
)

NAMED = Settings(hosts=["flows.example"])
ANY = Settings(hosts=["*"])

HOSTS = [
    # host, with nothing set, with a name, with any name, with a token and no name
    ("localhost:8288", True, True, True, True),
    ("127.0.0.1", True, True, True, True),
    ("[::1]:8288", True, True, True, True),
    ("LocalHost", True, True, True, True),
    ("flows.example", False, True, True, True),
    ("flows.example:443", False, True, True, True),
    ("FLOWS.example", False, True, True, True),
    ("evil.example", False, False, True, True),
    ("evil.flows.example", False, False, True, True),
    ("flows.example.evil.example", False, False, True, True),
    ("localhost.", False, False, True, True),
    ("localhost.evil.example", False, False, True, True),
    ("127.0.0.1.nip.io", False, False, True, True),
    ("0.0.0.0", False, False, True, True),
    ("2130706433", False, False, True, True),
    ("127.1", False, False, True, True),
    ("[::ffff:127.0.0.1]", False, False, True, True),
    ("169.254.169.254", False, False, True, True),
]


@pytest.mark.parametrize("row", HOSTS, ids=lambda row: row[0])
async def test_names_under_which_a_server_is_called(row: tuple[str, bool, bool, bool, bool]) -> None:
    """Its own, those it was given, and any only if it was told so or has a token. DNS rebinding reaches nothing."""
    host, *served = row
    for settings, good in zip((Settings(), NAMED, ANY, LOCKED), served, strict=True):
        async with serving(settings, BEARER) as (engine, client):
            for method, path in (
                ("GET", "/health"),
                ("GET", "/v1/runs"),
                ("POST", "/v1/signals"),
                ("GET", "/static/flowgen.js"),
            ):
                response = await client.request(method, path, headers={"host": host})
                assert (response.status_code == 421) == (not good), (host, path)
            assert not (await engine.runs()).items


ORIGINS = [
    # headers, whether a call is served, whether a page is
    ({}, True, True),
    ({"origin": "http://127.0.0.1:8288"}, True, True),
    ({"origin": "HTTP://127.0.0.1:8288", "sec-fetch-site": "same-origin"}, True, True),
    ({"sec-fetch-site": "none"}, True, True),
    ({"origin": "http://127.0.0.1"}, False, False),
    ({"origin": "http://127.0.0.1:8289"}, False, False),
    ({"origin": "http://localhost:8288"}, False, False),
    ({"origin": "https://evil.example"}, False, False),
    ({"origin": "http://127.0.0.1:8288.evil.example"}, False, False),
    ({"origin": "http://127.0.0.1:8288@evil.example"}, False, False),
    ({"origin": "http://evil.example#127.0.0.1:8288"}, False, False),
    ({"origin": "null"}, False, False),
    ({"origin": ""}, False, False),
    ({"origin": "file://"}, False, False),
    ({"origin": "chrome-extension://127.0.0.1:8288"}, False, False),
    ({"sec-fetch-site": "cross-site"}, False, False),
    ({"sec-fetch-site": "same-site"}, False, False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, False, False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, False, False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, False, True),
]


@pytest.mark.parametrize("settings", [Settings(), LOCKED], ids=["open", "locked"])
@pytest.mark.parametrize("headers, calls, pages", ORIGINS, ids=str)
async def test_on_whose_behalf_a_browser_may_ask(
    headers: dict[str, str], calls: bool, pages: bool, settings: Settings
) -> None:
    """This server's own pages, and nobody else's, cookie or not. A link may lead to a page and starts nothing."""
    async with serving(settings, {"cookie": f"flowgen_token={TOKEN}"}) as (engine, client):
        if settings is LOCKED:
            client.headers.update(BEARER)
        run = (await furnished(engine))[-1]
        before = len((await engine.runs()).items)
        for path in (f"/v1/runs/{run}/cancel", "/v1/runs/cancel", "/v1/workflows/sleeper/pause", "/closed", "/logout"):
            if not calls:
                response = await client.post(path, json={}, headers=headers)
                assert response.status_code == 403, path
        assert ((await client.post("/v1/signals", json={}, headers=headers)).status_code == 403) == (not calls)
        assert ((await client.get("/", headers=headers)).status_code == 200) == pages
        response = await client.get("/open/1", headers=headers)
        assert (response.status_code == 200) == calls
        assert len((await engine.runs()).items) == before + calls
        assert (await engine.run(run)).status == "waiting"


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
)
async def test_what_a_form_can_send_is_no_request(kind: str) -> None:
    """A page of another site can send these without asking; even from an old browser that names no origin."""
    async with serving(Settings()) as (engine, client):
        run = (await furnished(engine))[-1]
        for path in (f"/v1/runs/{run}/cancel", "/e/any", "/v1/signals", "/closed", "/v1/workflows/sleeper/invoke"):
            headers = {"content-type": kind} if kind else {}
            response = await client.post(path, content=b'{"name":"a"}', headers=headers)
            assert response.status_code == 415, path
        assert (await engine.run(run)).status == "waiting"


def test_a_server_for_others_needs_a_token() -> None:
    """Names but those of the loopback are a choice that somebody made, and an empty token is none."""
    assert not Settings().may_be_called("flows.example")
    assert Settings().hosts == frozenset()
    with pytest.raises(InvalidInput):
        Settings(auth_tokens=("",))


# -- whose is what -----------------------------------------------------------------------------------


MINE, THEIRS = App("mine"), App("theirs")


def wait(ctx: Context) -> Any:
    return (yield WaitForSignal("wake", "wake", timeout="1h"))


for _app in (MINE, THEIRS):
    _app.endpoint("POST", "/same", id="wait", wait=0)(wait)


@asynccontextmanager
async def two_apps() -> AsyncIterator[tuple[Any, Any, httpx.AsyncClient, list[str]]]:
    """Two engines of different apps on one store; the client is of the first one's server."""
    async with open_engine(MINE, "memory://") as engine, open_engine(THEIRS, engine.store) as other:
        run = await other.start("wait", {"secret": VAULT})
        while (await other.run(run)).status != "waiting":
            await other.store.wait_changed(0.05)
        transport = httpx.ASGITransport(http_app(MINE, engine, settings=LOCKED))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=BEARER) as client:
            yield engine, other, client, [run]


async def test_a_run_of_another_app_is_not_there() -> None:
    """404, the same as for one that is nowhere, on every route that takes an id; and it is as it was."""
    async with two_apps() as (_, other, client, (run,)):
        for method, path, body in [
            ("GET", "/v1/runs/{id}", None),
            ("GET", "/v1/runs/{id}/history", None),
            ("GET", "/v1/runs/{id}/children", None),
            ("GET", "/v1/runs/{id}/why", None),
            ("POST", "/v1/runs/{id}/cancel", {}),
            ("POST", "/v1/runs/{id}/retry", {}),
            ("POST", "/v1/runs/{id}/rerun", {}),
            ("DELETE", "/v1/runs/{id}", None),
            ("GET", "/runs/{id}", None),
            ("GET", "/v1/endpoints/results/{id}-" + "0" * 32, None),
        ]:
            answers = []
            for id in (run, "01" + run[2:][::-1]):
                response = await client.request(method, path.replace("{id}", id), json=body)
                answers.append((response.status_code, response.text.replace(id, "ID")))
                assert VAULT not in response.text
            assert answers[0] == answers[1]
            assert answers[0][0] == 404, path
        assert (await other.run(run)).status == "waiting"


async def test_what_is_in_a_body_names_nothing_of_others() -> None:
    """Fields that say which app, run or token is meant are refused, and not followed."""
    async with two_apps() as (_, other, client, (run,)):
        for path, body in [
            ("/v1/workflows/wait/invoke", {"app": "theirs"}),
            ("/v1/workflows/wait/invoke", {"data": {}, "token": TOKEN}),
            (f"/v1/runs/{run}/cancel", {"app": "theirs"}),
            ("/v1/signals", {"name": "wake", "run": run}),
        ]:
            response = await client.post(path, json=body)
            assert response.status_code in (400, 404), (path, response.text)
        assert (await other.run(run)).status == "waiting"


async def test_an_idempotency_key_of_another_app_is_another() -> None:
    """So nobody is answered with a run of theirs: the same key, workflow and request are another run in each app."""
    async with two_apps() as (engine, other, client, _):
        key = {"Idempotency-Key": "cart-7", **BEARER}
        mine = (await client.post("/same", json={}, headers=key)).json()["id"]
        transport = httpx.ASGITransport(http_app(THEIRS, other, settings=LOCKED))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as their_client:
            theirs = (await their_client.post("/same", json={}, headers=key)).json()["id"]
        assert mine != theirs
        assert (await engine.run(mine)).app == "mine"


# -- secrets -----------------------------------------------------------------------------------------


async def test_a_secret_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in history, pages, answers, failures or the log, of steps that used it and of those that failed with it."""
    caplog.set_level(logging.DEBUG)
    async with serving(Settings()) as (engine, client):
        runs = await furnished(engine)
        await client.post("/closed", json={})
        runs += [run.id for run in (await engine.runs(workflow=closed)).items]
        for run in runs:
            for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/history", f"/v1/runs/{run}/why", f"/runs/{run}"):
                response = await client.get(path)
                assert response.status_code == 200, path
                assert VAULT not in response.text
        history = (await client.get(f"/v1/runs/{runs[0]}/history")).text
        assert "$secret" in history
        assert VAULT not in caplog.text
    assert VAULT not in repr(Secret(VAULT)) + str(Secret(VAULT)) + f"{Secret(VAULT)}"


async def test_a_secret_cannot_be_sent() -> None:
    """An event or a result with one is refused: it would be stored."""
    async with serving(Settings()) as (engine, _):
        with pytest.raises(Exception, match="a Secret is never stored"):
            await engine.send(Event("order/placed", {"token": Secret(VAULT)}))
        assert not (await engine.events()).items


def test_keys_are_compared_all_the_way() -> None:
    """With every key, and as bytes: no early end says which key, or how much of it, was right."""
    compared: list[tuple[bytes, bytes]] = []

    class Key(str):
        __slots__ = ()

        def encode(self, *_: Any, **__: Any) -> bytes:
            compared.append((str(self).encode(), b""))
            return super().encode()

    keys = (Key("first-key"), Key("second-key"), Key("third-key"))
    for given in ("first-key", "nothing", "", "third-key"):
        compared.clear()
        assert is_one_of(given, keys) == (given in ("first-key", "third-key"))
        assert len(compared) == len(keys)
    assert not is_one_of("", ())
    assert not is_one_of("\udcff", keys)


def test_settings_are_not_changed_later() -> None:
    """Who could would open the doors."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        LOCKED.auth_tokens = ()  # type: ignore[misc]
    assert app.name == "vault"
