"""kill -9 of the server and of the app, at several moments: nothing is lost, nothing that is recorded runs again.

Nobody waits here until the leases of a killed server have run out: it comes back a while later, by its clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.sdk.conftest import need
from tests.sdk.stage import KINDS, Json, Stage, Watch

AWAY = 15.0
"""Seconds after which a killed server comes back, by its own clock: more than a lease has."""


@pytest.fixture(scope="module", params=["fastapi", "ts"])
def mortal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage of this module's own, to kill. Its server's clock can be set."""
    need(request.param)
    stage = Stage(KINDS[request.param], tmp_path_factory.mktemp("kills"))
    stage.set_clock(time.time())
    yield stage
    stage.close()


@pytest.fixture
def fragile(mortal: Stage) -> Stage:
    """The same, whole again."""
    mortal.start()
    return mortal


class Moments:
    """Runs that are at different moments when something dies: in steps, asleep, waiting, and hardly begun."""

    def __init__(self, stage: Stage, watch: Watch, name: str) -> None:
        self.stage, self.watch = stage, watch
        self.order = name
        self.keys = [f"{name}-first", f"{name}-second", f"{name}-third"]
        stage.open_gate(self.keys[1], 0)
        stage.open_gate(self.keys[2], 0, 1)
        self.slow = [self._begun("slow", {"key": key}) for key in self.keys]
        self.asleep = self._begun("sleep", {})
        self.waiting = self._begun("wait", {"order": name, "timeout": 3_600_000})
        for n in range(3):
            stage.patiently(f"{3 - n} steps slow {n} have begun", lambda n=n: self.bodies(f"slow {n}") >= 3 - n)
        stage.waits(self.asleep, "nap")
        stage.waits(self.waiting, "answer")
        self.accepted = stage.send("hello", {"name": "Ada"})

    def _begun(self, function: str, data: Json) -> str:
        [run] = self.stage.started(self.stage.send(function, data))
        return str(run["id"])

    def bodies(self, name: str) -> int:
        """How often a body has begun."""
        return self.watch.bodies().count(name)

    def end_well(self) -> None:
        """All of them end as if nothing had happened. One step was cut off, and begins a second time."""
        stage = self.stage
        for key in self.keys:
            stage.open_gate(key, 0, 1, 2)
        stage.send("answer", {"order": self.order})
        [hello] = stage.started(self.accepted)
        runs = [*self.slow, self.asleep, self.waiting, hello["id"]]
        rows = [stage.ended(run, 120) for run in runs]
        assert [row["status"] for row in rows] == ["completed"] * 6, f"{rows}\n{stage.told()}"
        results = [row["result"] for row in rows]
        assert results[:4] == [[0, 1, 2]] * 3 + ["rested"]
        assert results[4]["data"] == {"order": self.order}
        assert results[5] == {"greeting": "hello Ada"}
        assert self.bodies("before") == 1
        assert self.bodies("slow 0") <= 4
        for run in self.slow:
            steps = [record["step"] for record in stage.history(run) if record["type"] == "succeeded"]
            assert steps == ["slow 0", "slow 1", "slow 2"]


def start_server_later(stage: Stage) -> None:
    """The server comes back when the leases that it had are over."""
    stage.set_clock(stage.clock + AWAY)
    stage.start_server()


def test_the_server_dies(fragile: Stage) -> None:
    """A server that is killed goes on with all its runs when it is back; what was recorded does not run again."""
    with fragile.watching() as watch:
        moments = Moments(fragile, watch, "server")
        fragile.kill_server()
        start_server_later(fragile)
        moments.end_well()


def test_the_app_dies(fragile: Stage) -> None:
    """Steps whose app is killed are tried again when the app is back; what was recorded does not run again."""
    with fragile.watching() as watch:
        moments = Moments(fragile, watch, "app")
        fragile.kill_app()
        fragile.start_app()
        moments.end_well()


def test_both_die(fragile: Stage) -> None:
    """Both are killed, and the server comes back first: what it finds without an app waits for it."""
    with fragile.watching() as watch:
        moments = Moments(fragile, watch, "both")
        fragile.kill_app()
        fragile.kill_server()
        start_server_later(fragile)
        fragile.start_app()
        moments.end_well()


def test_a_restarted_server_knows_the_functions(fragile: Stage) -> None:
    """A server that comes back while the app is away starts runs of its functions; they go on when the app is back."""
    fragile.kill_app()
    fragile.kill_server()
    start_server_later(fragile)
    [run] = fragile.started(fragile.send("hello", {"name": "Ada"}))
    fragile.start_app()
    assert fragile.ended(run["id"], 90)["result"] == {"greeting": "hello Ada"}
