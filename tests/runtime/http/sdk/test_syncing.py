"""A server asks apps to register, tells what has changed, and finds apps without being a nuisance to others."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from flowgen.errors import InvalidInput
from flowgen.runtime.addresses import AppUrl, Reach
from flowgen.runtime.dialing import Dialer
from flowgen.runtime.http.sdk.asking import MOST
from flowgen.runtime.http.sdk.syncing import PATHS, Syncing
from flowgen.runtime.protocol.registration import RemoteApp, parse_registration
from flowgen.runtime.protocol.signatures import verify
from tests.runtime.http.sdk.callers import KEY
from tests.runtime.http.sdk.stub import SDK, Asked, Told, registration, stub, written

HERE = "http://127.0.0.1:8288"
EMPTY = Told(404, b"nothing here", {})


@attrs.define
class Engine:
    """What an engine does with apps that register."""

    apps: dict[str, RemoteApp] = attrs.field(factory=dict)

    async def offer(self, app: RemoteApp) -> bool:
        if app.name == "taken":
            raise InvalidInput("an app of this name is written here")
        self.apps[app.name] = app
        return True

    async def known(self) -> list[RemoteApp]:
        return list(self.apps.values())


def syncing(engine: Engine, *urls: str, ports: tuple[int, ...] = (), **more: Any) -> Syncing:
    parsed = tuple(AppUrl.parse(url) for url in urls)
    return Syncing(Dialer(Reach.dev()), engine.offer, engine.known, HERE, True, parsed, ports, **more)


def answering(engine: Engine, *functions: str) -> Callable[[Asked], Any]:
    """An app that registers out of band when it is asked to: with the engine, as it would by HTTP."""

    async def answer(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told() if asked.target == "/api/inngest" else EMPTY
        url = f"http://{asked.headers['host']}/api/inngest"
        await engine.offer(parse_registration(written(registration(url, "stub", *functions))))
        return Told(body=b'{"message": "Successfully registered", "modified": true}')

    return answer


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What was told since this was asked last."""
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "flowgen.apps"]
    caplog.clear()
    return told


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flowgen.apps")


# -- apps whose URL is known ---------------------------------------------------------------------------


async def test_an_app_is_asked_to_register(caplog: pytest.LogCaptureFixture) -> None:
    """By a server that says what it is; what it is told once, not each time; and anew when it has changed."""
    engine = Engine()
    async with stub(answering(engine)) as served:
        asking = syncing(engine, served.url)
        await asking.round()
        (asked,) = served.asked
        assert (asked.method, asked.target, asked.body) == ("PUT", "/api/inngest", b"")
        assert asked.headers["x-inngest-server-kind"] == "dev"
        assert asked.headers["host"] == f"127.0.0.1:{served.port}"
        assert "x-inngest-signature" not in asked.headers
        assert said(caplog) == [("INFO", f"app stub at {served.url} (inngest-stub:v1.0.0, 1 function)")]
        await asking.round()
        assert said(caplog) == []
        served.answer = answering(engine, "run", "walk")
        await asking.round()
        assert said(caplog) == [("INFO", f"app stub at {served.url} (inngest-stub:v1.0.0, 2 functions)")]


async def test_an_app_that_is_gone_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """It stays known; and when it is back, that is told, too."""
    engine = Engine()
    async with stub(answering(engine)) as served:
        asking = syncing(engine, served.url)
        await asking.round()
    said(caplog)
    for _ in range(3):
        await asking.round()
    ((level, message),) = said(caplog)
    assert level == "WARNING"
    assert f"http://127.0.0.1:{served.port} takes no connection (127.0.0.1: Connection refused)" in message
    assert list(engine.apps) == ["stub"]
    async with stub(answering(engine), served.port):
        await asking.round()
    ((level, message),) = said(caplog)
    assert (level, message[:8]) == ("INFO", "app stub")


async def test_one_app_that_is_away_keeps_no_other_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """They are asked side by side."""
    engine = Engine()
    async with stub(answering(engine)) as one, stub(answering(engine)) as other:
        await syncing(engine, "http://127.0.0.1:9999/api/inngest", one.url, other.url).round()
        assert (one.methods(), other.methods()) == (["PUT /api/inngest"], ["PUT /api/inngest"])


async def test_an_app_that_registers_elsewhere_is_told_how(caplog: pytest.LogCaptureFixture) -> None:
    """It has to know where this server is."""
    engine = Engine()

    async def answer(asked: Asked) -> Told:
        return Told()

    async with stub(answer) as served:
        await syncing(engine, served.url).round()
    assert said(caplog) == [
        ("WARNING", f"{served.url} registered with another server; start it with INNGEST_DEV=http://127.0.0.1:8288")
    ]


NO_APP = "answered status 200, and not as an app does: are its functions served there?"
ELSEWHERE = "leads on to http://169.254.169.254/ (status 302), which is not followed: say where the functions are"


@pytest.mark.parametrize(
    "told, message",
    [
        (Told(500, b'{"message": "no such key"}'), "answered status 500: no such key"),
        (Told(500, b'{"error": "no\\u001b[31m key"}'), "answered status 500: no [31m key"),
        (Told(500, b"x" * 1_000), "answered status 500: " + "x" * 300),
        (Told(500, b""), "answered status 500: no reason given"),
        (Told(200, b"{}", {}), NO_APP),
        (Told(302, b"", {"location": "http://169.254.169.254/"}), ELSEWHERE),
        (b"220 ftp.example\r\n\r\n", "illegal status line"),
        (b"220 ftp.example\r\n", "closed the connection before it answered"),
        (b"", "closed the connection before it answered"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "127.0.0.1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "bad Content-Length"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "illegal chunk header"),
        (b"HTTP/1.1 999 \xff\xfe\r\n\xff: x\r\n\r\n", "127.0.0.1"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 1_000_000, "127.0.0.1"),
        (Told(500, b"[" * 100_000), "answered status 500: [[["),
        (Told(500, b'{"message": {"a": 1}}'), "answered status 500: {"),
        (Told(500, b"\xff\xfe"), "answered status 500"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "peer closed connection"),
        (Told(body=b"x" * (MOST + 1)), "answered with more than 4,194,304 bytes"),
        (Told(headers=SDK | {"x-inngest-sync-kind": "in_band"}, body=b"{"), "the registration"),
    ],
)
async def test_what_is_wrong_with_an_answer_is_told(
    told: Told | bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line, with nothing in it that a terminal would take for an order; the next round comes all the same."""
    engine = Engine()

    async def answer(asked: Asked) -> Told | bytes:
        return told

    async with stub(answer) as served:
        asking = syncing(engine, served.url)
        for _ in range(2):
            await asking.round()
        assert len(served.asked) == 2
    ((level, text),) = said(caplog)
    assert level == "WARNING"
    assert message in text
    assert text.isprintable()
    assert engine.apps == {}


async def test_what_breaks_for_one_app_breaks_for_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Nor for the engine that asks: it is logged, as the bug that it is."""
    engine = Engine()

    async def broken() -> list[RemoteApp]:
        raise RuntimeError("a bug")

    async with stub(answering(engine)) as served:
        await attrs.evolve(syncing(engine, served.url), known=broken).round()
    ((level, text),) = said(caplog)
    assert (level, text) == ("ERROR", f"{served.url} could not be asked to register")


async def test_an_answer_in_band_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    """Of a server with a key: the request is signed, and the answer is the registration."""
    engine = Engine()

    async def answer(asked: Asked) -> Told:
        assert asked.headers["x-inngest-sync-kind"] == "in_band"
        url = json.loads(asked.body)["url"]
        assert verify(asked.headers["x-inngest-signature"], asked.body, [KEY], time.time()) == KEY
        body = written(registration(url))
        return Told(body=body, headers=SDK | {"x-inngest-sync-kind": "in_band"})

    async with stub(answer) as served:
        await syncing(engine, served.url, key=KEY).round()
        assert [each.url for each in engine.apps.values()] == [served.url]
    assert said(caplog)[0][0] == "INFO"


@pytest.mark.parametrize(
    "document, message",
    [
        (registration("http://10.0.0.1/api/inngest"), "http://10.0.0.1, which is not this machine"),
        (registration("http://127.0.0.1:3000/x", "taken"), "an app of this name is written here"),
    ],
)
async def test_what_is_said_in_band_is_checked(document: Any, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """As what is said at `/fn/register`."""
    engine = Engine()

    async def answer(asked: Asked) -> Told:
        return Told(body=written(document), headers=SDK | {"x-inngest-sync-kind": "in_band"})

    async with stub(answer) as served:
        await syncing(engine, served.url, key=KEY).round()
    ((level, text),) = said(caplog)
    assert level == "WARNING"
    assert message in text
    assert engine.apps == {}


# -- apps that are looked for --------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
async def test_an_app_is_found(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """At a port of this machine, wherever frameworks serve functions; and asked to register each time from then on."""
    engine = Engine()

    async def answer(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told() if asked.target == path else EMPTY
        await engine.offer(parse_registration(written(registration(f"http://{asked.headers['host']}{path}"))))
        return Told()

    async with stub(answer) as served:
        asking = syncing(engine, ports=(served.port,))
        await asking.round()
        assert served.methods()[-2:] == [f"GET {path}", f"PUT {path}"]
        await asking.round()
        assert served.methods() == [f"PUT {path}"]
    assert [level for level, _ in said(caplog)] == ["INFO"]


async def test_what_is_no_app_is_left_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked for what anybody may see, ever more rarely; and anew when it has been away: it may be one now."""
    engine = Engine()

    async def answer(asked: Asked) -> Told:
        return EMPTY

    async with stub(answer) as served:
        asking = syncing(engine, ports=(served.port,))
        rounds = []
        for number in range(40):
            await asking.round()
            if served.methods() == [f"GET {path}" for path in PATHS]:
                rounds.append(number)
        assert rounds == [0, 1, 3, 7, 15, 27, 39]
    await asking.round()
    async with stub(answering(engine), served.port):
        await asking.round()
    assert list(engine.apps) == ["stub"]


async def test_a_port_that_was_named_is_not_looked_at() -> None:
    """An app with a URL is asked there, and nowhere else."""
    engine = Engine()
    async with stub(answering(engine)) as served:
        await syncing(engine, served.url, ports=(served.port,)).round()
        assert served.methods() == ["PUT /api/inngest"]


async def test_nothing_is_told_of_ports_where_nobody_is(caplog: pytest.LogCaptureFixture) -> None:
    """Most of them."""
    engine = Engine()

    async def answer(asked: Asked) -> Told:
        return EMPTY

    async with stub(answer) as served:
        asking = syncing(engine, ports=(served.port,))
    for _ in range(3):
        await asking.round()
    assert served.asked == []
    assert said(caplog) == []
