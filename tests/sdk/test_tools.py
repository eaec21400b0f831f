"""The API that SDKs and their tools expect of a dev server."""

from __future__ import annotations

from tests.sdk.stage import Json, Stage

SDK = {"x-inngest-sdk": "inngest-py:v0.5.19"}


def asked(stage: Stage, query: str, **variables: Json) -> Json:
    """One GraphQL query."""
    response = stage.post("/v0/gql", {"query": query, "variables": variables})
    assert response.status_code == 200, response.text
    body = response.json()
    assert not body.get("errors"), body
    return body["data"]


def test_the_server_says_what_it_is(stage: Stage) -> None:
    """It is found by SDKs that look for a dev server, and lists the functions."""
    answer = stage.http.get("/dev")
    assert answer.status_code == 200
    assert answer.headers["x-inngest-server-kind"] == "dev"
    ids = {function["slug"] for function in answer.json()["functions"]}
    assert f"{stage.kind.app}-hello" in ids


def test_runs_of_an_event(stage: Stage) -> None:
    """An SDK that asks for the runs of an event gets them in its envelope, with its words for their status."""
    event = stage.send("hello", {"name": "Ada"})
    [run] = stage.started(event)
    stage.ended(run["id"])
    response = stage.http.get(f"/v1/events/{event}/runs", headers=SDK)
    [told] = response.json()["data"]
    assert told["run_id"] == run["id"]
    assert told["status"].upper() == "COMPLETED"
    assert told["output"] == {"greeting": "hello Ada"}


def test_a_run_through_graphql(stage: Stage) -> None:
    """The queries that the SDKs' own test tools send: a run, its steps, and what each of them gave."""
    run = stage.ran("steps")["id"]
    query = """
        query GetRun($runId: String!) {
            run(runID: $runId) { output status trace { childrenSpans { name outputID } } }
        }
    """
    told = asked(stage, query, runId=run)["run"]
    assert told["status"] == "COMPLETED"
    spans = {span["name"]: span["outputID"] for span in told["trace"]["childrenSpans"]}
    assert {"a", "add"} <= spans.keys()
    query = """
        query GetSpanOutput($outputID: String!) {
            runTraceSpanOutputByID(outputID: $outputID) { data error { message name stack } }
        }
    """
    output = asked(stage, query, outputID=spans["add"])["runTraceSpanOutputByID"]
    assert output["error"] is None
    assert "3" in str(output["data"])


def test_the_runs_of_an_event_through_graphql(stage: Stage) -> None:
    """And the runs of an event, and what started a run."""
    event = stage.send("hello", {"name": "Ada"})
    [run] = stage.started(event)
    stage.ended(run["id"])
    query = "query GetRuns($id: ID!) { event(query: {eventId: $id}) { functionRuns { id } } }"
    assert asked(stage, query, id=event)["event"]["functionRuns"] == [{"id": run["id"]}]
    query = "query GetTrigger($runId: String!) { runTrigger(runID: $runId) { payloads } }"
    [payload] = asked(stage, query, runId=run["id"])["runTrigger"]["payloads"]
    assert "Ada" in payload


def test_invoke(stage: Stage) -> None:
    """A function is invoked by its slug."""
    response = stage.post(f"/invoke/{stage.kind.app}-hello", {"data": {"name": "Ada"}})
    assert response.status_code == 200
    [run] = stage.started(response.json()["id"])
    assert stage.ended(run["id"])["result"] == {"greeting": "hello Ada"}


def test_an_app_that_registers_itself(stage: Stage) -> None:
    """An app that is asked to sync registers itself, and is told that nothing has changed."""
    answer = stage.http.put(stage.app_url)
    assert answer.status_code == 200
    assert answer.json().get("modified") is False
