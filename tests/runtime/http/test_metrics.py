"""Metrics: what is counted, and that Prometheus can read it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from flowgen.errors import RunFailed
from flowgen.runtime import Engine
from flowgen.runtime.http import Settings
from flowgen.runtime.http.meter import Family, Histogram, Meter, Sample, families, written
from tests.runtime.http.serving import fail, fulfil, serving

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (\S+)')


def read(text: str) -> dict[str, float]:
    """The samples of a text in Prometheus' format, each by its name and labels; it has nothing else."""
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split()
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match is not None, line
            base = re.sub("_(bucket|sum|count)$", "", match[1]) if match[1] not in kinds else match[1]
            assert base in kinds, line
            key = f"{match[1]}{{{match[2] or ''}}}"
            assert key not in found
            found[key] = float(match[3])
    assert text.endswith("\n")
    return found


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    response = await client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(response.text)


async def ended(engine: Engine, workflow: Any, number: int) -> None:
    run = await engine.start(workflow, {"number": number})
    try:
        await engine.result(run)
    except RunFailed:
        assert workflow is fail


async def test_what_an_engine_does_is_counted() -> None:
    """Events, runs by workflow and by how they ended, attempts at steps, commits, answers."""
    async with serving() as (engine, client):
        for number in range(3):
            await ended(engine, fulfil, number)
        await ended(engine, fail, 1)
        await client.post("/e/key", json=[{"name": "note"}] * 5)
        await client.get("/v1/runs/nothing")
        await client.get("/made/up/by/a/stranger")
        await client.request("BREW", "/v1/runs")
        found = await scraped(client)
        assert found["flowgen_events_accepted_total{}"] == 5
        assert found['flowgen_runs_started_total{app="shop",workflow="fulfil"}'] == 3
        assert found['flowgen_runs_ended_total{status="completed"}'] == 3
        assert found['flowgen_runs_ended_total{status="failed"}'] == 1
        assert found['flowgen_steps_total{outcome="succeeded"}'] == 7
        assert found['flowgen_steps_total{outcome="failed"}'] == 1
        assert found['flowgen_http_responses_total{method="GET",route="/v1/runs/{id}",status="404"}'] == 1
        assert found['flowgen_http_responses_total{method="GET",route="",status="404"}'] == 1
        assert found['flowgen_http_responses_total{method="other",route="",status="405"}'] == 1
        assert found["flowgen_commit_seconds_count{}"] > 4
        assert found['flowgen_commit_seconds_bucket{le="+Inf"}'] == found["flowgen_commit_seconds_count{}"]
        assert found["flowgen_http_open_requests{}"] == 1
        assert found["flowgen_http_waiting_requests{}"] == 0
        assert found["flowgen_events_unrouted{}"] >= 0
        assert "flowgen_runs_in_hand{}" in found
        assert "stranger" not in str(found)


async def test_counters_only_grow() -> None:
    """From one scrape to the next."""
    async with serving() as (engine, client):
        before = await scraped(client)
        await ended(engine, fulfil, 1)
        after = await scraped(client)
        growing = [key for key in before if "_total" in key or "_bucket" in key]
        assert growing
        assert all(after[key] >= before[key] for key in growing)


async def test_metrics_need_a_token_where_one_is_set() -> None:
    """They tell what the workflows are called."""
    async with serving(Settings(auth_tokens=("the-auth-token",))) as (_, client):
        assert (await client.get("/metrics")).status_code == 401
        headers = {"authorization": "Bearer the-auth-token"}
        assert (await client.get("/metrics", headers=headers)).status_code == 200


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a{}b", "ünïcode", 'x"} 1\nevil 7'])
def test_labels_are_escaped(name: str) -> None:
    """Whatever a workflow is called, it is one label of one sample."""
    text = written([Family("flowgen_x_total", "counter", "X.", (Sample(1, {"workflow": name}),))])
    (key,) = read(text)
    inside = key.removeprefix('flowgen_x_total{workflow="').removesuffix('"}')
    assert re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], inside) == name


def test_a_histogram_counts_what_is_at_most_so_large() -> None:
    """Each bound is included; what is larger than all is in the last bucket."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)
    assert (histogram.counts, histogram.total) == ([2, 2, 1], 8.0)
    meter = Meter(commits=histogram)
    found = read(written(families(meter)))
    assert found['flowgen_commit_seconds_bucket{le="1.0"}'] == 2
    assert found['flowgen_commit_seconds_bucket{le="2.0"}'] == 4
    assert found['flowgen_commit_seconds_bucket{le="+Inf"}'] == 5
    assert found["flowgen_commit_seconds_sum{}"] == 8.0
