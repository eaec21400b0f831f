"""What one of our apps says of itself: the documents that `registration` reads.

Whatever server reads them, it learns enough to drive the app; a flowgen server also reads the extra member of each
function (`own`), and then knows it exactly. Our handler of failures is a workflow like any other. On the wire it
gets a trigger more, on the failures of each function that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ...app import App
from ...duration import MINUTE, SECOND, format_duration
from ...events import RUN_ENDS
from ...triggers import OnCron, OnEvent
from ...workflow import Workflow
from . import events
from .calls import call_url
from .flow_options import options_of
from .introspection import Inspection, inspection_document
from .own import MEMBER, own_member
from .steps import DISCOVERY

VERSION: Final = "0.1"
"""The version of the document."""

CAPABILITIES: Final[Mapping[str, str]] = {"in_band_sync": "v1", "trust_probe": "v1"}

_LONGEST_JITTER: Final = 5 * MINUTE
_THERE: Final[Mapping[str, tuple[str, ...]]] = {
    RUN_ENDS["completed"]: (events.FINISHED,),
    RUN_ENDS["failed"]: (events.FAILED,),
    RUN_ENDS["cancelled"]: (events.CANCELLED,),
    "flowgen/run.*": (events.FINISHED,),
}


def sdk_name(version: str) -> str:
    """What our apps say that they are made with."""
    return f"flowgen:v{version}"


def registration_of(app: App, url: str, *, version: str, framework: str = "asgi", env: str = "") -> dict[str, Any]:
    """What an app sends to a server to be registered, out of band. `version` is flowgen's, `url` is the app's."""
    return {
        "v": VERSION,
        "deployType": "ping",
        "sdk": sdk_name(version),
        "url": url,
        "appName": app.name,
        "appVersion": app.version,
        "framework": framework,
        "functions": functions_of(app, url),
        "capabilities": dict(CAPABILITIES),
        "headers": {"env": env, "platform": ""},
    }


def in_band_of(
    app: App, url: str, inspection: Inspection, *, version: str, framework: str = "asgi", env: str | None = None
) -> dict[str, Any]:
    """What an app answers to a server that registers it, in band."""
    return {
        "app_id": app.name,
        "appVersion": app.version,
        "env": env,
        "framework": framework,
        "functions": functions_of(app, url),
        "inspection": inspection_document(inspection, authenticated=True),
        "platform": None,
        "sdk": sdk_name(version),
        "sdk_author": "flowgen",
        "sdk_language": "py",
        "sdk_version": version,
        "url": url,
        "capabilities": dict(CAPABILITIES),
    }


def functions_of(app: App, url: str) -> list[dict[str, Any]]:
    """The functions of an app, one for each workflow."""
    handled: dict[str, list[str]] = {}
    for workflow in app.workflows.values():
        handler = workflow.policies.on_failure
        if handler is not None:
            handled.setdefault(handler, []).append(events.function_id(app.name, workflow.id))
    return [
        _function(workflow, url, handled.get(f"{app.name}/{workflow.id}", ())) for workflow in app.workflows.values()
    ]


def _function(workflow: Workflow[Any, Any], url: str, failing: Iterable[str]) -> dict[str, Any]:
    slug = events.function_id(workflow.app, workflow.id)
    step = {
        "id": DISCOVERY,
        "name": DISCOVERY,
        "runtime": {"type": "http", "url": call_url(url, slug)},
        "retries": {"attempts": workflow.retries},
    }
    triggers = [*map(_schedule, workflow.schedules), *(said for t in workflow.triggers for said in _events(t))]
    triggers += [{"event": events.FAILED, "expression": f"event.data.function_id == '{name}'"} for name in failing]
    return {
        "id": slug,
        "name": workflow.id,
        "triggers": triggers,
        "steps": {DISCOVERY: step},
        **options_of(workflow.policies, workflow.app),
        MEMBER: own_member(workflow),
    }


def _events(trigger: OnEvent) -> list[dict[str, Any]]:
    """A trigger on an event, as the wire has it."""
    names = _THERE.get(trigger.name, (trigger.name,))
    return [{"event": name} | ({} if trigger.where is None else {"expression": trigger.where}) for name in names]


def _schedule(trigger: OnCron) -> dict[str, Any]:
    """A trigger on a schedule. There jitter is whole seconds, and five minutes at most."""
    said: dict[str, Any] = {"cron": trigger.schedule}
    if trigger.jitter:
        jitter = min(-(-trigger.jitter // SECOND) * SECOND, _LONGEST_JITTER)
        said["jitter"] = format_duration(jitter)
    return said
