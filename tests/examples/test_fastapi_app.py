"""The FastAPI example, served: an order is accepted, done, and accepted twice only once."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio
from fastapi_app import web

from flowgen.runtime.http import serving


async def test_an_order_is_accepted_and_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By FastAPI's own routes, and by flowgen's below /flows; what a client says twice is done once."""
    monkeypatch.setattr(web, "STORE", f"sqlite:///{tmp_path}/orders.db")
    with trio.fail_after(50):
        async with serving(web.api, port=0) as url, httpx.AsyncClient(base_url=url, timeout=120) as client:
            placed = await client.post("/orders/7?quantity=3")
            assert placed.status_code == 202
            (run,) = placed.json()["runs"]
            done = (await client.get(f"/flows/v1/runs/{run}?wait=20s")).json()
            assert (done["status"], done["result"]) == ("completed", "order 7: 3 reserved for 7")
            assert (await client.get(f"/runs/{run}")).json() == {"status": "completed", "result": done["result"]}
            assert (await client.post("/orders/7?quantity=3")).json() == placed.json()
            assert (await client.post("/orders/7?quantity=4")).status_code == 409
            assert (await client.get("/runs/nothing")).status_code == 404
