"""Durable endpoints of the TypeScript SDK: an app that answers requests by itself, and a server that hears of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.sdk.conftest import need
from tests.sdk.stage import APPS, PATIENCE, Json, Kind, Stage

ENDPOINTS = Kind("endpoints", "endpoints", ("node", str(APPS / "node" / "endpoints.cjs")))
KEY = "signkey-test-" + "ab" * 32
AWAY = 15.0
"""Seconds after which a killed server comes back, by its own clock: more than a lease has."""

SILENCE = "2s"
"""How long this server waits for an app that tells nothing: less than anybody's would."""


class Endpoints:
    """The endpoints of an app, asked by `client`, and the stage that it is on."""

    def __init__(self, stage: Stage, client: httpx.Client) -> None:
        self.stage = stage
        self._client = client

    def ask(self, path: str, *, follow: bool = True, **parameters: str) -> httpx.Response:
        """Ask the app; whoever follows goes where the app sends him on to."""
        return self._client.get(path, params=parameters, follow_redirects=follow)

    def run_of(self, path: str) -> Json:
        """The newest run of an endpoint."""
        items = self.stage.get("/v1/runs", limit=100, workflow=f"{self.app}/GET {path.strip('/')}")["items"]
        return items[0] if items else None

    @property
    def app(self) -> str:
        return f"127.0.0.1-{self.stage.app_port}"

    def ended(self, path: str) -> Json:
        """The newest run of an endpoint, once it has ended: an app tells of that after it has answered."""
        run = self.stage.patiently(f"there is a run of {path}", lambda: self.run_of(path))
        return self.stage.ended(f"{run['id']}")

    def steps(self, run: Json) -> list[str]:
        """What the history of a run says of steps, in order."""
        return [f"{each['step']} {each['type']}" for each in self.stage.history(run["id"]) if each.get("step")]


@contextmanager
def endpoints_at(
    directory: Any, server: str = "dev", *, ahead: bool = False, **environment: str
) -> Iterator[Endpoints]:
    """An app with endpoints, and a server; `ahead`: its clock can be set."""
    need("ts")
    stage = Stage(ENDPOINTS, directory, server=(server,), FLOWGEN_SILENCE=SILENCE, **environment)
    try:
        if ahead:
            stage.set_clock(time.time())
        if "INNGEST_SIGNING_KEY" in environment:
            stage.environment["INNGEST_BASE_URL"] = stage.origin
        stage.start_app()
        stage.start_server()
        place = f"http://127.0.0.1:{stage.app_port}"
        with httpx.Client(base_url=place, timeout=PATIENCE, trust_env=False) as client:
            yield Endpoints(stage, client)
    finally:
        stage.close()


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """An app with endpoints as they are unless something is said, and a server for development."""
    with endpoints_at(tmp_path_factory.mktemp("endpoints")) as found:
        yield found


def text_of(response: httpx.Response) -> Any:
    """What the SDK made of a response once the server drives the run: its text, as JSON."""
    assert response.status_code == 200, response.text
    return json.loads(response.json())


def test_a_short_request_is_answered_at_once(endpoints: Endpoints) -> None:
    """By the app, whole; the server has its steps and its end, and has called nobody."""
    with endpoints.stage.watching() as watch:
        response = endpoints.ask("/hello", follow=False, who="ada")
        assert (response.status_code, response.headers["x-cart"]) == (201, "7")
        assert response.json() == {"one": {"a": [1, None, "ü"]}, "two": 2, "who": "ada"}
        run = endpoints.ended("/hello")
        assert run["status"] == "completed"
        assert endpoints.steps(run) == ["one succeeded", "two succeeded"]
        assert watch.bodies() == ["one", "two"]
    assert run["event"]["name"] == "inngest/http.request"
    assert run["event"]["data"]["query_params"] == "who=ada"


def test_a_value_is_the_output_of_its_run(endpoints: Endpoints) -> None:
    """A handler need not make a response."""
    assert endpoints.ask("/value", follow=False).json() == {"value": 7}
    run = endpoints.ended("/value")
    assert run["result"]["status"] == 200
    assert json.loads(run["result"]["body"]) == {"value": 7}


def test_a_request_without_steps(endpoints: Endpoints) -> None:
    """Is a run all the same."""
    assert endpoints.ask("/no-steps").json() == "at once"
    assert endpoints.ended("/no-steps")["status"] == "completed"


def test_a_request_that_sleeps(endpoints: Endpoints) -> None:
    """Its client is sent on, and finds the output there when the run has ended; no step is executed twice."""
    with endpoints.stage.watching() as watch:
        sent_on = endpoints.ask("/nap", follow=False, who="bob")
        assert sent_on.status_code == 302
        place = sent_on.headers["location"]
        assert place.startswith(f"{endpoints.stage.origin}/v1/http/runs/")
        assert text_of(httpx.get(place, timeout=PATIENCE, trust_env=False)) == {"before": 1, "after": 2, "who": "bob"}
        assert text_of(httpx.get(place, trust_env=False))["after"] == 2
        assert httpx.get(place[:-30], trust_env=False).status_code == 404
        assert watch.bodies() == ["before", "after"]
    run = endpoints.run_of("/nap")
    assert endpoints.steps(run) == ["before succeeded", "nap requested", "nap succeeded", "after succeeded"]


def test_a_request_that_waits_for_an_event(endpoints: Endpoints) -> None:
    """It goes on with the event."""
    place = endpoints.ask("/wait", follow=False).headers["location"]
    endpoints.stage.post("/e/test", {"name": "endpoints/answer", "data": {"yes": True}})
    assert text_of(httpx.get(place, timeout=PATIENCE, trust_env=False)) == {"yes": True}


def test_a_step_that_fails_once(endpoints: Endpoints) -> None:
    """Is tried again by the server; what was executed before is not executed again."""
    with endpoints.stage.watching() as watch:
        assert text_of(endpoints.ask("/flaky")) == {"first": 1, "flaky": "well"}
        assert watch.bodies() == ["first", "flaky", "flaky"]
    run = endpoints.run_of("/flaky")
    assert endpoints.steps(run) == ["first succeeded", "flaky attempt_failed", "flaky succeeded"]


def test_a_step_that_fails_for_good_is_caught(endpoints: Endpoints) -> None:
    """By its function, when it is entered again."""
    assert text_of(endpoints.ask("/caught")) == {"caught": "never again"}


def test_steps_beside_each_other(endpoints: Endpoints) -> None:
    """Are executed by requests of their own, each once."""
    with endpoints.stage.watching() as watch:
        assert text_of(endpoints.ask("/together")) == ["l", "r"]
        assert sorted(watch.bodies()) == ["left", "right"]


def test_a_request_that_fails(endpoints: Endpoints) -> None:
    """The app answers its client, and tells the server nothing: which asks after a while, and then knows."""
    assert endpoints.ask("/fails").status_code == 400
    run = endpoints.ended("/fails")
    assert run["status"] == "failed"
    assert run["error"]["message"] == "this cannot be done"


def test_an_app_that_is_killed_in_the_middle(endpoints: Endpoints) -> None:
    """Its client is lost, its run is not: the server enters the app again when it is back."""
    stage = endpoints.stage
    with stage.watching() as watch:
        with pytest.raises(httpx.TransportError), httpx.Client(trust_env=False, timeout=0.5) as impatient:
            impatient.get(f"http://127.0.0.1:{stage.app_port}/slow")
        stage.patiently("the slow step has begun", lambda: "slow" in watch.bodies())
        stage.kill_app()
        (stage.gates / "slow").touch()
        stage.start_app()
        run = endpoints.ended("/slow")
        assert run["status"] == "completed", stage.told()
        assert watch.bodies() == ["before slow", "slow", "slow"]
    assert endpoints.steps(run) == ["before slow succeeded", "slow succeeded"]


def test_a_server_that_is_killed_in_the_middle(tmp_path: Any) -> None:
    """What it was told before is not executed again; the step that the app could not tell of is."""
    with endpoints_at(tmp_path, ahead=True) as endpoints:
        stage = endpoints.stage
        with stage.watching() as watch:
            with pytest.raises(httpx.TransportError), httpx.Client(trust_env=False, timeout=0.5) as impatient:
                impatient.get(f"http://127.0.0.1:{stage.app_port}/slow")
            stage.patiently("the slow step has begun", lambda: "slow" in watch.bodies())
            stage.kill_server()
            (stage.gates / "slow").touch()
            stage.set_clock(stage.clock + AWAY)
            stage.start_server()
            assert endpoints.ended("/slow")["status"] == "completed"
            assert watch.bodies() == ["before slow", "slow", "slow"]


def test_a_client_that_is_given_a_token(tmp_path: Any) -> None:
    """It may ask the app for the output, which asks the server; the endpoint has the name that it was given."""
    options = {"asyncResponse": "token", "functionId": "napping"}
    with endpoints_at(tmp_path, SDK_ENDPOINT=json.dumps(options)) as endpoints:
        given = endpoints.ask("/nap", who="eve").json()
        output = endpoints.ask("/poll", runId=given["run_id"], token=given["token"])
        assert output.json() == {"before": 1, "after": 2, "who": "eve"}
        assert endpoints.ask("/poll", runId=given["run_id"], token="another").status_code == 404
        assert endpoints.stage.row(given["run_id"])["workflow_id"] == "napping"


def test_an_app_in_production(tmp_path: Any) -> None:
    """With a key that both have: what the app tells is said by who has it, and what it is asked is signed."""
    keys = {"INNGEST_SIGNING_KEY": KEY, "FLOWGEN_SIGNING_KEY": KEY, "FLOWGEN_APP_HOSTS": "127.0.0.0/8"}
    with endpoints_at(tmp_path, "server", **keys) as endpoints:
        assert text_of(endpoints.ask("/nap", who="ada")) == {"before": 1, "after": 2, "who": "ada"}
