"""Messages that functions publish: taken, bounded, and dropped."""

from __future__ import annotations

import pytest

from tests.runtime.http.sdk.callers import DEV, JS, SIGNED, refusal_of
from tests.runtime.http.serving import serving

PATH = "/v1/realtime/publish"


@pytest.mark.parametrize("kind", ["application/json", "text/stream", "application/octet-stream"])
async def test_a_message_is_taken(kind: str) -> None:
    """Of any kind, with one topic or more."""
    async with serving(DEV, JS) as (_, client):
        query = [("channel", "c"), ("topic", "a"), ("topic", "b"), ("run_id", "r")]
        sent = await client.post(PATH, params=query, content=b"x" * 512 * 1024, headers={"content-type": kind})
        assert (sent.status_code, sent.json()) == (200, {"status": 200})


async def test_what_is_no_message_is_refused() -> None:
    """One that is too large, that has no channel, or that comes from nobody who may."""
    async with serving(DEV, JS) as (_, client):
        refusal_of(await client.post(PATH, params={"channel": "c"}, content=b"x" * (512 * 1024 + 1)), 413)
        refusal_of(await client.post(PATH, content=b"{}"), 400)
    async with serving(SIGNED, JS) as (_, client):
        refusal_of(await client.post(PATH, params={"channel": "c"}, content=b"{}"), 401)
