"""What the server does for an app: requests to others, and functions that are deferred."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sdk.outside import Outside
from tests.sdk.stage import Stage


@pytest.fixture
def outside() -> Iterator[Outside]:
    """A server of the world outside, on loopback."""
    server = Outside()
    yield server
    server.stop()


def test_infer(stage: Stage, outside: Outside) -> None:
    """The server asks a model, with the key and the body that the app gave; the answer is the step's value."""
    assert stage.result("infer", {"url": f"{outside.origin}/v1"}) == outside.CHAT
    [request] = outside.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer a-key"
    assert request.body == {"messages": [{"role": "user", "content": "hello"}], "model": "a-model"}


def test_fetch(node_stage: Stage, outside: Outside) -> None:
    """A request is sent by the server, and its answer, whatever it is, is the step's value."""
    result = node_stage.result("fetch", {"url": f"{outside.origin}/ping"})
    assert result == {"status": 200, "body": {"pong": 1}}
    [request] = outside.requests
    assert (request.method, request.path, request.body) == ("POST", "/ping", {"ping": 1})
    assert request.headers["x-a"] == "b"


def test_deferred_functions(node_stage: Stage) -> None:
    """What a run defers is run once after its end; what it took back is not."""
    known = len(node_stage.seen("deferred"))
    assert node_stage.result("defers") == "done"
    node_stage.patiently("the deferred function runs", lambda: len(node_stage.seen("deferred")) > known)
    assert node_stage.result("hello", {"name": "later"}) == {"greeting": "hello later"}
    assert [line["name"] for line in node_stage.seen("deferred")[known:]] == ["kept"]
