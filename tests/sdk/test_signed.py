"""Signed mode: an app in production, and a server that has its key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.sdk.conftest import need
from tests.sdk.listening import listening
from tests.sdk.stage import KINDS, Stage

KEY = "signkey-test-" + "ab" * 32
OLD_KEY = "signkey-test-" + "cd" * 32
Keys = tuple[str, ...]


@pytest.fixture(scope="module", params=["fastapi", "ts"])
def stage_with_keys(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An app that wants signatures, and a server; nothing runs yet."""
    need(request.param)
    stage = Stage(KINDS[request.param], tmp_path_factory.mktemp("signed"), INNGEST_EVENT_KEY="test")
    stage.environment["INNGEST_BASE_URL"] = stage.origin
    yield stage
    stage.close()


@pytest.fixture
def signed(stage_with_keys: Stage) -> Stage:
    """Both have the one key."""
    keys(stage_with_keys, app=(KEY,), server=(KEY,))
    return stage_with_keys


def keys(stage: Stage, app: Keys | None = None, server: Keys | None = None) -> None:
    """Have an app, or a server, that has these keys: it is started again if it had others."""
    environment = stage.environment
    before = dict(environment)
    if app is not None:
        environment["INNGEST_SIGNING_KEY"] = app[0]
        environment["INNGEST_SIGNING_KEY_FALLBACK"] = app[1] if len(app) > 1 else ""
        if stage.runs()[1] and before != environment:
            stage.kill_app()
    if server is not None:
        environment["FLOWGEN_SIGNING_KEY"] = ",".join(server)
        if stage.runs()[0] and before.get("FLOWGEN_SIGNING_KEY") != environment["FLOWGEN_SIGNING_KEY"]:
            stage.stop_server()
    stage.start()


def test_a_signed_app(signed: Stage) -> None:
    """An app that refuses unsigned requests runs under a server that has its key: sync, calls and events."""
    assert signed.result("steps") == [{"nested": [1, 2.5, "three", None, True]}, 3, None]
    assert len(signed.result("outside")["ids"]) == 1


def test_a_stranger_is_refused(signed: Stage) -> None:
    """What is not signed with the key starts no body of the app."""
    slug = f"{signed.kind.app}-hello"
    with signed.watching() as watch:
        body = {"event": {"name": "x", "data": {"name": "x"}}, "events": [], "steps": {}, "ctx": {"run_id": "x"}}
        answer = httpx.post(f"{signed.app_url}?fnId={slug}&stepId=step", json=body, trust_env=False)
        assert answer.status_code == 401
        assert watch.bodies() == []


@pytest.fixture
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server that is not for development, and an app; both have the one key."""
    need("ts")
    stage = Stage(
        KINDS["ts"],
        tmp_path_factory.mktemp("production"),
        server=("server",),
        INNGEST_EVENT_KEY="test",
        INNGEST_SIGNING_KEY=KEY,
        FLOWGEN_SIGNING_KEY=KEY,
        FLOWGEN_APP_HOSTS="127.0.0.1",
    )
    stage.environment["INNGEST_BASE_URL"] = stage.origin
    stage.start()
    yield stage
    stage.close()


def test_listening_takes_a_key(production: Stage) -> None:
    """Who has it may listen, and may hand on a token that gives just that; nobody else may."""
    with (
        listening(production, "token", "run:signed", "progress") as listener,
        listening(production, "token", "run:signed", "progress", INNGEST_SIGNING_KEY=OLD_KEY) as stranger,
    ):
        assert listener.lines() == [{"kind": "open"}]
        assert [line["kind"] for line in stranger.lines()] == ["refused"]
        assert "401" in stranger.lines()[0]["data"]
        production.result("publishes", {"key": "signed"})
        assert [message["data"]["percent"] for message in listener.heard(4)] == [0, 1, 2, 100]


def test_a_key_is_rotated(signed: Stage) -> None:
    """First the app knows both keys, then the server signs with the new one, then the app forgets the old one.

    At no time is a call refused, nor what the app asks its server (its state, checkpoints), and a run that waits
    meanwhile goes on.
    """
    keys(signed, app=(KEY, OLD_KEY), server=(OLD_KEY,))
    [run] = signed.started(signed.send("wait", {"order": 1, "timeout": 3_600_000}))
    signed.waits(run["id"], "answer")
    check(signed)
    keys(signed, server=(KEY, OLD_KEY))
    check(signed)
    keys(signed, app=(KEY,))
    check(signed)
    signed.send("answer", {"order": 1})
    assert signed.ended(run["id"])["result"]["data"] == {"order": 1}


def check(stage: Stage) -> None:
    """Calls are accepted, and what the app asks while it is called: no try fails, and each body runs once."""
    with stage.watching() as watch:
        run = stage.ran("big", {"pieces": 4})
        assert run["result"] == [1_500_000] * 4
        assert watch.bodies() == [f"piece {n}" for n in range(4)]
    assert "attempt_failed" not in {record["type"] for record in stage.history(run["id"])}


def test_a_key_that_the_app_has_not(signed: Stage) -> None:
    """A server that signs with another key reaches no function: each call is refused, and the run says so."""
    keys(signed, server=(OLD_KEY, KEY))
    with signed.watching() as watch:
        run = signed.ran("fails")
        assert run["status"] == "failed"
        assert "401" in str(run["error"])
        assert watch.bodies() == []
