"""Schedules of an app's functions: they tick at their hour, by the clock of the server, which is set here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.sdk.stage import KINDS, Json, Stage, apps_of_one_server, missing

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2030, 3, 30, 12, tzinfo=BERLIN)
NIGHTS = [datetime(2030, 3, 31, 3, tzinfo=BERLIN), datetime(2030, 4, 1, 3, tzinfo=BERLIN)]
"""Three in the morning in the night in which summer begins, which is an hour early, and in that after it."""


LABELS = [label for label in ("fastapi", "flask", "ts") if missing(KINDS[label]) is None]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    """One server, whose clock can be set, and an app of each kind."""
    with apps_of_one_server(LABELS, tmp_path_factory, SDK_FUNCTIONS="nightly") as stages:
        server = next(iter(stages.values()))
        server.urls = tuple(stage.app_url for stage in stages.values())
        server.set_clock(NOON.timestamp())
        server.start_server()
        yield stages


def test_functions_with_a_schedule(stages: dict[str, Stage]) -> None:
    """They run once when their hour has come, and again the next night; the apps are told that it was the clock."""
    server = next(iter(stages.values()))

    def registered() -> bool:
        """It is said when the schedules of an app have begun, which its workflows are listed before."""
        return all(server.says(f"app {app} at ") for app in stages)

    def ticks(app: str) -> list[Json]:
        runs = server.get("/v1/runs", workflow=f"{app}/nightly")["items"]
        return [run for run in runs if run["status"] == "completed"]

    server.patiently("all of the schedules have begun", registered)
    for number, night in enumerate(NIGHTS, 1):
        server.set_clock(night.timestamp() + 1)
        for app in stages:
            server.patiently(f"{app} runs at {night}", lambda app=app, wanted=number: len(ticks(app)) == wanted)
    for app in stages:
        runs = sorted(ticks(app), key=lambda run: run["event"]["ts"])
        assert [run["result"] for run in runs] == ["inngest/scheduled.timer"] * 2
        assert [run["event"]["ts"] for run in runs] == [int(night.timestamp() * 1000) for night in NIGHTS]
