"""`POST /v0/gql`: the questions in GraphQL that tools ask about runs.

===========================================  ===============================================================
`run(runID)`                                 its state, its output as JSON text, a span for each of its steps
`runTrigger(runID)`                          the events that started it, each as JSON text
`runTraceSpanOutputByID(outputID)`           what a step came to: `data` as JSON text, or `error`
`event(query: {eventId})`                    the runs that an event has started
===========================================  ===============================================================

States are `COMPLETED`, `FAILED`, `CANCELLED` and `RUNNING`. The id of an output names its run and its step.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from ....errors import FlowgenError, NotFound
from ....events import AcceptedEvent
from ....history import OUTCOMES, AttemptFailed, Outcome, Requested, StepFailed, effective
from ...driving.calling import FUNCTION
from ...engine import Engine
from ...info import RunInfo
from ...protocol.events import function_id, to_wire
from ...store import Loaded
from ...strict_json import parse
from ..problems import problem_of
from ..routes import Call, answer
from .looking import all_started_by, error_document, output_of, state_of
from .members import members_of
from .query import QueryError, execute


async def ask(call: Call) -> Response:
    """Errors of a query are told in its answer, which has status 200 all the same: so does GraphQL."""
    members = await members_of(call)
    engine = call.service.engine
    resolvers = {
        "run": partial(_asked, call, _run, engine, "runid"),
        "runTrigger": partial(_asked, call, _trigger, engine, "runid"),
        "runTraceSpanOutputByID": partial(_asked, call, _output, engine, "outputid"),
        "event": partial(_asked, call, _event, engine, "query"),
    }
    operation = members.text("operationName") or None
    try:
        data = await execute(members.needed_text("query"), members.mapping("variables"), operation, resolvers)
    except QueryError as error:
        return _failed(str(error))
    except FlowgenError as error:
        return _failed(problem_of(error).message)
    return answer({"data": data})


def _failed(message: str) -> Response:
    return answer({"data": None, "errors": [{"message": message}]})


async def _asked(call: Call, verb: Any, engine: Engine, name: str, arguments: Mapping[str, Any]) -> Any:
    """What a verb gives for an argument, on the engine's loop."""
    value = arguments.get(name)
    if isinstance(value, dict):
        value = next((each for key, each in value.items() if key.lower() == "eventid"), None)
    if not isinstance(value, str) or not value:
        raise QueryError(f"the argument {name!r} is missing")
    return await call.service.ask(verb, engine, value)


async def _run(engine: Engine, id: str) -> dict[str, Any]:
    run, loaded = await engine.run(id), await engine.load(id)
    state = state_of(run).upper()
    function = function_id(run.app, run.workflow_id)
    return {
        "id": run.id,
        "status": state,
        "output": None if run.ended_at is None else json.dumps(output_of(run)),
        "queuedAt": run.created_at.isoformat(),
        "startedAt": None if run.started_at is None else run.started_at.isoformat(),
        "endedAt": None if run.ended_at is None else run.ended_at.isoformat(),
        "eventName": run.event.name,
        "function": {"id": function, "slug": function, "name": run.workflow_id},
        "app": {"id": run.app, "name": run.app},
        "trace": {"name": "Run", "status": state, "outputID": None, "childrenSpans": _spans(run, loaded)},
    }


def _spans(run: RunInfo, loaded: Loaded) -> list[dict[str, Any]]:
    """The steps of a run, in the order in which they first came about."""
    spans: dict[str, dict[str, Any]] = {}
    for _, record in effective(loaded.records):
        if not isinstance(record, (Requested, AttemptFailed, *OUTCOMES)) or record.step.startswith(FUNCTION):
            continue
        span = spans.setdefault(
            record.step, {"name": _name(record.step), "status": "RUNNING", "outputID": None, "childrenSpans": []}
        )
        if isinstance(record, OUTCOMES):
            span["status"] = "FAILED" if isinstance(record, StepFailed) else "COMPLETED"
            span["outputID"] = _output_id(run.id, record.step)
    return list(spans.values())


def _name(step: str) -> str:
    """What the author called a step: its id without the scopes of branches and the count of repeats."""
    name, _, number = step.rpartition("/")[2].rpartition(":")
    return name if name and number.isdigit() else step.rpartition("/")[2]


def _output_id(run: str, step: str) -> str:
    return urlsafe_b64encode(json.dumps([run, step]).encode()).decode()


async def _output(engine: Engine, id: str) -> dict[str, Any]:
    try:
        named = parse(urlsafe_b64decode(id.encode()), depth=1)
    except ValueError:
        named = None
    if not isinstance(named, list) or [type(part) for part in named] != [str, str]:
        raise NotFound(f"there is no output {id!r:.100}")
    run, step = named
    outcome = _outcome(await engine.load(run), step)
    if outcome is None:
        raise NotFound(f"step {step!r:.100} of run {run!r:.100} has not ended")
    if isinstance(outcome, StepFailed):
        return {"data": None, "error": error_document(outcome.failure) | {"cause": None}}
    return {"data": bytes(outcome.value).decode(), "error": None}


def _outcome(loaded: Loaded, step: str) -> Outcome | None:
    for _, record in effective(loaded.records):
        if isinstance(record, OUTCOMES) and record.step == step:
            return record
    return None


async def _trigger(engine: Engine, id: str) -> dict[str, Any]:
    loaded = await engine.load(id)
    events: list[AcceptedEvent] = list(loaded.events)
    written = [to_wire(event) for event in events]
    return {
        "IDs": [event.id for event in events],
        "payloads": [msgspec.json.encode(each).decode() for each in written],
        "eventName": written[0]["name"] if written else None,
        "isBatch": len(written) > 1,
    }


async def _event(engine: Engine, id: str) -> dict[str, Any]:
    event = await engine.event(id)
    runs = await all_started_by(engine, id)
    return {
        "id": event.id,
        "name": event.name,
        "functionRuns": [{"id": run.id, "status": state_of(run).upper()} for run in runs],
    }
