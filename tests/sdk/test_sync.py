"""Registration in the life of an app: streams, functions that come and go, an app that is away."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from flowgen.runtime.http.sdk.syncing import PORTS
from tests.sdk.conftest import need
from tests.sdk.stage import KINDS, Stage, apps_of_one_server, missing


@pytest.fixture(scope="module", params=["fastapi", "ts"])
def lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server that stays, and an app that comes and goes."""
    need(request.param)
    stage = Stage(KINDS[request.param], tmp_path_factory.mktemp("sync"))
    stage.start_server()
    yield stage
    stage.close()


@pytest.fixture
def own(lasting: Stage) -> Iterator[Stage]:
    """The server knows of no app, and none runs."""
    environment = lasting.environment
    yield lasting
    lasting.environment = environment
    lasting.kill_app()
    lasting.http.delete("/fn/remove", params={"app": lasting.kind.app})


def serve(stage: Stage, **environment: str) -> None:
    """Start the app with another environment, instead of the one that may be running."""
    stage.kill_app()
    stage.environment = environment
    stage.start_app()


def ask_to_register(stage: Stage) -> None:
    """What its server does every five seconds."""
    assert httpx.put(stage.app_url, trust_env=False).status_code == 200


def functions(stage: Stage) -> set[str]:
    return {item["id"] for item in stage.get("/v1/workflows")["items"]}


def test_answers_as_streams(own: Stage) -> None:
    """An app that streams its answers is understood: results, steps and errors."""
    serve(own, SDK_STREAMING="on", INNGEST_STREAMING="force")
    ask_to_register(own)
    own.patiently("the app is registered", own.is_registered)
    assert own.result("hello", {"name": "Ada"}) == {"greeting": "hello Ada"}
    assert own.result("steps") == [{"nested": [1, 2.5, "three", None, True]}, 3, None]
    run = own.ran("fails")
    assert (run["status"], run["error"]["message"]) == ("failed", "this function fails")


def test_functions_come_and_go(own: Stage) -> None:
    """The server sees by itself that an app has changed: new functions are offered, those that are gone are not."""
    serve(own, SDK_FUNCTIONS="hello double")
    ask_to_register(own)
    own.patiently("two functions are registered", lambda: functions(own) == {"hello", "double"})
    serve(own, SDK_FUNCTIONS="hello steps")
    own.patiently("the change is seen", lambda: functions(own) == {"hello", "steps"})
    assert own.result("steps") == [{"nested": [1, 2.5, "three", None, True]}, 3, None]
    assert own.result("hello", {"name": "Ada"}) == {"greeting": "hello Ada"}


def test_an_app_that_comes_late(own: Stage) -> None:
    """A server that was there first finds its app when it comes, by itself."""
    assert not own.is_registered()
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


def free_ports(count: int) -> list[int]:
    """Usual ports of apps at which nobody listens."""
    ports = [port for port in PORTS if is_free(port)]
    if len(ports) < count:
        pytest.skip(f"of the ports {PORTS} only {ports} are free")
    return ports[:count]


def test_apps_that_are_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server that is told of no app finds those that listen at usual ports of this machine."""
    labels = [label for label in ("fastapi", "flask", "ts") if missing(KINDS[label]) is None]
    if not labels:
        pytest.skip("no SDK is installed")
    with apps_of_one_server(labels, tmp_path_factory, free_ports(len(labels))) as stages:
        server = stages[labels[0]]
        server.urls = ()
        server.start_server()
        for label, stage in stages.items():
            found = f"app {label} at http://localhost:{stage.app_port}/api/inngest"
            server.patiently(f"it says that {label} is found", lambda found=found: server.says(found))
            assert stage.result("hello", {"name": "Ada"}) == {"greeting": "hello Ada"}
