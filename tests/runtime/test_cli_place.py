"""Commands that ask a server: the same answers as from a store, and where they ask when nobody says where."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from flowgen import App, Context, NonRetriableError, OnEvent, Run, WaitFor
from flowgen.runtime import open_engine
from flowgen.runtime.cli import place, run
from flowgen.runtime.cli.faults import Fault
from flowgen.runtime.cli.place import Place, settled
from flowgen.runtime.http import Settings, http_app, serving

app = App("shop")


def decline() -> None:
    raise NonRetriableError("declined")


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context[dict[str, Any]]) -> Any:
    yield WaitFor("approval", "order/approved", match="data.order", timeout="7d")
    return "shipped"


@app.workflow
def pay(ctx: Context[dict[str, Any]]) -> Any:
    yield Run("charge", decline)


@app.workflow
def greet(ctx: Context[dict[str, Any]]) -> Any:
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
    """Runs a command, in an empty directory and an environment without flowgen's variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FLOWGEN_")]:
        monkeypatch.delenv(name)

    def asked(*arguments: str) -> Answer:
        capsys.readouterr()
        code = run(list(arguments))
        return Answer(code, *capsys.readouterr())

    return asked


class Server:
    """A server with an engine on a file, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._opened = threading.Event()
        self._settings = settings
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), daemon=True)
        self._thread.start()
        self._opened.wait(30)

    async def _serve(self) -> None:
        self._closing = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        async with (
            open_engine(app, "sqlite:///served.db", grace="0s") as engine,
            serving(http_app(app, engine, settings=self._settings), port=0) as self.url,
        ):
            self._opened.set()
            await self._closing.wait()

    def close(self) -> None:
        self._token.run_sync_soon(self._closing.set)
        self._thread.join()


@pytest.fixture
def serve(ask: Ask) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def begin(**settings: Any) -> Server:
        made.append(Server(Settings(**settings)))
        return made[-1]

    yield begin
    for server in made:
        server.close()


def test_a_server_answers_what_its_store_answers(ask: Ask, serve: Callable[..., Server]) -> None:
    """Each command that looks, for people and as JSON, through the one and through the other."""
    server = serve()
    url, db = ["--url", server.url], ["--db", "sqlite:///served.db"]
    sent = ask("send", "order/placed", "--data", '{"order": "7"}', "--id", "cart-7", "--json", *url).json
    (waiting,) = [each["id"] for each in sent["runs"]]
    greeted = ask("invoke", "greet", "--data", '{"name": "Zoë"}', "--wait", "--json", *url).json
    assert greeted["result"] == "hello Zoë"
    failed = ask("invoke", "pay", "--wait", *url)
    assert (failed.code, "declined" in failed.err) == (1, True)
    while ask("runs", "show", waiting, "--json", *url).json["status"] != "waiting":
        pass
    for command in (
        "runs export",
        "runs export --status failed --json",
        f"runs export {waiting} {greeted['run']}",
        "runs export --workflow shop/greet --limit 1 --after 1d",
        "runs export --before 1d",
        "runs export nothing",
        "runs list",
        "runs list --status failed --limit 1",
        "runs list --workflow shop/greet",
        "events list --payloads",
        "workflows list",
        f"runs show {waiting}",
        f"runs show {greeted['run']}",
        f"why {waiting}",
        "why nothing",
        "runs cancel nothing",
        f"runs retry {greeted['run']}",
        "runs cancel --all --workflow fulfil",
        "runs list --cursor broken",
    ):
        for form in ([], ["--json"]):
            asked, looked = ask(*command.split(), *form, *url), ask(*command.split(), *form, *db)
            assert _steady(asked) == _steady(looked), command


def _steady(answer: Answer) -> Answer:
    """Without the seconds that are left until something, which pass."""
    import re

    return attrs.evolve(answer, out=re.sub(r"\(in [\dydhms]+\)", "", answer.out))


def test_steering_through_a_server(ask: Ask, serve: Callable[..., Server]) -> None:
    """Sent, started, cancelled, retried, rerun, paused: with the same words as on a store."""
    url = ["--url", serve().url]
    run_id = ask("invoke", "fulfil", "--data", '{"order": "1"}', *url).out.strip()
    assert ask("runs", "cancel", run_id, "--reason", "enough", *url).out == f"run {run_id} is being cancelled\n"
    while (status := ask("runs", "show", run_id, "--json", *url).json["status"]) != "cancelled":
        assert status in ("waiting", "running", "cancelling", "scheduled")
    assert ask("runs", "cancel", run_id, *url).code == 1
    again = ask("runs", "rerun", run_id, *url).out.strip()
    assert ask("runs", "show", again, "--json", *url).json["workflow_id"] == "fulfil"
    assert ask("runs", "cancel", "--all", "--yes", "--json", *url).json["done"] == 1
    assert ask("workflows", "pause", "greet", *url).out == "workflow greet is paused\n"
    assert ask("workflows", "resume", "shop/greet", *url).code == 0
    assert ask("invoke", "greet", "--data", '{"name": "x"}', "--wait", "--timeout", "30s", *url).out == '"hello x"\n'


def test_a_token_comes_from_the_environment(
    ask: Ask, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it: exit 2, and one line."""
    url = ["--url", serve(auth_tokens=("the-right-token",), event_keys=("the-event-key",)).url]
    answer = ask("runs", "list", *url)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "token" in answer.err
    assert ask("runs", "list", "--json", *url).json["error"]["code"] == "access_denied"
    monkeypatch.setenv("FLOWGEN_AUTH_TOKEN", "the-right-token,another-one")
    assert ask("runs", "list", *url).code == 0
    assert ask("send", "a", *url).code == 2
    monkeypatch.setenv("FLOWGEN_EVENT_KEY", "the-event-key")
    assert ask("send", "a", *url).code == 0


@pytest.mark.parametrize("url", ["nothing", "http://", "ftp://x", "http://x?y=1"])
def test_what_is_no_address(ask: Ask, url: str) -> None:
    """Exit 2, and what to say."""
    answer = ask("runs", "list", "--url", url)
    assert (answer.code, answer.out) == (2, "")
    assert "say http://host:port" in answer.err


def test_a_server_or_a_store(ask: Ask) -> None:
    """Not both."""
    answer = ask("runs", "list", "--url", "http://127.0.0.1:1", "--db", "sqlite:///x.db")
    assert (answer.code, "not both" in answer.err) == (2, True)


def test_where_commands_ask_when_nobody_says_where(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line before the environment, the server of `flowgen dev` before its store."""
    monkeypatch.setattr(place, "_answers", lambda: False)
    assert settled(Place()) == Place(db="sqlite:///flowgen.db")
    monkeypatch.setattr(place, "_answers", lambda: True)
    assert settled(Place()) == Place(url="http://127.0.0.1:8288")
    monkeypatch.setenv("FLOWGEN_DB", "sqlite:///other.db")
    assert settled(Place()) == Place(db="sqlite:///other.db")
    assert settled(Place(url="http://x")) == Place(url="http://x")
    monkeypatch.setenv("FLOWGEN_URL", "http://y")
    assert settled(Place(db="sqlite:///z.db")) == Place(db="sqlite:///z.db")
    with pytest.raises(Fault, match="are both set"):
        settled(Place())


@pytest.mark.parametrize(
    "status, body, answers",
    [(200, b'{"status": "ok"}', True), (200, b"<html>", False), (404, b'{"status": "ok"}', False), (200, b"[]", False)],
)
def test_what_answers_at_the_usual_address_is_asked_who_it_is(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, answers: bool
) -> None:
    """Another program there is not taken for a server of ours; nor is nobody."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        monkeypatch.setattr(place, "_USUAL", other.server_address)
        assert place._answers() == answers
        other.shutdown()
        thread.join()
    assert not place._answers()
