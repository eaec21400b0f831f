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
