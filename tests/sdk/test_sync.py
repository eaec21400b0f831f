"""Registration in the life of an app: streams, functions that come and go, an app that is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.sdk.conftest import need
from tests.sdk.stage import KINDS, Stage


@pytest.fixture(params=["fastapi", "ts"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A stage of its own that is not started yet."""
    need(request.param)
    stage = Stage(KINDS[request.param], tmp_path)
    yield stage
    stage.close()


def serve(stage: Stage, **environment: str) -> None:
    """Start the app with another environment, instead of the one that may be running."""
    stage.kill_app()
    stage.kind = attrs.evolve(stage.kind, environment=stage.kind.environment | environment)
    stage.start_app()


def functions(stage: Stage) -> set[str]:
    return {item["id"] for item in stage.get("/v1/workflows")["items"]}


def test_answers_as_streams(own: Stage) -> None:
    """An app that streams its answers is understood: results, steps and errors."""
    serve(own, SDK_STREAMING="on", INNGEST_STREAMING="force")
    own.start_server()
    own.patiently("the app is registered", own.is_registered)
    assert own.result("hello", {"name": "Ada"}) == {"greeting": "hello Ada"}
    assert own.result("steps") == [{"nested": [1, 2.5, "three", None, True]}, 3, None]
    run = own.ran("fails")
    assert (run["status"], run["error"]["message"]) == ("failed", "this function fails")


def test_functions_come_and_go(own: Stage) -> None:
    """The server sees by itself that an app has changed: new functions are offered, those that are gone are not."""
    serve(own, SDK_FUNCTIONS="hello double")
    own.start_server()
    own.patiently("two functions are registered", lambda: functions(own) == {"hello", "double"})
    serve(own, SDK_FUNCTIONS="hello steps")
    own.patiently("the change is seen", lambda: functions(own) == {"hello", "steps"})
    assert own.result("steps") == [{"nested": [1, 2.5, "three", None, True]}, 3, None]
    assert own.result("hello", {"name": "Ada"}) == {"greeting": "hello Ada"}


def test_an_app_that_comes_late(own: Stage) -> None:
    """A server that was there first finds its app when it comes."""
    own.start_server()
    own.start_app()
    own.patiently("the app is registered", own.is_registered)
    assert own.result("hello", {"name": "Ada"}) == {"greeting": "hello Ada"}
