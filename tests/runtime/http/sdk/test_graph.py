"""The questions in GraphQL that tools ask about runs, as they ask them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import httpx
import pytest

from flowgen import Event
from tests.runtime.http.sdk.callers import DEV, PY, done, refusal_of, until
from tests.runtime.http.serving import listen, serving


async def ask(client: httpx.AsyncClient, query: str, **variables: Any) -> Any:
    """The data that a query gives."""
    response = await client.post("/v0/gql", json={"query": query, "variables": variables})
    assert response.status_code == 200, response.text
    document = response.json()
    assert "errors" not in document, document
    return document["data"]


RUN = (
    "query GetRun($id: String!) {run(runID: $id) {output status trace(preview: true) {childrenSpans {name outputID}}}}"
)
OUTPUT = "query($id: String!) {runTraceSpanOutputByID(outputID: $id) {data error {message name stack}}}"
TRIGGER = "query($id: String!) {runTrigger(runID: $id) {payloads}}"
EVENT = "query($id: ID!) {event(query: {eventId: $id}) {functionRuns {id}}}"


async def test_a_run_its_steps_and_what_they_came_to() -> None:
    """Texts of JSON, and the names that the author gave."""
    async with serving(DEV, PY) as (engine, client):
        (id,) = await engine.send(Event("order/placed", {"number": 2}))
        run = await done(engine, id)
        assert await ask(client, EVENT, id=id) == {"event": {"functionRuns": [{"id": run}]}}
        found = (await ask(client, RUN, id=run))["run"]
        assert (found["status"], json.loads(found["output"])) == ("COMPLETED", 8)
        assert [span["name"] for span in found["trace"]["childrenSpans"]] == ["double", "again"]
        outputs = [(await ask(client, OUTPUT, id=span["outputID"])) for span in found["trace"]["childrenSpans"]]
        assert outputs == [{"runTraceSpanOutputByID": {"data": text, "error": None}} for text in ("4", "8")]
        (payload,) = (await ask(client, TRIGGER, id=run))["runTrigger"]["payloads"]
        assert json.loads(payload)["data"] == {"number": 2}
        assert json.loads(payload)["name"] == "order/placed"


async def test_a_run_and_a_step_that_failed() -> None:
    """The output of the run is its error; that of the step has it apart."""
    async with serving(DEV, PY) as (engine, client):
        (id,) = await engine.send(Event("order/refused", {"number": 2}))
        found = (await ask(client, RUN, id=await done(engine, id)))["run"]
        assert found["status"] == "FAILED"
        assert json.loads(found["output"])["name"] == "StepError"
        spans = {span["name"]: span["outputID"] for span in found["trace"]["childrenSpans"]}
        output = (await ask(client, OUTPUT, id=spans["refuse"]))["runTraceSpanOutputByID"]
        assert output["data"] is None
        assert (output["error"]["name"], output["error"]["message"]) == ("NonRetriableError", "2 is refused")
        assert "refuse" in output["error"]["stack"]


async def test_a_run_that_waits() -> None:
    """Its step is there without an output."""
    async with serving(DEV, PY) as (engine, client):
        run = await engine.start(listen)
        await until(engine, run, "waiting")
        found = (await ask(client, RUN, id=run))["run"]
        spans = [{"name": "heard", "outputID": None}]
        assert found == {"output": None, "status": "RUNNING", "trace": {"childrenSpans": spans}}
        id = urlsafe_b64encode(json.dumps([run, "heard"]).encode()).decode()
        response = await client.post("/v0/gql", json={"query": OUTPUT, "variables": {"id": id}})
        assert "step 'heard' of run" in response.json()["errors"][0]["message"]


async def test_an_event_without_runs() -> None:
    """Has none."""
    async with serving(DEV, PY) as (engine, client):
        (id,) = await engine.send(Event("order/other"))
        assert await ask(client, EVENT, id=id) == {"event": {"functionRuns": []}}


@pytest.mark.parametrize(
    "query, message",
    [
        (RUN, "no run 'x'"),
        (TRIGGER, "no run 'x'"),
        (EVENT, "no event 'x'"),
        (OUTPUT, "no output 'x'"),
        (OUTPUT.replace("$id)", '"WzEsMl0=")'), "no output"),
        (OUTPUT.replace("$id)", '"WzFd")'), "no output"),
        (OUTPUT.replace("$id)", '"WyJ4IiwgInkiXQ==")'), "no run 'x'"),
        ("{run{status}}", "'runid' is missing"),
        ("{run(runID: null){status}}", "'runid' is missing"),
        ("{event(query: {}){id}}", "'query' is missing"),
        ("{runs{id}}", "no field 'runs'"),
        ("}", "Syntax Error"),
    ],
)
async def test_what_cannot_be_answered_is_an_error_of_graphql(query: str, message: str) -> None:
    """In an answer whose status is 200, as its clients have it."""
    async with serving(DEV, PY) as (_, client):
        response = await client.post("/v0/gql", json={"query": query, "variables": {"id": "x"}})
        assert response.status_code == 200
        assert response.json()["data"] is None
        assert message in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("body", [{}, {"query": 7}, {"query": ""}, {"query": "{run{id}}", "variables": []}, []])
async def test_what_is_no_query_is_refused(body: Any) -> None:
    """Before it is looked at."""
    async with serving(DEV, PY) as (_, client):
        refusal_of(await client.post("/v0/gql", json=body), 400)


@pytest.mark.parametrize(
    "named", ["[" * 5_000, '["a"]', '["a","b","c"]', '"ab"', "{}", "7", '[["a"],"b"]', '["a",7]', ""]
)
async def test_the_id_of_an_output_names_a_run_and_a_step(named: str) -> None:
    """Any other is an error of GraphQL, however it is written."""
    async with serving(DEV, PY) as (_, client):
        id = urlsafe_b64encode(named.encode()).decode()
        response = await client.post("/v0/gql", json={"query": OUTPUT, "variables": {"id": id}})
        assert response.status_code == 200
        assert response.json()["data"] is None
        assert response.json()["errors"][0]["message"]


async def test_keys_match_whatever_their_case_is() -> None:
    """As in all requests of SDKs."""
    async with serving(DEV, PY) as (engine, client):
        run = await engine.start(listen)
        body = {"Query": "query A($id: ID!){run(runId:$id){id}} query B{run{id}}", "VARIABLES": {"id": run}}
        response = await client.post("/v0/gql", json={**body, "OperationName": "A"})
        assert response.json() == {"data": {"run": {"id": run}}}
