"""Registration in the life of an app: streams, functions that come and go, an app that is away."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from flowgen.runtime.http.sdk.syncing import PORTS
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


def is_free(port: int) -> bool:
    """Whether nobody listens at a port of this machine, under either of its addresses."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with closing(socket.socket(family)) as knock:
            if knock.connect_ex((host, port)) == 0:
                return False
    return True


@pytest.mark.parametrize("label, ports", [("fastapi", PORTS[0::3]), ("flask", PORTS[1::3]), ("ts", PORTS[2::3])])
def test_an_app_that_is_found(label: str, ports: tuple[int, ...], tmp_path: Path) -> None:
    """A server that is told of no app finds the one that listens at a usual port of this machine."""
    need(label)
    port = next((each for each in ports if is_free(each)), None)
    if port is None:
        pytest.skip(f"all of the ports {ports} are in use")
    stage = Stage(KINDS[label], tmp_path, app_port=port)
    stage.urls = ()
    try:
        stage.start()
        assert [handler["sdk"]["appName"] for handler in own_handlers(stage)] == [label]
        assert stage.result("hello", {"name": "Ada"}) == {"greeting": "hello Ada"}
    finally:
        stage.close()


def own_handlers(stage: Stage) -> list[dict[str, dict[str, str]]]:
    """The apps at the stage's port; other tests may have theirs at other ports."""
    return [each for each in stage.get("/dev")["handlers"] if f":{stage.app_port}/" in each["sdk"]["url"]]
