"""Accepting events of many requests together: each is answered by itself, and what is full says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from flowgen import App, Event, OnEvent, Run, WaitFor
from flowgen.errors import EventConflict, InvalidInput
from flowgen.runtime import Engine, open_engine, start_engine
from flowgen.runtime.http import Settings, http_app, intake
from flowgen.runtime.http.guard import SMALL
from flowgen.runtime.http.signatures import HEADER, sign
from flowgen.runtime.stores import MemoryStore
from tests.runtime.http.serving import code_of, serving

shop = App("shop")


def double(number: int) -> int:
    return 2 * number


@shop.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Any) -> Any:
    return (yield Run("double", double, ctx.event.data["number"]))


@shop.workflow
def hold(ctx: Any) -> Any:
    yield WaitFor("held", "a", timeout="1h", where="async.data.n == -1")


@asynccontextmanager
async def unattended() -> AsyncIterator[Engine]:
    """An engine that drives nothing, on a store where a run waits for events `a`; so each of them has to be routed."""
    store = MemoryStore()
    async with open_engine([], store, work=False) as engine:
        async with open_engine(shop, store) as worker:
            run = await worker.start(hold)
            while (await worker.run(run)).status != "waiting":
                await store.wait_changed(0.05)
        yield engine


async def routed(engine: Engine) -> None:
    """Let a worker route what there is."""
    async with open_engine(shop, engine.store) as worker:
        while await worker.backlog():
            await worker.store.wait_changed(0.05)


# -- the engine ------------------------------------------------------------------------------------------


async def test_batches_are_accepted_together_and_answered_one_by_one() -> None:
    """Each gets its own ids, in its own order; all are accepted by one commit."""
    async with open_engine(shop, "memory://") as engine:
        accepted: list[int] = []
        engine.watch(lambda transition, _: accepted.append(len(transition.accept)))
        batches = [[Event("order/placed", {"number": n}) for n in range(size)] for size in (1, 3, 2)]
        answers = await engine.send_each(batches)
        assert [len(ids) for ids in answers if isinstance(ids, list)] == [1, 3, 2]
        assert accepted[0] == 6
        for ids, batch in zip(answers, batches, strict=True):
            assert isinstance(ids, list)
            for id, event in zip(ids, batch, strict=True):
                assert (await engine.event(id)).name == event.name
                (run,) = await engine.started(id)
                assert await engine.result(run) == 2 * event.data["number"]


async def test_a_batch_that_is_refused_takes_no_other_with_it() -> None:
    """It is told why, and nothing of it is there."""
    async with open_engine(shop, "memory://") as engine:
        await engine.send(Event("a", {"n": 1}, id="used"))
        answers = await engine.send_each(
            [
                [Event("a", {"n": 2})],
                [Event("a", {"n": 3}), Event("a", {"n": 4}, id="used")],
                [Event("a", {"n": 1}, id="used")],
                [Event("a", {"n": float("nan")})],
                [Event("a", {"n": 5}, id="twice"), Event("a", {"n": 6}, id="twice")],
            ]
        )
        kinds = [type(answer) for answer in answers]
        assert kinds == [list, EventConflict, list, InvalidInput, EventConflict]
        assert {bytes(event.data) for event in (await engine.events()).items} == {b'{"n":1}', b'{"n":2}'}


async def test_equal_ids_in_one_round_are_one_event() -> None:
    """As if one had come after the other."""
    async with open_engine(shop, "memory://") as engine:
        same = Event("a", {"n": 1}, id="once")
        first, second = await engine.send_each([[same], [same]])
        assert first == second
        assert len((await engine.events()).items) == 1


async def test_the_backlog_is_what_waits_to_be_routed() -> None:
    """Without a worker nothing is routed."""
    async with unattended() as engine:
        assert await engine.backlog() == 0
        await engine.send([Event("a", {"n": n}) for n in range(7)])
        assert await engine.backlog() == 7
        await routed(engine)
        assert await engine.backlog() == 0


# -- the server ------------------------------------------------------------------------------------------


async def test_what_is_full_is_refused_before_anything_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and again until there is room; other routes go on."""
    monkeypatch.setattr(intake, "LOOKED_EVERY", 1)
    async with unattended() as engine:
        served = http_app(shop, engine, settings=Settings(max_unrouted=5))
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            event = {"name": "a", "data": {"n": 1}}
            assert (await client.post("/e/key", json=[event] * 6)).status_code == 200
            for _ in range(3):
                response = await client.post("/e/key", json=event)
                assert (response.status_code, code_of(response)) == (503, "busy")
                assert response.headers["retry-after"]
            assert (await client.get("/v1/events")).status_code == 200
            assert len((await engine.events()).items) == 6
            await routed(engine)
            assert (await client.post("/e/key", json=event)).status_code == 200


def test_a_hundred_clients_at_once_each_get_their_own_answer() -> None:
    """From a loop of their own, good and bad ones; the events of each are there once."""

    async def main(served: Any) -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://127.0.0.1") as client:

            async def one(number: int) -> httpx.Response:
                body: Mapping[str, Any] = {"name": "note", "data": {"n": number}, "id": f"id-{number // 2}"}
                return await client.post("/e/key", json=body if number % 10 else {"name": ""})

            return await asyncio.gather(*[one(number) for number in range(100)])

    with start_engine(shop, "memory://") as local:
        responses = asyncio.run(main(http_app(shop, local, settings=Settings())))
        stored = local.events(limit=500).items
    for number, response in enumerate(responses):
        assert response.status_code in ((400,) if number % 10 == 0 else (200, 409)), number
    ids = [id for response in responses if response.status_code == 200 for id in response.json()["ids"]]
    assert sorted(ids) == sorted(event.id for event in stored)
    assert len(stored) == 50


class Slow(httpx.AsyncByteStream):
    """A body that comes in two parts, the second when it is let go."""

    def __init__(self, first: bytes, second: bytes) -> None:
        self.parts = [first, second]
        self.come = trio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if len(self.parts) == 1:
            await self.come.wait()
        if not self.parts:
            raise StopAsyncIteration
        return self.parts.pop(0)


LARGE = b'{"name": "a", "data": {"text": "%s"}}' % (b"x" * SMALL)
HALF = len(LARGE) // 2
JSON = {"host": "127.0.0.1", "content-type": "application/json"}


def posted(body: Slow, **headers: str) -> httpx.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Request("POST", "http://127.0.0.1/e/key", headers={**JSON, **named}, stream=body)


async def test_bodies_in_hand_are_bounded_together() -> None:
    """What does not fit is refused before anything of it is read, and has its place when the others are answered;
    small ones always have theirs."""
    size = str(len(LARGE))
    async with (
        serving(Settings(max_body=len(LARGE), max_open_bytes=len(LARGE))) as (_, client),
        trio.open_nursery() as nursery,
    ):
        slow = Slow(LARGE[:HALF], LARGE[HALF:])
        answers: list[int] = []

        async def send() -> None:
            answers.append((await client.send(posted(slow, content_length=size))).status_code)

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        for headers in (
            {"content_length": size},
            {"content_length": "0" * 20 + size},
            {"transfer_encoding": "chunked"},
        ):
            response = await client.send(posted(Slow(b"", b""), **headers))
            assert (response.status_code, code_of(response)) == (503, "busy")
        assert (await client.post("/e/key", content=b'{"name": "a"}', headers=JSON)).status_code == 200
        assert (await client.get("/v1/runs")).status_code == 200
        slow.come.set()
        while not answers:
            await trio.testing.wait_all_tasks_blocked()
        assert answers == [200]
        assert (await client.post("/e/key", content=LARGE, headers=JSON)).status_code == 200


async def test_who_says_much_and_sends_nothing_takes_no_room() -> None:
    """Bodies count as they come: a crowd of announcements keeps no one out, and what comes beyond the room is refused
    in the middle."""
    size = str(len(LARGE))
    async with (
        serving(Settings(max_body=len(LARGE), max_open_bytes=len(LARGE))) as (_, client),
        trio.open_nursery() as nursery,
    ):
        crowd = [Slow(b"", LARGE) for _ in range(20)]
        answers: list[int] = []

        async def send(slow: Slow) -> None:
            answers.append((await client.send(posted(slow, content_length=size))).status_code)

        for each in crowd:
            nursery.start_soon(send, each)
        await trio.testing.wait_all_tasks_blocked()
        assert (await client.post("/e/key", content=LARGE, headers=JSON)).status_code == 200
        half = Slow(LARGE[:HALF], LARGE[HALF:])
        nursery.start_soon(send, half)
        await trio.testing.wait_all_tasks_blocked()
        crowd[0].come.set()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [503]
        half.come.set()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [503, 200]
        for each in crowd:
            each.come.set()
    assert len(answers) == 21


async def test_a_signed_body_counts_once() -> None:
    """It is read to be checked, and again from memory."""
    key = "a-signing-key"
    settings = Settings(max_body=len(LARGE), max_open_bytes=len(LARGE), signing_keys=(key,))
    async with serving(settings) as (_, client):
        signature = sign(key, "POST", "/e/key", LARGE, at=int(time.time()), nonce="n" * 16)
        response = await client.post("/e/key", content=LARGE, headers={**JSON, HEADER: signature})
        assert response.status_code == 200


def test_room_for_no_body_is_no_setting() -> None:
    """A body of the size that is allowed must fit."""
    with pytest.raises(InvalidInput, match="max_open_bytes=7 is less than max_body"):
        Settings(max_open_bytes=7)


async def test_a_signature_that_is_not_good_is_refused_on_the_short_way_too() -> None:
    """Whoever sends one means to be known."""
    async with serving(Settings(signing_keys=("a-signing-key",))) as (engine, client):
        response = await client.post("/e/key", json=GOOD, headers={"X-Flowgen-Signature": "v=1"})
        assert (response.status_code, code_of(response)) == (401, "bad_signature")
        assert not (await engine.events()).items


# -- the short way ---------------------------------------------------------------------------------------

GOOD = {"name": "order/placed", "data": {"number": 1}}


@pytest.mark.parametrize(
    "path, body",
    [
        ("/e/key", b'{"name": "a"}'),
        ("/e/wrong", b'{"name": "a"}'),
        ("/e/key", b"{"),
        ("/e/key", b"[]"),
        ("/e/key", b'{"name": "flowgen/x"}'),
        ("/e/key", b'[{"name": "a"}, {"name": 7}]'),
        ("/e/key", b'{"name": "a", "name": "b"}'),
        ("/e/key", b" " * 5_000_000),
        ("/e/", b'{"name": "a"}'),
        ("/e/key/", b'{"name": "a"}'),
    ],
    ids=lambda value: str(value[:20]),
)
async def test_both_ways_answer_the_same(path: str, body: bytes) -> None:
    """A request that is served past the router, and one that is not because it has another content type's form."""
    async with serving(Settings(event_keys=("another-key", "a-key-of-mine"))) as (_, client):
        path = path.replace("key", "a-key-of-mine")
        answers = []
        for kind in ("application/json", "Application/JSON; charset=UTF-8"):
            response = await client.post(path, content=body, headers={"content-type": kind})
            shown = response.json()
            shown.pop("ids", None)
            answers.append((response.status_code, dict(response.headers), shown))
        (short, short_headers, short_body), (long, long_headers, long_body) = answers
        assert (short, short_body) == (long, long_body)
        assert short_headers == long_headers


async def test_both_ways_are_counted() -> None:
    """By the route of the table."""
    async with serving() as (_, client):
        await client.post("/e/one", json=GOOD)
        await client.post("/e/two", json=GOOD, headers={"content-type": "APPLICATION/JSON"})
        text = (await client.get("/metrics")).text
        assert 'flowgen_http_responses_total{method="POST",route="/e/{key}",status="200"} 2' in text
