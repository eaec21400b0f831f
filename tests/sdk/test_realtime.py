"""What functions of SDKs publish, and what programs with the TypeScript SDK hear of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.sdk.listening import listening
from tests.sdk.stage import Json, Stage

PERCENTS = [{"percent": number} for number in (0, 1, 2, 100)]


@pytest.mark.parametrize("how", ["token", "callback", "stream"])
def test_who_listens_hears_what_a_function_publishes(node_stage: Stage, how: str) -> None:
    """In order, each message once, with its run: in all the ways in which one listens."""
    key = f"{node_stage.kind.label}-{how}"
    with (
        listening(node_stage, how, f"run:{key}", "progress") as listener,
        listening(node_stage, how, f"run:{key}", "log") as other,
        listening(node_stage, how, "run:another", "progress", "log") as stranger,
    ):
        assert [each.lines() for each in (listener, other, stranger)] == [[{"kind": "open"}]] * 3
        run = node_stage.ran("publishes", {"key": key})
        assert run["result"] == "told"
        heard = listener.heard(4)
        assert [message["data"] for message in heard] == PERCENTS
        assert {(message["kind"], message["channel"], message["topic"], message["runId"]) for message in heard} == {
            ("data", f"run:{key}", "progress", run["id"])
        }
        assert [(message["data"], message["topic"]) for message in other.heard(1)] == [("a line", "log")]
        assert stranger.lines() == [{"kind": "open"}]


def events_of(answer: httpx.Response) -> Iterator[Json]:
    """The messages of an answer that goes on."""
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def token_of(stage: Stage, channel: str, topic: str) -> str:
    answer = stage.post("/v1/realtime/token", [{"channel": channel, "name": topic, "kind": "run"}])
    return str(answer.json()["jwt"])


def test_a_function_of_any_sdk_publishes(stage: Stage) -> None:
    """And goes on when it is told."""
    key = f"any-{stage.kind.label}"
    token = token_of(stage, f"run:{key}", "progress")
    with stage.http.stream("GET", "/v1/realtime/sse", params={"token": token}) as answer:
        assert stage.result("publish", {"key": key}) == "told"
        assert next(events_of(answer))["data"] == {"percent": 50}


def test_a_token_of_the_python_sdk(python_stage: Stage) -> None:
    """Is for a program with the TypeScript SDK; here it opens the events."""
    token = python_stage.result("token", {"key": "python"})
    with python_stage.http.stream("GET", "/v1/realtime/sse", params={"token": token["key"]}) as answer:
        python_stage.result("publish", {"key": "python"})
        assert next(events_of(answer))["channel"] == token["channel"] == "run:python"


def test_a_stream_that_a_function_publishes(node_stage: Stage) -> None:
    """Is told in parts. As events, because a subscriber of version 4.24 of the SDK ends at the first message of any."""
    token = token_of(node_stage, "run:words", "words")
    heard: list[Json] = []
    with node_stage.http.stream("GET", "/v1/realtime/sse", params={"token": token}) as answer:
        node_stage.result("publishes", {"key": "words"})
        for message in events_of(answer):
            heard.append(message)
            if message["kind"] == "datastream-end":
                break
    start, *chunks, end = heard
    assert start["data"] == end["data"]
    assert {chunk["stream_id"] for chunk in chunks} == {start["data"]}
    assert "".join(chunk["data"] for chunk in chunks) == "one two"


def test_a_stream_of_messages_ends_with_its_server(node_stage: Stage) -> None:
    """Who listens is told, and may listen again."""
    with listening(node_stage, "stream", "run:ending", "progress") as listener:
        node_stage.stop_server()
        assert listener.heard(1) == [{"kind": "ended"}]
    node_stage.start()
    with listening(node_stage, "stream", "run:ended", "progress") as listener:
        node_stage.result("publishes", {"key": "ended"})
        assert [message["data"] for message in listener.heard(4)] == PERCENTS
