"""Bad input to engines on the command line: exit code 2 and one line with the reason, never a traceback.

Each row of the list of hostile input for the command line is here, but for signals and closed pipes (`test_cli_dev`),
and those that need no engine (`test_cli_commands`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import attrs
import pytest

from flowgen.runtime.cli import run

GOOD = """
from flowgen import App, Sleep
app = App("shop")

@app.workflow
def wait(ctx):
    yield Sleep("a moment", "1s")
"""

ENGINES = ["dev --port 0", "server --port 0", "worker"]
WITH_HTTP = ["dev", "server"]


@attrs.frozen
class Answer:
    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Ask]:
    """Runs a command in a directory with some files; what its processes print is caught."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for name in [name for name in os.environ if name.startswith("FLOWGEN_")]:
        monkeypatch.delenv(name)
    path, modules = list(sys.path), set(sys.modules)
    Path("good.py").write_text(GOOD)

    def asked(*arguments: str) -> Answer:
        capfd.readouterr()
        code = run([word for argument in arguments for word in argument.split()])
        return Answer(code, *capfd.readouterr())

    yield asked
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def refused(answer: Answer, message: str) -> None:
    assert (answer.code, answer.out) == (2, ""), answer
    assert message in answer.err
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith("flowgen: ")


@pytest.mark.parametrize("command", ENGINES)
@pytest.mark.parametrize(
    "code, message",
    [
        ("import nothing_at_all", "No module named 'nothing_at_all' (bad.py:1)"),
        ("1 / 0", "ZeroDivisionError: division by zero (bad.py:1)"),
        ("if", "SyntaxError: invalid syntax (bad.py:1)"),
        ("exit(3)", "it calls exit(3) while it is imported (bad.py:1)"),
        ("raise KeyboardInterrupt.__base__('x')", "BaseException: x"),
        ("print('loud')", "bad has no App; make one"),
        ("from flowgen import App\napp = App('a')", "has no workflows"),
        (GOOD + GOOD.partition('app = App("shop")')[2], "'wait'"),
        (GOOD + "other = App('other')", "it has these apps: app, other; name one after a colon"),
    ],
    ids=range(9),
)
def test_targets_that_cannot_be_served(ask: Ask, command: str, code: str, message: str) -> None:
    """What raises, exits, prints, or has nothing or too much to serve."""
    Path("bad.py").write_text(code)
    answer = ask(command, "bad.py")
    loud = answer.err.removeprefix("loud\n")
    refused(attrs.evolve(answer, err=loud), message)
    assert not Path("flowgen.db").exists()


@pytest.mark.parametrize("command", ENGINES)
def test_databases_that_cannot_be_used(ask: Ask, command: str) -> None:
    """A directory, no database, one of a newer version, a place that is not there, no URL."""
    Path("directory.db").mkdir()
    Path("text.db").write_text("no database " * 100)
    connection = apsw.Connection("newer.db")
    connection.execute("create table t (a); pragma user_version = 9999; pragma application_id = 0")
    connection.close()
    for url, message in [
        ("sqlite:///directory.db", "directory.db"),
        ("sqlite:///text.db", "is not a SQLite database"),
        ("sqlite:///newer.db", "newer.db"),
        ("sqlite:///no/where/x.db", "its directory no/where does not exist"),
        ("nothing", "has no scheme"),
        ("redis://here", "redis"),
    ]:
        refused(ask(command, "good.py", "--db", url), message)


@pytest.mark.skipif(os.geteuid() == 0, reason="for the superuser nothing is read-only")
@pytest.mark.parametrize("command", ENGINES)
def test_a_database_that_may_only_be_read(ask: Ask, command: str) -> None:
    """An engine has to write."""
    Path("flowgen.db").touch(0o400)
    refused(ask(command, "good.py"), "flowgen.db")


@pytest.mark.parametrize("command", WITH_HTTP)
@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--port 70000", "port 70000: a port is a number from 0 (any free one) to 65535"),
        ("--port -1", "port -1"),
        ("--port many", "'many' is not a valid integer"),
        ("--host nowhere.invalid --auth-token long-enough", "host 'nowhere.invalid'"),
        ("--host 192.0.2.1 --auth-token long-enough", "host '192.0.2.1' is no address of this machine"),
        ("--host 0.0.0.0", "--host 0.0.0.0 lets other machines in, and there is no token; set one"),
        ("--host ::", "--host :: lets other machines in"),
        ("--host example.org", "--host example.org lets other machines in"),
        ("--auth-token short", "auth_tokens: a key of 5 characters is refused"),
        ("--port 0 --port 0", "Option '--port' is there twice; say it once."),
        ("--prot 0", "No such option"),
    ],
)
def test_options_that_cannot_be(ask: Ask, command: str, arguments: str, message: str) -> None:
    """Nothing is opened before they are known to be good."""
    refused(ask(command, "good.py", arguments), message)
    assert not Path("flowgen.db").exists()


@pytest.mark.parametrize("command", WITH_HTTP)
def test_a_port_in_use(ask: Ask, command: str) -> None:
    """The port is named, and what to do; the other server is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused(ask(command, "good.py", f"--port {port}"), f"port {port} of 127.0.0.1 is in use: another server is")


@pytest.mark.parametrize("command", ENGINES)
def test_a_variable_that_is_misspelt(ask: Ask, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A token that nobody reads would be no token; what a cluster sets for a service called flowgen is let be."""
    monkeypatch.setenv("FLOWGEN_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("FLOWGEN_AUTH_TOKENS", "long-enough")
    refused(ask(command, "good.py"), "FLOWGEN_AUTH_TOKENS is set, and means nothing: did you mean FLOWGEN_AUTH_TOKEN?")


def test_a_server_with_a_name_needs_a_token(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy it listens on loopback, and is open to the world all the same."""
    monkeypatch.setenv("FLOWGEN_HOSTS", "flows.example.org")
    refused(ask("server --port 0 good.py"), "FLOWGEN_HOSTS lets whoever can call flows.example.org in")


@pytest.mark.parametrize("command", ENGINES)
@pytest.mark.parametrize("other", ["good.py", "other.py"])
def test_two_apps_of_one_name(ask: Ask, command: str, other: str) -> None:
    """Names are what keeps their runs apart."""
    Path("other.py").write_text(GOOD)
    refused(ask(command, "good.py", other), "its app is called 'shop', like that of TARGET good.py")


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, {"HOME": ""}, {"HOME": "/nonexistent"}],
    ids=str,
)
def test_poor_environments(ask: Ask, environment: dict[str, str]) -> None:
    """No UTF-8, no terminal and no home: errors are told all the same, JSON stays JSON."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH")}
    for arguments in (
        ["runs", "list", "--json"],
        ["send", "grüße", "--db", "sqlite:///x.db", "--json"],
        ["why", "ü", "--json"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "flowgen", *arguments],
            env={**kept, **environment, "FLOWGEN_DB": "sqlite:///x.db"},
            capture_output=True,
        )
        json.loads(done.stdout)
        assert done.returncode in (0, 1, 2)
        assert b"Traceback" not in done.stderr
