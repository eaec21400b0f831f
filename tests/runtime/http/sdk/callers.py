"""What the tests of the API for SDKs share: callers that say what they are."""

from __future__ import annotations

from typing import Any, Final

import httpx

from flowgen.runtime import Engine
from flowgen.runtime.http import Settings
from flowgen.runtime.protocol.signatures import bearer

DEV: Final = Settings(dev=True)
KEY: Final = "signkey-test-0123456789abcdef"
OLD_KEY: Final = "signkey-test-fedcba9876543210"
SIGNED: Final = Settings(signing_keys=(KEY, OLD_KEY))

JS: Final = {"x-inngest-sdk": "inngest-js:v4.24.0", "user-agent": "inngest-js:v4.24.0", "authorization": "Bearer "}
PY: Final = {"x-inngest-sdk": "inngest-py:v0.5.19", "user-agent": "inngest-py:v0.5.19"}
KEYED: Final = {"authorization": f"Bearer {bearer(KEY)}"}


async def until(engine: Engine, run: str, *statuses: str) -> None:
    """Return when a run is in one of some states."""
    while (await engine.run(run)).status not in statuses:
        await engine.store.wait_changed(0.05)


async def done(engine: Engine, event: str) -> str:
    """The one run of an event, when it has ended."""
    (run,) = await engine.started(event)
    await until(engine, run, "completed", "failed", "cancelled")
    return run


def data_of(response: httpx.Response, status: int = 200) -> Any:
    """What is in the envelope of an answer."""
    assert response.status_code == status, response.text
    document = response.json()
    assert set(document) == {"data", "metadata"}
    assert document["metadata"]["fetched_at"].endswith("Z")
    return document["data"]


def refusal_of(response: httpx.Response, status: int) -> str:
    """The message of a refusal, in the shape that SDKs read."""
    document = response.json()
    assert response.status_code == document["status"] == status, response.text
    error: str = document["error"]
    assert isinstance(error, str)
    return error
