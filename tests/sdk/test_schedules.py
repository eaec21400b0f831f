"""Schedules of an app's functions: they tick at their hour, by the clock of the server, which is set here."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.sdk.conftest import need
from tests.sdk.stage import KINDS, Json, Stage

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2030, 3, 30, 12, tzinfo=BERLIN)
NIGHTS = [datetime(2030, 3, 31, 3, tzinfo=BERLIN), datetime(2030, 4, 1, 3, tzinfo=BERLIN)]
"""Three in the morning in the night in which summer begins, which is an hour early, and in that after it."""


@pytest.mark.parametrize("label", ["fastapi", "flask", "ts"])
def test_a_function_with_a_schedule(label: str, tmp_path: Path) -> None:
    """It runs once when its hour has come, and again the next night; the app is told that it was the clock."""
    need(label)
    stage = Stage(KINDS[label], tmp_path, SDK_FUNCTIONS="nightly")
    stage.set_clock(NOON.timestamp())

    def ticks() -> list[Json]:
        return [run for run in stage.get("/v1/runs", workflow="nightly")["items"] if run["status"] == "completed"]

    try:
        stage.start_app()
        stage.start_server()
        stage.patiently("the schedule is known", lambda: "0 3 * * *" in str(stage.get("/v1/workflows")))
        for number, night in enumerate(NIGHTS, 1):
            stage.set_clock(night.timestamp() + 1)
            stage.patiently(f"the function runs at {night}", lambda wanted=number: len(ticks()) == wanted)
        runs = sorted(ticks(), key=lambda run: run["event"]["ts"])
        assert [run["result"] for run in runs] == ["inngest/scheduled.timer"] * 2
        assert [run["event"]["ts"] for run in runs] == [int(night.timestamp() * 1000) for night in NIGHTS]
    finally:
        stage.close()
