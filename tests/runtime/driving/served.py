"""An app of ours, served in this process without sockets: what `serve_app` decides, and bodies right here."""

from __future__ import annotations

from random import Random
from urllib.parse import parse_qs, urlsplit

import attrs
import msgspec

from flowgen import App
from flowgen.runtime.driving.caller import Headers, Reply
from flowgen.runtime.environment import Environment
from flowgen.runtime.executor import Executor
from flowgen.runtime.protocol.announcement import registration_of
from flowgen.runtime.protocol.calls import Call, build_answer, parse_call
from flowgen.runtime.protocol.registration import RemoteApp, parse_registration
from flowgen.runtime.serving.turn import Say, came_to, turn

URL = "http://127.0.0.1:3000/api/inngest"


@attrs.define(eq=False, slots=False)
class Served:
    """Answers calls to the workflows of an app. `calls` are those that came, `executed` the bodies that ran."""

    app: App
    calls: list[tuple[str, Call]] = attrs.Factory(list)
    executed: list[tuple[str, str]] = attrs.Factory(list)
    dice: Random = attrs.Factory(lambda: Random(0))

    def registered(self) -> RemoteApp:
        said = registration_of(self.app, URL, version="1")
        return parse_registration(msgspec.json.encode(said))

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        query = parse_qs(urlsplit(url).query)
        target, slug = query["stepId"][0], query["fnId"][0]
        call = parse_call(body)
        self.calls.append((target, call))
        workflow = self.app.workflows[slug.removeprefix(f"{self.app.name}-")]
        taken = turn(workflow, call, target)
        if isinstance(taken, Say):
            answer = taken.answer
        else:
            executor = Executor(Environment(0, threads=False))
            self.executed.append((call.run_id, taken.step.id))
            outcome = await executor.run(taken.step, call.run_id, workflow.loop)
            answer = came_to(taken, outcome, self.dice.random())
            taken.recalled.close()
        answer.version, answer.sdk = 2, "flowgen:v1"
        status, said, content = build_answer(answer)
        return Reply(status, list(said.items()), content)

    async def aclose(self) -> None:
        """Nothing is open."""
