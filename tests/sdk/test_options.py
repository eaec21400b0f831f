"""Each option of a function that the SDKs offer, from unmodified apps."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from tests.sdk.stage import Json, Stage


def several(stage: Stage, function: str, *data: Json) -> list[str]:
    """Send some events in one request; their ids."""
    name = f"{stage.kind.app}/{function}"
    response = stage.post("/e/test", [{"name": name, "data": each} for each in data])
    assert response.status_code == 200, response.text
    return list(response.json()["ids"])


def started_by(stage: Stage, ids: list[str]) -> list[Json]:
    """All runs that some events have started by now, each once."""
    runs = {run["id"]: run for id in ids for run in stage.get(f"/v1/events/{id}/runs")["items"]}
    return list(runs.values())


def statuses(stage: Stage, ids: list[str]) -> list[str]:
    """How the runs of some events ended, once each event has one and all have ended."""
    runs = [run for id in ids for run in stage.started(id)]
    return sorted(stage.ended(run["id"])["status"] for run in {run["id"]: run for run in runs}.values())


def test_cancel_by_an_event(stage: Stage) -> None:
    """An event that matches ends the run; one that does not lets it be."""
    [run] = stage.started(stage.send("cancelled", {"order": "mine"}))
    stage.waits(run["id"], "long")
    stage.send("cancel", {"order": "another"})
    stage.send("cancel", {"order": "mine"})
    assert stage.ended(run["id"])["status"] == "cancelled"


def test_cancel_by_request(stage: Stage) -> None:
    """A run that sleeps is cancelled through the API."""
    [run] = stage.started(stage.send("cancelled", {"order": "by hand"}))
    stage.waits(run["id"], "long")
    assert stage.post(f"/v1/runs/{run['id']}/cancel").status_code == 202
    assert stage.ended(run["id"])["status"] == "cancelled"


def test_batches(stage: Stage) -> None:
    """Events of one key are collected until there are enough, and come together."""
    ids = several(stage, "batched", *({"shop": "a", "n": n} for n in range(3)), {"shop": "b", "n": 99})
    [run] = stage.started(ids[0])
    assert stage.ended(run["id"])["result"] == [0, 1, 2]
    [other] = stage.started(ids[3])
    assert other["status"] == "collecting"


def test_debounce(stage: Stage) -> None:
    """Of events in quick succession the last one is run."""
    ids = several(stage, "debounced", *({"key": "k", "n": n} for n in range(3)))
    [run] = stage.started(ids[-1])
    assert stage.ended(run["id"])["result"] == 2
    assert len(started_by(stage, ids)) == 1


def test_rate_limit(stage: Stage) -> None:
    """What is above the limit is dropped, key by key."""
    several(stage, "rate-limited", {"key": "k", "n": 1})
    ids = several(stage, "rate-limited", {"key": "k", "n": 2}, {"key": "other", "n": 3})
    assert stage.ended(stage.started(ids[1])[0]["id"])["result"] == 3
    assert [run["status"] for run in started_by(stage, ids[:1])] in ([], ["skipped"])


def test_throttle(stage: Stage) -> None:
    """What is above the limit starts later, and nothing is lost. (The Python SDK asks for a burst of one.)"""
    ids = several(stage, "throttled", *({"key": "k", "n": n} for n in range(3)))
    runs = [stage.ended(stage.started(id)[0]["id"]) for id in ids]
    assert sorted(run["result"] for run in runs) == [0, 1, 2]
    starts = sorted(datetime.fromisoformat(run["started_at"]) for run in runs)
    assert starts[-1] - starts[0] > timedelta(seconds=1)


def test_idempotency(stage: Stage) -> None:
    """Of events with one key the first starts a run, and the others none."""
    first = stage.result("idempotent", {"key": "k", "n": 1})
    ids = several(stage, "idempotent", {"key": "k", "n": 2}, {"key": "other", "n": 3})
    assert stage.ended(stage.started(ids[1])[0]["id"])["result"] == 3
    assert first == 1
    assert [run["status"] for run in started_by(stage, ids[:1])] in ([], ["skipped"])


def test_singleton_that_skips(stage: Stage) -> None:
    """While a run of a key is open, another is skipped."""
    [run] = stage.started(stage.send("singleton-skip", {"key": "k", "n": 1}))
    stage.waits(run["id"], "nap")
    [skipped] = stage.started(stage.send("singleton-skip", {"key": "k", "n": 2}))
    assert stage.ended(skipped["id"])["status"] == "skipped"
    assert stage.ended(run["id"])["result"] == 1


def test_singleton_that_cancels(stage: Stage) -> None:
    """A new run of a key cancels the one that is open."""
    [run] = stage.started(stage.send("singleton-cancel", {"key": "k", "n": 1}))
    stage.waits(run["id"], "nap")
    [later] = stage.started(stage.send("singleton-cancel", {"key": "k", "n": 2}))
    assert stage.ended(run["id"])["status"] == "cancelled"
    assert stage.ended(later["id"])["result"] == 2


def test_concurrency(stage: Stage) -> None:
    """With a limit of one a key, the steps of two runs do not overlap."""
    before = len(stage.seen())
    ids = several(stage, "concurrent", *({"key": "k", "n": n} for n in range(3)))
    assert statuses(stage, ids) == ["completed"] * 3
    lines = [line for line in stage.seen()[before:] if line["kind"] in ("enter", "leave")]
    assert [line["kind"] for line in lines] == ["enter", "leave"] * 3
    assert all(a["name"] == b["name"] for a, b in list(pairwise(lines))[::2])


def test_priority(stage: Stage) -> None:
    """An expression of the SDK says how urgent a run is; it is accepted, and the run runs."""
    assert stage.result("urgent", {"urgent": True}) is True
    assert stage.result("urgent", {"urgent": False}) is False


def test_a_timeout_of_runs(stage: Stage) -> None:
    """A run that is not finished in time is cancelled."""
    run = stage.ran("timed-out")
    assert run["status"] == "cancelled"
    assert "timeout" in run["reason"] or "time" in run["reason"]


def test_a_timeout_of_starts(stage: Stage) -> None:
    """A run that cannot start in time is cancelled."""
    assert set(statuses(stage, several(stage, "start-timed-out", {}, {}, {}))) == {"cancelled", "completed"}


def test_several_triggers(stage: Stage) -> None:
    """A function with a schedule and an event is started by the event too."""
    assert stage.result("nightly") == f"{stage.kind.app}/nightly"


def test_schedules(stage: Stage) -> None:
    """A schedule with a time zone is known to the server."""
    items = stage.get("/v1/workflows")["items"]
    [nightly] = [item for item in items if item["id"] == "nightly"]
    assert "0 3 * * *" in str(nightly)
    assert "Europe/Berlin" in str(nightly)


def test_a_trigger_with_an_expression(stage: Stage) -> None:
    """Events that do not satisfy it start nothing."""
    ids = several(stage, "filtered", {"total": 99}, {"total": 101})
    assert stage.ended(stage.started(ids[1])[0]["id"])["result"] == 101
    assert started_by(stage, ids[:1]) == []


def test_a_trigger_with_a_wildcard(stage: Stage) -> None:
    """A trigger that ends in an asterisk is started by all events of that kind."""
    [run] = stage.started(stage.send("kind/of.thing"))
    assert stage.ended(run["id"])["result"] == f"{stage.kind.app}/kind/of.thing"
