"""The commands that ask a store: their answers, for people and as JSON, and their refusals."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
import trio
from trio.testing import MockClock

from flowgen import App, Context, Event, NonRetriableError, OnEvent, Run, Sleep, Steps, WaitFor
from flowgen.codec import import_lines
from flowgen.flow_control import Batch, RateLimit
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.cli import run, sending
from flowgen.runtime.cli.program import flowgen as program
from flowgen.runtime.environment import Environment

Data = dict[str, Any]
app = App("shop")


def decline() -> None:
    raise NonRetriableError("card \x1b[31mdeclined")


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context[Data]) -> Steps[str]:
    yield WaitFor("approval", "order/approved", match="data.order", timeout="7d")
    return "shipped"


@app.workflow
def pay(ctx: Context[Data]) -> Steps[None]:
    yield Run("charge", decline)


@app.workflow
def greet(ctx: Context[Data]) -> Steps[str]:
    yield Run("greet", str.upper, "hallö")
    return f"hello {ctx.event.data['name']}"


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
    """Runs a command in an empty directory, where the default store is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWGEN_DB", "sqlite:///flowgen.db")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "tests_shop", sys.modules[__name__])
    monkeypatch.delitem(sys.modules, "its_shop", raising=False)

    def asked(*arguments: str) -> Answer:
        capsys.readouterr()
        code = run(list(arguments))
        return Answer(code, *capsys.readouterr())

    return asked


def work(scene: Callable[[Engine], Any]) -> Any:
    """Let an engine work on the default store while `scene` goes on."""

    async def main() -> Any:
        with trio.fail_after(50):
            async with open_engine(app, "sqlite:///flowgen.db", grace="0s") as engine:
                return await scene(engine)

    return trio.run(main)


async def ended(engine: Engine, run_id: str) -> str:
    while (await engine.run(run_id)).ended_at is None:
        await engine.store.wait_changed(0.02)
    return run_id


def failed_run() -> str:
    async def scene(engine: Engine) -> str:
        return await ended(engine, await engine.start(pay, {"card": 1}))

    result: str = work(scene)
    return result


def waiting_run() -> str:
    async def scene(engine: Engine) -> str:
        await engine.send(Event("order/placed", {"order": "7"}, id="cart-7"))
        (found,) = (await engine.runs(workflow=fulfil)).items
        while (await engine.run(found.id)).status != "waiting":
            await engine.store.wait_changed(0.02)
        return found.id

    result: str = work(scene)
    return result


def greeted_run() -> str:
    async def scene(engine: Engine) -> str:
        return await ended(engine, await engine.start(greet, {"name": "Zoë"}))

    result: str = work(scene)
    return result


# -- sending --------------------------------------------------------------------------------------


def test_send_makes_the_store_and_answers_the_event_id(ask: Ask) -> None:
    """The id alone on standard output, so that a script can take it; sending it again answers the same."""
    first = ask("send", "order/placed", "--data", '{"order": "7"}', "--id", "cart-7")
    again = ask("send", "order/placed", "--data", '{"order": "7"}', "--id", "cart-7", "--json")
    assert first.code == again.code == 0
    assert again.json == {"ids": [first.out.strip()], "runs": []}
    assert "it starts no run" in first.err


def test_send_names_the_runs_that_it_starts(ask: Ask) -> None:
    """What an engine has registered is started by the send itself, whether or not that engine is at work."""
    greeted_run()
    answer = ask("send", "order/placed", "--json")
    (started,) = answer.json["runs"]
    assert (started["app"], started["workflow_id"]) == ("shop", "fulfil")
    assert ask("runs", "show", started["id"], "--json").json["status"] == "scheduled"
    assert "starts shop/fulfil, run " in ask("send", "order/placed").out


def test_send_tells_what_flow_control_makes_of_the_event(ask: Ask) -> None:
    """A run that is skipped starts nothing, and one that collects starts later."""
    held = App("held")

    @held.workflow(on=OnEvent("asked"), rate_limit=RateLimit(1, per="1h"))
    def once(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("rest", "1h")

    @held.workflow(on=OnEvent("asked"), batch=Batch(5, wait="1h"))
    def together(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("rest", "1h")

    async def register() -> None:
        async with open_engine(held, "sqlite:///flowgen.db", grace="0s"):
            pass

    trio.run(register)
    first, again = (sorted(ask("send", "asked").out.splitlines()[1:]) for _ in range(2))
    (collected, started), (_, skipped) = first, again
    assert re.fullmatch(r"starts held/once, run \w{26}", started)
    assert re.fullmatch(r"skips held/once, run \w{26}: .*rate.limit.*", skipped)
    assert re.fullmatch(r"is collected by held/together, run \w{26}", collected)
    runs = {run["workflow_id"]: run for run in ask("send", "asked", "--json").json["runs"]}
    assert (runs["once"]["status"], runs["together"]["status"]) == ("skipped", "collecting")
    assert runs["once"]["reason"] in skipped


def test_an_id_with_another_payload_is_refused(ask: Ask) -> None:
    """Understood, but it cannot be: exit 1."""
    ask("send", "a", "--id", "k")
    answer = ask("send", "a", "--id", "k", "--data", '{"x": 1}', "--json")
    assert (answer.code, answer.json["error"]["code"]) == (1, "conflict")


@pytest.mark.parametrize(
    "data, message",
    [
        ("", "--data is empty: send a JSON document"),
        ('{"a": tru}', "Expecting value at line 1, column 7, near '{\"a\": tru}'"),
        ('{"a": 1}\nx', "Extra data at line 2, column 1"),
        ("{'a': 1}", "Expecting property name enclosed in double quotes at line 1, column 2"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5_000 + "}", "--data: a number has more than 4300 digits"),
        ("[]", "data is a list; it must be a dict"),
        ('{"a": 1e999}', "--data: the number 1e999 is too large for a double"),
        ('{"a": "\\ud800"}', "--data: the text at /a holds half of a surrogate pair"),
        ('{"a": 1, "b": [{"c": 2, "a": 3, "c": 2}]}', "--data: the key 'c' is there twice in one object; say it once"),
    ],
)
def test_bad_data_is_refused_with_its_place(ask: Ask, data: str, message: str) -> None:
    """Exit 2 and one line; a store that was not there is not the worse for it."""
    answer = ask("send", "a", "--data", data)
    assert answer.code == 2
    assert answer.out == ""
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_data_may_come_from_standard_input(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--data -` reads it; what is no JSON there is told like any other."""
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"order": "8"}'))
    assert ask("send", "a", "--data", "-").code == 0
    assert ask("events", "list", "--json").json["items"][0]["data"] == {"order": "8"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("{"))
    assert ask("send", "a", "--data", "-").err.startswith("flowgen: standard input is not JSON: ")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8"))
    assert "standard input is not UTF-8 text" in ask("send", "a", "--data", "-").err


# -- invoking -------------------------------------------------------------------------------------


def test_invoke_starts_a_run_by_the_bare_id_or_with_its_app(ask: Ask) -> None:
    """The answer is the run's id."""
    greeted_run()
    for workflow in ("greet", "shop/greet"):
        answer = ask("invoke", workflow, "--data", '{"name": "Ada"}', "--json")
        assert ask("runs", "show", answer.json["run"], "--json").json["event"]["data"] == {"name": "Ada"}


def test_invoke_of_an_unknown_workflow_names_those_there_are(ask: Ask) -> None:
    """In a store; and it makes none, because a new one has no workflows."""
    assert "no such database: flowgen.db" in ask("invoke", "greet").err
    assert not Path("flowgen.db").exists()
    greeted_run()
    answer = ask("invoke", "great")
    assert answer.code == 1
    assert "the workflows are: shop/fulfil, shop/greet, shop/pay" in answer.err


def test_invoke_refuses_what_makes_no_sense_before_it_starts_anything(ask: Ask) -> None:
    """Data that is no object, a time-out that is none, or one without --wait."""
    greeted_run()
    for arguments in (["--data", "[1]"], ["--wait", "--timeout", "soon"], ["--timeout", "3s"]):
        assert ask("invoke", "greet", *arguments).code == 2
    assert len(ask("runs", "list", "--json").json["items"]) == 1


def test_invoke_does_not_wait_longer_than_told(ask: Ask) -> None:
    """Nobody works on this store; the run is named, and stays."""
    greeted_run()
    answer = ask("invoke", "greet", "--wait", "--timeout", "10ms", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (1, "timeout")
    assert answer.json["error"]["message"].endswith("did not end within 10ms")
    run_id = answer.err.split()[1]
    assert ask("runs", "show", run_id, "--json").json["status"] == "scheduled"


def test_who_waits_for_nobody_is_told(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--wait` remarks that nobody has begun the run and what must be at work, and goes on waiting."""
    greeted_run()
    monkeypatch.setattr(sending, "A_MOMENT", 0.0)
    answer = ask("invoke", "greet", "--wait", "--timeout", "300ms", "--json")
    assert answer.err.splitlines()[1:] == [
        "no engine has begun it: one that offers shop/greet must be at work, such as flowgen dev TARGET; waiting"
    ]
    assert answer.json["error"]["code"] == "timeout"


async def test_a_run_that_was_begun_is_no_reason_for_a_remark(
    capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    """Neither while it waits nor when it has ended; and never before the moment is over."""
    async with open_engine(app, "memory://", grace="0s", environment=Environment(seed=1, threads=False)) as engine:
        waiting = await engine.start(fulfil, {"order": "7"})
        while (await engine.run(waiting)).status != "waiting":
            await engine.store.wait_changed(1)
        began = trio.current_time()
        await sending.remark_if_not_begun(engine, waiting)
        assert trio.current_time() - began >= sending.A_MOMENT
        assert capsys.readouterr().err == ""


# -- looking --------------------------------------------------------------------------------------


def test_runs_are_listed_for_people_and_for_programs(ask: Ask) -> None:
    """A table with the reason of a failure on one harmless line; JSON with the fields of RunInfo."""
    failed, waiting = failed_run(), waiting_run()
    table = ask("runs", "list").out.splitlines()
    assert [line.split()[0] for line in table] == ["RUN", waiting, failed]
    assert "card \\x1b[31mdeclined" in table[2]
    items = ask("runs", "list", "--json").json["items"]
    assert [(item["id"], item["status"]) for item in items] == [(waiting, "waiting"), (failed, "failed")]
    assert items[1]["error"]["type"] == "StepError"


def test_runs_are_listed_by_workflow_state_and_page(ask: Ask) -> None:
    """The cursor of a page leads to the next; what is not there is an empty list."""
    runs = [greeted_run(), greeted_run(), failed_run()]
    listed = ask("runs", "list", "--workflow", "greet", "--json").json["items"]
    assert [item["id"] for item in listed] == [runs[1], runs[0]]
    assert ask("runs", "list", "--status", "failed", "--json").json["items"][0]["id"] == runs[2]
    page = ask("runs", "list", "--limit", "2", "--json").json
    rest = ask("runs", "list", "--limit", "2", "--cursor", page["cursor"], "--json").json
    assert [item["id"] for item in page["items"] + rest["items"]] == runs[::-1]
    assert ask("runs", "list", "--limit", "2").err.startswith("more: --cursor ")
    assert ask("runs", "list", "--workflow", "desk/greet").out == "no runs\n"
    assert ask("runs", "list", "--cursor", "bogus").code == 2


def test_a_run_is_shown_with_its_history(ask: Ask) -> None:
    """State, event, result and a line for each record; as JSON, with the records as they are stored."""
    run_id = greeted_run()
    shown = ask("runs", "show", run_id).out
    assert 'event      flowgen/run.invoked {"name": "Zoë"}' in shown
    assert 'result     "hello Zoë"' in shown
    assert 'done        greet  "HALLÖ"' in shown
    document = ask("runs", "show", run_id, "--json").json
    assert document["result"] == "hello Zoë"
    assert [record["type"] for record in document["history"]] == ["started", "succeeded", "end_completed"]


def test_a_failed_run_is_shown_with_its_trace(ask: Ask) -> None:
    """The line of the user's code that raised is there, and nothing that steers a terminal."""
    shown = ask("runs", "show", failed_run()).out
    assert (
        "error      StepError: step 'charge' failed after 1 attempt: NonRetriableError: card \\x1b[31mdeclined" in shown
    )
    assert 'yield Run("charge", decline)' in shown
    assert "\x1b" not in shown


def test_why_says_what_a_run_waits_for(ask: Ask) -> None:
    """In a sentence."""
    run_id = waiting_run()
    assert "waiting at step 'approval' for event 'order/approved' with data.order" in ask("why", run_id).out
    assert "'approval'" in ask("why", run_id, "--json").json["why"]


def test_events_are_listed(ask: Ask) -> None:
    """Without what they carry, unless asked; JSON has all of it."""
    waiting_run()
    ask("send", "order/approved")
    names = [line.split()[1] for line in ask("events", "list").out.splitlines()[1:]]
    assert names == ["order/approved", "order/placed"]
    assert '"order"' not in ask("events", "list").out
    assert '{"order":"7"}' in ask("events", "list", "--payloads").out
    (item,) = ask("events", "list", "--name", "order/placed", "--json").json["items"]
    assert (item["name"], item["data"], item["key"]) == ("order/placed", {"order": "7"}, "cart-7")
    assert ask("events", "list", "--name", "none").out == "no events\n"


# -- steering -------------------------------------------------------------------------------------


def test_cancel_is_accepted_until_a_run_has_ended(ask: Ask) -> None:
    """Twice is harmless; an ended run is refused with its state."""
    run_id = waiting_run()
    assert ask("runs", "cancel", run_id, "--json").json == {"run": run_id, "status": "cancelling"}
    assert ask("runs", "cancel", run_id).out == f"run {run_id} is being cancelled\n"
    work(lambda engine: ended(engine, run_id))
    answer = ask("runs", "cancel", run_id, "--json")
    assert (answer.code, answer.json["error"]["code"]) == (1, "wrong_state")
    assert "cancelled" in answer.json["error"]["message"]


def test_retry_and_rerun(ask: Ask) -> None:
    """A failed run is due again; a rerun is a new run with the same event."""
    run_id = failed_run()
    assert ask("runs", "retry", run_id).code == 0
    work(lambda engine: ended(engine, run_id))
    document = ask("runs", "show", run_id, "--json").json
    assert "retried" in [record["type"] for record in document["history"]]
    again = ask("runs", "rerun", run_id, "--json").json
    assert again["rerun_of"] == run_id
    assert ask("runs", "show", again["run"], "--json").json["event"]["data"] == {"card": 1}
    completed = greeted_run()
    assert ask("runs", "retry", completed).code == 1
    assert ask("runs", "rerun", completed, "--from-step", "no such step").code == 2


def test_an_export_is_what_import_lines_reads(ask: Ask) -> None:
    """JSON Lines: a header, then the records; the same to a file."""
    run_id = greeted_run()
    lines = ask("runs", "export", run_id).out.splitlines()
    exported = import_lines(lines)
    assert (exported.row.id, exported.row.length) == (run_id, len(exported.records)) == (run_id, len(lines) - 1)
    answer = ask("runs", "export", run_id, "-o", "run.jsonl")
    assert answer.out == "1 run with 3 records written to run.jsonl\n"
    assert Path("run.jsonl").read_text(encoding="utf-8").splitlines() == lines
    assert (
        ask("runs", "export", run_id, "-o", "no/such/dir").err
        == "flowgen: --output no/such/dir: No such file or directory\n"
    )


# -- refusals -------------------------------------------------------------------------------------

ON_A_RUN = ["runs show", "runs cancel", "runs retry", "runs rerun", "runs export", "why"]


@pytest.mark.parametrize("command", ON_A_RUN)
def test_an_unknown_run_is_refused(ask: Ask, command: str) -> None:
    """Exit 1 and one line; JSON stays JSON."""
    ask("send", "a")
    answer = ask(*command.split(), "nope")
    assert (answer.code, answer.out, answer.err) == (1, "", "flowgen: there is no run 'nope' in this store\n")
    assert ask(*command.split(), "nope", "--json").json["error"]["code"] == "not_found"


def foreign(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("create table t(x)")
    connection.close()


def newer(path: Path) -> None:
    assert run(["send", "a", "--db", f"sqlite:///{path}"]) == 0
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 999)
    connection.close()


STORES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "directory": (Path.mkdir, "is a directory"),
    "text": (lambda path: path.write_text("no database " * 100), "is not a SQLite database"),
    "foreign": (foreign, "of another application"),
    "newer": (newer, "upgrade this one"),
}


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("command", ["send a", "runs list", "events list", "why r", "invoke w"])
def test_a_store_that_cannot_be_used_is_refused(ask: Ask, kind: str, command: str) -> None:
    """Exit 2 and one line that names the file."""
    make, message = STORES[kind]
    make(Path("it.db"))
    answer = ask(*command.split(), "--db", "sqlite:///it.db")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert "it.db" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "url, message",
    [
        ("flowgen.db", "has no scheme"),
        ("carrier://pigeon", "nothing is installed for carrier://"),
        ("sqlite://flowgen.db", "say sqlite:///relative.db"),
        ("sqlite:///", "say sqlite:///relative.db"),
        ("sqlite:///no/such/dir/x.db", "no such database: no/such/dir/x.db"),
        ("sqlite:///x.db?mode=ro", "it has a query, and there are no options to set there; say sqlite:///x.db "),
        ("memory://", "a memory store lives inside one process"),
    ],
)
def test_a_bad_store_url_is_refused(ask: Ask, url: str, message: str) -> None:
    """Exit 2 and one line; with --json the error is JSON."""
    answer = ask("runs", "list", "--db", url)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert ask("runs", "list", "--json", "--db", url).json["error"]["code"] in ("store", "invalid_input")


@pytest.mark.parametrize("command", [*[f"{command} r" for command in ON_A_RUN], "runs list", "events list", "invoke w"])
def test_looking_makes_no_database(ask: Ask, command: str) -> None:
    """A file that is not there is told; it does not come into being."""
    answer = ask(*command.split())
    assert answer.code == 2
    assert answer.err.startswith("flowgen: no such database: flowgen.db")
    assert os.listdir() == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nope"], "No such command 'nope'"),
        (["runs", "list", "--nope"], "No such option"),
        (["runs", "list", "--limit", "0"], "'--limit': 0 is not in the range"),
        (["runs", "list", "--status", "happy"], "'happy' is not one of"),
        (["runs", "show"], "Missing argument 'RUN'"),
        (["send"], "Missing argument 'NAME'"),
        (["worker"], "Missing argument 'TARGET...'"),
    ],
)
def test_bad_arguments_are_told_in_a_line(ask: Ask, arguments: list[str], message: str) -> None:
    """Exit 2, where to read on, and JSON where it was asked for."""
    answer = ask(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert "--help)" in answer.err
    assert answer.err.count("\n") == 1
    assert ask(*arguments, "--json").json["error"]["code"] == "usage"


def test_no_command_prints_the_help(ask: Ask) -> None:
    """To standard error, with the exit code of bad input."""
    for arguments in ([], ["runs"]):
        answer = ask(*arguments)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("Usage: flowgen")


def test_an_error_of_ours_is_told_in_a_line_too(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 70; the traceback only for those who ask for it."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("flowgen.runtime.cli.runs.ask", broken)
    answer = ask("why", "r")
    assert (answer.code, answer.err) == (70, "flowgen: ZeroDivisionError: oops (FLOWGEN_TRACEBACK=1 shows where)\n")
    monkeypatch.setenv("FLOWGEN_TRACEBACK", "1")
    assert "Traceback" in ask("why", "r").err


def test_help_needs_no_event_loop_and_no_database() -> None:
    """`flowgen --help` imports neither trio nor apsw, nor asyncio: it is there at once."""
    code = (
        "import sys; from flowgen.runtime.cli import run; status = run(['--help']); "
        "print(status, *sorted({'trio', 'apsw', 'asyncio', 'sqlite3'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "0\n"
    assert "Usage: flowgen" in done.stdout


def test_every_command_says_what_it_does() -> None:
    """Each command and each option has a help text."""

    def check(command: Any) -> None:
        assert command.help, command.name
        for option in command.params:
            if option.param_type_name == "option":
                assert option.help, (command.name, option.name)
        for inner in getattr(command, "commands", {}).values():
            check(inner)

    check(program)
