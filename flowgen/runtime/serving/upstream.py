"""The server of an app, from the app: registering, and what a server that knows nothing of flowgen leaves to apps.

That is: sending events and signals (a flowgen server does it itself, with the step's commit), and the memo of a run
that is too large to be sent with a call (`use_api`). What an app sends twice is one event: its id follows from the run
and the step, so that a step which is tried again, or whose answer was lost, sends the same.

Addresses and keys come from the settings alone; nothing of a request says where anything is sent.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import attrs
import httpx
import msgspec

from ...commands import SendEvent, SendSignal
from ...duration import MILLISECOND, instant
from ...errors import UnserializableError
from ...ids import derived_id
from ...outcome import NULL, Failure, Json, Outcome, Raised, Returned, failure_of
from ...tree import Step
from ...values import encode
from ..protocol import headers as names
from ..protocol.calls import Call
from ..protocol.reading import BadRequest, read_json
from ..protocol.signatures import bearer
from .settings import ServeSettings

_ENCODE: Final = msgspec.json.Encoder().encode
_SECONDS: Final = 30.0
_SHOWN: Final = 200


class Unanswered(Exception):
    """The server was not reached, or refused. The message is for the log, and for the server's own caller."""


@attrs.define
class Upstream:
    """Requests to the server. `transport` is for tests: where they go instead of the network."""

    settings: ServeSettings
    sdk: str
    transport: httpx.AsyncBaseTransport | None = None

    async def register(self, document: Mapping[str, Any], sync: str | None, kind: str | None) -> bool:
        """Tell the server of the app; whether that has changed anything. `sync` and `kind` are what it asked with."""
        headers = {} if kind is None else {names.EXPECTED_SERVER_KIND: kind}
        query = {} if sync is None else {"deployId": sync}
        answer = await self._ask("POST", f"{self.settings.api}/fn/register", _ENCODE(document), headers, query)
        value = _value(answer, "registration")
        return bool(value.get("modified", False)) if isinstance(value, dict) else False

    async def whole(self, call: Call) -> Call:
        """A call with the events and the memo that were too large to come with it."""
        place = f"{self.settings.api}/v0/runs/{call.run_id}"
        events = _value(await self._ask("GET", f"{place}/batch"), "batch")
        steps = _value(await self._ask("GET", f"{place}/actions"), "actions")
        if not isinstance(events, list) or not isinstance(steps, dict):
            raise Unanswered("the server has answered with no events, or no steps")
        return attrs.evolve(call, events=tuple(events), steps=steps)

    async def send(self, step: Step, run_id: str, begun_at: int) -> Outcome:
        """Do what a `SendEvent` or a `SendSignal` asks for, in a run that was created at `begun_at` (microseconds)."""
        try:
            match step.command:
                case SendEvent():
                    return Returned(await self._send_events(step, step.command, run_id, begun_at))
                case SendSignal():
                    return await self._send_signal(step.command)
        except Unanswered as error:
            return Raised(Failure("ServerUnavailable", str(error)))
        except UnserializableError as error:
            return Raised(failure_of(error), retriable=False)
        raise AssertionError(f"{step.command!r} sends nothing")

    async def _send_events(self, step: Step, command: SendEvent, run_id: str, begun_at: int) -> Json:
        documents = []
        for number, event in enumerate(command.events):
            data = encode(event.data, f"the data of event {event.name!r}", canonical=True)
            id = event.id or derived_id(run_id, step.id, number)
            document: dict[str, Any] = {"name": event.name, "data": data, "id": id}
            if event.ts is not None:
                document["ts"] = instant(event.ts, "ts") // MILLISECOND
            documents.append(document)
        seed = base64.b64encode(blake2b(f"{run_id}\0{step.id}".encode(), digest_size=10).digest()).decode()
        url = f"{self.settings.events}/e/{self.settings.event_key or 'NO_EVENT_KEY_SET'}"
        answer = await self._ask(
            "POST", url, _ENCODE(documents), {names.EVENT_ID_SEED: f"{begun_at // MILLISECOND},{seed}"}
        )
        value = _value(answer, "event")
        ids = value.get("ids") if isinstance(value, dict) else None
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
            raise Unanswered("the server has answered with no ids of events")
        return Json(_ENCODE(ids))

    async def _send_signal(self, command: SendSignal) -> Outcome:
        data = encode(command.data, f"the data of signal {command.signal!r}")
        body = _ENCODE({"signal": command.signal, "data": data})
        answer = await self._ask("POST", f"{self.settings.api}/v1/signals", body)
        if answer.status_code == 404:
            failure = Failure("NoWaiter", f"nobody waits for signal {command.signal!r}")
            return Raised(failure, retriable=False)
        _value(answer, "signal")
        return Returned(NULL)

    async def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        said = {names.SDK: self.sdk, "User-Agent": self.sdk, "Content-Type": "application/json", **(headers or {})}
        if self.settings.signing_keys:
            said["Authorization"] = f"Bearer {bearer(self.settings.signing_keys[0])}"
        if self.settings.env is not None:
            said[names.ENV] = self.settings.env
        try:
            async with httpx.AsyncClient(transport=self.transport, timeout=_SECONDS) as client:
                return await client.request(method, url, content=body, headers=said, params=dict(query or {}))
        except httpx.HTTPError as error:
            host = httpx.URL(url).host
            raise Unanswered(f"the server at {host} was not reached: {type(error).__name__}") from error


def _value(answer: httpx.Response, what: str) -> Any:
    """The JSON of an answer that says yes."""
    if not 200 <= answer.status_code < 300:
        text = " ".join(answer.text[:_SHOWN].split())
        raise Unanswered(f"the server has refused the {what}: status {answer.status_code} {text}")
    try:
        return read_json(answer.content, "the answer", BadRequest)
    except BadRequest as bad:
        raise Unanswered(f"the server's answer to the {what} cannot be read: {bad}") from None
