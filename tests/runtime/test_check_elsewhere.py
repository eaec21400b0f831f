"""`flowgen check` of runs whose code was called over HTTP: what only such runs have in their history breaks nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Race, Run, Steps, WaitFor
from flowgen.history import AttemptFailed, StepSucceeded
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.cli import run
from flowgen.runtime.driving.caller import AppAway, CallFailed, Headers, Reply
from tests.runtime.driving.served import Served

SHOP = """
from flowgen import App, OnEvent, Race, Run, WaitFor

app = App("shop")

def quick(): return "quick"
def slow(): return "slow"
def pack(): ...

@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx):
    first = yield Race(quick=Run("quick", quick), slow=Run("slow", slow))
    # here
    paid = yield WaitFor("paid", "order/paid", timeout="7d")
    # there
    return first
"""


def quick() -> str:
    return "quick"


def slow() -> str:
    return "slow"


def shop() -> App:
    app = App("shop")

    @app.workflow(on=OnEvent("order/placed"))
    def fulfil(ctx: Context) -> Steps[Any]:
        first = yield Race(quick=Run("quick", quick), slow=Run("slow", slow))
        yield WaitFor("paid", "order/paid", timeout="7d")
        return first

    return app


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run that waits and one that has ended: their app was away, failed calls, and lost a race late."""
    path = tmp_path_factory.mktemp("elsewhere") / "shop.db"
    served = Served(shop())
    send = served.send
    calls: dict[str, int] = {}

    async def odd(url: str, headers: Headers, body: bytes) -> Reply:
        run_id = dict(headers)["X-Run-ID"]
        number = calls[run_id] = calls.get(run_id, 0) + 1
        if number == 1:
            raise AppAway("nobody is there")
        if number == 2:
            raise CallFailed("cut off")
        return await send(url, headers, body)

    served.send = odd  # type: ignore[method-assign]

    async def main() -> None:
        with trio.fail_after(50):
            async with open_engine([], f"sqlite:///{path}", calls=served, grace="0s") as engine:
                await engine.offer(served.registered())
                runs = [(await begun(engine)) for _ in range(2)]
                for each in runs:
                    await until(engine, each, "waiting", 2)
                await engine.send(Event("order/paid", {}))
                await until(engine, runs[0], "completed", 0)
                runs.append(await begun(engine))
                await until(engine, runs[2], "waiting", 2)
                for each in runs:
                    records = await engine.history(each)
                    assert [record.step for record in records if isinstance(record, AttemptFailed)] == [
                        "(function)"
                    ] * 2
                    ran = [record.step for record in records if isinstance(record, StepSucceeded)]
                    assert sorted(ran[:2]) == ["quick", "slow"]  # the loser, too

    trio.run(main)
    return path


async def begun(engine: Engine) -> str:
    (id,) = await engine.send(Event("order/placed", {}))
    while not (runs := await engine.started(id)):
        await engine.store.wait_changed(0.02)
    return runs[0]


async def until(engine: Engine, run_id: str, status: str, steps: int) -> None:
    while True:
        ran = sum(isinstance(record, StepSucceeded) for record in await engine.history(run_id))
        if (await engine.run(run_id)).status == status and ran >= steps:
            return
        await engine.store.wait_changed(0.02)


def check(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str = SHOP) -> tuple[int, str]:
    target = tmp_path / "shop_elsewhere.py"
    target.write_text(text)
    capsys.readouterr()
    sys.modules.pop("shop_elsewhere", None)
    code = run(["check", f"{target}:app", "--against", f"sqlite:///{recorded}", "--jobs", "1"])
    return code, capsys.readouterr().out


def test_the_code_that_made_them_breaks_nothing(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither calls that failed, nor a loser that was recorded late, are any of the code's business."""
    code, out = check(recorded, tmp_path, capsys)
    assert code == 0, out
    assert out.startswith("3 runs replayed on"), out
    assert ": 3 same, 0 safe, 0 break" in out


@pytest.mark.parametrize(
    "before, after",
    [
        ("# here", 'yield Run("pack", pack)'),
        ('Run("quick", quick)', 'Run("fast", quick)'),
        ('WaitFor("paid", "order/paid"', 'WaitFor("paid", "order/settled"'),
    ],
)
def test_code_that_disagrees_breaks_them_as_any_others(
    before: str, after: str, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is passed over is what came too late, and no more."""
    code, out = check(recorded, tmp_path, capsys, SHOP.replace(before, after))
    assert code == 1, out
    assert "3 break" in out
