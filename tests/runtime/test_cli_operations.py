"""The commands that keep a system going: workflows, --all, purge, doctor."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
import trio

from flowgen import (
    App,
    Concurrency,
    Context,
    NonRetriableError,
    OnCron,
    OnEvent,
    Run,
    Singleton,
    Sleep,
    Steps,
    Throttle,
)
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.cli import run
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores import SqliteStore
from flowgen.testing import VirtualClock

Data = dict[str, Any]


def decline() -> None:
    raise NonRetriableError("card declined")


def make_app() -> App:
    app = App("shop")

    @app.workflow(on=OnEvent("order/*", where="event.data.n > 1"), throttle=Throttle(3, per="1m"))
    def fulfil(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("rest", "1h")

    @app.workflow(on=OnCron("0 9 * * 1"), concurrency=Concurrency(2), singleton=Singleton())
    def report(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("s", 1)

    @app.workflow
    def pay(ctx: Context[Data]) -> Steps[None]:
        yield Run("charge", decline)

    return app


@attrs.frozen
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Ask = Callable[..., Answer]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a command in a directory where the default store has a failed run of `pay` and two of `fulfil`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWGEN_DB", "sqlite:///flowgen.db")

    async def scene(engine: Engine) -> None:
        await engine.start("pay", {"card": 1})
        await engine.start("fulfil")
        await engine.start("fulfil")
        await trio.sleep(1)

    work(scene)

    def asked(*arguments: str) -> Answer:
        capsys.readouterr()
        code = run(list(arguments))
        return Answer(code, *capsys.readouterr())

    return asked


def work(scene: Callable[[Engine], Awaitable[None]]) -> None:
    """Let an engine work on the default store, in virtual time that begins at the beginning of 2026."""
    clock = VirtualClock()

    async def main() -> None:
        store = SqliteStore(Path("flowgen.db"), clock, inline=True)
        environment = Environment(seed=1, threads=False)
        async with open_engine(make_app(), store, environment=environment, grace="0s") as engine:
            await scene(engine)

    trio.run(main, clock=clock)


# -- workflows ----------------------------------------------------------------------------------------


def test_workflows_are_listed_with_all_that_starts_and_limits_them(ask: Ask) -> None:
    """A line each for people; the next ticks and the policies by name as JSON."""
    lines = ask("workflows", "list").out.splitlines()
    assert lines[0].split() == ["WORKFLOW", "STATE", "STARTED", "BY", "NEXT", "TICK", "FLOW", "CONTROL"]
    fulfil, pay, report = lines[1:]
    assert fulfil.split(None, 2)[:2] == ["shop/fulfil", "active"]
    assert "order/* where event.data.n > 1" in fulfil
    assert fulfil.endswith("throttle=Throttle(3, per='1m')")
    assert pay.split() == ["shop/pay", "active", "invoke", "only"]
    assert "cron 0 9 * * 1" in report
    assert report.endswith("09:00:00Z  concurrency=Concurrency(2); singleton=Singleton()")
    documents = ask("workflows", "list", "--json").json["items"]
    assert [document["id"] for document in documents] == ["fulfil", "pay", "report"]
    (schedule,) = documents[2]["schedules"]
    assert (schedule["cron"], len(schedule["next"])) == ("0 9 * * 1", 3)
    assert documents[0]["policies"] == {"throttle": "Throttle(3, per='1m')"}


def test_a_workflow_is_paused_and_resumed(ask: Ask) -> None:
    """It lasts between commands, `why` says so, and a slip is refused."""
    assert ask("workflows", "pause", "fulfil").out == "workflow fulfil is paused\n"
    assert "shop/fulfil  paused" in ask("workflows", "list").out
    (waiting,) = [r for r in ask("runs", "list", "--json").json["items"] if r["status"] == "waiting"]
    assert waiting["reason"] == "its workflow is paused"
    assert "its workflow is paused (flowgen workflows resume shop/fulfil)" in ask("why", waiting["id"]).out
    assert ask("workflows", "resume", "shop/fulfil", "--json").json == {"workflow": "shop/fulfil", "paused": False}
    assert "paused" not in ask("workflows", "list").out
    answer = ask("workflows", "pause", "fulfill")
    assert (answer.code, answer.out) == (1, "")
    assert "shop/fulfil" in answer.err


# -- --all --------------------------------------------------------------------------------------------


def test_without_yes_nothing_is_done_to_all(ask: Ask) -> None:
    """The dry run names the runs and says how to do it."""
    answer = ask("runs", "cancel", "--all", "--workflow", "fulfil")
    first, *ids = answer.out.splitlines()
    assert (answer.code, first) == (0, "dry run: cancel would be done to 2 runs; --yes does it")
    assert ask("runs", "list", "--status", "cancelling").out == "no runs\n"
    done = ask("runs", "cancel", "--all", "--workflow", "fulfil", "--yes", "--reason", "flood")
    assert done.out.splitlines() == ["2 runs being cancelled", *ids]
    assert len(ask("runs", "list", "--status", "cancelling", "--json").json["items"]) == 2


def test_all_that_failed_are_retried_or_rerun(ask: Ask) -> None:
    """By state and time; JSON has the counts."""
    result = ask("runs", "retry", "--all", "--status", "failed", "--json").json
    assert (result["dry_run"], result["selected"], result["done"], result["refused"]) == (True, 1, 1, 0)
    assert ask("runs", "retry", "--all", "--before", "2020-01-01", "--json").json["selected"] == 0
    assert ask("runs", "retry", "--all", "--after", "2026-01-01T00:00:00Z", "--json").json["selected"] == 1
    assert ask("runs", "rerun", "--all", "--status", "failed", "--yes").out.startswith("1 run rerun\n")
    assert len(ask("runs", "list", "--workflow", "pay", "--json").json["items"]) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("cancel", "say which run, or --all"),
        ("cancel R --all", "say one run (R) or --all, not both"),
        ("retry R --yes", "--workflow, --status, --before, --after and --yes go with --all"),
        ("rerun --all --from-step x", "--from-step goes with one run, not with --all"),
        ("retry --all --status waiting", "retry is for runs that are failed or parked"),
        ("retry --all --before soon", "--before soon: write a time such as"),
    ],
)
def test_bad_combinations_are_refused(ask: Ask, arguments: str, message: str) -> None:
    """Exit 2 and one line."""
    answer = ask("runs", *arguments.split())
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1


# -- upkeep -------------------------------------------------------------------------------------------


def test_purge_deletes_what_is_older(ask: Ask) -> None:
    """Of the three runs one has ended; nothing is older than a hundred years."""
    assert ask("purge", "--older-than", "36500d").out == "0 runs and events deleted\n"
    assert ask("purge", "--older-than", "0s", "--json").json == {"deleted": 1, "older_than": "0s"}
    assert {r["workflow_id"] for r in ask("runs", "list", "--json").json["items"]} == {"fulfil"}


def test_purge_refuses_a_slip(ask: Ask) -> None:
    """How old is not guessed."""
    assert ask("purge").code == 2
    answer = ask("purge", "--older-than", "30")
    assert answer.code == 2
    assert "--older-than" in answer.err


def test_the_doctor_finds_nothing_in_a_sound_store(ask: Ask) -> None:
    """Exit 0, and what was looked at."""
    answer = ask("doctor")
    assert (answer.code, answer.out) == (0, "4 runs and 0 events looked at: nothing found\n")
    assert ask("doctor", "--json").json == {"runs": 4, "events": 0, "findings": []}


def test_the_doctor_finds_damage_in_a_file(ask: Ask) -> None:
    """Exit 1, the rule that is broken, and the run."""
    connection = apsw.Connection("flowgen.db")
    connection.execute("update runs set due_at = null where workflow = 'fulfil' and started_at is not null")
    connection.close()
    answer = ask("doctor")
    assert answer.code == 1
    finding, verdict = answer.out.splitlines()
    assert finding.startswith("due: shop/")
    assert "run of fulfil: it is due at None, but step 'rest' is over at" in finding
    assert verdict == "4 runs and 0 events looked at: 1 difference found"
    (document,) = ask("doctor", "--json").json["findings"]
    assert (document["code"], document["app"]) == ("due", "shop")


def test_the_doctor_finds_a_flipped_bit(ask: Ask) -> None:
    """What is not what was written is found by its checksum; the others are looked at all the same."""
    connection = apsw.Connection("flowgen.db")
    ((damaged,),) = connection.execute("select id from runs where workflow = 'pay'").fetchall()
    connection.execute("update history set body = cast(replace(cast(body as text), 'declined', 'accepted') as blob)")
    connection.close()
    answer = ask("doctor", "--json")
    assert answer.code == 1
    assert [(f["code"], f["subject"]) for f in answer.json["findings"]] == [("unreadable", damaged)]
