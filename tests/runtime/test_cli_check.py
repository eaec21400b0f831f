"""`flowgen check`, `flowgen lint` and `flowgen runs export` of many runs: what they answer, and what they refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Run, Steps, WaitFor
from flowgen.codec import import_runs
from flowgen.errors import InvalidInput
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.cli import run
from flowgen.runtime.replay.answers import Answer, Begin
from flowgen.runtime.replay.crew import Crew
from flowgen.runtime.replay.sources import Ref

SHOP = """
import datetime, os, random, time
from flowgen import App, Context, Run, Sleep, WaitFor

app = App("shop")

def reserve(order): return f"r-{order}"
def pack(reservation): ...
def ship(reservation): return f"shipped {reservation}"

@app.workflow
def fulfil(ctx):
    print("a body may print")
    reservation = yield from Run(reserve, ctx.event.data["id"])
    # here
    yield WaitFor("paid", "order/paid", match="data.id", timeout="7d")
    # there
    return (yield from Run(ship, reservation))
"""

app = App("shop")


def reserve(order: str) -> str:
    return f"r-{order}"


def ship(reservation: str) -> str:
    return f"shipped {reservation}"


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context[dict[str, Any]]) -> Steps[str]:
    reservation = yield from Run(reserve, ctx.event.data["id"])
    yield WaitFor("paid", "order/paid", match="data.id", timeout="7d")
    return (yield from Run(ship, reservation))


@attrs.frozen
class Told:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Ask = Callable[..., Told]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three runs that wait and two that have ended."""
    path = tmp_path_factory.mktemp("recorded") / "shop.db"

    async def main() -> None:
        with trio.fail_after(50):
            async with open_engine(app, f"sqlite:///{path}", grace="0s") as engine:
                runs = [await engine.start(fulfil, {"id": str(number)}) for number in range(5)]
                for each in runs:
                    await until(engine, each, "waiting")
                for number in range(2):
                    await engine.send(Event("order/paid", {"id": str(number)}))
                    await engine.result(runs[number])

    trio.run(main)
    return path


async def until(engine: Engine, run_id: str, status: str) -> None:
    while (await engine.run(run_id)).status != status:
        await engine.store.wait_changed(0.02)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Ask]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def asked(*arguments: str) -> Told:
        sys.modules.pop("shop_now", None)
        capsys.readouterr()
        code = run(list(arguments))
        return Told(code, *capsys.readouterr())

    yield asked
    sys.modules.pop("shop_now", None)


def code(here: str = "pass", there: str = "pass", text: str = SHOP) -> str:
    Path("shop_now.py").write_text(text.replace("# here", here).replace("# there", there))
    return "shop_now.py:app"


def test_the_code_that_made_them_breaks_nothing(ask: Ask, recorded: Path) -> None:
    """Also as JSON; and what the target prints is not in the way."""
    answer = ask("check", code(), "--against", f"sqlite:///{recorded}", "--json")
    assert answer.json == {"runs": 5, "same": 5, "safe": 0, "breaks": []}
    assert answer.code == 0


def test_runs_that_break_are_told_with_both_sides_and_grouped(ask: Ask, recorded: Path) -> None:
    """Exit code 1; one group a cause, with the line of the code."""
    target = code(here="yield Run(pack, reservation)")
    answer = ask("check", target, "--against", f"sqlite:///{recorded}", "--jobs", "2")
    assert answer.code == 1
    assert answer.out.startswith("5 runs replayed on shop_now.py:app: 0 same, 0 safe, 5 break\n")
    cause = "the code asks for 'pack' where the history has 'paid' (shop_now.py:15, in fulfil)"
    assert f"breaks  fulfil, 3 open and 2 ended: {cause}" in answer.out
    assert "recorded:    wait 'paid' with" in answer.out
    assert "code yields: run 'pack' with" in answer.out
    breaks = ask("check", target, "--against", f"sqlite:///{recorded}", "--json").json["breaks"]
    assert len(breaks) == 5
    assert set(breaks[0]) == {"run", "workflow", "step", "recorded", "yields", "cause"}
    assert (breaks[0]["workflow"], breaks[0]["step"], breaks[0]["cause"]) == ("fulfil", "paid", cause)


def test_ended_runs_tell_of_what_open_ones_have_not_reached(ask: Ask, recorded: Path) -> None:
    """With `--closed 0` only open runs count."""
    target = code(there="yield Run(pack, reservation)")
    url = f"sqlite:///{recorded}"
    assert ask("check", target, "--against", url, "--json").json["same"] == 3
    answer = ask("check", target, "--against", url, "--closed", "0", "--json")
    assert (answer.code, answer.json) == (0, {"runs": 3, "same": 3, "safe": 0, "breaks": []})
    (break_,) = ask("check", target, "--against", url, "--closed", "1", "--json").json["breaks"]
    assert break_["step"] == "ship"


def test_more_at_the_end_is_safe(ask: Ask, recorded: Path) -> None:
    """And the report says why."""
    text = SHOP.replace(
        "return (yield from Run(ship, reservation))", "yield Run(ship, reservation); yield Sleep('z', 1)"
    )
    answer = ask("check", code(text=text), "--against", f"sqlite:///{recorded}")
    assert answer.code == 0
    assert "3 same, 2 safe, 0 break" in answer.out
    assert "safe 2 × fulfil: the code goes on where the run ended: z" in answer.out


def test_ended_runs_of_older_code_are_left_out(ask: Ask, recorded: Path, tmp_path: Path) -> None:
    """Only what the code in force has done says something of runs to come."""
    copy = tmp_path / "copy.db"
    with apsw.Connection(str(recorded)) as source, apsw.Connection(str(copy)) as target:
        with target.backup("main", source, "main") as backup:
            backup.step()
        target.execute("update in_force set digest = 'newer'")
    assert ask("check", code(), "--against", f"sqlite:///{copy}", "--json").json["runs"] == 3


def test_a_workflow_that_is_gone(ask: Ask, recorded: Path) -> None:
    """Its open runs break; its ended ones are history."""
    answer = ask("check", code(text=SHOP.replace("def fulfil", "def other")), "--against", f"sqlite:///{recorded}")
    assert answer.code == 1
    assert "breaks  fulfil, 3 open: there is no workflow 'fulfil' any more" in answer.out


def test_a_damaged_history_is_told_and_hinders_no_other(ask: Ask, recorded: Path, tmp_path: Path) -> None:
    """No code could replay it."""
    copy = tmp_path / "copy.db"
    with apsw.Connection(str(recorded)) as source, apsw.Connection(str(copy)) as target:
        with target.backup("main", source, "main") as backup:
            backup.step()
        target.execute("update history set checksum = checksum + 1 where number = (select min(number) from history)")
    answer = ask("check", code(), "--against", f"sqlite:///{copy}", "--json")
    assert (answer.code, answer.json["same"]) == (1, 4)
    (break_,) = answer.json["breaks"]
    assert (break_["step"], break_["cause"]) == ("(history)", "the history is damaged")
    assert "checksum" in break_["recorded"]


@pytest.mark.parametrize(
    "here",
    [
        "yield Run(pack, datetime.datetime.now().year)",
        "ctx.event.data['id'] = random.random()",
        "yield_ = [reservation, hash('a')]; reservation = str(yield_)",
    ],
    ids=["clock", "dice", "hash"],
)
def test_perturbed_a_body_shows_what_it_depends_on(ask: Ask, recorded: Path, here: str) -> None:
    """Another clock, other dice and another hash seed: the same run is replayed twice, and compared."""
    there = (
        "" if "yield_" not in here and "random" not in here else "yield Run(pack, str(ctx.event.data) + reservation)"
    )
    text = SHOP.replace("# there", "").replace('yield WaitFor("paid"', f'{there}\n    yield WaitFor("paid"')
    ask("runs", "export", "--status", "waiting", "--db", f"sqlite:///{recorded}", "-o", "all.jsonl")
    short = [line for line in Path("all.jsonl").read_text().splitlines() if '"type":"requested"' not in line]
    Path("short.jsonl").write_text("\n".join(short))
    target = code(here=here, text=text)
    answer = ask("check", target, "--against", "short.jsonl", "--perturb", "--json")
    assert answer.code == 1
    assert {b["cause"] for b in answer.json["breaks"]} == {
        "the code depends on the clock, on chance or on the order of a set"
    }
    assert len(answer.json["breaks"]) == 3
    steady = ask("check", code(), "--against", "all.jsonl", "--perturb", "--json")
    assert steady.json == {"runs": 3, "same": 3, "safe": 0, "breaks": []}


def test_a_body_that_ends_its_process_costs_its_run_only(ask: Ask, recorded: Path) -> None:
    """The process is replaced."""
    target = code(here='if ctx.event.data["id"] == "3": os._exit(9)')
    answer = ask("check", target, "--against", f"sqlite:///{recorded}", "--json")
    assert answer.json["same"] == 4
    (break_,) = answer.json["breaks"]
    assert (break_["step"], break_["cause"]) == ("(replay)", "the replay ended its process with exit code 9")


async def _refs(*refs: Ref) -> AsyncGenerator[Ref, None]:
    for ref in refs:
        yield ref


FAKE = """
import sys, json, time
sys.stdin.readline(); print("{}", flush=True)
for line in sys.stdin:
    run = json.loads(line)[1]
    if run == "spins": time.sleep(1000)
    if run == "dies": sys.exit(3)
    print(json.dumps({"run": run, "workflow": "w", "ended": False, "verdict": "same"}), flush=True)
"""


async def _answers(command: tuple[str, ...], *runs: str, patience: float = 20) -> list[Answer]:
    told: list[Answer] = []
    crew = Crew(command, Begin("t", "a", {}), 3, patience=patience)
    await crew.answer(_refs(*[("shop", each) for each in runs]), told.append)
    return told


async def test_answers_come_in_the_order_of_the_runs() -> None:
    """Whichever process was first."""
    runs = [f"run-{number}" for number in range(150)]
    assert [answer.run for answer in await _answers((sys.executable, "-c", FAKE), *runs)] == runs


async def test_a_replay_that_takes_too_long_is_ended() -> None:
    """The others of its chunk are judged by a new process."""
    answers = await _answers((sys.executable, "-c", FAKE), "a", "spins", "b", patience=1.5)
    assert [answer.verdict for answer in answers] == ["same", "breaks", "same"]
    assert answers[1].cause == "the replay took longer than 1.5 seconds"


async def test_processes_that_keep_dying_are_not_replaced_for_ever() -> None:
    """That is told as what it is, and so is one that cannot even begin."""
    with pytest.raises(ExceptionGroup) as caught:
        await _answers((sys.executable, "-c", FAKE), *["dies"] * 5)
    assert caught.group_contains(InvalidInput, match="3 replays did not come to an end; the last one ended its process")
    with pytest.raises(ExceptionGroup) as caught:
        await _answers((sys.executable, "-c", "import sys; sys.exit('no such thing')"), "a")
    assert caught.group_contains(InvalidInput, match="exit code 1 before it began: no such thing")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["check", "TARGET"], "Missing option '--against'"),
        (["check", "TARGET", "--against", "sqlite:///none.db"], "no such database: none.db"),
        (["check", "TARGET", "--against", "none.jsonl"], "none.jsonl cannot be read: No such file"),
        (["check", "TARGET", "--against", "shop_now.py"], "shop_now.py, line 2: not the header of an exported run"),
        (["check", "TARGET", "--against", "memory://"], "a memory store lives inside one process"),
        (["check", "TARGET", "--against", "redis://x"], "nothing is installed for redis://"),
        (["check", "none.py", "--against", "x.db"], "there is no file none.py here"),
        (["check", "TARGET", "--against", "x", "--jobs", "0"], "0 is not in the range"),
        (["lint", "none.py"], "there is no file none.py here"),
        (["runs", "export", "run-1", "--limit", "3"], "say which runs, or options that select them, not both"),
        (["runs", "export", "--before", "soon"], "--before soon: write a time such as"),
    ],
)
def test_bad_input_is_one_clear_line(ask: Ask, arguments: list[str], message: str) -> None:
    """Exit code 2, for people and as JSON."""
    target = code()
    answer = ask(*[target if word == "TARGET" else word for word in arguments])
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err
    as_json = ask(*[target if word == "TARGET" else word for word in arguments], "--json")
    assert message in as_json.json["error"]["message"]


def test_a_store_without_runs_of_the_app_is_remarked_on(ask: Ask, recorded: Path) -> None:
    """A first deployment breaks nothing, so it is no failure; but a wrong URL looks the same, so it is said aloud."""
    target = code(text=SHOP.replace('App("shop")', 'App("else")'))
    answer = ask("check", target, "--against", f"sqlite:///{recorded}")
    assert (answer.code, answer.out) == (0, "0 runs replayed on shop_now.py:app: 0 same, 0 safe, 0 break\n")
    assert f"there is no run of app 'else' to replay in sqlite:///{recorded}, so nothing was proved" in answer.err
    as_json = ask("check", target, "--against", f"sqlite:///{recorded}", "--json")
    assert (as_json.code, as_json.json["runs"]) == (0, 0)
    assert "nothing was proved" in as_json.err


# -- exports ---------------------------------------------------------------------------------------


def test_many_runs_are_exported_in_one_stream(ask: Ask, recorded: Path) -> None:
    """The newest first; each option selects, and check takes the file."""
    db = ("--db", f"sqlite:///{recorded}")
    everything = list(import_runs(ask("runs", "export", *db).out.splitlines()))
    assert len(everything) == 5
    assert [e.row.created_at for e in everything] == sorted((e.row.created_at for e in everything), reverse=True)
    assert all(len(e.records) == e.row.length for e in everything)
    for options, many in (
        (["--status", "completed"], 2),
        (["--status", "waiting", "--limit", "2"], 2),
        (["--workflow", "shop/fulfil"], 5),
        (["--after", "1h"], 5),
        (["--before", "1h"], 0),
    ):
        answer = ask("runs", "export", *options, *db)
        assert len(list(import_runs(answer.out.splitlines()))) == many
        assert ("no runs" in answer.err) == (many == 0)
    two = [e.row.id for e in everything[:2]]
    assert [e.row.id for e in import_runs(ask("runs", "export", *two, *db).out.splitlines())] == two
    answer = ask("runs", "export", *db, "-o", "all.jsonl", "--json")
    assert answer.json == {"runs": 5, "records": sum(len(e.records) for e in everything), "output": "all.jsonl"}
    assert ask("check", code(), "--against", "all.jsonl", "--json").json["same"] == 5


def test_an_export_leaves_damaged_runs_out_and_says_so(ask: Ask, recorded: Path, tmp_path: Path) -> None:
    """Exit code 1; the others are there."""
    copy = tmp_path / "copy.db"
    with apsw.Connection(str(recorded)) as source, apsw.Connection(str(copy)) as target:
        with target.backup("main", source, "main") as backup:
            backup.step()
        target.execute("update history set checksum = checksum + 1 where number = (select min(number) from history)")
    answer = ask("runs", "export", "--db", f"sqlite:///{copy}")
    assert answer.code == 1
    assert len(list(import_runs(answer.out.splitlines()))) == 4
    assert "left out: run" in answer.err


def test_looking_changes_nothing_in_the_store(ask: Ask, recorded: Path) -> None:
    """Neither check nor export."""
    before = recorded.read_bytes()
    ask("check", code(), "--against", f"sqlite:///{recorded}")
    ask("runs", "export", "--db", f"sqlite:///{recorded}")
    assert recorded.read_bytes() == before


# -- lint ------------------------------------------------------------------------------------------


def test_lint_tells_each_finding_in_a_line(ask: Ask) -> None:
    """Or as JSON; exit code 1 if there is one."""
    target = code(here="x = datetime.datetime.now()")
    answer = ask("lint", target)
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[1] == (
        "shop_now.py:15: clock: datetime.datetime.now() gives another time at each replay: "
        "take ctx.now, or do it in a step"
    )
    assert "1 workflow of shop: 2 findings found" in answer.err
    assert [set(item) for item in ask("lint", target, "--json").json] == [{"path", "line", "code", "message"}] * 2
    clean = ask("lint", code(text=SHOP.replace('print("a body may print")', "")), "--json")
    assert (clean.code, clean.json) == (0, [])


def test_a_workflow_without_source_is_remarked_on(ask: Ask) -> None:
    """It cannot be read, so nothing is promised."""
    text = (
        'from flowgen import App\napp = App("shop")\nexec("def made(ctx):\\n    yield print(1)\\napp.workflow(made)")\n'
    )
    answer = ask("lint", code(text=text))
    assert (answer.code, answer.out) == (0, "")
    assert "workflow made: its source is not that of its module" in answer.err
