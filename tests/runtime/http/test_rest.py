"""REST: runs, workflows and signals over HTTP, as the reference says."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
import trio
import trio.testing

from flowgen import Event
from flowgen.errors import RunFailed
from flowgen.runtime import Engine, listing
from flowgen.runtime.http import Settings, runs
from tests.runtime.http.serving import code_of, fail, fulfil, listen, parent, serving, wait


async def until(engine: Engine, run: str, status: str) -> None:
    """Return when a run is in a state."""
    while (await engine.run(run)).status != status:
        await engine.store.wait_changed(0.05)


# -- looking ---------------------------------------------------------------------------------------------


async def test_runs_are_filtered_by_all_that_a_run_has() -> None:
    """Each filter by itself; times are with their zone."""
    async with serving() as (engine, client):
        runs = [await engine.start(fulfil, {"number": number, "who": f"No. {number}!"}) for number in (1, 2)]
        for run in runs:
            await engine.result(run)
        waiting = await engine.start(wait, {})
        await until(engine, waiting, "waiting")
        created = (await engine.run(runs[1])).created_at.isoformat()
        for query, found in [
            ({}, [waiting, runs[1], runs[0]]),
            ({"workflow": "fulfil"}, [runs[1], runs[0]]),
            ({"workflow": "shop/fulfil", "limit": "1"}, [runs[1]]),
            ({"status": "waiting"}, [waiting]),
            ({"app": "shop", "status": "completed"}, [runs[1], runs[0]]),
            ({"app": "other"}, []),
            ({"before": created}, [runs[0]]),
            ({"after": created}, [waiting, runs[1]]),
            ({"q": runs[0]}, [runs[0]]),
            ({"q": "no. 2!"}, [runs[1]]),
            ({"where": "event.data.number == 1"}, [runs[0]]),
            ({"where": "run.result == 8"}, [runs[1]]),
        ]:
            response = await client.get("/v1/runs", params=query)
            assert response.status_code == 200, (query, response.text)
            assert [item["id"] for item in response.json()["items"]] == found, query


async def test_a_list_goes_on_from_its_cursor() -> None:
    """Each run once, the last page without a cursor."""
    async with serving() as (engine, client):
        runs = [await engine.start(listen) for _ in range(5)]
        found, cursor = [], None
        while True:
            query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/runs", params=query)).json()
            found += [item["id"] for item in page["items"]]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert found == runs[::-1]


async def test_counts_over_time() -> None:
    """In as many buckets as were asked for, over a day unless said."""
    async with serving() as (engine, client):
        run = await engine.start(fulfil, {"number": 1})
        await engine.result(run)
        shown = (await client.get("/v1/runs/counts")).json()
        assert len(shown["items"]) == 48
        assert sum(bucket["counts"].get("completed", 0) for bucket in shown["items"]) == 1
        before = datetime.fromisoformat(shown["before"]) + timedelta(hours=1)
        after = before - timedelta(hours=2)
        query = {"after": after.isoformat(), "before": before.isoformat(), "buckets": "1", "workflow": "fulfil"}
        (bucket,) = (await client.get("/v1/runs/counts", params=query)).json()["items"]
        assert bucket == {"at": bucket["at"], "counts": {"completed": 1}, "exact": True}
        assert datetime.fromisoformat(bucket["at"]) == after
        response = await client.get("/v1/runs/counts", params={**query, "after": before.isoformat()})
        assert (response.status_code, code_of(response)) == (400, "invalid_input")


async def test_a_run_with_its_history_children_and_reason() -> None:
    """Each in its own resource; what is not there is 404."""
    async with serving() as (engine, client):
        run = await engine.start(parent)
        assert await engine.result(run) == 4
        assert (await client.get(f"/v1/runs/{run}")).json()["result"] == 4
        assert (await client.get(f"/v1/runs/{run}", params={"app": "shop"})).json()["result"] == 4
        history = (await client.get(f"/v1/runs/{run}/history")).json()["items"]
        assert [record["type"] for record in history] == ["started", "requested", "succeeded", "end_completed"]
        (child,) = (await client.get(f"/v1/runs/{run}/children")).json()["items"]
        assert (child["parent_id"], child["workflow_id"]) == (run, "fulfil")
        assert "completed" in (await client.get(f"/v1/runs/{run}/why")).json()["why"]
        for path in ("", "/history", "/children", "/why"):
            for query in ({"app": "other"}, {}):
                response = await client.get(f"/v1/runs/{run if query else 'nothing'}{path}", params=query)
                assert (response.status_code, code_of(response)) == (404, "not_found"), path


async def test_a_damaged_run_takes_no_list_with_it(tmp_path: Path) -> None:
    """It is left out, and the log says so; the others are there, on the pages too."""
    store = f"sqlite:///{tmp_path / 'damaged.db'}"
    async with serving(store=store) as (engine, client):
        damaged, whole = [await engine.start(parent) for _ in range(2)]
        for each in (damaged, whole):
            await engine.result(each)
    with closing(apsw.Connection(str(tmp_path / "damaged.db"))) as database:
        flip = "update history set checksum = checksum + 1 where run = (select key from runs where id = ?)"
        database.execute(flip, (damaged,))
    async with serving(store=store) as (engine, client):
        items = (await client.get("/v1/runs", params={"workflow": "parent"})).json()["items"]
        assert [each["id"] for each in items] == [whole]
        page = await client.get("/")
        assert (page.status_code, whole in page.text, damaged in page.text) == (200, True, False)
        refused = await client.get(f"/v1/runs/{damaged}/history")
        assert (refused.status_code, code_of(refused)) == (500, "damaged")
        assert "retry-after" not in refused.headers


async def test_a_history_is_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record once, in order, however long the pages are; large records end a page early."""
    async with serving() as (engine, client):
        run = await engine.start(parent)
        await engine.result(run)
        whole = (await client.get(f"/v1/runs/{run}/history")).json()
        assert (len(whole["items"]), whole["cursor"]) == (4, None)
        for limit in (1, 3, 4):
            assert await _pages(client, f"/v1/runs/{run}/history", {"limit": str(limit)}) == whole["items"]
        monkeypatch.setattr(runs, "PAGE_BYTES", 1)
        first = (await client.get(f"/v1/runs/{run}/history")).json()
        assert first == {"items": whole["items"][:1], "cursor": "1"}
        assert await _pages(client, f"/v1/runs/{run}/history", {"limit": "500"}) == whole["items"]
        behind = await client.get(f"/v1/runs/{run}/history", params={"cursor": "4"})
        assert behind.json() == {"items": [], "cursor": None}
        for cursor in ("-1", "x", "1e3", "9" * 30, ""):
            response = await client.get(f"/v1/runs/{run}/history", params={"cursor": cursor})
            assert (response.status_code, code_of(response)) == (400, "invalid_parameter"), cursor


async def _pages(client: httpx.AsyncClient, path: str, query: dict[str, str]) -> list[Any]:
    items: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get(path, params={**query, **cursor})).json()
        assert len(page["items"]) <= int(query.get("limit", 500))
        items += page["items"]
        if page["cursor"] is None:
            return items
        cursor = {"cursor": page["cursor"]}


async def test_lists_are_read_in_pages_of_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs, of the runs of an event, of children and of events: each item once, and answers stay small."""
    async with serving() as (engine, client):
        (event,) = await engine.send(Event("order/placed", {"number": 1, "text": "x" * 3_000}))
        for _ in range(4):
            await engine.result(await engine.start(fulfil, {"number": 1, "text": "x" * 3_000}))
        run = await engine.start(parent)
        await engine.result(run)
        paths = ("/v1/runs", f"/v1/events/{event}/runs", f"/v1/runs/{run}/children", "/v1/events")
        whole = {path: (await client.get(path)).json() for path in paths}
        assert [(len(each["items"]), each["cursor"]) for each in whole.values()] == [(7, None), *[(1, None)] * 3]
        monkeypatch.setattr(listing, "PAGE_BYTES", 15_000)
        assert len((await client.get("/v1/runs")).content) < 20_000
        for path in paths:
            limited = path in ("/v1/runs", "/v1/events")
            assert await _pages(client, path, {"limit": "500"} if limited else {}) == whole[path]["items"]
        for path in paths[1:3]:
            response = await client.get(path, params={"cursor": "x"})
            assert (response.status_code, code_of(response)) == (400, "invalid_input")


async def test_a_run_may_be_waited_for() -> None:
    """The answer comes when it has ended, or when the time is over, and shows it as it is then."""
    async with serving() as (engine, client):
        run = await engine.start(listen)
        shown = (await client.get(f"/v1/runs/{run}", params={"wait": "10ms"})).json()
        assert shown["ended_at"] is None
        found: list[httpx.Response] = []

        async def ask() -> None:
            found.append(await client.get(f"/v1/runs/{run}", params={"wait": "5m"}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await until(engine, run, "waiting")
            await engine.signal("go", 7)
        assert found[0].json()["result"] == 7
        failed = await engine.start(fail, {"number": 1})
        assert (await client.get(f"/v1/runs/{failed}", params={"wait": "1m"})).json()["status"] == "failed"
        assert (await client.get("/v1/runs/nothing", params={"wait": "1m"})).status_code == 404
        for bad in ("6m", "-1s", "soon", "1e99h", "", "NaN"):
            response = await client.get(f"/v1/runs/{run}", params={"wait": bad})
            assert (response.status_code, code_of(response), response.json()["error"]["path"]) == (
                400,
                "invalid_parameter",
                "wait",
            )


async def test_requests_that_wait_leave_room_for_others() -> None:
    """Half of all places at most."""
    async with serving(Settings(max_open=2)) as (engine, client):
        run = await engine.start(listen)
        await until(engine, run, "waiting")
        answers: list[int] = []

        async def ask() -> None:
            answers.append((await client.get(f"/v1/runs/{run}", params={"wait": "5m"})).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            response = await client.get(f"/v1/runs/{run}", params={"wait": "1ms"})
            assert (response.status_code, code_of(response)) == (503, "busy")
            assert response.headers["retry-after"]
            assert (await client.get(f"/v1/runs/{run}")).status_code == 200
            await engine.signal("go", 7)
        assert answers == [200]


async def test_workflows_are_described() -> None:
    """With triggers, next ticks and flow control."""
    async with serving() as (_, client):
        listed = (await client.get("/v1/workflows")).json()
        assert {"fulfil", "tick", "parent"} <= {item["id"] for item in listed["items"]}
        shown = (await client.get("/v1/workflows/fulfil")).json()
        assert shown["triggers"] == ["order/placed"]
        assert "5" in shown["policies"]["concurrency"]
        (schedule,) = (await client.get("/v1/workflows/tick")).json()["schedules"]
        assert schedule["cron"] == "0 9 * * *"
        assert all(datetime.fromisoformat(tick).hour == 9 for tick in schedule["next"])
        assert (await client.get("/v1/workflows", params={"app": "other"})).json()["items"] == []
        for path, query in (("nothing", {}), ("fulfil", {"app": "other"})):
            response = await client.get(f"/v1/workflows/{path}", params=query)
            assert (response.status_code, code_of(response)) == (404, "not_found")


# -- doing -----------------------------------------------------------------------------------------------


async def test_a_workflow_is_invoked() -> None:
    """Its answer names the run; with `wait` it has the run, ended or as it is."""
    async with serving() as (engine, client):
        response = await client.post("/v1/workflows/fulfil/invoke", json={"data": {"number": 2}})
        assert response.status_code == 200
        assert await engine.result(response.json()["id"]) == 8
        query = {"wait": "1m", "app": "shop"}
        response = await client.post("/v1/workflows/fulfil/invoke", json={"data": {"number": 3}}, params=query)
        assert (response.status_code, response.json()["run"]["result"]) == (200, 12)
        response = await client.post("/v1/workflows/listen/invoke", params={"wait": "1ms"})
        assert (response.status_code, response.json()["run"]["ended_at"]) == (202, None)
        again = {"data": {"number": 4}, "run_id": "order-4"}
        for _ in range(2):
            response = await client.post("/v1/workflows/fulfil/invoke", json=again)
            assert response.json() == {"id": "order-4"}
        other = await client.post("/v1/workflows/fulfil/invoke", json={**again, "data": {}})
        assert (other.status_code, code_of(other)) == (400, "invalid_input")
        assert (await client.post("/v1/workflows/nothing/invoke")).status_code == 404


async def test_a_workflow_is_paused_and_goes_on() -> None:
    """Its runs stay scheduled, and say why."""
    async with serving() as (engine, client):
        assert (await client.post("/v1/workflows/fulfil/pause")).json() == {"id": "fulfil", "paused": True}
        assert (await client.get("/v1/workflows/fulfil")).json()["paused"]
        run = (await client.post("/v1/workflows/fulfil/invoke", json={"data": {"number": 1}})).json()["id"]
        shown = (await client.get(f"/v1/runs/{run}")).json()
        assert (shown["status"], shown["reason"]) == ("scheduled", "its workflow is paused")
        assert (await client.post("/v1/workflows/fulfil/resume", json={})).json() == {"id": "fulfil", "paused": False}
        assert await engine.result(run) == 4
        assert (await client.post("/v1/workflows/nothing/pause")).status_code == 404


async def test_a_signal_reaches_its_waiter_or_is_refused() -> None:
    """It is not kept for one that may come."""
    async with serving() as (engine, client):
        run = await engine.start(listen)
        await until(engine, run, "waiting")
        assert (await client.post("/v1/signals", json={"name": "go", "data": {"a": [1]}})).json() == {"name": "go"}
        assert await engine.result(run) == {"a": [1]}
        response = await client.post("/v1/signals", json={"name": "go", "app": "shop"})
        assert (response.status_code, code_of(response)) == (404, "not_found")


async def test_cancel_and_its_reason() -> None:
    """202, again 202 while it is being cancelled, then 409; `DELETE` is the same."""
    async with serving() as (engine, client):
        for method, path in (("POST", "/cancel"), ("DELETE", "")):
            run = await engine.start(wait, {})
            await until(engine, run, "waiting")
            response = await client.request(method, f"/v1/runs/{run}{path}", json={"reason": "a whim"})
            assert (response.status_code, response.json()) == (202, {"id": run, "status": "cancelling"})
            await until(engine, run, "cancelled")
            assert (await engine.run(run)).reason == "a whim"
            response = await client.request(method, f"/v1/runs/{run}{path}")
            assert (response.status_code, code_of(response)) == (409, "wrong_state")
            assert "cancelled" in response.json()["error"]["message"]


async def test_retry() -> None:
    """Of a failed run; any other is 409 with its state."""
    async with serving() as (engine, client):
        run = await engine.start(fail, {"number": 1})
        with pytest.raises(RunFailed):
            await engine.result(run)
        assert (await client.post(f"/v1/runs/{run}/retry")).status_code == 202
        await until(engine, run, "failed")
        done = await engine.start(fulfil, {"number": 1})
        await engine.result(done)
        response = await client.post(f"/v1/runs/{done}/retry", json={})
        assert (response.status_code, code_of(response)) == (409, "wrong_state")


async def test_rerun_with_edits() -> None:
    """From the start, from a step, with another event, with another result of a step."""
    async with serving() as (engine, client):
        run = await engine.start(fulfil, {"number": 1})
        await engine.result(run)

        async def rerun(body: dict[str, Any] | None) -> Any:
            response = await client.post(f"/v1/runs/{run}/rerun", json=body)
            assert response.status_code == 202, response.text
            again = response.json()["id"]
            assert again != run
            return await engine.result(again), (await engine.run(again)).event

        assert (await rerun(None))[0] == 4
        assert (await rerun({"from_step": "again"}))[0] == 4
        assert (await rerun({"event": {"data": {"number": 5}}}))[0] == 20
        result, event = await rerun(
            {"from_step": "again", "results": {"double": 50}, "event": {"name": "order/edited"}}
        )
        assert (result, event.name, event.data) == (100, "order/edited", {"number": 1})
        for body, path in [
            ({"from_step": "nowhere"}, ""),
            ({"results": {"double": 1}}, ""),
            ({"from_step": "double", "results": {"again": 1}}, ""),
            ({"event": {"data": []}}, "/event/data"),
            ({"event": {"dat": {}}}, "/event/dat"),
            ({"event": {"name": "a\u0000b"}}, "/event/name"),
            ({"event": 7}, "/event"),
            ({"results": [1]}, "/results"),
            ({"step": "x"}, "/step"),
        ]:
            response = await client.post(f"/v1/runs/{run}/rerun", json=body)
            assert response.status_code == 400, body
            assert response.json()["error"]["path"] == path, response.text


async def test_bulk_verbs_are_dry_runs_unless_told() -> None:
    """They say what they would do, and then do it."""
    async with serving() as (engine, client):
        open_runs = [await engine.start(wait, {}) for _ in range(3)]
        for run in open_runs:
            await until(engine, run, "waiting")
        body = {"workflow": "wait", "status": "waiting", "reason": "closing time"}
        dry = (await client.post("/v1/runs/cancel", json=body)).json()
        assert (dry["dry_run"], dry["selected"], dry["done"], dry["refused"]) == (True, 3, 3, 0)
        assert sorted(dry["runs"]) == sorted(open_runs)
        assert (await engine.run(open_runs[0])).status == "waiting"
        done = (await client.post("/v1/runs/cancel", json={**body, "dry_run": False})).json()
        assert (done["dry_run"], done["done"]) == (False, 3)
        for run in open_runs:
            await until(engine, run, "cancelled")
        assert (await engine.run(open_runs[0])).reason == "closing time"
        rerun = (await client.post("/v1/runs/rerun", json={"dry_run": False, "app": "shop"})).json()
        assert (rerun["verb"], rerun["done"]) == ("rerun", 3)
        retry = (await client.post("/v1/runs/retry", json={})).json()
        assert (retry["verb"], retry["selected"]) == ("retry", 0)


@pytest.mark.parametrize(
    "verb, body, path",
    [
        ("cancel", {"dryrun": False}, "/dryrun"),
        ("cancel", {"dry_run": 0}, "/dry_run"),
        ("cancel", {"dry_run": None}, "/dry_run"),
        ("cancel", {"before": "yesterday"}, "/before"),
        ("cancel", {"before": "2026-01-01T00:00:00"}, "/before"),
        ("cancel", {"after": 7}, "/after"),
        ("cancel", {"workflow": ""}, "/workflow"),
        ("retry", {"reason": "x"}, "/reason"),
        ("retry", {"status": "completed"}, ""),
        ("rerun", {"status": "waiting"}, ""),
        ("rerun", [], ""),
    ],
    ids=str,
)
async def test_a_selection_that_is_misspelt_selects_nothing(verb: str, body: Any, path: str) -> None:
    """Each refusal says where."""
    async with serving() as (_, client):
        response = await client.post(f"/v1/runs/{verb}", json=body)
        assert response.status_code == 400
        assert response.json()["error"]["path"] == path
