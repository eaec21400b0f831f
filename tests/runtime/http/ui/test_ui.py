"""The pages over HTTP: what each shows, how it refuses, and that none needs an exception from the policy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import trio
from starlette.applications import Starlette
from starlette.routing import Mount

from flowgen import (
    App,
    Batch,
    Concurrency,
    Event,
    NonRetriableError,
    OnCron,
    OnEvent,
    Restart,
    Run,
    Secret,
    SendEvent,
    Sleep,
    WaitFor,
)
from flowgen.runtime import Engine, listing, open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.ui import assets
from flowgen.runtime.http.ui.listed import READ
from flowgen.runtime.http.ui.table import UI

TOKEN = "a-token-of-tests"
PASSWORD = "hunter2"
app = App("shop", retries=0)


def double(number: int) -> int:
    return 2 * number


def explode(secret: str) -> None:
    raise NonRetriableError("the lamp exploded")


async def hang() -> None:
    await trio.sleep_forever()


@app.workflow(on=OnEvent("order/placed"), concurrency=Concurrency(5))
def fulfil(ctx: Any) -> Any:
    """Carry an order out.

    The rest of this text is for those who read the code.
    """
    doubled = yield Run("double", double, ctx.event.data["number"])
    yield SendEvent("tell", Event("order/done", {}))
    return {"doubled": doubled}


@app.workflow(on=OnEvent("order/waits"))
def waits(ctx: Any) -> Any:
    yield Run("double", double, 1)
    yield WaitFor("approval", "order/approved", timeout="7d")


@app.workflow(on=OnEvent("order/breaks"))
def breaks(ctx: Any) -> Any:
    yield Run("explode", explode, Secret(PASSWORD))


@app.workflow(on=OnEvent("order/hangs"))
def hangs(ctx: Any) -> Any:
    yield Run("hang", hang)


@app.workflow(on=OnEvent("order/collected"), batch=Batch(10, wait="1h"))
def collects(ctx: Any) -> Any:
    yield Sleep("nap", "1h")


@app.workflow(on=OnEvent("order/again"))
def restarts(ctx: Any) -> Any:
    if not ctx.event.data.get("second"):
        return Restart({"second": True})
    yield Sleep("nap", "1h")


@app.workflow(on=OnCron("TZ=Europe/Berlin 0 9 * * mon"))
def weekly(ctx: Any) -> Any:
    yield Sleep("nap", "1h")


@asynccontextmanager
async def browsing(
    settings: Settings | None = None, apps: Any = app, mounted: str = ""
) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    """An engine, and a client of its pages on the same loop."""
    async with open_engine(apps, "memory://", grace=0) as engine:
        asgi = http_app(apps, engine, settings=settings or Settings())
        served = Starlette(routes=[Mount(mounted, asgi)]) if mounted else asgi
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288") as client:
            yield engine, client


async def shown(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    """The text of a page, as it comes: with the policy, and without anything that the policy would forbid."""
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(
        r"<script(?! type=\"module\" src=\"[^\"]*/static/flowgen.js\")|<style|\sstyle=|\son\w+=", answer.text
    )
    return answer.text


async def started(engine: Engine, name: str, **data: Any) -> tuple[str, str]:
    """The event that was sent, and the run that it started."""
    (event,) = await engine.send(Event(name, data))
    (run,) = await engine.started(event)
    return event, run


async def come_to(engine: Engine, run: str, status: str) -> None:
    """Return once a run is in this state."""
    while (await engine.run(run)).status != status:
        await engine.store.wait_changed(0.05)


async def test_an_empty_server_teaches_what_to_do_next() -> None:
    """With the name of an event that is meant here, and the address of this very server."""
    async with browsing() as (_, client):
        text = await shown(client, "/")
        assert "Nothing has run yet" in text
        assert "curl http://127.0.0.1:8288/e/dev" in text
        assert "order/again" in text
        assert "No event has come yet" in await shown(client, "/events")
        assert "It has not run yet" in await shown(client, "/workflows/shop/fulfil")
    async with browsing(apps=App("empty")) as (_, client):
        assert "@app.workflow" in await shown(client, "/")


async def test_a_completed_run() -> None:
    """What it got and gave, its steps, the event that it sent, and its history."""
    async with browsing() as (engine, client):
        event, run = await started(engine, "order/placed", number=21)
        await engine.result(run)
        text = await shown(client, f"/runs/{run}")
        assert f'href="/events/{event}"' in text
        for part in ("double", "tell", "came back", "Rerun", "42", "Run it again"):
            assert part in text
        assert "Cancel" not in text
        assert run[-10:] in await shown(client, "/")
        assert run[-10:] in await shown(client, f"/events/{event}")
        assert run[-10:] in await shown(client, "/workflows/shop/fulfil")


async def test_an_open_run_says_what_it_waits_for() -> None:
    """In a sentence without its own name, and with what may be done."""
    async with browsing() as (engine, client):
        _, run = await started(engine, "order/waits")
        await come_to(engine, run, "waiting")
        text = await shown(client, f"/runs/{run}")
        assert '<p class="why">Waiting at step &#39;approval&#39; for event &#39;order/approved&#39;' in text
        assert f'data-post="/v1/runs/{run}/cancel"' in text


async def test_a_failed_run_shows_its_error_and_no_secret() -> None:
    """Message and trace; an argument that was marked secret shows only that it is there."""
    async with browsing() as (engine, client):
        _, run = await started(engine, "order/breaks")
        await come_to(engine, run, "failed")
        text = await shown(client, f"/runs/{run}")
        assert "the lamp exploded" in text
        assert "in explode" in text
        assert PASSWORD not in text
        assert f'data-post="/v1/runs/{run}/retry"' in text


async def test_a_body_that_hangs_is_seen() -> None:
    """Though nothing is recorded of it yet."""
    async with browsing() as (engine, client):
        _, run = await started(engine, "order/hangs")
        await come_to(engine, run, "running")
        text = await shown(client, f"/runs/{run}")
        assert re.search(r'title="hang">hang<', text)
        assert 'class="bar b-attempt open"' in text


async def test_runs_in_every_other_state_have_a_page() -> None:
    """One that collects events, and one that restarted as another."""
    async with browsing() as (engine, client):
        _, collecting = await started(engine, "order/collected")
        assert "It collects events" in await shown(client, f"/runs/{collecting}")
        _, first = await started(engine, "order/again")
        await come_to(engine, first, "completed")
        successor = (await engine.run(first)).restarted_as
        assert successor is not None
        assert f'href="/runs/{successor}"' in await shown(client, f"/runs/{first}")
        assert "sleep" in await shown(client, f"/runs/{successor}")


async def test_workflows_say_what_starts_them() -> None:
    """Events, schedules with their next ticks, and flow control; the first line of their text."""
    async with browsing() as (engine, client):
        text = await shown(client, "/workflows")
        assert "Carry an order out." in text
        assert "for those who read the code" not in text
        text = await shown(client, "/workflows/shop/weekly")
        assert "TZ=Europe/Berlin 0 9 * * MON" in text
        assert text.count("Mon ") >= 3
        assert "Concurrency(5)" in await shown(client, "/workflows/shop/fulfil")
        await engine.pause("shop/fulfil")
        assert "/v1/workflows/fulfil/resume?app=shop" in await shown(client, "/workflows/shop/fulfil")


async def test_lists_are_filtered_by_what_their_address_says() -> None:
    """A condition that cannot be read is told in place; what no form could have sent is refused."""
    async with browsing() as (engine, client):
        _, run = await started(engine, "order/placed", number=1)
        _, other = await started(engine, "order/waits")
        await come_to(engine, other, "waiting")
        for query in ("status=waiting", "workflow=shop/waits", "where=run.status+%3D%3D+'waiting'", f"q={other}"):
            text = await shown(client, f"/?{query}")
            assert (other[-10:] in text, run[-10:] in text) == (True, False), query
        for query in ("last=15m", "after=2020-01-01T00:00:00Z", "before=2100-01-01T00:00:00Z"):
            assert other[-10:] in await shown(client, f"/?{query}")
        for query in ("before=2020-01-01T00:00:00Z", "workflow=nobody/nothing", "q=nothing+like+this"):
            assert "No run is like that" in await shown(client, f"/?{query}")
        assert 'class="form-error"' in await shown(client, "/?where=run.status+%3D")
        assert "No event is called" in await shown(client, "/events?name=nobody")
        for query in ("status=lost", "last=3y", "after=yesterday", "sort=asc", "status=failed&status=waiting"):
            await shown(client, f"/?{query}", 400)


async def test_lists_of_large_runs_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are read from several pages of runs, as many as are read for one list; from there on it is older ones."""
    async with browsing() as (engine, client):
        event, run = await started(engine, "order/placed", number=21)
        runs = [run] + [(await started(engine, "order/placed", number=each))[1] for each in range(READ + 1)]
        for each in runs:
            await engine.result(each)
        monkeypatch.setattr(listing, "PAGE_BYTES", 1)
        assert len((await engine.runs()).items) == 1
        for path in ("/", "/workflows/shop/fulfil"):
            text = await shown(client, path)
            assert [each for each in runs if each in text] == runs[-READ:]
        assert run in await shown(client, f"/events/{event}")
        (older,) = re.findall(r'href="(/?\?cursor=[^"]+)"', await shown(client, "/"))
        text = await shown(client, "/" + older.lstrip("/").replace("&amp;", "&"))
        assert [each for each in runs if each in text] == runs[:-READ]


@pytest.mark.parametrize("path", ["/runs/nothing", "/events/nothing", "/workflows/shop/nothing", "/workflows/x/y"])
async def test_what_is_not_there_is_a_page_that_says_so(path: str) -> None:
    """A person is answered as a person."""
    async with browsing() as (_, client):
        assert "nothing" in await shown(client, path, 404) or "y" in path


async def test_without_a_token_there_is_the_form() -> None:
    """In the place of each page, with 401; a wrong token gets no cookie, a right one the page."""
    async with browsing(Settings(auth_tokens=(TOKEN,))) as (engine, client):
        await started(engine, "order/waits")
        for route in UI:
            if route.method == "GET" and "static" not in route.path:
                status = 200 if route.path == "/login" else 401
                text = await shown(client, route.path.replace("{id}", "x").replace("{app}", "x"), status)
                assert 'name="token"' in text
                assert "order/" not in text
        assert (await client.post("/ui/send", json={"name": "a"})).status_code == 401
        refused = await client.post("/login", json={"token": "wrong-token"})
        assert (refused.status_code, refused.headers.get("set-cookie")) == (401, None)
        welcome = await client.post("/login", json={"token": TOKEN})
        assert welcome.status_code == 200
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(welcome.headers["set-cookie"].split("; "))
        assert "Secure" not in welcome.headers["set-cookie"]
        assert "waits" in await shown(client, "/")
        assert (await client.post("/logout", json={})).status_code == 200
        await shown(client, "/", 401)


async def test_over_tls_the_cookie_is_for_tls_only() -> None:
    """So that it never goes over the wire in clear; also where a proxy has ended the TLS."""
    async with browsing(Settings(auth_tokens=(TOKEN,))) as (_, client):
        welcome = await client.post("https://127.0.0.1:8288/login", json={"token": TOKEN})
        assert "Secure" in welcome.headers["set-cookie"]
        proxied = {"origin": "https://127.0.0.1:8288"}
        for path in ("/login", "/logout"):
            answer = await client.post(path, json={"token": TOKEN}, headers=proxied)
            assert (answer.status_code, "Secure" in answer.headers["set-cookie"]) == (200, True)


@pytest.mark.parametrize("body", [[], "x", {}, {"token": 7}, {"token": ""}, {"token": "x" * 5_000}])
async def test_what_the_login_refuses(body: Any) -> None:
    """With a reason, and no cookie."""
    async with browsing(Settings(auth_tokens=(TOKEN,))) as (_, client):
        answer = await client.post("/login", json=body)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (400, None)


async def test_a_form_cannot_log_in() -> None:
    """What another site could send is refused before it is read."""
    async with browsing(Settings(auth_tokens=(TOKEN,))) as (_, client):
        assert (await client.post("/login", data={"token": TOKEN})).status_code == 415
        foreign = {"origin": "http://evil.example"}
        assert (await client.post("/login", json={"token": TOKEN}, headers=foreign)).status_code == 403


@pytest.mark.parametrize("name", sorted(assets.TYPES))
async def test_the_files_of_pages_are_kept_by_browsers(name: str) -> None:
    """With their type, also without a token, and asked for again only if they have changed."""
    async with browsing(Settings(auth_tokens=(TOKEN,))) as (_, client):
        answer = await client.get(f"/static/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, assets.TYPES[name])
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await client.get(f"/static/{name}", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["..%2fassets.py", "%2e%2e/assets.py", "flowgen.py", "base.html", "flowgen.js/", ""])
async def test_no_other_file_is_served(name: str) -> None:
    """Whatever it is called."""
    async with browsing() as (_, client):
        assert (await client.get(f"/static/{name}")).status_code == 404


async def test_pages_work_below_another_path() -> None:
    """Every link, form and file of a mounted server leads back to it."""
    async with browsing(mounted="/flows") as (engine, client):
        event, run = await started(engine, "order/placed", number=1)
        await engine.result(run)
        for path in ("/", f"/runs/{run}", "/events", f"/events/{event}", "/workflows", "/workflows/shop/weekly"):
            text = await shown(client, f"/flows{path}")
            links = re.findall(r'(?:href|src|action)="(/[^"]*)"', text)
            assert links
            assert all(link.startswith("/flows/") for link in links)
            for link in set(links):
                assert (await client.get(link.replace("&amp;", "&"))).status_code == 200, link


async def test_runs_of_several_apps_keep_apart() -> None:
    """With more than one app a link says which; the same id may be there twice."""
    other = App("other")

    @other.workflow
    def alike(ctx: Any) -> Any:
        return "theirs"
        yield

    async with browsing(apps=[app, other]) as (engine, client):
        await engine.start(waits, {}, run_id="same")
        await engine.start(alike, {}, run_id="same")
        text = await shown(client, "/")
        assert 'href="/runs/same?app=shop"' in text
        assert 'href="/runs/same?app=other"' in text
        assert "alike" in await shown(client, "/runs/same?app=other")
        assert "waits" in await shown(client, "/runs/same?app=shop")


async def test_an_event_of_the_future_says_when_it_counts() -> None:
    """And has started nothing yet."""
    async with browsing() as (engine, client):
        at = (await engine.run((await started(engine, "order/waits"))[1])).created_at + timedelta(days=3)
        (event,) = await engine.send(Event("order/placed", {"number": 1}, ts=at))
        text = await shown(client, f"/events/{event}")
        assert "It counts from" in text
        assert "None. A workflow starts on it" in text
        assert "waits until" in await shown(client, "/events")
