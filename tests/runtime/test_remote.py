"""The client of a server: when it says something again, what it makes of answers, and its verbs on a real server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import attrs
import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen import App, Event, NonRetriableError, OnEvent, Run, WaitFor, WaitForSignal, event_type
from flowgen.codec import import_lines
from flowgen.errors import (
    AccessDenied,
    EventConflict,
    FlowgenError,
    InvalidInput,
    NotFound,
    RunCancelledError,
    RunFailed,
    ServerUnavailable,
    WrongState,
)
from flowgen.runtime import AsyncClient, Client, LocalClient, open_engine, start_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.server import serving
from flowgen.runtime.remote.reading import read, run_info
from flowgen.runtime.remote.talk import Answer, Broken, Patience, Pause, Request, exchange
from flowgen.runtime.remote.verbs import Verbs, World

# -- the conversation -----------------------------------------------------------------------------


def always(number: float) -> Generator[float, None, None]:
    while True:
        yield number


@attrs.define
class Heard:
    """What became of a conversation: what was said, the pauses, and the value or the error."""

    said: list[Request] = attrs.field(factory=list)
    pauses: list[float] = attrs.field(factory=list)
    value: Any = None
    error: FlowgenError | None = None


def converse(talk: Generator[Any, Any, Any], answers: list[Answer | Broken]) -> Heard:
    """Let a conversation go on with these answers, one after the other; the last one for ever."""
    heard, script = Heard(), list(answers)
    try:
        wanted = talk.send(None)
        while True:
            if isinstance(wanted, Pause):
                heard.pauses.append(wanted.seconds)
                wanted = talk.send(None)
            else:
                heard.said.append(wanted)
                wanted = talk.send(script.pop(0) if len(script) > 1 else script[0])
    except StopIteration as end:
        heard.value = end.value
    except FlowgenError as error:
        heard.error = error
    return heard


def ask(answers: list[Answer | Broken], *, again: bool = True, luck: float = 1.0) -> Heard:
    return converse(exchange(Request("POST", "/x", again=again), Patience(), always(luck)), answers)


def refusal(status: int, code: str = "busy", message: str = "no") -> Answer:
    return Answer(status, json.dumps({"error": {"code": code, "message": message, "path": ""}}).encode())


FINE = Answer(200, b'{"ids": []}')
LOST = Broken("gone", sent=True)
NEVER = Broken("refused", sent=False)


@pytest.mark.parametrize("lost", [LOST, NEVER, *[refusal(status) for status in (429, 502, 503, 504)]], ids=str)
def test_what_is_lost_is_said_again(lost: Answer | Broken) -> None:
    """The same request each time, with pauses that grow, until an answer comes."""
    heard = ask([lost, lost, lost, FINE])
    assert heard.value == {"ids": []}
    assert heard.said == [heard.said[0]] * 4
    assert heard.pauses == [0.1, 0.2, 0.4]


@pytest.mark.parametrize("lost, again", [(LOST, False), (NEVER, True), (refusal(503), True), (refusal(429), True)])
def test_what_must_not_be_done_twice_is_said_again_only_if_it_was_not_done(lost: Answer | Broken, again: bool) -> None:
    """And the error says that nobody knows."""
    heard = ask([lost, FINE], again=False)
    assert (heard.error is None) == again
    assert again or "whether it was done is not known" in str(heard.error)


@pytest.mark.parametrize("status", [502, 504])
def test_what_a_proxy_lost_is_not_said_twice_if_that_does_harm(status: int) -> None:
    """The server behind it may have got it."""
    heard = ask([refusal(status), FINE], again=False)
    assert isinstance(heard.error, ServerUnavailable)
    assert len(heard.said) == 1


def test_it_gives_up_in_the_end() -> None:
    """The error names the request, and the last reason."""
    heard = ask([NEVER])
    assert isinstance(heard.error, ServerUnavailable)
    assert str(heard.error) == "POST /x: tried 6 times; refused"
    assert len(heard.pauses) == 5


def test_a_server_may_ask_for_time() -> None:
    """`Retry-After` is honoured, within bounds."""
    heard = ask([attrs.evolve(refusal(503), retry_after=text) for text in ("2", "900", "soon", "²")] + [FINE])
    assert heard.pauses == [2.0, 5.0, 0.4, 0.8]


@given(st.lists(st.floats(0, 1), min_size=1), st.integers(1, 30))
def test_pauses_are_bounded_and_have_jitter(luck: list[float], attempt: int) -> None:
    """Half of the pause, at least, so that many clients do not come back together."""
    full = Patience().pause(attempt, None, 1.0)
    assert full <= 5.0
    for number in luck:
        assert full / 2 <= Patience().pause(attempt, None, number) <= full


@pytest.mark.parametrize(
    "answer, kind",
    [
        (refusal(400, "invalid_event"), InvalidInput),
        (refusal(413, "too_large"), InvalidInput),
        (refusal(401, "unauthorized"), AccessDenied),
        (refusal(403, "cross_origin"), AccessDenied),
        (refusal(421, "unknown_host"), AccessDenied),
        (refusal(404, "not_found"), NotFound),
        (refusal(409, "wrong_state"), WrongState),
        (refusal(409, "conflict"), EventConflict),
        (refusal(500, "internal"), ServerUnavailable),
        (refusal(302, "elsewhere"), ServerUnavailable),
        (Answer(404, b"<html>"), NotFound),
        (Answer(200, b"<html>"), ServerUnavailable),
        (Answer(500, b"\xff"), ServerUnavailable),
    ],
    ids=str,
)
def test_each_refusal_is_the_error_of_its_kind(answer: Answer, kind: type[FlowgenError]) -> None:
    """The same that the engine's verb raises, with the server's words; it is not said again."""
    heard = ask([answer])
    assert type(heard.error) is kind
    assert len(heard.said) == 1


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_answers_is_read_or_refused(document: Any) -> None:
    """Never an error of ours."""
    with pytest.raises(ServerUnavailable, match="cannot be read"):
        read(document, run_info)


def verbs(**world: Any) -> Verbs:
    return Verbs(None, Patience(), World(luck=lambda: 1.0, **world))


def test_each_event_and_run_has_an_id_before_it_is_sent() -> None:
    """So the server knows what it gets twice; an id that was given stays."""
    ids = iter(["first", "second", "third"])
    talk = verbs(new_id=lambda: next(ids)).send([Event("a"), Event("b", id="mine"), Event("c")])
    heard = converse(talk, [LOST, FINE])
    assert [item["id"] for item in heard.said[0].body] == ["first", "mine", "second"]
    assert heard.said[0] == heard.said[1]
    heard = converse(verbs(new_id=lambda: "chosen").start("shop/fulfil", {"a": 1}), [Answer(200, b'{"id": "chosen"}')])
    assert heard.said[0].body == {"run_id": "chosen", "data": {"a": 1}}
    assert (heard.said[0].path, heard.said[0].query) == ("/v1/workflows/fulfil/invoke", {"app": "shop"})


@pytest.mark.parametrize(
    "run, path", [("a b", "/v1/runs/a%20b"), ("..%2f", "/v1/runs/..%252f"), ("x?y#z", "/v1/runs/x%3Fy%23z")]
)
def test_an_id_is_one_part_of_a_path(run: str, path: str) -> None:
    """Whatever is in it, it leads nowhere else."""
    assert converse(verbs().run(run), [refusal(404)]).said[0].path == path


@pytest.mark.parametrize("run", ["", ".", "..", "app/.."])
def test_an_id_that_would_be_another_path_is_refused(run: str) -> None:
    """Before anything is sent."""
    heard = converse(verbs().run(run), [FINE])
    assert isinstance(heard.error, InvalidInput)
    assert heard.said == []


def test_waiting_for_a_result_ends_in_time() -> None:
    """Long polls, one after the other, each no longer than what is left."""
    clock = [100.0]

    def later() -> float:
        clock[0] += 5
        return clock[0]

    going = Answer(200, json.dumps(RUN).encode())
    with pytest.raises(TimeoutError, match="run r did not end within 40s"):
        converse(verbs(clock=later).result("r", timeout="40s"), [going])


RUN = {
    "id": "r",
    "app": "shop",
    "workflow_id": "w",
    "status": "waiting",
    "reason": None,
    "event": {"name": "a", "data": {}, "id": None, "ts": 1_700_000_000_000},
    "events": [],
    "result": None,
    "error": None,
    "created_at": "2026-01-01T00:00:00+00:00",
    "started_at": None,
    "ended_at": None,
    "parent_id": None,
    "restarted_as": None,
}


def test_a_result_follows_restarts() -> None:
    """To the last of them, as the engine does."""
    first = {**RUN, "status": "completed", "ended_at": "2026-01-01T00:00:01+00:00", "restarted_as": "s"}
    second = {**RUN, "id": "s", "status": "completed", "ended_at": "2026-01-01T00:00:01+00:00", "result": 42}
    answers: list[Answer | Broken] = [Answer(200, json.dumps(each).encode()) for each in (RUN, first, second)]
    heard = converse(verbs().result("r"), answers)
    assert heard.value == 42
    assert [request.path for request in heard.said] == ["/v1/runs/r", "/v1/runs/r", "/v1/runs/s"]


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8288", "ftp://x", "http://", "http://u:p@x", "http://x?y", "file:///etc"]
)
def test_what_is_no_url_of_a_server(url: str) -> None:
    """It is told when the client is made."""
    with pytest.raises(InvalidInput):
        Client(url)


@pytest.mark.parametrize("key", ["", "with space", "ümlaut", "new\nline"])
def test_what_is_no_key(key: str) -> None:
    """Nor does the message show it."""
    with pytest.raises(InvalidInput, match="key: a token is printable ASCII without spaces"):
        Client("http://127.0.0.1:1", key)


# -- a real server --------------------------------------------------------------------------------

app = App("shop")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@event_type("order/placed")
@attrs.frozen
class Placed:
    number: int


def double(number: int) -> int:
    return 2 * number


def decline() -> None:
    raise NonRetriableError("card declined")


@app.workflow(on=OnEvent(Placed))
def fulfil(ctx: Any) -> Any:
    return (yield from Run(double, ctx.event.data.number))


@app.workflow
def pay(ctx: Any) -> Any:
    yield Run("charge", decline)


@app.workflow
def wait(ctx: Any) -> Any:
    got = yield WaitForSignal("go", "go", timeout="1d")
    return got


@app.workflow(max_steps=2_000)
def count(ctx: Any) -> Any:
    for number in range(600):
        yield Run(f"count {number}", str, number)


@app.workflow
def long(ctx: Any) -> Any:
    yield WaitFor("never", "never", where="true", timeout="1d")


class Server:
    """A server in a thread of its own, with an engine beside it."""

    def __init__(self, **settings: Any) -> None:
        self._settings = Settings(**settings)
        self._opened = threading.Event()
        self.url = ""
        self.engine: Any = None
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), daemon=True)
        self._thread.start()
        self._opened.wait(30)

    async def _serve(self) -> None:
        self._closing = trio.Event()
        async with open_engine(app, "memory://", grace="0s") as self.engine:
            self._token = trio.lowlevel.current_trio_token()
            async with serving(http_app(app, self.engine, settings=self._settings), port=0) as self.url:
                self._opened.set()
                await self._closing.wait()

    def close(self) -> None:
        self._token.run_sync_soon(self._closing.set)
        self._thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


async def test_an_export_is_what_the_clients_read_and_import(server: Server) -> None:
    """The same text for both, with the records of the history; what is not there is refused."""
    with Client(server.url) as blocking:
        run = await trio.to_thread.run_sync(lambda: blocking.start("fulfil", {"number": 3}))
        await trio.to_thread.run_sync(lambda: blocking.result(run, timeout="30s"))
        text = await trio.to_thread.run_sync(blocking.export, run)
        async with AsyncClient(server.url) as client:
            assert await client.export(f"shop/{run}") == text
            exported = import_lines(text.splitlines())
            assert exported.row.id == run
            assert list(exported.records) == await client.history(run)
            with pytest.raises(NotFound):
                await client.export("nothing")


def scene(client: Any) -> Generator[Any, Any, None]:
    """All verbs, one after the other; each is yielded as what a client of any kind gave, and sent back as its value."""
    (event,) = yield client.send(Placed(21))
    (started,) = (yield client.runs(event=event)).items
    assert (yield client.result(started.id, timeout="30s")) == 42
    assert (yield client.run(started.id)).result == 42
    assert (yield client.event(event)).name == "order/placed"
    assert event in [each.id for each in (yield client.events("order/placed", limit=500)).items]
    assert (yield client.history(started.id))[0].at > 0
    counted = yield client.start(count)
    yield client.result(counted)
    history = yield client.history(counted)
    assert [record.step for record in history[1:-1]] == [f"count {number}" for number in range(600)]
    assert "completed" in (yield client.why(started.id))
    again = yield client.rerun(started.id, event=Placed(4))
    assert (yield client.result(again)) == 8
    waiting = yield client.start(wait, run_id=None)
    yield from until(client, waiting, "waiting")
    yield client.signal("go", {"a": 1}, app="shop")
    assert (yield client.result(waiting)) == {"a": 1}
    failing = yield client.start("shop/pay", {})
    with pytest.raises(RunFailed, match="card declined") as failed:
        yield client.result(failing)
    assert failed.value.error.type == "StepError"
    yield client.retry(failing)
    with pytest.raises(RunFailed):
        yield client.result(failing)
    cancelled = yield client.start(long, {})
    yield client.cancel(cancelled, reason="enough")
    with pytest.raises(RunCancelledError, match="enough"):
        yield client.result(cancelled)
    with pytest.raises(WrongState, match="cancelled"):
        yield client.cancel(cancelled)
    with pytest.raises(NotFound):
        yield client.run("nothing")
    with pytest.raises(TimeoutError):
        yield client.result((yield client.start(long, {})), timeout="1ms")
    assert (yield client.cancel_all(workflow=long)).dry_run
    assert (
        yield client.cancel_all(workflow=long, dry_run=False, before=datetime.now(UTC) + timedelta(days=1))
    ).done >= 1
    assert (yield client.retry_all(workflow="pay")).selected >= 1
    assert (yield client.rerun_all(workflow="pay", status="completed")).selected == 0
    yield client.pause(long)
    assert {each.id: each.paused for each in (yield client.workflows())}["long"]
    yield client.resume("shop/long")
    assert not {each.id: each.paused for each in (yield client.workflows())}["long"]
    assert (yield client.children(started.id)).items == ()
    with pytest.raises(EventConflict):
        yield client.send([Event("x", {"a": 1}, id="same"), Event("x", {"a": 2}, id="same")])
    with pytest.raises(InvalidInput):
        yield client.runs(limit=0)
    with pytest.raises(InvalidInput):
        yield client.send(Event("x", {"a": float("nan")}))


def until(client: Any, run: str, status: str) -> Generator[Any, Any, None]:
    while (yield client.run(run)).status != status:
        pass


class Deferred:
    """A client whose verbs are not done when they are called, but by whoever plays the scene."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, verb: str) -> Callable[..., Callable[[], Any]]:
        return lambda *arguments, **options: partial(getattr(self._client, verb), *arguments, **options)


def played(client: Any) -> None:
    """Play the scene with a client that blocks."""
    talk = scene(Deferred(client))
    step = next(talk)
    while True:
        try:
            step = _on(talk, step)
        except StopIteration:
            return


def _on(talk: Generator[Any, Any, None], step: Callable[[], Any]) -> Any:
    try:
        value = step()
    except Exception as error:
        return talk.throw(error)
    return talk.send(value)


async def awaited(client: Any) -> None:
    """Play the scene with a client whose verbs are awaited."""
    talk = scene(Deferred(client))
    step: Callable[[], Awaitable[Any]] = next(talk)
    while True:
        try:
            try:
                value = await step()
            except Exception as error:
                step = talk.throw(error)
            else:
                step = talk.send(value)
        except StopIteration:
            return


def test_all_verbs_blocking(server: Server) -> None:
    """The scene, from a thread of any program."""
    with Client(server.url) as client:
        played(client)


def test_all_verbs_on_trio(server: Server) -> None:
    """The same scene."""

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await awaited(client)

    trio.run(main)


def test_all_verbs_on_asyncio(server: Server) -> None:
    """The same scene."""

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await awaited(client)

    asyncio.run(main())


def test_the_same_scene_without_a_server() -> None:
    """An engine in this process has the same verbs: a program may have either."""
    with start_engine(app, store="memory://", grace="0s") as client:
        local: LocalClient = client
        played(local)


def test_keys() -> None:
    """The token opens REST, the event key the event API; without, or with another, nothing is done."""
    server = Server(auth_tokens=("the-token-1",), event_keys=("the-event-key",))
    try:
        with Client(server.url, "the-token-1", event_key="the-event-key") as client:
            assert client.send(Event("a"))
            assert client.runs().items == ()
        for key in (None, "another-token"):
            with Client(server.url, key) as client:
                with pytest.raises(AccessDenied):
                    client.runs()
                with pytest.raises(AccessDenied):
                    client.send(Event("a"))
    finally:
        server.close()


def test_a_server_that_is_not_there() -> None:
    """It is told after some tries, with the address that was meant."""
    message = "GET /v1/runs: tried 2 times; the server cannot be reached"
    client = Client("http://127.0.0.1:9", patience=Patience(tries=2, first=0.001))
    with client, pytest.raises(ServerUnavailable, match=message):
        client.runs()


def test_a_repeat_is_harmless(server: Server) -> None:
    """An answer that got lost: the event is sent again, and is the one that was accepted; so is a run."""

    class Lossy(httpx.HTTPTransport):
        """Loses the answer to each first try."""

        def __init__(self) -> None:
            super().__init__()
            self.tried: Counter[bytes] = Counter()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            self.tried[request.content] += 1
            if self.tried[request.content] == 1:
                response.read()
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            return response

    with Client(server.url, transport=Lossy(), patience=Patience(first=0.001)) as client:
        (event,) = client.send(Placed(50))
        assert len(client.runs(event=event).items) == 1
        run = client.start("fulfil", {"number": 51})
        assert client.result(run) == 102
    with Client(server.url) as client:
        sent = [
            each
            for each in client.events("order/placed", limit=500).items
            if json.loads(bytes(each.data)) == {"number": 50}
        ]
        assert [each.id for each in sent] == [event]
