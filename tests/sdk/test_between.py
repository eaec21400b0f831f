"""Requests that come late, come twice, or are lost on their way: no result changes, and nothing is recorded twice.

While nothing is lost, however late it comes, each body runs once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from random import Random

import attrs
import pytest

from tests.sdk.between import CLEAR, LOST, UNHEARD, Between, Passage, Treatment, Weather
from tests.sdk.conftest import need
from tests.sdk.stage import KINDS, PATIENCE, Json, Stage

TWO_GROUPS = [["a1", "a2"], ["b1", "b2"]]
RESULTS: dict[str, Json] = {
    "nothing": None,
    "steps": [{"nested": [1, 2.5, "three", None, True]}, 3, None],
    "repeats": [0, 1, 2],
    "parallel": [8, 1, 2, 1, "last"],
    "parallel-wait": TWO_GROUPS,
    "parallel-race": TWO_GROUPS,
    "uneven": ["fast", "slow"],
}
BODIES = Counter(
    "a add none  same_0 same_1 same_2  double first second last  a1 a2 b1 b2  a1 a2 b1 b2  fast slow".split()
)
"""The bodies of all these functions together."""


@attrs.frozen
class Wide:
    """A stage whose server and app are far from each other: `there` is on the way to the app, `back` to the server."""

    stage: Stage
    there: Between
    back: Between

    def clear(self) -> None:
        self.there.weather = self.back.weather = lambda passage: CLEAR

    def run_all(self, functions: list[str]) -> dict[str, Json]:
        """One run of each function, all at once; the runs by function, when all have ended."""
        events = [{"name": f"{self.stage.kind.app}/{function}", "data": {}} for function in functions]
        answer = self.stage.post("/e/test", events)
        assert answer.status_code == 200, answer.text
        runs = [self.stage.started(id)[0]["id"] for id in answer.json()["ids"]]
        return {function: self.stage.ended(run) for function, run in zip(functions, runs, strict=True)}

    def check(self) -> None:
        """Run all functions: each gives its result, and each of their steps is recorded once."""
        runs = self.run_all(list(RESULTS))
        assert {function: run["result"] for function, run in runs.items()} == RESULTS, self.stage.told()
        for run in runs.values():
            steps = [record["step"] for record in self.stage.history(run["id"]) if record["type"] == "succeeded"]
            assert len(steps) == len(set(steps)), steps


@pytest.fixture(scope="module", params=["fastapi", "ts"])
def far(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wide]:
    need(request.param)
    stage = Stage(KINDS[request.param], tmp_path_factory.mktemp("between"))
    there, back = Between(stage.app_port), Between(stage.port)
    stage.urls, stage.app_sees = (f"{there.origin}/api/inngest",), back.origin
    try:
        stage.start()
        yield Wide(stage, there, back)
    finally:
        stage.close()
        there.stop()
        back.stop()


@pytest.fixture
def wide(far: Wide) -> Iterator[Wide]:
    yield far
    far.clear()


def late(passage: Passage) -> Treatment:
    """Each way takes its own time, which a seed says."""
    dice = Random(f"{passage.path} {passage.call.get('stack')}")
    return Treatment(dice.uniform(0, 0.06), dice.uniform(0, 0.06))


def once(treatment: Treatment) -> Weather:
    """What happens to the first call of each run that is aimed at a step, or at none; not to those after it."""
    known: set[tuple[str, str | None]] = set()

    def weather(passage: Passage) -> Treatment:
        key = (passage.path, passage.run)
        if not passage.call or key in known:
            return CLEAR
        known.add(key)
        return treatment

    return weather


def test_late(wide: Wide) -> None:
    """What comes late comes as well: results are the same, and each body runs once."""
    wide.there.weather = wide.back.weather = late
    with wide.stage.watching() as watch:
        wide.check()
        assert Counter(name.replace(" ", "_") for name in watch.bodies()) == BODIES


def test_requests_come_twice(wide: Wide) -> None:
    """The second of them runs its steps again, as nobody can help; what it says is not heard, and changes nothing."""
    wide.there.weather = lambda passage: Treatment(arrives=2 if passage.call else 1)
    with wide.stage.watching() as watch:
        wide.check()
        ran = Counter(name.replace(" ", "_") for name in watch.bodies())
        assert ran.keys() == BODIES.keys()
        assert ran["double"] == 2, "the app was not called twice"


def test_answers_are_lost(wide: Wide) -> None:
    """The call is made again. What the app had told before it answered does not run again, the rest does."""
    wide.there.weather = once(UNHEARD)
    with wide.stage.watching() as watch:
        wide.check()
        ran = Counter(name.replace(" ", "_") for name in watch.bodies())
        assert ran["double"] == 2, "no answer was lost"
        assert ran["a"] == (1 if wide.stage.kind.checkpoints else 2)


def test_requests_are_lost(wide: Wide) -> None:
    """They are made again, and each body runs once."""
    wide.there.weather = once(LOST)
    with wide.stage.watching() as watch:
        wide.check()
        assert Counter(name.replace(" ", "_") for name in watch.bodies()) == BODIES


def test_what_an_app_says_is_said_again(wide: Wide) -> None:
    """Its server has heard it, and the app does not know: what it sends a second time is accepted once."""
    known: set[str] = set()

    def weather(passage: Passage) -> Treatment:
        said = f"{passage.path} {passage.body}" if "/checkpoint/" not in passage.path else f"{passage.body['steps']}"
        if said in known:
            return CLEAR
        known.add(said)
        return UNHEARD

    wide.back.weather = weather
    with wide.stage.watching() as watch:
        wide.check()
        assert Counter(name.replace(" ", "_") for name in watch.bodies()) == BODIES
    wide.back.weather = weather
    run = wide.run_all(["send"])["send"]
    [first, second] = run["result"]["ids"]
    assert [len(wide.stage.started(id)) for id in (first, second)] == [1, 1]
    told = f"{wide.stage.kind.app}/told"
    assert len(wide.stage.get("/v1/events", name=told)["items"]) == 2


def test_a_request_of_a_server_that_is_gone(wide: Wide) -> None:
    """It reaches the app when another server has taken the run up. What it does there changes nothing.

    An app that tells of its steps before it answers is told that its call is none any more.
    """
    arrived, sent_on = threading.Event(), threading.Event()

    def weather(passage: Passage) -> Treatment:
        if passage.call and not arrived.is_set():
            arrived.set()
            assert sent_on.wait(PATIENCE), "the test did not let the request go"
        return CLEAR

    wide.there.weather = weather
    stage, begun = wide.stage, Counter({"slow 0": 2, "slow 1": 1, "slow 2": 1})
    with stage.watching() as watch:
        [run] = stage.started(stage.send("slow", {"key": "gone"}))
        stage.patiently("the first call is on its way", arrived.is_set)
        stage.stop_server()
        stage.start_server()
        stage.patiently("the next server's call is in its step", lambda: watch.bodies() == ["slow 0"])
        sent_on.set()
        stage.patiently("the late call is in the same step", lambda: watch.bodies() == ["slow 0"] * 2)
        stage.open_gate("gone", 0, 1, 2)
        assert stage.ended(run["id"])["result"] == [0, 1, 2]
        stage.patiently("the late call is answered", lambda: all(each.ended for each in wide.there.calls(run["id"])))
        assert Counter(watch.bodies()) == begun
    if stage.kind.checkpoints:
        told = [each.status for each in wide.back.passages if f"/checkpoint/{run['id']}/" in each.path]
        assert sorted(told) == [200, 200, 200, 409]


def test_no_discovery_executes_beside_another_call(wide: Wide) -> None:
    """A call that begins while another is under way is aimed, or only plans; beside one that may execute, none begins.

    The SDKs guard their groups themselves, too; a function of the protocol's first version is guarded by this alone.
    """
    wide.there.weather = late
    first_version = [] if wide.stage.kind.is_python else ["unoptimized"]
    runs = wide.run_all(["parallel", "parallel-wait", "parallel-race", "uneven", *first_version])
    beside = 0
    for run in runs.values():
        calls = wide.there.calls(run["id"])
        for later in calls:
            for earlier in calls:
                if later.beside(earlier):
                    beside += 1
                    assert not earlier.discovers or earlier.only_plans
                    assert not later.discovers or later.only_plans
    assert beside > 4, "calls were not made side by side"
