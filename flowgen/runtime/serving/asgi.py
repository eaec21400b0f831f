"""`serve_app`: the workflows of an app as an ASGI app, driven from elsewhere one step a request.

=======  ==========================================================================================
`GET`    what is served here: little to anybody, more to who signs
`PUT`    tell the server of this app: in the answer (in band), or in a request of our own
`POST`   a call: execute at most one step of a run, and say what the run asks for next
=======  ==========================================================================================

It keeps nothing of a run between two requests: what that has come to is in the call. So any number of processes may
serve one app, and each request may go to another. What it keeps is which signed calls came (`seen`), to refuse copies.

Refuses to know: who drives it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

import attrs
import httpx
import msgspec

from ... import __version__
from ...app import App
from ...context import LogLine
from ...errors import InvalidInput
from ...outcome import Outcome
from ...workflow import Workflow
from ..protocol import headers as names
from ..protocol.announcement import in_band_of, registration_of, sdk_name
from ..protocol.calls import Answer, Call, Erred, build_answer, parse_call
from ..protocol.errors import UserError
from ..protocol.events import function_id
from ..protocol.introspection import Inspection, inspection_document
from ..protocol.reading import ProtocolError, read_json
from ..protocol.signatures import event_key_hash, key_hash, sign
from ..protocol.steps import DISCOVERY
from .bodies import BodyThread, Closed
from .door import Refused, Request, check_line, read_request, size_of
from .seen import Seen
from .settings import ServeSettings
from .turn import Execute, Say, came_to, turn
from .upstream import Unanswered, Upstream

log = logging.getLogger("flowgen.serving")
run_log = logging.getLogger("flowgen.run")

SDK: Final = sdk_name(__version__)

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]
_ENCODE: Final = msgspec.json.Encoder().encode
_AGAIN: Final = {"Retry-After": "1"}
_ALWAYS: Final = {
    names.SDK: SDK,
    names.FRAMEWORK: "asgi",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@attrs.define
class _Reply:
    """An answer as it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = attrs.Factory(dict)


def serve_app(
    app: App,
    *,
    path: str = "/api/inngest",
    settings: ServeSettings | None = None,
    threads: int = 64,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ServedApp:
    """The workflows of `app` as an ASGI app: serve it, or make it a route in FastAPI, Starlette or Django.

    ::

        api = FastAPI()
        api.add_route("/api/inngest", serve_app(app), methods=["GET", "POST", "PUT"])

    `path` is where it answers, by itself or as a route; one that is mounted answers where that is. `settings` say who
    may call it and where its server is, by default as the environment does (`ServeSettings.from_environment`). Sync
    steps run in up to `threads` threads. `transport` takes the place of the network for what it sends, in tests.

    Raises `InvalidInput` for an app without workflows, or a path that is none.
    """
    if not app.workflows:
        raise InvalidInput(f"{app!r} has no workflows to serve; put @app.workflow on a generator function")
    if not path.startswith("/") or "?" in path or "#" in path:
        raise InvalidInput(f"path {path!r:.200} is not the path of a URL; write it like '/api/inngest'")
    settings = ServeSettings.from_environment() if settings is None else settings
    return ServedApp(app, path, settings, BodyThread(threads), Upstream(settings, SDK, transport))


class ServedApp:
    """An ASGI app; `serve_app` makes it."""

    def __init__(self, app: App, path: str, settings: ServeSettings, bodies: BodyThread, upstream: Upstream) -> None:
        self._app = app
        self._path = path
        self._settings = settings
        self._bodies = bodies
        self._upstream = upstream
        self._functions = {function_id(app.name, id): workflow for id, workflow in app.workflows.items()}
        self._luck = Random()
        self._seen = Seen()
        self._open = self._open_bytes = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await _sent(await self._answer(scope, receive), send)
            case "lifespan":
                await self._live(receive, send)
            case _:
                await send({"type": "websocket.close"})

    def close(self) -> None:
        """Let the threads of step bodies go. Where the server has a lifespan, it does that."""
        self._bodies.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol of ASGI."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Any, receive: Receive) -> _Reply:
        """Whatever happens is an answer; what breaks in here is logged, and only said to have."""
        request: Request | None = None
        try:
            check_line(scope, self._path)
            size = self._let_in(scope)
            try:
                request = await read_request(scope, receive, self._settings)
                reply = await self._served(request, scope)
            finally:
                self._open -= 1
                self._open_bytes -= size
        except Exception as error:
            reply = _refusal(error)
        return self._signed(reply, request)

    def _let_in(self, scope: Any) -> int:
        """Count a request as one in hand, before anything of it is read; gives the bytes that it may have."""
        settings = self._settings
        size = size_of(scope, settings.max_body)
        if self._open >= settings.max_open or (size and self._open_bytes + size > settings.max_open_bytes):
            raise Refused(503, "busy", "too many requests are in hand: come again", _AGAIN)
        self._open += 1
        self._open_bytes += size
        return size

    def _signed(self, reply: _Reply, request: Request | None) -> _Reply:
        """With what goes with every answer: who has answered, and a signature for who has signed."""
        headers = {"Content-Type": "application/json", **_ALWAYS, **reply.headers}
        if request is not None and request.key is not None:
            headers[names.SIGNATURE] = sign(request.key, reply.body, int(time.time()), canonical=False)
        reply.headers = headers
        return reply

    async def _served(self, request: Request, scope: Any) -> _Reply:
        match request.method:
            case "GET":
                return self._inspected(request)
            case "PUT":
                return await self._synchronised(request, scope)
            case _:
                return await self._called(request)

    # -- GET --------------------------------------------------------------------------------------

    def _inspected(self, request: Request) -> _Reply:
        authenticated = True if request.key is not None else None
        document = inspection_document(self._inspection(request), authenticated=authenticated)
        return _Reply(200, _ENCODE(document))

    def _inspection(self, request: Request) -> Inspection:
        settings = self._settings
        hashes = [key_hash(key) for key in settings.signing_keys[:2]]
        return Inspection(
            function_count=len(self._functions),
            mode="dev" if settings.dev else "cloud",
            has_event_key=settings.event_key is not None,
            has_signing_key=bool(hashes),
            has_signing_key_fallback=len(hashes) > 1,
            app_id=self._app.name,
            api_origin=settings.api,
            event_api_origin=settings.events,
            env=settings.env,
            sdk_version=__version__,
            serve_origin=settings.origin,
            serve_path=request.path,
            event_key_hash=None if settings.event_key is None else event_key_hash(settings.event_key),
            signing_key_hash=hashes[0] if hashes else None,
            signing_key_fallback_hash=hashes[1] if len(hashes) > 1 else None,
        )

    # -- PUT --------------------------------------------------------------------------------------

    async def _synchronised(self, request: Request, scope: Any) -> _Reply:
        asked = read_json(request.body, "the body", ProtocolError) if request.body.strip() else {}
        url = self._url(request, scope, asked.get("url") if isinstance(asked, dict) else None)
        if request.key is not None and request.headers.get(names.SYNC_KIND.lower()) == names.IN_BAND:
            inspection = self._inspection(request)
            document = in_band_of(self._app, url, inspection, version=__version__, env=self._settings.env)
            return _Reply(200, _ENCODE(document), {names.SYNC_KIND: names.IN_BAND})
        document = registration_of(self._app, url, version=__version__, env=self._settings.env or "")
        kind = request.headers.get(names.SERVER_KIND.lower())
        try:
            modified = await self._upstream.register(document, request.query.get("deployId"), kind)
        except Unanswered as error:
            log.warning("the app could not be registered: %s", error)
            raise Refused(500, "not_registered", str(error)) from None
        said = {"message": "Successfully registered", "modified": modified}
        return _Reply(200, _ENCODE(said), {names.SYNC_KIND: names.OUT_OF_BAND})

    def _url(self, request: Request, scope: Any, told: Any) -> str:
        """Where this app is: as its settings say, as a server that signs says, or as it was called."""
        if self._settings.origin is not None:
            return self._settings.origin + request.path
        if request.key is not None and isinstance(told, str) and told.startswith(("http://", "https://")):
            return told
        return f"{scope.get('scheme', 'http')}://{request.headers['host'].strip()}{request.path}"

    # -- POST -------------------------------------------------------------------------------------

    async def _called(self, request: Request) -> _Reply:
        if request.query.get("probe") == "trust":
            return _Reply(200, b"{}")
        if request.key is not None and not self._seen.is_new(request.headers[names.SIGNATURE.lower()], time.time()):
            raise Refused(409, "replayed", "this very call came before, and was answered: make another")
        workflow = self._functions.get(request.query.get("fnId", ""))
        if workflow is None:
            return _reply(
                Answer(Erred(UserError("FunctionNotFound", "there is no function here with the id that fnId says")))
            )
        call = parse_call(request.body)
        if call.use_api and call.flowgen is None:
            try:
                call = await self._upstream.whole(call)
            except Unanswered as error:
                log.warning("run %s: its memo could not be had: %s", call.run_id, error)
                return _reply(Answer(Erred(UserError("ServerUnavailable", str(error)))))
        return _reply(await self._taken(workflow, call, request.query.get("stepId") or DISCOVERY))

    async def _taken(self, workflow: Workflow[Any, Any], call: Call, target: str) -> Answer:
        """Take the turn that a call asks for."""
        taken = turn(workflow, call, target)
        _emit(call.run_id, workflow, taken.lines)
        if isinstance(taken, Say):
            return taken.answer
        try:
            return came_to(taken, await self._executed(taken), self._luck.random())
        finally:
            taken.recalled.close()

    async def _executed(self, taken: Execute) -> Outcome:
        recalled, step = taken.recalled, taken.step
        if step.kind == "run":
            return await self._bodies.run(step, recalled.run_id, recalled.workflow.loop)
        return await self._upstream.send(step, recalled.run_id, recalled.interpreter.context._clock)


def _emit(run_id: str, workflow: Workflow[Any, Any], lines: Sequence[LogLine]) -> None:
    """Write what a body has logged."""
    for line in lines:
        extra = {"flowgen": {"run": run_id, "workflow": workflow.id, **line.extra}}
        run_log.log(line.level, "%s", line.message, extra=extra)


def _refusal(error: Exception) -> _Reply:
    """What an error is for whoever has sent the request; one of ours is logged, and only named."""
    match error:
        case Refused():
            refused = error
        case ProtocolError():
            refused = Refused(400, "invalid_call", str(error))
        case Closed():
            refused = Refused(503, "closed", str(error), _AGAIN)
        case _:
            log.exception("a request broke", exc_info=error)
            refused = Refused(500, "internal", "the app broke while it served this request; its log says how")
    return _Reply(refused.status, refused.body(), refused.headers)


def _reply(answer: Answer) -> _Reply:
    answer.sdk = SDK
    status, headers, body = build_answer(answer)
    return _Reply(status, body, headers)


async def _sent(reply: _Reply, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
