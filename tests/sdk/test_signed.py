"""Signed mode: an app in production, and a server that has its key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.conftest import need
from tests.sdk.stage import KINDS, Stage, free_port

KEY = "signkey-test-" + "ab" * 32
OLD_KEY = "signkey-test-" + "cd" * 32


def environment(origin: str) -> dict[str, str]:
    return {
        "INNGEST_SIGNING_KEY": KEY,
        "INNGEST_EVENT_KEY": "test",
        "INNGEST_BASE_URL": origin,
        "FLOWGEN_SIGNING_KEY": KEY,
    }


@pytest.fixture(params=["fastapi", "ts"])
def signed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """An app that wants signatures, and a server with its key."""
    need(request.param)
    port = free_port()
    stage = Stage(KINDS[request.param], tmp_path, **environment(f"http://127.0.0.1:{port}"))
    stage.port, stage.origin = port, f"http://127.0.0.1:{port}"
    stage.http.base_url = stage.origin
    yield stage
    stage.close()


def test_a_signed_app(signed: Stage) -> None:
    """An app that refuses unsigned requests runs under a server that has its key: sync, calls and events."""
    signed.start()
    assert signed.result("steps") == [{"nested": [1, 2.5, "three", None, True]}, 3, None]
    assert len(signed.result("outside")["ids"]) == 1


def test_a_stranger_is_refused(signed: Stage) -> None:
    """What is not signed with the key starts no body of the app."""
    signed.start()
    slug = f"{signed.kind.app}-hello"
    with signed.watching() as watch:
        body = {"event": {"name": "x", "data": {"name": "x"}}, "events": [], "steps": {}, "ctx": {"run_id": "x"}}
        import httpx

        answer = httpx.post(f"{signed.app_url}?fnId={slug}&stepId=step", json=body, trust_env=False)
        assert answer.status_code == 401
        assert watch.bodies() == []


def test_a_key_is_rotated(signed: Stage) -> None:
    """First the app knows both keys, then the server signs with the new one, then the app forgets the old one.

    At no time is a call refused, nor what the app asks its server (its state, checkpoints), and a run that waits
    meanwhile goes on.
    """
    signed.environment |= {"INNGEST_SIGNING_KEY_FALLBACK": OLD_KEY, "FLOWGEN_SIGNING_KEY": OLD_KEY}
    signed.start()
    [run] = signed.started(signed.send("wait", {"order": 1, "timeout": 3_600_000}))
    signed.waits(run["id"], "answer")
    check(signed)
    signed.stop_server()
    signed.environment["FLOWGEN_SIGNING_KEY"] = f"{KEY},{OLD_KEY}"
    signed.start_server()
    check(signed)
    signed.kill_app()
    del signed.environment["INNGEST_SIGNING_KEY_FALLBACK"]
    signed.start_app()
    check(signed)
    signed.send("answer", {"order": 1})
    assert signed.ended(run["id"])["result"]["data"] == {"order": 1}


def check(stage: Stage) -> None:
    """Calls are accepted, and what the app asks while it is called."""
    with stage.watching() as watch:
        assert stage.result("big", {"pieces": 4}) == [1_500_000] * 4
        assert watch.attempts("piece 0") == [0]
        assert watch.bodies() == [f"piece {n}" for n in range(4)]


def test_a_key_that_the_app_has_not(signed: Stage) -> None:
    """A server that signs with another key reaches no function: each call is refused, and the run says so."""
    signed.start()
    signed.stop_server()
    signed.environment["FLOWGEN_SIGNING_KEY"] = f"{OLD_KEY},{KEY}"
    signed.start_server()
    with signed.watching() as watch:
        run = signed.ran("fails")
        assert run["status"] == "failed"
        assert "401" in str(run["error"])
        assert watch.bodies() == []
