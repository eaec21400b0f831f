"""The functions of an app that is elsewhere, as an `App` of ours with workflows that a worker can offer.

What is needed to call them is in their definitions, which the store keeps: so an engine that opens finds the apps that
were offered before, and goes on with their runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import attrs

from ...app import App
from ...codec import encode_definition
from ...commands import Steps
from ...context import Context
from ...errors import InternalError
from ...retry import DEFAULT_BACKOFF
from ...routing import Route
from ...workflow import Definition, Remote, Workflow
from ..protocol.registration import RemoteApp, RemoteFunction


def app_of(remote: RemoteApp) -> App:
    """An app with a workflow for each function."""
    return _app(remote.name, [_definition(remote, function) for function in remote.functions])


def apps_of(routes: Iterable[Route]) -> dict[str, App]:
    """The apps of what is registered in a store, as far as it is called elsewhere."""
    found: dict[str, list[Definition]] = {}
    for route in routes:
        if route.definition.remote is not None:
            found.setdefault(route.app, []).append(route.definition)
    return {name: _app(name, definitions) for name, definitions in found.items()}


def remote_app_of(app: App) -> RemoteApp:
    """What an app has said of itself."""
    functions = []
    for workflow in app.workflows.values():
        definition, remote = workflow.definition(), _remote(workflow.definition())
        functions.append(
            RemoteFunction(
                workflow.id,
                remote.slug,
                remote.name,
                remote.url,
                remote.retries,
                attrs.evolve(definition, remote=None),
                remote.max_steps,
                workflow.changes,
                remote.endpoint,
            )
        )
    said = _remote(next(iter(app.workflows.values())).definition())
    return RemoteApp(app.name, said.version, said.sdk, said.app_url, said.framework, tuple(functions), said.fingerprint)


def is_remote(app: App) -> bool:
    """Whether an app is elsewhere."""
    return any(workflow.remote is not None for workflow in app.workflows.values())


def remote_digest(workflow: Workflow[Any, Any]) -> str:
    """What stands for the code of a function that is elsewhere: all that its app has said of itself."""
    return blake2b(encode_definition(workflow.definition()), digest_size=12).hexdigest()


def _definition(app: RemoteApp, function: RemoteFunction) -> Definition:
    remote = Remote(
        url=function.url,
        slug=function.slug,
        name=function.name,
        retries=function.retries,
        max_steps=function.max_steps,
        sdk=app.sdk,
        version=app.version,
        framework=app.framework,
        app_url=app.url,
        fingerprint=app.fingerprint,
        endpoint=function.endpoint,
    )
    return attrs.evolve(function.definition, remote=remote)


def _app(name: str, definitions: Iterable[Definition]) -> App:
    app = App(name)
    for definition in definitions:
        app._add(_workflow(name, definition))
    return app


def _workflow(app: str, definition: Definition) -> Workflow[Any, Any]:
    remote = _remote(definition)
    return Workflow(
        app=app,
        id=definition.id,
        fn=_elsewhere,
        triggers=(),
        schedules=(),
        policies=definition.policies,
        retries=remote.retries,
        backoff=DEFAULT_BACKOFF,
        loop="trio",
        changes="strict",
        max_steps=remote.max_steps,
        version=remote.version,
        event_class=None,
        returns=None,
        declared=definition,
    )


def _remote(definition: Definition) -> Remote:
    if definition.remote is None:
        raise InternalError(f"workflow {definition.id!r} is not remote")
    return definition.remote


def _elsewhere(ctx: Context[Any]) -> Steps[Any]:
    """The body of a function that is not written here."""
    yield from ()
    raise InternalError(f"workflow {ctx.workflow_id!r} is called elsewhere; nothing here can execute it")
