"""Apps that are slow, that lie, or that mean harm: each harms only its own runs."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import CallFailed, Headers, Reply
from flowgen.runtime.protocol.calls import Call

from .driven import World, ended, start
from .fake_app import FakeApp, Function
from .test_transport import Server, once, talk


def nothing(event: Any) -> Any:
    return None
    yield


def app_that_answers(reply: Reply, sdk: str = "inngest-py:v0.5.19", retries: int = 2) -> FakeApp:
    """An app that answers each call so."""
    app = FakeApp(sdk=sdk)
    app.functions["fn"] = Function("fn", nothing, "go", retries=retries)

    async def before(target: str, call: Call) -> Reply | None:
        return reply

    app.before = before
    return app


def fate(app: FakeApp) -> Any:
    """What becomes of a run of the app's function."""

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    return World(app).run(story)


# -- how calls travel -------------------------------------------------------------------------------


def test_an_app_that_goes_on_in_another_protocol_is_a_failed_call() -> None:
    """Status 101 is the end of HTTP on a connection: for a call, which asks for no other protocol, an error."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello"
    with pytest.raises(BaseException) as failed:
        talk(Server(lambda number: answer), once)
    assert failed.group_contains(CallFailed, match="another protocol")


def test_an_answer_in_very_small_pieces_is_put_together() -> None:
    """However small they are: what is kept of an answer is its bytes, and nothing for each piece."""
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in b"[1,2]")
    server = Server(lambda number: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
    assert talk(server, once).body == b"[1,2]"


@pytest.mark.parametrize("sdk", ["inngest-py:v0.5.19", "js:v4.24.0", "flowgen:v1"])
def test_whatever_breaks_while_a_call_is_made_is_a_failed_try_of_that_call(sdk: str) -> None:
    """Nothing that the transport raises reaches the engine: not even an error that nobody has thought of."""

    class Breaks(FakeApp):
        async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
            self.executed.append("a call")
            raise ZeroDivisionError("nobody has thought of that")

    app = Breaks(sdk=sdk)
    app.functions["fn"] = Function("fn", nothing, "go", retries=1)
    info = fate(app)
    assert (info.status, info.error.type) == ("failed", "CallBroke")
    assert "nobody has thought of that" in info.error.message
    assert app.executed == ["a call"] * 2
