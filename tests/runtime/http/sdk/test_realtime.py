"""Messages that functions publish: who listens to a topic gets them, in order, and nobody else does."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
import trio

from flowgen.runtime.http import Settings, audience
from flowgen.runtime.http.sdk import listening
from flowgen.runtime.protocol import realtime as protocol
from tests.runtime.http.sdk.callers import DEV, JS, KEYED, SIGNED, refusal_of
from tests.runtime.http.sdk.listeners import PUBLISH, TOKEN, House, house
from tests.runtime.http.serving import code_of, serving

TEE = "/v1/realtime/publish/tee"
CONNECT = "/v1/realtime/connect"
SSE = "/v1/realtime/sse"

BOTH = pytest.mark.parametrize("kind", ["websocket", "http"])


def data_of(messages: list[Any]) -> list[Any]:
    return [message["data"] for message in messages]


# -- publishing ------------------------------------------------------------------------------------


@BOTH
async def test_a_listener_hears_its_topic_in_order(kind: str) -> None:
    """And nothing of other topics and channels, nor what was published before."""
    async with house() as there:
        await there.publish("before")
        listener = await there.listener(await there.token("c", "t", "u"), kind)
        for number in range(5):
            await there.publish(number, run_id="01R")
            await there.publish("another topic", topic="v")
            await there.publish("another channel", channel="d")
        await there.publish("the other", topic="u")
        heard = await listener.hears(6)
        assert data_of(heard) == [0, 1, 2, 3, 4, "the other"]
        first = heard[0]
        assert first.pop("created_at").endswith("Z")
        assert first == {"kind": "data", "channel": "c", "topic": "t", "data": 0, "run_id": "01R"}


async def test_all_who_listen_hear_it() -> None:
    """And one that has gone costs nothing."""
    async with house() as there:
        token = await there.token()
        one, other = await there.listener(token), await there.listener(token)
        await there.publish(1)
        assert data_of(await one.hears(1)) == data_of(await other.hears(1)) == [1]
        one.gone.set()
        await one.ended.wait()
        await there.publish(2)
        assert data_of(await other.hears(2)) == [1, 2]
        assert len(one.heard) == 1


@pytest.mark.parametrize(
    "body, data",
    [
        (b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        (b"12345678901234567890123", 12345678901234567890123),
        (b"null", None),
        (b"hello", "hello"),
        (b"", ""),
        ("{ä}".encode(), "{ä}"),
        (b'{"a": 1}\r\n\r\nevent: x\ndata: 7', '{"a": 1}\r\n\r\nevent: x\ndata: 7'),
        (b'{"a":\r\n\r\n1}', {"a": 1}),
        (b'{"a":\n\nevent: x\n\n1}', '{"a":\n\nevent: x\n\n1}'),
        (b'{"a":\n\n1}', {"a": 1}),
        (b"\xff", "�"),
    ],
)
@BOTH
async def test_what_is_json_stays_so(body: bytes, data: Any, kind: str) -> None:
    """And any other text is a text; none can begin an event of its own."""
    async with house() as there:
        listener = await there.listener(await there.token(), kind)
        await there.publish(body)
        await there.publish("end")
        assert data_of(await listener.hears(2)) == [data, "end"]


@pytest.mark.parametrize("body", [b"[" * 100, b'{"a": 1, "a": 2}', b"1e999", b'"\\ud800"'])
async def test_json_that_is_odd_is_refused(body: bytes) -> None:
    """As everywhere."""
    async with serving(DEV, JS) as (_, client):
        refusal_of(await client.post(PUBLISH, params={"channel": "c", "topic": "t"}, content=body), 400)


async def test_a_message_with_several_topics_is_told_under_each() -> None:
    """Once, whoever says them twice; one without a topic is told to nobody."""
    async with house() as there:
        listener = await there.listener(await there.token("c", "a", "b"))
        for topics in (["a", "b", "a"], [], ["b"]):
            query = [("channel", "c"), *(("topic", topic) for topic in topics)]
            assert (await there.client.post(PUBLISH, params=query, content=b"1")).status_code == 200
        assert [message["topic"] for message in await listener.hears(3)] == ["a", "b", "b"]


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/plain"])
async def test_a_message_may_be_large(kind: str) -> None:
    """Of any kind, up to 512 KB."""
    async with house() as there:
        listener = await there.listener(await there.token())
        sent = await there.client.post(
            PUBLISH, params={"channel": "c", "topic": "t"}, content=b"x" * 512 * 1024, headers={"content-type": kind}
        )
        assert (sent.status_code, sent.json()) == (200, {"status": 200})
        assert data_of(await listener.hears(1)) == ["x" * 512 * 1024]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"channel": ""},
        {"channel": "c" * 257, "topic": "t"},
        {"channel": "c", "topic": ""},
        {"channel": "c", "topic": "t" * 257},
        {"channel": "c", "topic": [f"{number}" for number in range(11)]},
        {"channel": "c", "topic": "t", "run_id": "r" * 129},
    ],
)
async def test_names_that_are_none_are_refused(query: dict[str, Any]) -> None:
    """400."""
    async with serving(DEV, JS) as (_, client):
        refusal_of(await client.post(PUBLISH, params=query, content=b"{}"), 400)


async def test_what_is_no_message_is_refused() -> None:
    """One that is too large, or comes from nobody who may: a token for listening is no right to publish."""
    async with serving(DEV, JS) as (_, client):
        refusal_of(await client.post(PUBLISH, params={"channel": "c"}, content=b"x" * (512 * 1024 + 1)), 413)
    async with house(SIGNED, KEYED) as there:
        token = await there.token()
        for headers in ({"authorization": ""}, {"authorization": f"Bearer {token}"}):
            for path in (PUBLISH, TEE, TOKEN):
                query = {"channel": "c", "topic": "t", "token": token}
                sent = await there.client.post(path, params=query, content=b"[]", headers=headers)
                assert sent.status_code == 401, (path, headers)


# -- streams ---------------------------------------------------------------------------------------


async def test_a_stream_is_told_in_parts() -> None:
    """Its beginning, each part, and its end, all under one name; no character is cut in two."""

    async def parts() -> Any:
        for part in (b"one \xc3", b"\xa4 two", b" three"):
            yield part

    async with house() as there:
        listener = await there.listener(await there.token())
        query, headers = {"channel": "c", "topic": "t"}, {"content-type": "text/stream"}
        sent = await there.client.post(PUBLISH, params=query, content=parts(), headers=headers)
        assert sent.status_code == 200
        start, *chunks, end = await listener.hears(5)
        assert [start["kind"], end["kind"]] == ["datastream-start", "datastream-end"]
        assert {start["data"], end["data"]} == {chunk["stream_id"] for chunk in chunks}
        assert "".join(data_of(chunks)) == "one ä two three"
        assert {(chunk["kind"], chunk["channel"], chunk["topic"]) for chunk in chunks} == {("chunk", "c", "t")}


async def test_what_is_passed_on_stays_as_it_is() -> None:
    """The events that an app writes are those that a reader of its channel gets."""
    async with house() as there:
        listener = await there.listener(await there.token("01R", protocol.RAW), "http")
        sent = await there.client.post(TEE, params={"channel": "01R"}, content=b'event: a\ndata: {"n": 1}\n\n')
        assert (sent.status_code, sent.json()) == (200, {"status": 200})
        await there.publish(2, channel="01R", topic=protocol.RAW)
        await listener.hears(1)
        assert 'event: a\ndata: {"n": 1}\n\ndata: {"kind":"data"' in "".join(listener.heard)


# -- tokens ----------------------------------------------------------------------------------------


async def test_a_token_is_of_who_may_publish() -> None:
    """In development anybody; else who has a signing key."""
    async with house(SIGNED, KEYED) as there:
        listener = await there.listener(await there.token())
        await there.publish(1)
        assert data_of(await listener.hears(1)) == [1]
        refusal_of(
            await there.client.post(TOKEN, json=[{"channel": "c", "name": "n"}], headers={"authorization": ""}), 401
        )


async def test_topics_that_are_none() -> None:
    """400, with the place."""
    async with serving(DEV, JS) as (_, client):
        for body in ([], {}, [{"channel": "c"}], [{"channel": "c", "name": "n", "kind": "event"}]):
            refusal_of(await client.post(TOKEN, json=body), 400)
        assert (await client.post(TOKEN, json=[{"channel": "c", "name": ""}])).json()["path"] == "/0/name"
        refusal_of(await client.post(TOKEN, content=b"[]", headers={"content-type": "text/plain"}), 415)


async def _wrong_tokens(there: House) -> list[str]:
    good = await there.token()
    async with house(SIGNED, KEYED) as other:
        foreign = await other.token()
    return ["", "x", good[:-1], good + "x", foreign, protocol.token_for([protocol.Topic("c", "t")], "another key", 0)]


@BOTH
async def test_a_token_that_is_none_is_refused(kind: str) -> None:
    """Before the web socket is one: 401, with what is wrong."""
    async with house() as there:
        for token in await _wrong_tokens(there):
            listener = await there.listener(token, kind)
            assert listener.status == 401, token
            assert json.loads("".join(listener.heard))["error"]["path"] == "token"
            await listener.ended.wait()


@BOTH
async def test_a_token_that_is_too_old_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the web socket is one; who listens already goes on."""
    async with house() as there:
        token = await there.token()
        listener = await there.listener(token, kind)
        later = time.time() + protocol.LIFE + 1
        monkeypatch.setattr(listening.time, "time", lambda: later)
        late = await there.listener(token, kind)
        assert late.status == 401
        assert "expired" in "".join(late.heard)
        await there.publish(1)
        assert data_of(await listener.hears(1)) == [1]


async def test_without_signing_keys_a_token_is_of_one_server() -> None:
    """With them it is of all that have the key, also an old one."""
    old = Settings(signing_keys=SIGNED.signing_keys[1:])
    async with house() as one, house() as other, house(SIGNED, KEYED) as three, house(SIGNED, KEYED) as four:
        assert (await other.listener(await one.token())).status == 401
        assert (await three.listener(await four.token())).status == 101
        five = protocol.token_for([protocol.Topic("c", "t")], old.signing_keys[0], int(time.time()))
        assert (await three.listener(five)).status == 101


async def test_what_is_no_web_socket_is_told_so() -> None:
    """426 for who has a token; the answer for who has none is the same as to a handshake."""
    async with house() as there:
        response = await there.client.get(CONNECT, params={"token": await there.token()})
        assert (response.status_code, code_of(response)) == (426, "upgrade_required")
        assert response.headers["upgrade"] == "websocket"
        assert code_of(await there.client.get(CONNECT)) == "unauthorized"
        for path in (CONNECT, SSE):
            assert (await there.client.get(path, params={"token": "x", "more": "y"})).status_code == 400


# -- bounds ----------------------------------------------------------------------------------------


@BOTH
async def test_who_takes_nothing_is_dropped(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while; the others hear everything, and nobody waits for it."""
    monkeypatch.setattr(listening, "PATIENCE_SECONDS", 0.05)
    async with house() as there:
        token = await there.token()
        slow = await there.listener(token, kind, paused=trio.Event())
        quick = await there.listener(token, kind)
        for number in range(3):
            await there.publish(number)
        assert data_of(await quick.hears(3)) == [0, 1, 2]
        await slow.ended.wait()


@BOTH
async def test_who_falls_behind_is_dropped(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no room for what it has not taken; a web socket is told why."""
    monkeypatch.setattr(audience, "MOST", 4)
    async with house() as there:
        token = await there.token()
        slow = await there.listener(token, kind, paused=trio.Event())
        quick = await there.listener(token, kind)
        for number in range(10):
            await there.publish(number)
            await quick.hears(number + 1)
        assert slow.paused is not None
        slow.paused.set()
        await slow.ended.wait()
        assert slow.closed == (1013 if kind == "websocket" else None)
        assert data_of(quick.messages()) == list(range(10))


@BOTH
async def test_there_is_room_for_so_many(kind: str) -> None:
    """One more is told to come again, before its web socket is one."""
    async with house(Settings(dev=True, max_open=4)) as there:
        token = await there.token()
        listeners = [await there.listener(token, kind) for _ in range(3)]
        assert [listener.status for listener in listeners] == [101 if kind == "websocket" else 200] * 2 + [503]
        listeners[0].gone.set()
        await listeners[0].ended.wait()
        assert (await there.listener(token, kind)).status in (101, 200)


async def test_what_a_listener_says_is_of_no_interest() -> None:
    """It goes on listening to what its token says, and to nothing else."""
    async with house() as there:
        more = await there.token("d")
        listener = await there.listener(await there.token(), says=[json.dumps({"kind": "sub", "data": more}), "{"])
        await there.publish("not its own", channel="d")
        await there.publish(1)
        assert data_of(await listener.hears(1)) == [1]


async def test_events_have_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are comments, so that both sides notice when the other is gone."""
    monkeypatch.setattr(listening, "HEARTBEAT_SECONDS", 0.01)
    async with house() as there:
        listener = await there.listener(await there.token(), "http")
        while "".join(listener.heard).count(": flowgen") < 4:
            await listener._more.wait()
        assert listener.messages() == []


async def test_head_begins_nothing() -> None:
    """It is answered at once."""
    async with house() as there:
        response: httpx.Response = await there.client.head(SSE, params={"token": await there.token()})
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
