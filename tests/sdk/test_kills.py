"""kill -9 of the server and of the app, at several moments: nothing is lost, nothing that is recorded runs again."""

from __future__ import annotations

from collections.abc import Callable

from tests.sdk.stage import Json, Stage


def begun(stage: Stage, body: str, times: int = 1) -> Callable[[], bool]:
    return lambda: stage.bodies(body) >= times


class Moments:
    """Runs that are at different moments when something dies: in steps, asleep, waiting, and hardly begun."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.open_gate("second", 0)
        stage.open_gate("third", 0, 1)
        self.slow = [self._begun("slow", {"key": key}) for key in ("first", "second", "third")]
        self.asleep = self._begun("sleep", {})
        self.waiting = self._begun("wait", {"order": 7, "timeout": 3_600_000})
        for n in range(3):
            stage.patiently(f"a step slow {n} is running", begun(stage, f"slow {n}", 3 - n))
        stage.waits(self.asleep, "nap")
        stage.waits(self.waiting, "answer")
        self.accepted = stage.send("hello", {"name": "Ada"})

    def _begun(self, function: str, data: Json) -> str:
        [run] = self.stage.started(self.stage.send(function, data))
        return str(run["id"])

    def end_well(self) -> None:
        """All of them end as if nothing had happened."""
        stage = self.stage
        for key in ("first", "second", "third"):
            stage.open_gate(key, 0, 1, 2)
        stage.send("answer", {"order": 7})
        [hello] = stage.started(self.accepted)
        runs = [*self.slow, self.asleep, self.waiting, hello["id"]]
        rows = [stage.ended(run, 120) for run in runs]
        assert [row["status"] for row in rows] == ["completed"] * 6, f"{rows}\n{stage.told()}"
        results = [row["result"] for row in rows]
        assert results[:4] == [[0, 1, 2]] * 3 + ["rested"]
        assert results[4]["data"] == {"order": 7}
        assert results[5] == {"greeting": "hello Ada"}
        assert stage.bodies("before") == 1
        for run in self.slow:
            steps = [record["step"] for record in stage.history(run) if record["type"] == "succeeded"]
            assert steps == ["slow 0", "slow 1", "slow 2"]


def test_the_server_dies(fragile: Stage) -> None:
    """A server that is killed goes on with all its runs when it is back; what was recorded does not run again."""
    moments = Moments(fragile)
    fragile.kill_server()
    fragile.start_server()
    moments.end_well()
    assert fragile.bodies("slow 0") <= 4  # that of the first run was cut off, and began a second time


def test_the_app_dies(fragile: Stage) -> None:
    """Steps whose app is killed are tried again when the app is back; what was recorded does not run again."""
    moments = Moments(fragile)
    fragile.kill_app()
    fragile.start_app()
    moments.end_well()
    assert fragile.bodies("slow 0") <= 4


def test_both_die(fragile: Stage) -> None:
    """Both are killed, and the server comes back first: what it finds without an app waits for it."""
    moments = Moments(fragile)
    fragile.kill_app()
    fragile.kill_server()
    fragile.start_server()
    fragile.start_app()
    moments.end_well()
    assert fragile.bodies("slow 0") <= 4


def test_a_restarted_server_knows_the_functions(fragile: Stage) -> None:
    """A server that comes back while the app is away starts runs of its functions; they go on when the app is back."""
    fragile.kill_app()
    fragile.kill_server()
    fragile.start_server()
    [run] = fragile.started(fragile.send("hello", {"name": "Ada"}))
    fragile.start_app()
    assert fragile.ended(run["id"], 90)["result"] == {"greeting": "hello Ada"}
