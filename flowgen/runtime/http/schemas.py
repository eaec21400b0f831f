"""The shapes of what goes in and out, as JSON Schema (2020-12).

Requests are exact: what a schema of a body refuses, the server refuses, and what it lets through may still be refused
for what it means. Answers name all fields that are promised; more may be added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...events import MAX_ID, MAX_NAME
from ..bulk import ENDED, OPEN
from ..counting import STATES
from ..engine import MAX_BATCH
from ..protocol.realtime import LONGEST_NAME, MOST_TOPICS
from .events import ERA
from .runs import STATUSES

Schema = Mapping[str, Any]

ANYTHING: Final[Schema] = {}
TEXT: Final[Schema] = {"type": "string"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
NUMBER: Final[Schema] = {"type": "integer"}
TRUTH: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}


def ref(name: str) -> Schema:
    """Another schema, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def many(schema: Schema) -> Schema:
    """A list of them."""
    return {"type": "array", "items": schema}


def answer(fields: Mapping[str, Schema], *optional: str) -> Schema:
    """An object of an answer: all fields are there but the optional ones."""
    return {"type": "object", "properties": dict(fields), "required": [name for name in fields if name not in optional]}


def body(fields: Mapping[str, Schema], *required: str) -> Schema:
    """An object of a request: it has no other fields, and may leave all out but the required ones."""
    made: dict[str, Any] = {"type": "object", "properties": dict(fields), "additionalProperties": False}
    return {**made, "required": list(required)} if required else made


def _loose(fields: Mapping[str, Schema], *required: str) -> Schema:
    """An object of a request that may have other fields as well."""
    return {"type": "object", "properties": dict(fields), "required": list(required)}


def page(item: str) -> Schema:
    """A page of a list."""
    return answer({"items": many(ref(item)), "cursor": nullable(TEXT)})


def _text(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _bulk(statuses: tuple[str, ...], **more: Schema) -> Schema:
    text = nullable(_text(1_000))
    return body(
        {
            "workflow": text,
            "app": text,
            "status": nullable({"type": "string", "enum": list(statuses)}),
            "before": nullable(TIME),
            "after": nullable(TIME),
            "dry_run": {"type": "boolean", "default": True},
            **more,
        }
    )


_EVENT: Final = body(
    {
        "name": _text(MAX_NAME),
        "data": OBJECT,
        "id": nullable(_text(MAX_ID)),
        "ts": nullable({"type": "integer", "minimum": ERA[0], "maximum": ERA[1]}),
    },
    "name",
)
_FLAW: Final = {"code": TEXT, "message": TEXT, "path": TEXT}

SCHEMAS: Final[Mapping[str, Schema]] = {
    # -- requests
    "Event": _EVENT,
    "Events": {"anyOf": [ref("Event"), {"type": "array", "items": ref("Event"), "minItems": 1, "maxItems": MAX_BATCH}]},
    "Cancel": body({"reason": nullable(_text(1_000))}),
    "None": body({}),
    "Rerun": body(
        {
            "from_step": nullable(_text(1_000)),
            "event": nullable(body({"name": nullable(_text(MAX_NAME)), "data": nullable(OBJECT)})),
            "results": nullable(OBJECT),
        }
    ),
    "BulkCancel": _bulk(OPEN, reason=nullable(_text(1_000))),
    "BulkRetry": _bulk(("failed", "parked")),
    "BulkRerun": _bulk(ENDED),
    "Signal": body({"name": _text(256), "data": ANYTHING, "app": nullable(_text(1_000))}, "name"),
    "Invoke": body({"data": nullable(OBJECT), "run_id": nullable(_text(128))}),
    # -- requests of SDKs: their keys match whatever their case is, and unknown ones are let pass
    "Registration": OBJECT,
    "SdkInvoke": _loose({"data": nullable(OBJECT)}),
    "Query": _loose({"query": _text(10_000), "variables": nullable(OBJECT), "operationName": nullable(TEXT)}, "query"),
    "Checkpoint": _loose(
        {
            "steps": nullable(many(OBJECT)),
            "fn_id": nullable(TEXT),
            "qi_id": nullable(TEXT),
            "request_id": nullable(TEXT),
            "generation_id": nullable(NUMBER),
        }
    ),
    "Arrival": _loose(
        {
            "run_id": _text(26),
            "event": OBJECT,
            "steps": nullable(many(OBJECT)),
            "retries": nullable(NUMBER),
            "idempotency": nullable(TEXT),
        },
        *("run_id", "event"),
    ),
    "Steps": _loose({"app_id": nullable(TEXT), "fn_id": nullable(TEXT), "steps": nullable(many(OBJECT))}),
    "Cancellation": _loose(
        {
            "function_id": _text(1_000),
            "app_id": nullable(TEXT),
            "started_after": nullable(TIME),
            "started_before": nullable(TIME),
            "if": nullable({"type": "string", "maxLength": 10_000}),
        },
        "function_id",
    ),
    "RealtimeTopics": {
        "type": "array",
        "items": _loose(
            {"channel": _text(LONGEST_NAME), "name": _text(LONGEST_NAME), "kind": nullable({"const": "run"})},
            "channel",
            "name",
        ),
        "minItems": 1,
        "maxItems": MOST_TOPICS,
    },
    # -- answers
    "Error": answer({"error": answer({**_FLAW, "errors": many(answer(_FLAW))}, "errors")}),
    "Health": answer({"status": {"const": "ok"}}),
    "OpenApi": OBJECT,
    "Anything": ANYTHING,
    "Later": answer({"id": TEXT, "status": {"const": "running"}, "result": TEXT}),
    "Accepted": answer({"ids": many(TEXT), "status": {"const": 200}}),
    "RunEvent": answer({"name": TEXT, "data": ANYTHING, "id": nullable(TEXT), "ts": nullable(NUMBER)}),
    "AcceptedEvent": answer(
        {"id": TEXT, "name": TEXT, "data": OBJECT, "key": nullable(TEXT), "ts": NUMBER, "accepted_at": NUMBER}
    ),
    "EventPage": page("AcceptedEvent"),
    "Failure": answer({"type": TEXT, "message": TEXT, "trace": TEXT, "cause": nullable(ref("Failure"))}),
    "Run": answer(
        {
            "id": TEXT,
            "app": TEXT,
            "workflow_id": TEXT,
            "status": {"type": "string", "enum": STATUSES},
            "reason": nullable(TEXT),
            "event": ref("RunEvent"),
            "events": many(ref("RunEvent")),
            "result": ANYTHING,
            "error": nullable(ref("Failure")),
            "created_at": TIME,
            "started_at": nullable(TIME),
            "ended_at": nullable(TIME),
            "parent_id": nullable(TEXT),
            "restarted_as": nullable(TEXT),
        }
    ),
    "RunPage": page("Run"),
    "Record": answer({"type": TEXT, "at": NUMBER}),
    "History": page("Record"),
    "Why": answer({"id": TEXT, "why": TEXT}),
    "Id": answer({"id": TEXT}),
    "Cancelling": answer({"id": TEXT, "status": {"const": "cancelling"}}),
    "Bulk": answer(
        {
            "verb": {"enum": ["cancel", "retry", "rerun"]},
            "dry_run": TRUTH,
            "selected": NUMBER,
            "done": NUMBER,
            "refused": NUMBER,
            "runs": many(TEXT),
            "refusals": many(answer({"run": TEXT, "reason": TEXT})),
        }
    ),
    "Bucket": answer(
        {
            "at": TIME,
            "counts": {"type": "object", "propertyNames": {"enum": list(STATES)}, "additionalProperties": NUMBER},
            "exact": TRUTH,
        }
    ),
    "Counts": answer({"items": many(ref("Bucket")), "before": TIME}),
    "Signalled": answer({"name": TEXT}),
    "Schedule": answer({"cron": TEXT, "catch_up": TEXT, "jitter": nullable(TEXT), "next": many(TIME)}),
    "Workflow": answer(
        {
            "app": TEXT,
            "id": TEXT,
            "paused": TRUTH,
            "triggers": many(TEXT),
            "schedules": many(ref("Schedule")),
            "policies": {"type": "object", "additionalProperties": TEXT},
        }
    ),
    "WorkflowPage": page("Workflow"),
    "Invoked": answer({"id": TEXT, "run": ref("Run")}, "run"),
    "Paused": answer({"id": TEXT, "paused": TRUTH}),
    # -- answers for SDKs
    "SdkError": {"anyOf": [answer({"error": TEXT, "status": NUMBER, "code": TEXT, "path": TEXT}), ref("Error")]},
    "Ok": answer({"status": {"const": 200}}),
    "Output": ANYTHING,
    "Begun": answer({"data": OBJECT, "metadata": OBJECT}),
    "RealtimeToken": answer({"jwt": TEXT}),
    "Registered": answer({"ok": {"const": True}, "modified": TRUTH, "app_id": TEXT, "status": {"const": 200}}),
    "Removed": answer({"ok": {"const": True}, "removed": many(TEXT)}),
    "Dev": answer({"version": TEXT, "kind": {"enum": ["dev", "cloud"]}, "functions": many(OBJECT)}),
    "Started": answer({"id": TEXT, "status": {"const": 200}}),
    "SdkEvents": many(OBJECT),
    "SdkSteps": OBJECT,
    "GraphQl": answer({"data": nullable(OBJECT)}),
    "Cancelled": answer({"data": OBJECT, "metadata": OBJECT}),
    "SdkFunctions": answer({"data": many(OBJECT), "metadata": OBJECT}),
}

TEXTS: Final[Mapping[str, str]] = {
    "Metrics": "text/plain",
    "Messages": "application/json",
    "Stream": "text/event-stream",
    "Export": "application/jsonl",
}
"""What is answered as something other than JSON, and as what."""
