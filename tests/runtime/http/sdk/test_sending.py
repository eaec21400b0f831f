"""Events as SDKs send them: written freely, accepted once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flowgen.runtime.http import Settings
from tests.runtime.http.sdk.callers import DEV, JS, KEYED, PY, SIGNED, refusal_of
from tests.runtime.http.serving import code_of, serving

SEED = {"x-inngest-event-id-seed": "1767225600000,AAECAwQFBgcICQ=="}
OTHER_SEED = {"x-inngest-event-id-seed": "1767225600000,CQgHBgUEAwIBAA=="}
ORDER = {"name": "order/placed", "data": {"number": 1}}


def now() -> int:
    return int(time.time() * 1_000)


@pytest.mark.parametrize("headers", [JS, PY, {"user-agent": "Inngest-go:v1"}, KEYED, {"X-Inngest-Env": "x"}])
@pytest.mark.parametrize(
    "event",
    [
        {"name": "order/other", "data": {"a": 1}},
        {"name": "order/other", "data": {"a": 1}, "id": "", "ts": 0},
        {"name": "order/other", "data": {"a": 1}, "user": {"id": "7"}, "v": "1", "meta": {}},
        {"Name": "order/other", "DATA": {"a": 1}},
        {"name": "order/other", "data": {"a": 1}, "ts": 1767225600000.0},
    ],
)
async def test_events_are_read_as_sdks_write_them(headers: dict[str, str], event: dict[str, Any]) -> None:
    """By whatever a caller shows itself as an SDK; members that only some servers know are not kept."""
    async with serving(DEV, headers) as (engine, client):
        response = await client.post("/e/NO_EVENT_KEY_SET", json=[event])
        assert response.status_code == 200, response.text
        (id,) = response.json()["ids"]
        kept = await engine.event(id)
        assert (kept.name, bytes(kept.data)) == ("order/other", b'{"a":1}')
        assert kept.key is None


async def test_data_that_is_null_is_empty() -> None:
    """So that `ctx.event.data` is an object always."""
    async with serving(DEV, PY) as (engine, client):
        (id,) = (await client.post("/e/x", json={"name": "order/other", "data": None})).json()["ids"]
        assert bytes((await engine.event(id)).data) == b"{}"


async def test_other_callers_are_read_strictly() -> None:
    """Our own route is as it was."""
    async with serving(DEV) as (_, client):
        for event in ({**ORDER, "user": {}}, {**ORDER, "id": ""}, {**ORDER, "ts": 0}):
            response = await client.post("/e/x", json=event)
            assert (response.status_code, code_of(response)) == (400, "invalid_event")


async def test_a_send_that_comes_twice_is_accepted_once() -> None:
    """With one seed it is the same send: the same ids, one run for each event; with another it is another."""
    async with serving(DEV, JS) as (engine, client):
        events = [{**ORDER, "ts": now()}, {**ORDER, "ts": now()}]
        first = (await client.post("/e/x", json=events, headers=SEED)).json()["ids"]
        again = (await client.post("/e/x", json=events, headers=SEED)).json()["ids"]
        other = (await client.post("/e/x", json=events, headers=OTHER_SEED)).json()["ids"]
        assert first == again
        assert len({*first, *other}) == 4
        assert len((await engine.events()).items) == 4


async def test_an_event_without_an_id_is_known_by_its_internal_one() -> None:
    """To the functions that it starts: that is the id that its sender was answered."""
    async with serving(DEV, JS) as (_, client):
        (id,) = (await client.post("/e/x", json=ORDER, headers=SEED)).json()["ids"]
        shown = (await client.get(f"/v1/events/{id}")).json()["data"]
        assert (shown["id"], shown["internal_id"]) == (id, id)


async def test_an_id_that_was_used_is_answered_with_the_earlier_event() -> None:
    """Whatever else the event says now, and be it in the same batch: nothing is accepted twice, nothing is an error."""
    async with serving(DEV, JS) as (engine, client):
        first = {**ORDER, "id": "cart-7", "ts": now()}
        (id,) = (await client.post("/e/x", json=first)).json()["ids"]
        again = {"name": "order/placed", "data": {"number": 2}, "id": "cart-7", "ts": now() + 5}
        fresh = {**ORDER, "id": "cart-8", "ts": now()}
        answered = (await client.post("/e/x", json=[again, fresh, {**fresh, "data": {}}, ORDER])).json()["ids"]
        assert answered[0] == id
        assert answered[1] == answered[2]
        assert len({*answered}) == 3
        assert bytes((await engine.event(id)).data) == b'{"number":1}'
        assert len((await engine.events()).items) == 3


async def test_a_time_that_was_meant_is_kept() -> None:
    """An event of the past or the future has its time, with an id and without; one of about now has the server's."""
    async with serving(DEV, JS) as (engine, client):
        past = 1_767_225_600_000
        for event in ({**ORDER, "ts": past}, {**ORDER, "ts": past, "id": "a"}):
            (id,) = (await client.post("/e/x", json=event)).json()["ids"]
            assert (await engine.event(id)).ts == past * 1_000


@pytest.mark.parametrize(
    "body, message",
    [
        ({"name": "inngest/function.failed", "data": {}}, "reserved for internal use"),
        ([ORDER, {"name": "inngest/x"}], "reserved for internal use"),
        ({"name": "flowgen/run.failed"}, "reserved"),
        ({"name": ""}, "0 characters"),
        ({"data": {}}, "needs a name"),
        ({"name": "a", "data": []}, "must be an object"),
        ({"name": "a", "ts": -1}, "milliseconds"),
        ([1], "an event is an object"),
        ("order/placed", "an event is an object"),
    ],
)
async def test_what_is_no_event_is_refused_as_sdks_read_it(body: Any, message: str) -> None:
    """With a message that is text, and nothing accepted."""
    async with serving(DEV, PY) as (engine, client):
        assert message in refusal_of(await client.post("/e/x", json=body), 400)
        assert (await engine.events()).items == ()


async def test_event_keys_hold_for_sdks_too() -> None:
    """A signing key opens no event API."""
    settings = Settings(event_keys=("event-key-1",), signing_keys=SIGNED.signing_keys)
    async with serving(settings, {**JS, **KEYED}) as (_, client):
        refusal_of(await client.post("/e/other", json=ORDER), 401)
        assert (await client.post("/e/event-key-1", json=ORDER)).status_code == 200
